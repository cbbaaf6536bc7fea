"""Results in the form of vllm bench: its own figures, of a real file of it, come out of records of the same requests."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loadgen.engine.records.record import CountedBy, Outcome, Records
from loadgen.load.arrivals import Ramp
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.report.export.vllm_bench_result import vllm_bench_result
from tests.analysis.conftest import make_row
from tests.report.documents import measured_run, specs

REAL: Any = json.loads(
    (Path(__file__).resolve().parents[2] / "importers" / "data" / "vllm-bench-detailed.json").read_text()
)


def same_requests(**fields: Any) -> Records:
    """Records of the requests of the real file, their stamps rounded to nanoseconds."""
    rows = []
    told = zip(REAL["start_times"], REAL["ttfts"], REAL["itls"], strict=True)
    first = min(REAL["start_times"])
    for number, (start, ttft, gaps) in enumerate(told):
        moments = [start - first + ttft]
        for gap in gaps:
            moments.append(moments[-1] + gap)
        row = make_row([(moment, 1) for moment in moments], sent_s=start - first, end_s=moments[-1])
        rows.append(
            replace(row, index=number, prompt_tokens=REAL["input_lens"][number], output_tokens=len(moments), **fields)
        )
    return Records.from_rows(rows)


@pytest.fixture
def run() -> Any:
    (spec,) = specs([OpenLoop(20.0)], (32,), 16, 1)
    return measured_run(spec, "s261126-210338-0000")[0]


def test_its_figures_come_out_of_the_same_requests(run: Any) -> None:
    found: Any = vllm_bench_result(run, same_requests(), detailed=True)
    for key in REAL:
        if key.endswith("_ms"):
            assert found[key] == pytest.approx(REAL[key], rel=1e-4), key
    same = ("completed", "failed", "total_input_tokens", "total_output_tokens", "num_prompts", "output_lens")
    more = ("input_lens", "errors", "max_output_tokens_per_s", "max_concurrent_requests", "request_rate")
    for key in (*same, *more):
        assert found[key] == REAL[key], key
    assert found["ttfts"] == pytest.approx(REAL["ttfts"], abs=1e-8)
    assert [len(each) for each in found["itls"]] == [len(each) for each in REAL["itls"]]
    for ours, theirs in (("request_throughput", 16), ("output_throughput", 256), ("total_token_throughput", 490)):
        assert found[ours] == pytest.approx(theirs / found["duration"])
    assert set(REAL) <= set(found)


def test_every_key_of_the_plain_form_is_there(run: Any) -> None:
    plain = json.loads((Path(__file__).resolve().parents[2] / "importers/data/vllm-bench-plain.json").read_text())
    found: Any = vllm_bench_result(run, same_requests())
    assert set(plain) <= set(found)
    assert not {"ttfts", "itls", "errors"} & set(found)
    assert (found["rtfx"], found["queue_times"], found["label"]) == (None, None, None)


def test_what_nobody_counted_is_null(run: Any) -> None:
    found: Any = vllm_bench_result(run, same_requests(counted_by=CountedBy.ASSUMED))
    keys = ("total_output_tokens", "output_throughput", "total_token_throughput", "mean_tpot_ms", "p99_tpot_ms")
    assert [found[key] for key in keys] == [None] * 5
    assert found["median_itl_ms"] == pytest.approx(REAL["median_itl_ms"], rel=1e-4)


def test_failures_enter_no_figure(run: Any) -> None:
    rows = [make_row([(1.0, 1), (2.0, 1)], output_tokens=2, prompt_tokens=3, end_s=2.0)]
    rows.append(make_row([(5.0, 1)], outcome=Outcome.TRUNCATED, detail="cut short", end_s=5.0))
    found: Any = vllm_bench_result(
        run, Records.from_rows([replace(row, index=i) for i, row in enumerate(rows)]), detailed=True
    )
    assert (found["completed"], found["failed"], found["duration"]) == (1, 1, 5.0)
    assert (found["mean_ttft_ms"], found["errors"], found["output_lens"]) == (1000.0, ["", "cut short"], [2, 0])
    none = vllm_bench_result(run, Records.from_rows([replace(rows[1], index=0)]))
    assert (none["mean_ttft_ms"], none["max_concurrent_requests"]) == (None, 0)


def test_goodput_counts_from_the_sending(run: Any) -> None:
    rows = [make_row([(t, 1), (t + 0.1, 1)], output_tokens=2, prompt_tokens=3, end_s=1.0) for t in (0.2, 0.4, 0.6)]
    records = Records.from_rows([replace(row, index=i) for i, row in enumerate(rows)])
    assert vllm_bench_result(run, records)["request_goodput"] is None
    limited = run | {"spec": run["spec"] | {"slo": {"ttft_s": 0.5, "tpot_s": 0.2}}}
    assert vllm_bench_result(limited, records)["request_goodput"] == 2.0


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (ClosedLoop(4), {"request_rate": "inf", "max_concurrency": 4, "burstiness": 1.0}),
        (Wave(4), {"request_rate": "inf", "max_concurrency": None}),
        (OpenLoop(2.0, "gamma", burstiness=0.5), {"request_rate": 2.0, "burstiness": 0.5}),
        (OpenLoop(2.0, "constant"), {"request_rate": 2.0, "burstiness": None}),
        (
            OpenLoop(1.0, ramp=Ramp(4.0, 10.0)),
            {"request_rate": "inf", "ramp_up_end_rps": 4.0, "ramp_up_strategy": "linear"},
        ),
    ],
)
def test_the_load_in_its_words(run: Any, shape: Any, told: Any) -> None:
    (spec,) = specs([shape], (32,), 16, 1)
    shaped = run | {"spec": run["spec"] | {"shape": spec.to_json()["shape"]}}
    assert vllm_bench_result(shaped, same_requests()).items() >= told.items()
