"""Results as earlier versions of other clients wrote them, made here by hand: what is read, what is null, and what a note names."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.importers import importing

Document = Any
read_sweep: Any = importing.read_sweep  # whose documents these tests look into as they like

BENCH_2025: Document = {
    "date": "20250301-120000", "endpoint_type": "vllm", "model_id": "m/x", "tokenizer_id": "m/x", "num_prompts": 200,
    "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 4, "duration": 10.0, "completed": 200,
    "total_input_tokens": 20000, "total_output_tokens": 4000, "request_throughput": 20.0, "request_goodput:": None,
    "output_throughput": 400.0, "total_token_throughput": 2400.0, "mean_ttft_ms": 30.0, "median_ttft_ms": 29.0,
    "p99_ttft_ms": 50.0, "mean_tpot_ms": 8.0, "median_tpot_ms": 8.0, "mean_itl_ms": 8.0, "median_itl_ms": 7.5,
}  # fmt: skip
LISTS: Document = {"ttfts": [0.03, 0.05], "itls": [[0.01, 0.01], [0.02]], "output_lens": [3, 2], "errors": ["", ""]}


def imported(folder: Path, content: Any) -> Any:
    path = folder / "older.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_sweep(path)


def run_of(folder: Path, content: Any) -> Document:
    (run,) = imported(folder, content).runs
    return run


def test_vllm_bench_of_2025(tmp_path: Path) -> None:
    run = run_of(tmp_path, BENCH_2025)
    assert run["outcomes"] == {"planned": 200, "ok": 200}
    assert run["ttft_s"]["mean"] == pytest.approx(0.030)
    assert (run["tpot_s"]["p50"], run["chunk_gap_s"]["mean"]) == (pytest.approx(0.008), pytest.approx(0.008))
    assert (run["spec"]["load_label"], run["spec"]["endpoint"]) == ("concurrency 4", "completions")
    assert run["foreign"]["notes"] == []


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ({"endpoint_type": None, "backend": "openai"}, "total_tokens_per_s", 2400.0),
        ({"endpoint_type": None}, "requests_per_s", 20.0),
        ({"total_token_throughput": None}, "total_tokens_per_s", 2400.0),
        ({"max_concurrency": None}, "requests_per_s", 20.0),
        ({"request_rate": float("inf")}, "requests_per_s", 20.0),
        ({"burstiness": None, "failed": None, "date": None}, "requests_per_s", 20.0),
        ({"output_throughput": float("nan")}, "output_tokens_per_s", None),
        ({"output_throughput": "400.0"}, "output_tokens_per_s", 400.0),
        ({"completed": "200", "num_prompts": 200.0}, "requests_per_s", 20.0),
        ({"output_throughput": "fast"}, "output_tokens_per_s", None),
        ({"output_throughput": [1]}, "output_tokens_per_s", None),
        ({"itls": [[0.1, None]], "ttfts": "none"}, "requests_per_s", 20.0),
    ],
)
def test_one_odd_figure_costs_no_result(tmp_path: Path, change: Document, key: str, value: float | None) -> None:
    run = run_of(tmp_path, BENCH_2025 | change)
    assert run[key] == value
    assert run["ttft_s"]["mean"] == pytest.approx(0.030)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"mean_ttft_ms": float("nan")}, "mean_ttft_ms is not a finite number and is null"),
        ({"mean_ttft_ms": "fast"}, "mean_ttft_ms could not be read and is left out"),
        ({"output_throughput": "fast"}, "output_throughput could not be read and is left out"),
        ({"date": "yesterday"}, "date could not be read and is left out"),
        ({"endpoint_type": "openai-chat"}, "its latencies of a chat count from a first chunk without content"),
    ],
)
def test_what_could_not_be_taken_is_named(tmp_path: Path, change: Document, note: str) -> None:
    found = imported(tmp_path, BENCH_2025 | change)
    assert [each for each in found.notes if each.startswith(note)]
    assert list(found.notes) == found.runs[0]["foreign"]["notes"]
    if "mean_ttft_ms" in change:
        assert (found.runs[0]["ttft_s"]["mean"], found.runs[0]["ttft_s"]["p50"]) == (None, pytest.approx(0.029))


def test_lists_without_latencies_give_them(tmp_path: Path) -> None:
    run = run_of(tmp_path, BENCH_2025 | LISTS | {"completed": 2, "num_prompts": 2})
    assert run["e2e_latency_s"]["max"] == pytest.approx(0.07)
    assert run["tpot_s"]["max"] == pytest.approx(0.02)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("between", ["\n", "\r\n\r\n", " ", "\n\n\n"])
@pytest.mark.parametrize("indent", [None, 1])
def test_several_results_in_one_file(tmp_path: Path, encoding: str, between: str, indent: int | None) -> None:
    several = between.join(json.dumps(BENCH_2025 | {"max_concurrency": n}, indent=indent) for n in (1, 2, 4))
    runs = imported(tmp_path, (several + "\n").encode(encoding)).runs
    assert [run["spec"]["load_label"] for run in runs] == ["concurrency 1", "concurrency 2", "concurrency 4"]


def of_ok(**figures: float) -> Document:
    return {"successful": {"count": 3, **figures}, "errored": {"mean": 0.0}}


METRICS: Document = {
    "requests_per_second": of_ok(mean=5.0),
    "request_concurrency": of_ok(mean=2.0),
    "prompt_token_count": of_ok(mean=32.0, total_sum=96.0),
    "output_token_count": of_ok(mean=3.0, total_sum=9.0),
    "time_to_first_token_ms": of_ok(mean=100.0, median=100.0),
    "output_tokens_per_second": of_ok(mean=15.0),
    "tokens_per_second": of_ok(mean=175.0),
}
COUNTS = {"successful": 3, "errored": 1, "incomplete": 0}
STRATEGY = {"type_": "concurrent", "streams": 2}
GUIDELLM_03: Document = {
    "benchmarks": [
        {
            "type_": "generative_benchmark",
            "args": {"strategy": STRATEGY, "profile": STRATEGY},
            "run_stats": {"start_time": 1.75e9, "end_time": 1.75e9 + 2, "requests_made": COUNTS},
            "worker": {"backend_target": "http://h:1", "backend_model": "m/x"},
            "metrics": METRICS,
            "requests": {
                "successful": [
                    {
                        "request_type": "text_completions",
                        "output_tokens": 3,
                        "start_time": 1.75e9 + n,
                        "first_token_time": 1.75e9 + n + 0.1,
                        "last_token_time": 1.75e9 + n + 0.3,
                    }
                    for n in range(3)
                ]
            },
        }
    ]
}
GUIDELLM_05: Document = {
    "metadata": {"version": 1, "guidellm_version": "0.5.0", "python_version": "3.12"},
    "args": {"target": "http://h:1", "model": "m/x", "data": ["prompt_tokens=32"], "request_type": "text_completions"},
    "benchmarks": [
        {
            "config": {
                "strategy": STRATEGY,
                "backend": {"type_": "openai_http", "target": "http://h:1", "model": None},
            },
            "metrics": METRICS | {"request_totals": COUNTS | {"total": 4}},
            "start_time": 1.75e9,
            "end_time": 1.75e9 + 2,
            "duration": 2.0,
            "requests": {
                "successful": [
                    {
                        "output_metrics": {"text_tokens": 3},
                        "info": {
                            "timings": {
                                "request_start": 1.75e9 + n,
                                "first_iteration": 1.75e9 + n + 0.1,
                                "last_iteration": 1.75e9 + n + 0.3,
                                "iterations": 3,
                            }
                        },
                    }
                    for n in range(3)
                ]
            },
        }
    ],
}


@pytest.mark.parametrize("report", [GUIDELLM_03, GUIDELLM_05], ids=["0.3", "0.5"])
def test_guidellm_of_earlier_versions(tmp_path: Path, report: Document) -> None:
    found = imported(tmp_path, report)
    (run,) = found.runs
    assert (run["spec"]["load_label"], run["spec"]["model"], run["server"]["url"]) == (
        "concurrency 2",
        "m/x",
        "http://h:1",
    )
    assert (run["outcomes"]["ok"], run["outcomes"]["failed"], run["elapsed_s"]) == (3, 1, 2.0)
    assert run["ttft_s"]["mean"] == pytest.approx(0.1)
    assert run["e2e_latency_s"]["mean"] == pytest.approx(0.3)
    assert run["tpot_s"]["mean"] == pytest.approx(0.1)
    assert run["requests_per_s"] == 5.0
    assert found.notes == ()


def test_guidellm_without_its_requests_has_its_sums(tmp_path: Path) -> None:
    benchmark = GUIDELLM_05["benchmarks"][0]
    kept: list[Any] = [None, {}, {"successful": None}, {"successful": []}]
    for requests in kept:
        run = run_of(tmp_path, GUIDELLM_05 | {"benchmarks": [benchmark | {"requests": requests}]})
        assert run["ttft_s"]["mean"] == pytest.approx(0.1)


def stat(unit: str, avg: float) -> Document:
    return {"unit": unit, "avg": avg, "p50": avg, "p99": avg}


AIPERF_EARLY: Document = {
    "input_config": {
        "endpoint": {"model_names": ["m/x"], "url": "http://h:1", "type": "chat", "streaming": True},
        "loadgen": {"concurrency": 3, "request_count": 20},
        "input": {"prompt": {"input_tokens": {"mean": 100}, "output_tokens": {"mean": 10}}},
    },
    "was_cancelled": False,
    "start_time": "2025-08-01T10:00:00.5",
    "request_count": {"unit": "requests", "avg": 20.0},
    "request_throughput": {"unit": "requests/sec", "avg": 4.0},
    "benchmark_duration": {"unit": "sec", "avg": 5.0},
    "time_to_first_token": stat("ms", 40.0),
    "request_latency": stat("ms", 90.0),
    "inter_token_latency": stat("ms", 5.0),
}
_TOP = ("input_config", "was_cancelled", "start_time")
AIPERF_NESTED = {key: AIPERF_EARLY[key] for key in _TOP} | {
    "records": {key: value for key, value in AIPERF_EARLY.items() if key not in _TOP}
}


@pytest.mark.parametrize("export", [AIPERF_EARLY, AIPERF_NESTED], ids=["flat", "nested"])
def test_aiperf_without_counts(tmp_path: Path, export: Document) -> None:
    run = run_of(tmp_path, export)
    assert (run["spec"]["load_label"], run["spec"]["model"]) == ("concurrency 3", "m/x")
    assert (run["spec"]["input_tokens"], run["spec"]["output_tokens"]) == (100, 10)
    assert (run["ttft_s"]["n"], run["ttft_s"]["mean"], run["ttft_s"]["p99"]) == (None, pytest.approx(0.04), None)
    assert run["e2e_latency_s"]["p50"] == pytest.approx(0.09)
    assert run["tpot_s"]["mean"] == pytest.approx(0.005)
    assert (run["requests_per_s"], run["elapsed_s"]) == (4.0, 5.0)


def test_inference_perf_with_odd_figures(tmp_path: Path) -> None:
    spread = {"mean": 0.04, "median": 0.039, "p99": float("nan")}
    report: Document = {
        "load_summary": {"count": "20", "requested_rate": None},
        "successes": {"count": 20, "latency": {"time_to_first_token": spread}, "throughput": None},
        "failures": {"count": 0},
    }
    run = run_of(tmp_path, report)
    assert run["ttft_from_send_s"]["mean"] == 0.04
    assert run["foreign"]["notes"] == ["successes.latency.time_to_first_token.p99 is not a finite number and is null"]
