"""The best load point of a sweep and its GPUs: means over the repeats that are not invalid, null where nothing is known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from loadgen.load.shapes import ClosedLoop, OpenLoop
from loadgen.report.format import number
from loadgen.report.pages.sweep_figures import SweepFigures, best_point, sweep_figures, sweeps_document
from loadgen.report.words.run_facts import sweep_highlights
from loadgen.store.rows import RunFigures
from tests.report.documents import measured_run, specs, sweep_row

H200 = ["NVIDIA H200"]


def run(point: str = "a", output: float | None = 100.0, ttft_s: float | None = 0.05, **changed: Any) -> RunFigures:
    made = RunFigures(
        sweep_id="s1",
        point_hash=point,
        verdict_status="valid",
        interrupted=False,
        shape_kind="closed_loop",
        input_tokens=128,
        output_tokens=32,
        load_label=f"concurrency {point}",
        output_tokens_per_s=output,
        ttft_p50_s=ttft_s,
        e2e_latency_p50_s=1.0,
        gpu_count=None,
        gpu_names=None,
    )
    return replace(made, **changed)


INVALID: dict[str, Any] = {"verdict_status": "invalid"}
DOUBTFUL: dict[str, Any] = {"verdict_status": "doubtful"}


@pytest.mark.parametrize(
    ("runs", "point", "output", "ttft_s", "repeats", "status"),
    [
        ([run()], "a", 100.0, 0.05, 1, "valid"),
        ([run("a", 100.0), run("b", 200.0, 0.3)], "b", 200.0, 0.3, 1, "valid"),
        ([run("b", 200.0), run("a", 100.0)], "b", 200.0, 0.05, 1, "valid"),
        ([run("a", 100.0, 0.1), run("a", 104.0, 0.3)], "a", 102.0, 0.2, 2, "valid"),
        ([run("a", 100.0), run("a", 190.0), run("b", 160.0)], "b", 160.0, 0.05, 1, "valid"),  # not the luckiest repeat
        ([run("a", 100.0), run("a", 150.0)], "a", 125.0, 0.05, 2, "doubtful"),  # the repeats differ
        ([run("a", 100.0), run("b", 200.0, **DOUBTFUL)], "b", 200.0, 0.05, 1, "doubtful"),
        ([run("a", 100.0), run("a", 900.0, **INVALID)], "a", 100.0, 0.05, 1, "valid"),
        ([run("a", 100.0), run("b", 900.0, **INVALID)], "a", 100.0, 0.05, 1, "valid"),
        ([run("a", 100.0, None)], "a", 100.0, None, 1, "valid"),  # not streamed
        ([run("a", 100.0, None), run("a", 100.0, 0.05)], "a", 100.0, 0.05, 2, "valid"),
        ([run("a", None), run("b", 200.0, 0.1)], "b", 200.0, 0.1, 1, "valid"),
        ([run("a", 0.0)], "a", 0.0, 0.05, 1, "valid"),
        ([run("a", None, 0.05)], "a", None, 0.05, 1, "valid"),  # the only point, of another tool
        (
            [run("a", 8.0, shape_kind="open_loop"), run("a", 8.0, shape_kind="open_loop", e2e_latency_p50_s=9.0)],
            *("a", 8.0, 0.05, 2, "doubtful"),
        ),
        ([run("a", 100.0), run("a", 190.0, interrupted=True)], "a", 145.0, 0.05, 2, "valid"),  # one was cut short
    ],
)
def test_the_best_point_is_the_highest_mean_of_its_usable_repeats(
    runs: Sequence[RunFigures], point: str, output: float | None, ttft_s: float | None, repeats: int, status: str
) -> None:
    best = best_point(runs)
    assert best is not None
    assert (best.point_hash, best.load_label, best.runs, best.status) == (
        point,
        f"concurrency {point}",
        repeats,
        status,
    )
    assert best.output_tokens_per_s == (None if output is None else pytest.approx(output))
    assert best.ttft_p50_s == (None if ttft_s is None else pytest.approx(ttft_s))


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [run(**INVALID)],
        [run("a", **INVALID), run("b", **INVALID)],
        [run("a", None), run("b", None)],
        [run("a", None, None)],
    ],
)
def test_without_a_usable_throughput_there_is_no_best_point(runs: Sequence[RunFigures]) -> None:
    assert best_point(runs) is None


def figures(runs: Sequence[RunFigures], server: dict[str, Any] | None = None) -> SweepFigures:
    sweep = sweep_row("s1", specs([ClosedLoop(1)]))
    return sweep_figures([replace(sweep, server=server or sweep.server)], runs)["s1"]


LAUNCHED = {"launch": {"gpus": [{"name": "NVIDIA H200"}], "arguments": {}}}


@pytest.mark.parametrize(
    ("runs", "server", "gpus"),
    [
        ([], {}, (None, None)),
        ([], LAUNCHED, (1, H200)),  # it has just begun
        ([], {"launch": "by hand"}, (None, None)),
        ([run()], {}, (None, None)),
        ([run(gpu_count=2, gpu_names=H200 * 2)], LAUNCHED, (2, H200 * 2)),
        ([run(gpu_count=2, gpu_names=None)], {}, (2, None)),
        ([run("a", 100.0, gpu_count=1, gpu_names=H200), run("b", 50.0, gpu_count=8)], {}, (1, H200)),
        ([run("a", 100.0), run("b", 50.0, gpu_count=1, gpu_names=H200)], {}, (1, H200)),
        ([run("a", gpu_count=1, gpu_names=H200, **INVALID)], {}, (1, H200)),
    ],
)
def test_gpus_are_those_of_the_best_point_else_of_another_run_else_of_the_start(
    runs: Sequence[RunFigures], server: dict[str, Any], gpus: tuple[int | None, list[str] | None]
) -> None:
    found = figures(runs, server or {"url": "http://127.0.0.1:8000"})
    assert (found.gpu_count, found.gpu_names) == gpus


def test_only_usable_runs_say_that_lengths_vary() -> None:
    assert not figures([run(), run("b", input_tokens=512, **INVALID)]).lengths_vary
    assert figures([run(), run("b", input_tokens=512)]).lengths_vary
    assert figures([run(), run("b", output_tokens=512)]).lengths_vary


@pytest.mark.parametrize("shape", [ClosedLoop, OpenLoop])
def test_the_figures_are_those_of_the_sweeps_own_page(shape: type) -> None:
    planned = specs([shape(2), shape(8)], (32, 64), 4, repeats=3, requests_per_slot=4)
    documents = [measured_run(spec, "s1")[0] for spec in planned]
    copied = [
        run(
            document["spec"]["point_hash"],
            document["output_tokens_per_s"],
            document["ttft_s"]["p50"],
            verdict_status=document["verdict"]["status"],
            load_label=document["spec"]["load_label"],
        )
        for document in documents
    ]
    best, tile = best_point(copied), sweep_highlights(documents)[0]
    assert best is not None
    assert (tile.label, tile.value) == ("Highest output", number(best.output_tokens_per_s))
    assert tile.note.startswith(str(best.load_label))


def test_the_document_keeps_the_keys_of_the_row_and_has_null_for_what_is_unknown() -> None:
    sweep = sweep_row("s1", specs([ClosedLoop(1)]), "one")
    begun_later = run(sweep_id="s2")
    (empty,) = sweeps_document([sweep], [begun_later])["sweeps"]
    assert (empty["name"], empty["runs"], empty["imported"]) == ("one", 0, None)
    assert (empty["best_point"], empty["gpu_count"], empty["gpu_names"]) == (None, None, None)
    (listed,) = sweeps_document([sweep], [run("a", 100.0, None)])["sweeps"]
    assert listed.keys() == empty.keys()
    assert listed["best_point"] == {
        "point_hash": "a",
        "load_label": "concurrency a",
        "input_tokens": 128,
        "output_tokens": 32,
        "runs": 1,
        "status": "valid",
        "output_tokens_per_s": 100.0,
        "ttft_p50_s": None,
    }
