"""Repeats of one load point that lie far apart are told wherever the point is shown, and those that do not are not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.load.shapes import ClosedLoop
from loadgen.store.repository import Store
from tests.cli.conftest import Cli
from tests.report.documents import measured_run, outlined, specs, sweep_row

SWEEP = "s261123-152901-4f2a"
APART = "Repeats differ by 25% in output tokens/s at concurrency 4"


def stored(throughputs: Sequence[float], statuses: Sequence[str] = ()) -> None:
    """A sweep of one load point in the default database, a repeat for each throughput."""
    planned = specs([ClosedLoop(4)], (32,), 8, len(throughputs), requests_per_slot=8)
    sweep = sweep_row(SWEEP, planned, "repeats")
    with Store.open(f"sqlite:///{Path('loadgen.db').resolve()}") as store:
        store.add_sweep(replace(sweep, status="running"))
        for number, (spec, throughput) in enumerate(zip(planned, throughputs, strict=True)):
            status = statuses[number] if statuses else "valid"
            document, records = measured_run(spec, SWEEP, False, 0.0, status)
            document["output_tokens_per_s"] = throughput
            store.add_run(SWEEP, document, records, [], outline=outlined(document, records))
        store.set_sweep_status(SWEEP, sweep.status)


def told(cli: Cli) -> list[bool]:
    """Whether the terminal, the JSON and the page say that they differ."""
    shown = cli("show", SWEEP)
    points = cli("show", SWEEP, "--json").json["points"]
    assert cli("report", SWEEP, "-o", "report.html").code == 0
    page = " ".join(Path("report.html").read_text().split())
    codes = [finding["code"] for point in points for finding in point["findings"]]
    return [APART in " ".join(shown.out.split()), codes == ["repeats_differ"], APART in page]


@pytest.mark.parametrize(
    ("throughputs", "statuses", "is_told"),
    [
        ((100.0, 125.0), (), True),
        ((100.0, 110.0, 125.0), (), True),
        ((125.0, 100.0), ("doubtful", "valid"), True),
        ((100.0, 109.9), (), False),
        ((100.0, 125.0), ("valid", "invalid"), False),
        ((100.0,), (), False),
    ],
)
def test_repeats_that_differ_are_told_everywhere(
    cli: Cli, throughputs: Sequence[float], statuses: Sequence[str], is_told: bool
) -> None:
    stored(throughputs, statuses)
    assert told(cli) == [is_told] * 3
