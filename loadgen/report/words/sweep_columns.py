"""THE table of columns: the figures in a sweep's tables, each a column of load points, of runs, and of the table in a terminal.

To add a column is to add a row to `_COLUMNS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.verdict import usable_runs
from loadgen.report import figures
from loadgen.report.format import cell
from loadgen.report.points import Pooled, pool
from loadgen.report.words.remote import is_far


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One figure in the tables of a sweep. An empty heading leaves it out of that table."""

    figure: Figure
    statistic: str = "p50"
    heading: str = ""  # in a page's table of runs
    is_of_points: bool = True  # and in that of load points
    unit: str = ""  # under the headings of a page
    terminal: str = ""  # heading in a terminal, on two lines
    narrow: str = ""  # the same where there is little room
    high: str = ""  # in the tables of runs and in a terminal, the highest percentile follows under this name
    has_spread: bool = False  # beside its mean in the table of load points
    is_shown: Callable[[Sequence[RunDocument]], bool] = lambda runs: True
    note: str = ""  # that explains it, under the table in a terminal

    def text(self, value: float | None) -> str:
        return cell(value, self.figure.unit)

    def read(self, run: RunDocument) -> float | None:
        return self.figure.read(run, self.statistic)

    def pooled(self, runs: Sequence[RunDocument]) -> Pooled | None:
        """Return what a load point has: of its usable repeats, or of all where none is usable."""
        return pool([self.read(run) for run in usable_runs(runs) or runs])


def _any(figure: Figure) -> Callable[[Sequence[RunDocument]], bool]:
    return lambda runs: any(map(figure.read, runs))


_COLUMNS = (
    Column(
        figure=figures.TTFT,
        heading="TTFT p50",
        unit="ms",
        terminal="TTFT\np50",
        narrow="TTFT\np50",
        high="TTFT",
        has_spread=True,
    ),
    Column(
        figure=figures.NETWORK_RTT,
        terminal="network\nRTT",
        is_shown=lambda runs: any(map(is_far, runs)),
    ),
    Column(  # or the gap between tokens
        figure=figures.CHUNK_GAP,
        heading="{} p50",
        unit="ms",
        terminal="gap\np50",
        narrow="gap\np50",
        high="gap",
    ),
    Column(figure=figures.TPOT, heading="TPOT p50", unit="ms", terminal="TPOT\np50"),
    Column(  # where it is 1, chunks and tokens are the same
        figure=figures.TOKENS_PER_CHUNK,
        statistic="mean",
        terminal="tokens\n/chunk",
        is_shown=lambda runs: any((figures.TOKENS_PER_CHUNK.read(run, "mean") or 1) > 1 for run in runs),
    ),
    Column(
        figure=figures.THROUGHPUT,
        heading="output",
        unit="tokens/s",
        terminal="output\ntokens/s",
        narrow="output\ntokens/s",
        has_spread=True,
    ),
    Column(
        figure=figures.REQUESTS_PER_S,
        heading="requests",
        unit="/s",
        terminal="requests\n/s",
        narrow="req.\n/s",
    ),
    Column(
        figure=figures.GOODPUT_RATIO,
        terminal="good\n%",
        narrow="good\n%",
        is_shown=lambda runs: any(run["spec"].get("slo") for run in runs),
        note="good: requests within the SLO",
    ),
    Column(
        figure=figures.COST_PER_MILLION,
        terminal="$/million\noutput",
        narrow="$/M\nout",
        is_shown=lambda runs: any(run.get("cost") for run in runs),
    ),
    Column(
        figure=figures.CACHED_RATIO,
        heading="cached",
        is_of_points=False,
        unit="% of prompt",
        terminal="cached\n%",
        narrow="cached\n%",
        is_shown=_any(figures.CACHED_RATIO),
        note="cached: prompt tokens out of the server's prefix cache",
    ),
    Column(
        figure=figures.BOUND_RATIO,
        heading="of the bound",
        unit="%",
        terminal="of the\nbound %",
        is_shown=_any(figures.BOUND_RATIO),
        note="of the bound: output throughput, as a share of what the datasheet's bandwidth and FLOP/s allow at this load",
    ),
    Column(
        figure=figures.ENERGY_PER_TOKEN,
        heading="energy",
        is_of_points=False,
        unit="J/token",
        terminal="J\n/token",
        is_shown=_any(figures.ENERGY_PER_TOKEN),
    ),
)


def columns(runs: Sequence[RunDocument]) -> tuple[Column, ...]:
    """Return the columns that these runs have, in order; the gap is that of chunks or of tokens, whichever all can be shown by."""
    gap = figures.gap_figure(runs)
    return tuple(
        _of_gap(each, gap) if each.figure is figures.CHUNK_GAP else each for each in _COLUMNS if each.is_shown(runs)
    )


def _of_gap(column: Column, gap: Figure) -> Column:
    return replace(column, figure=gap, heading=column.heading.format(gap.label.lower()))
