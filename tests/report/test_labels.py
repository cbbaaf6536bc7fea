"""Names of figures that depend on the run."""

from dataclasses import replace
from datetime import UTC, datetime

from rich.console import Console

from loadgen.analysis.figures.metrics import METRICS
from loadgen.cli.tables.run import run_table
from loadgen.load.shapes import ClosedLoop
from loadgen.report.figures import metric_label
from loadgen.report.pages.contexts import run_page
from loadgen.report.pages.rendering import render
from tests.report.documents import measured_run, outlined, specs

SLO = (("ttft_s", 0.5), ("tpot_s", 0.0505), ("e2e_latency_s", 12.0))
NAMED = "Goodput (TTFT ≤ 500 ms, TPOT ≤ 50.5 ms, End-to-end latency ≤ 12,000 ms)"


def test_goodput_is_never_shown_without_its_slo() -> None:
    (spec,) = specs([ClosedLoop(2)], (32,), 4)
    document, records = measured_run(replace(spec, slo=SLO), "s1")
    named = {metric.key: metric_label(metric, document) for metric in METRICS}
    assert named["goodput_per_s"] == NAMED
    assert named["goodput_ratio"] == NAMED.replace("Goodput", "Goodput share")
    assert named["ttft_s"] == "TTFT"
    page = run_page(document, outlined(document, records), datetime(2026, 11, 23, tzinfo=UTC))
    assert NAMED in {line.label for line in page.scalars}
    assert NAMED in render(page)
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(run_table(document))
    assert NAMED in capture.get()


def test_without_an_slo_there_is_none_to_name() -> None:
    document, _ = measured_run(specs([ClosedLoop(2)], (32,), 4)[0], "s1")
    assert metric_label(next(metric for metric in METRICS if metric.key == "goodput_per_s"), document) == "Goodput"
