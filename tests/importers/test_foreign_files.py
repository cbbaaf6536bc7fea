"""Real files of other clients, each made against the simulator: what becomes ours of them, what stays theirs, and what is null."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadgen.errors import UsageError
from loadgen.importers import importing
from loadgen.importers.foreign import of_figures

DATA = Path(__file__).resolve().parent / "data"
FILES = sorted(path.name for path in DATA.glob("*.json"))
Document = Any
read_sweep: Any = importing.read_sweep  # whose documents these tests look into as they like


def found(name: str) -> Any:
    return read_sweep(DATA / name)


def raw(name: str) -> Any:
    return json.loads((DATA / name).read_text())


@pytest.mark.parametrize("name", FILES)
def test_every_run_is_marked_as_anothers(name: str) -> None:
    sweep = found(name)
    mark = sweep.sweep.imported
    assert mark is not None
    assert mark.tool in ("vllm bench", "GuideLLM", "AIPerf", "inference-perf")
    for run in sweep.runs:
        assert run["foreign"]["tool"] == mark.tool
        assert run["foreign"]["version"] == mark.tool_version
        assert run["foreign"]["figures"]
        assert run["verdict"]["status"] == "doubtful"
        assert [finding["code"] for finding in run["verdict"]["findings"]] == ["foreign_client"]
        assert run["method_version"] == 0
        assert run["outcomes"]["ok"] == run["outcomes"]["planned"] > 0
        assert (run["client"]["stamp_source"], run["goodput_per_s"], run["paper"]) == (None, None, None)
        assert run["token_gap_s"] is None  # none of them has one


@pytest.mark.parametrize("name", FILES)
def test_the_files_tell_nothing_of_the_machine_they_were_made_on(name: str) -> None:
    text = (DATA / name).read_text()
    assert len(text) < 200_000
    assert not any(word in text for word in ("/root", "/home", "/tmp", "/work"))


def test_vllm_bench_plain() -> None:
    told = raw("vllm-bench-plain.json")
    (run,) = found("vllm-bench-plain.json").runs
    assert run["spec"]["shape"] == {"concurrency": 4, "kind": "closed_loop"}
    assert run["output_tokens_per_s"] == told["output_throughput"]
    assert run["ttft_s"] == run["ttft_from_send_s"]
    assert run["ttft_s"]["p50"] == pytest.approx(told["median_ttft_ms"] / 1e3)
    assert (run["ttft_s"]["n"], run["ttft_s"]["p99"]) == (24, None)  # of 24 requests
    assert (run["chunk_gap_s"]["n"], run["chunk_gap_s"]["mean"]) == (None, pytest.approx(told["mean_itl_ms"] / 1e3))
    assert run["e2e_latency_s"]["max"] == max(told["latencies"])
    assert (run["server"]["url"], run["foreign"]["version"]) == (None, None)
    assert run["foreign"]["figures"]["p99_ttft_ms"] == told["p99_ttft_ms"]
    assert run["started_at"] == "2026-11-26T21:03:08+00:00"


def test_vllm_bench_detailed_in_an_open_loop() -> None:
    told = raw("vllm-bench-detailed.json")
    (run,) = found("vllm-bench-detailed.json").runs
    assert run["spec"]["load_label"] == "20 requests/s poisson"
    assert (run["ttft_s"], run["e2e_latency_s"]) == (None, None)  # ours count from when a request was due
    assert run["ttft_from_send_s"]["max"] == max(told["ttfts"])
    gaps = [gap for each in told["itls"] for gap in each]
    assert (run["chunk_gap_s"]["n"], run["chunk_gap_s"]["p90"]) == (len(gaps), pytest.approx(np.percentile(gaps, 90)))
    assert run["tpot_s"]["mean"] == pytest.approx(told["mean_tpot_ms"] / 1e3)
    assert run["goodput_per_s"] is None  # the file does not tell the limits
    assert run["foreign"]["figures"]["request_goodput"] == told["request_goodput"]


def test_vllm_bench_appended_is_a_sweep() -> None:
    sweep = found("vllm-bench-appended.json")
    assert [run["spec"]["load_label"] for run in sweep.runs] == ["concurrency 1", "concurrency 2"]
    assert sweep.sweep.planned_runs == 2


def test_vllm_bench_through_chat_has_no_ttft_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text(json.dumps(raw("vllm-bench-plain.json") | {"backend": "openai-chat"}))
    (run,) = read_sweep(path).runs
    assert [run[key] for key in ("ttft_s", "ttft_from_send_s", "tpot_s", "chunk_gap_s", "e2e_latency_s")] == [None] * 5
    assert (run["spec"]["endpoint"], run["requests_per_s"] > 0) == ("chat", True)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"request_rate": "inf", "max_concurrency": None}, "wave"),
        ({"request_rate": 4, "burstiness": 0.5}, "open_loop"),
        ({"ramp_up_strategy": "linear", "ramp_up_start_rps": 1, "ramp_up_end_rps": 9}, "open_loop"),
    ],
)
def test_vllm_bench_loads(tmp_path: Path, changed: Document, kind: str) -> None:
    path = tmp_path / "load.json"
    path.write_text(json.dumps(raw("vllm-bench-plain.json") | changed))
    (run,) = read_sweep(path).runs
    assert run["spec"]["shape"]["kind"] == kind


def test_failures_are_counted_and_judged(tmp_path: Path) -> None:
    path = tmp_path / "failed.json"
    told = raw("vllm-bench-plain.json")
    for ok, status in ((12, "invalid"), (0, "invalid"), (24, "doubtful")):
        path.write_text(json.dumps(told | {"completed": ok, "failed": 24 - ok}))
        (run,) = read_sweep(path).runs
        assert run["verdict"]["status"] == status
        assert run["outcomes"].get("failed", 0) == 24 - ok
        assert (run["ttft_s"] is None) == (ok == 0)
    # which of the latencies belong to failed requests it does not tell
    path.write_text(json.dumps(told | {"completed": 23, "failed": 1}))
    assert read_sweep(path).runs[0]["e2e_latency_s"] is None


def test_no_count_of_requests_is_below_zero(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    export = raw("aiperf-profile.json")
    for ok, failed, outcomes in ((24, -24, {"planned": 24, "ok": 24}), (-3, 2, {"planned": 2, "ok": 0, "failed": 2})):
        counts = {"request_count": {"avg": ok}, "error_request_count": {"avg": failed}}
        path.write_text(json.dumps(export | counts))
        assert read_sweep(path).runs[0]["outcomes"] == outcomes
    report = raw("guidellm.json")
    report["benchmarks"][0]["metrics"]["request_totals"]["total"] = 3  # of 16 that ended well
    path.write_text(json.dumps(report))
    assert read_sweep(path).runs[0]["outcomes"] == {"planned": 16, "ok": 16}


def test_guidellm() -> None:
    report = raw("guidellm.json")
    sweep = found("guidellm.json")
    assert sweep.sweep.imported is not None
    assert sweep.sweep.imported.tool_version == "0.8.1"
    assert [run["spec"]["load_label"] for run in sweep.runs] == ["concurrency 2", "concurrency 4"]
    for run, benchmark in zip(sweep.runs, report["benchmarks"], strict=True):
        metrics = benchmark["metrics"]
        assert run["server"]["url"] == "http://127.0.0.1:18311"
        assert (run["spec"]["input_tokens"], run["spec"]["output_tokens"]) == (32, 16)
        # The same requests as its own means are made of, and no zero-based percentiles of few of them.
        assert run["ttft_s"]["mean"] == pytest.approx(metrics["time_to_first_token_ms"]["successful"]["mean"] / 1e3)
        assert run["tpot_s"]["mean"] == pytest.approx(metrics["inter_token_latency_ms"]["successful"]["mean"] / 1e3)
        assert (run["tpot_s"]["n"], run["ttft_s"]["p99"]) == (16, None)
        assert run["e2e_latency_s"]["mean"] < metrics["request_latency"]["successful"]["mean"]
        assert run["requests_per_s"] == metrics["requests_per_second"]["successful"]["mean"]
        assert run["chunk_gap_s"] is None


def test_guidellm_that_kept_a_sample_has_its_sums_alone(tmp_path: Path) -> None:
    path = tmp_path / "sampled.json"
    report = raw("guidellm.json")
    for benchmark in report["benchmarks"]:
        benchmark["config"]["sample_size"] = 4
        benchmark["requests"]["successful"] = benchmark["requests"]["successful"][:4]
    path.write_text(json.dumps(report))
    run = read_sweep(path).runs[0]
    assert (run["ttft_s"]["n"], run["tpot_s"], run["e2e_latency_s"]) == (16, None, None)


def test_guidellm_at_a_rate_counts_from_when_it_was_due(tmp_path: Path) -> None:
    path = tmp_path / "rate.json"
    report = raw("guidellm.json")
    for benchmark in report["benchmarks"]:
        benchmark["config"]["strategy"] = {"type_": "constant", "rate": 10.0}
        for request in benchmark["requests"]["successful"]:
            request["info"]["timings"]["targeted_start"] = request["info"]["timings"]["request_start"] - 0.25
    path.write_text(json.dumps(report))
    run = read_sweep(path).runs[0]
    assert run["spec"]["load_label"] == "10 requests/s constant"
    assert run["ttft_s"]["mean"] == pytest.approx(run["ttft_from_send_s"]["mean"] + 0.25)


def test_aiperf() -> None:
    export = raw("aiperf-profile.json")
    (run,) = found("aiperf-profile.json").runs
    assert (run["foreign"]["version"], run["spec"]["endpoint"]) == ("0.13.0", "chat")
    assert run["spec"]["load_label"] == "concurrency 4"
    assert run["ttft_s"]["p50"] == pytest.approx(export["time_to_first_token"]["p50"] / 1e3)
    assert (run["chunk_gap_s"]["n"], run["chunk_gap_s"]["p90"]) == (360, pytest.approx(0.006018659))
    assert (run["tpot_s"]["n"], run["tokens"]["counted_by"]) == (24, "tokenizer")
    assert run["foreign"]["figures"]["inter_token_latency"]["p99"] == export["inter_token_latency"]["p99"]
    assert run["concurrency"]["mean"] == export["effective_concurrency"]["avg"]


def test_inference_perf() -> None:
    report = raw("inference-perf-stage.json")
    (run,) = found("inference-perf-stage.json").runs
    assert run["spec"]["shape"]["rate_per_s"] == 20
    assert (run["ttft_s"], run["tpot_s"], run["chunk_gap_s"], run["output_tokens_per_s"]) == (None,) * 4
    told = report["successes"]["latency"]["time_to_first_token"]
    assert (run["ttft_from_send_s"]["n"], run["ttft_from_send_s"]["p50"]) == (20, told["median"])
    assert (run["server"]["url"], run["spec"]["model"]) == (None, "not told")
    assert run["simulated"] is False
    assert read_sweep(DATA / "inference-perf-stage.json", simulated=True).sweep.simulated


def test_percentiles_are_refused_as_ours_are() -> None:
    told = {"mean": 1.0, "p50": 1.0, "p90": 2.0, "p95": 3.0, "p99": 4.0}
    few, some, many = (of_figures(n, told) for n in (99, 100, 1000))
    assert few is not None
    assert some is not None
    assert many is not None
    assert [each["p90"] for each in (few, some, many)] == [None, 2.0, 2.0]
    assert [each["p99"] for each in (few, some, many)] == [None, None, 4.0]
    assert of_figures(5, {"mean": None}) is None


def broken(name: str, change: Callable[[Any], None]) -> Any:
    document = raw(name)
    change(document)
    return document


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (broken("vllm-bench-plain.json", lambda d: d.update(completed="all")), "at completed: it must be"),
        (broken("vllm-bench-plain.json", lambda d: d.update(date="20269999-999999")), "a moment that is none"),
        (broken("vllm-bench-plain.json", lambda d: d.update(model_id="\x1b[31m")), "must have no control characters"),
        (broken("guidellm.json", lambda d: d.update(benchmarks=[])), "looks like a result of GuideLLM and"),
        (broken("aiperf-profile.json", lambda d: d["input_config"].pop("models")), "lacks input_config.models: "),
        (
            broken("inference-perf-stage.json", lambda d: d.update(successes=None)),
            "looks like a result of inference-perf",
        ),
    ],
)
def test_what_is_broken_is_refused_in_a_sentence(tmp_path: Path, document: Any, said: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError) as caught:
        read_sweep(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
