"""The tables for a terminal, from run documents alone: they fit, they pool, and they hide nothing."""

import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console, RenderableType

from loadgen.cli.tables.run import run_facts, run_line, show_run
from loadgen.cli.tables.sweep import findings, show_group, show_sweep, sweep_table, sweep_title
from loadgen.cli.tables.sweeps import sweeps_table
from loadgen.load.shapes import ClosedLoop, OpenLoop
from tests.report.documents import Document, measured_run, specs, sweep_row
from tests.report.pages.test_sweep_figures import DOUBTFUL
from tests.report.pages.test_sweep_figures import run as listed_run

NOW = datetime(2026, 11, 26, tzinfo=UTC)
PLANNED = specs([ClosedLoop(2), ClosedLoop(4)], repeats=2)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [measured_run(spec, "s1", status="valid")[0] for spec in PLANNED]


def text(renderable: RenderableType, width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def row(table: str, load: str) -> list[str]:
    return next(line.split() for line in table.splitlines() if line.split()[:1] == [load])


def changed(documents: list[Document], **values: Any) -> list[Document]:
    """Copies in which the first run has these values."""
    copies = copy.deepcopy(documents)
    copies[0].update(values)
    return copies


def with_percentiles(documents: list[Document], *given: dict[str, float]) -> list[Document]:
    """Copies whose TTFT and token gap have these percentiles above the median and no others."""
    copies = copy.deepcopy(documents)
    for document, percentiles in zip(copies, given, strict=True):
        for metric in ("ttft_s", "token_gap_s"):
            document[metric] |= {"p90": None, "p95": None, "p99": None} | percentiles
    return copies


P90, P95 = {"p90": 1.2345}, {"p90": 1.2, "p95": 2.2345}


@pytest.mark.parametrize("width", [80, 100, 120])
def test_it_fits_the_terminal(documents: list[Document], width: int) -> None:
    """Every column is there, and the percentiles differ from point to point."""
    copies = with_percentiles(documents, P90, P95, P90, P95)
    for document in copies:
        document["output_tokens_per_s"] = 12_345.6
    lines = text(sweep_table(copies, width), width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "…" not in "".join(lines)
    head = " ".join(lines[1].split())
    assert head.count("TTFT") == 2
    assert ("TPOT" in head) == (width >= 100)


def test_the_highest_percentile_is_shown_by_its_name(documents: list[Document]) -> None:
    """Of concurrency 2 both repeats have a p90 and one a p95, of concurrency 4 both have a p95."""
    narrow = text(sweep_table(with_percentiles(documents, P90, P95, P95, P95), 80), 80)
    assert narrow.splitlines()[2].split().count("p90") == 2
    assert row(narrow, "2").count("1,217") == row(narrow, "4").count("1,200") == 2
    table = text(sweep_table(with_percentiles(documents, P90, P95, P95, P95), 120), 120)
    assert table.splitlines()[2].split().count("high") == 2
    assert "high: the highest percentile" in table
    assert " ".join(row(table, "2")).count("1,217 p90") == 2
    assert " ".join(row(table, "4")).count("2,234 p95") == 2


def test_a_percentile_that_all_points_have_is_in_the_heading(documents: list[Document]) -> None:
    table = text(sweep_table(with_percentiles(documents, P95, P95, P95, P95), 120), 120)
    assert table.splitlines()[2].split().count("p95") == 2
    assert "p95" not in " ".join(row(table, "2"))
    assert "high:" not in table


def test_a_column_in_which_nothing_could_stand_is_left_out(documents: list[Document]) -> None:
    table = text(sweep_table(with_percentiles(documents, {}, {}, {}, {}), 120), 120)
    assert table.splitlines()[1].split().count("TTFT") == 1
    assert "p9" not in table
    some = text(sweep_table(with_percentiles(documents, {}, P95, {}, P95), 120), 120)
    assert "–" in row(some, "2")


def test_one_row_per_point_with_the_mean_over_its_repeats(documents: list[Document]) -> None:
    throughputs = {0: 100.0, 2: 300.0}  # the two repeats of concurrency 2
    copies = copy.deepcopy(documents)
    for position, value in throughputs.items():
        copies[position]["output_tokens_per_s"] = value
    cells = row(text(sweep_table(copies, 120), 120), "2")
    assert "200" in cells
    assert cells[cells.index("200") + 1] == "100"  # half their range


def test_an_invalid_repeat_is_left_out_and_told(documents: list[Document]) -> None:
    copies = changed(documents, output_tokens_per_s=7.77, verdict={"status": "invalid", "findings": []})
    copies[2]["output_tokens_per_s"] = 300.0
    cells = row(text(sweep_table(copies, 120), 120), "2")
    assert "300" in cells
    assert cells[-2:] == ["✗", "invalid"]


def test_a_missing_figure_is_a_dash(documents: list[Document]) -> None:
    copies = changed(documents, output_tokens_per_s=None)
    copies[2]["output_tokens_per_s"] = None
    cells = row(text(sweep_table(copies, 80), 80), "2")
    assert "–" in cells
    assert "0" not in cells
    assert "nan" not in " ".join(cells)


def test_the_gap_says_when_it_is_of_chunks(documents: list[Document]) -> None:
    assert "token gap" in text(sweep_table(documents, 80), 80)
    unknown = copy.deepcopy(documents)
    for document in unknown:
        document["token_gap_s"] = dict.fromkeys(document["token_gap_s"]) | {"n": 0}
    assert "chunk gap" in text(sweep_table(unknown, 80), 80)


def test_a_wide_table_has_tokens_per_chunk_when_they_are_not_one(documents: list[Document]) -> None:
    assert "/chunk" not in text(sweep_table(documents, 140), 140)
    merged = copy.deepcopy(documents)
    for document in merged:
        document["tokens_per_chunk"] = {"mean": 3.25}
    assert "/chunk" in text(sweep_table(merged, 140), 140)
    assert "3.25" in text(sweep_table(merged, 140), 140)


def test_failures_are_counted_beside_ok(documents: list[Document]) -> None:
    outcomes = documents[0]["outcomes"] | {"ok": documents[0]["outcomes"]["ok"] - 3}
    assert any("/" in cell for cell in row(text(sweep_table(changed(documents, outcomes=outcomes), 80), 80), "2"))


def test_findings_come_once_worst_first_with_their_hint(documents: list[Document]) -> None:
    note = {"code": "a", "severity": "note", "message": "A note.", "hint": "leave it"}
    bad = {"code": "b", "severity": "invalid", "message": "Broken.", "hint": "mend it"}
    copies = copy.deepcopy(documents)
    for document in copies:
        document["verdict"] = {"status": "valid", "findings": [note]}
    copies[3]["verdict"] = {"status": "invalid", "findings": [note, bad]}
    found = findings(copies)
    assert found is not None
    told = [line.strip() for line in text(found, 100).splitlines() if line.strip()]
    assert told == ["✗ Broken. (1 of 4 runs)", "mend it", "· A note. (all 4 runs)", "leave it"]
    assert findings(documents) is None or "Broken" not in text(findings(documents) or "", 100)


def test_simulated_is_said_first() -> None:
    document, _ = measured_run(PLANNED[0], "s1", simulated=True)
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        show_sweep(console, sweep_row("s1", PLANNED, simulated=True), [document])
    assert capture.get().split()[0] == "SIMULATED"
    assert "1 run of 4" in capture.get()
    with console.capture() as capture:
        show_run(console, document)
    assert capture.get().split()[0] == "SIMULATED"


def test_a_rate_is_named_by_its_heading() -> None:
    document, _ = measured_run(specs([OpenLoop(2.5)])[0], "s1")
    table = text(sweep_table([document], 80), 80)
    assert "rate/s" in table
    assert "2.50" in row(table, "2.50")


def test_a_finished_run_in_one_line(documents: list[Document]) -> None:
    line = run_line(documents[0]).plain
    assert line.startswith("✓ concurrency 2, 128 → 32")
    assert "not ok" not in line
    outcomes = documents[0]["outcomes"] | {"ok": 0}
    assert "not ok" in run_line(changed(documents, outcomes=outcomes)[0]).plain


def test_the_list_tells_what_is_missing() -> None:
    now = datetime.fromisoformat(sweep_row("s1", PLANNED).created_at) + timedelta(minutes=3)
    table = text(sweeps_table([sweep_row("s1", PLANNED, "evening", "failed")], now.astimezone(UTC)), 100)
    assert all(part in table for part in ("s1", "3 min ago", "evening", "0/4", "failed"))


@pytest.mark.parametrize(
    ("width", "shown", "left_out"),
    [
        (80, [], ["12,346", "50.0", "concurrency 16", "H200"]),
        (119, [], ["12,346", "50.0", "concurrency 16", "H200"]),
        (120, ["12,346 ?", "50.0"], ["concurrency 16", "H200"]),
        (150, ["12,346 ?", "50.0", "concurrency 16", "2 × NVIDIA H200"], []),
    ],
)
def test_the_list_shows_figures_where_there_is_room(width: int, shown: list[str], left_out: list[str]) -> None:
    runs = [listed_run("16", 12_345.6, gpu_count=2, gpu_names=["NVIDIA H200"] * 2, **DOUBTFUL)]
    sweeps = [sweep_row("s1", PLANNED, "evening"), sweep_row("s2", PLANNED, "no run")]
    table = text(sweeps_table(sweeps, NOW, runs, width), width)
    assert [part for part in (*shown, *left_out) if part in " ".join(row(table, "s1"))] == shown
    assert row(table, "s2").count("–") == {80: 0, 119: 0, 120: 2, 150: 3}[width]
    assert max(len(line.rstrip()) for line in table.splitlines()) <= width


def test_three_repeats_have_an_interval_and_two_a_range() -> None:
    for repeats, words, half in ((3, "± half their 95 % interval", "248"), (2, "± half their range", "50.0")):
        measured = [measured_run(spec, "s1", status="valid")[0] for spec in specs([ClosedLoop(2)], repeats=repeats)]
        for run, throughput in zip(measured, (900.0, 1_000.0, 1_100.0), strict=False):
            run["output_tokens_per_s"] = throughput
        table = text(sweep_table(measured, 120), 120)
        assert words in " ".join(table.split())
        assert half in row(table, "2")


@pytest.mark.parametrize("width", [80, 100])
def test_the_share_within_the_slo_is_shown_where_there_is_one(documents: list[Document], width: int) -> None:
    judged = copy.deepcopy(documents)
    for run in judged:
        run["spec"]["slo"], run["goodput_ratio"], run["output_tokens_per_s"] = {"ttft_s": 0.5}, 0.985, 12_345.6
    table = text(sweep_table(judged, width), width)
    assert "98.5" in row(table, "2")
    assert max(len(line.rstrip()) for line in table.splitlines()) <= width
    assert "good" not in text(sweep_table(documents, width), width)


def test_dummy_weights_and_the_profile_are_said(documents: list[Document]) -> None:
    launch = {"weights": "dummy", "overrides": {"arguments": {"max-num-seqs": 64}}, "gpus": [], "startup_s": 61.2}
    server = documents[0]["server"] | {"profile": "mixtral-dummy", "launch": launch}
    runs = [document | {"server": server} for document in documents]
    title = text(sweep_title(None, runs), 120)
    assert "vLLM 0.22.1, dummy weights · completions · mixtral-dummy" in title
    facts = " ".join(text(run_facts(runs[0]), 120).split())
    assert "server mixtral-dummy, max-num-seqs 64, answered after 61 s; dummy weights" in facts
    listed = text(sweeps_table([replace(sweep_row("s1", PLANNED, "night"), server=server, group_id="g1")], NOW), 120)
    assert "night dummy weights of g1" in listed


def test_a_server_that_did_not_start_stands_in_the_list(documents: list[Document]) -> None:
    failure = {
        "kind": "out_of_gpu_memory",
        "sentence": "mixtral did not start: out of GPU memory",
        "log": "/logs/m.log",
    }
    sweep = replace(sweep_row("s1", PLANNED, "mixtral"), start_failure=failure)
    assert "out of GPU memory" in text(sweeps_table([sweep], NOW), 120)
    console = Console(width=120, color_system=None)
    with console.capture() as capture:
        show_group(console, [(sweep, []), (replace(sweep, name="other", start_failure=None), documents)])
    shown = capture.get()
    assert "✗ out of GPU memory: mixtral did not start: out of GPU memory; its log: /logs/m.log" in shown
    assert shown.index("mixtral ─") < shown.index("other ─")
