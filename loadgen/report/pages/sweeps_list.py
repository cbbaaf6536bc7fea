"""The list of sweeps as a page: which of them are asked for, a page of them at a time, each to be ticked for a comparison."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from loadgen.report.comparison.selection import filtered, tags_of
from loadgen.report.comparison.view import Filters
from loadgen.report.pages.list_lines import ListEntry, folded, group_line, list_address, list_query, sweep_line
from loadgen.report.pages.sweep_figures import sweep_figures
from loadgen.store.rows import ProgressRow, RunFigures, SweepRow

LINES_A_PAGE = 50
_ALL = Filters()


@dataclass(frozen=True, slots=True)
class Offered:
    """What can be chosen of one filter."""

    name: str
    label: str
    values: tuple[str, ...]
    chosen: str


@dataclass(frozen=True, slots=True)
class SweepsPage:
    """The list of sweeps, newest first. `empty_because` says why there is none."""

    title: str
    entries: tuple[ListEntry, ...]
    empty_because: str
    running: bool  # some sweep is: the page looks again by itself
    filters: Filters
    offered: tuple[Offered, ...]
    found: str  # how many fit the filters, of how many; empty without filters
    compare_all: str  # the address of the comparison of all that fit; empty where that says nothing
    newer: str  # the address of the page before, and of the one after; empty where there is none
    older: str
    query: str  # the twin's


def sweeps_page(
    sweeps: Sequence[SweepRow],
    now: datetime,
    empty_because: str = "Nothing has been measured yet.",
    filters: Filters = _ALL,
    page: int = 1,
    progress: Mapping[str, ProgressRow] = MappingProxyType({}),
    open_runs: Callable[[Sequence[SweepRow]], Iterable[RunFigures]] = lambda sweeps: (),
) -> SweepsPage:
    """Page `page` of those of `sweeps`, in the order given, that the filters let through; the last one where there are fewer.

    The sweeps of a group are one entry, at the place of the first of them. `progress` is of those that are being measured, by
    their ids; `open_runs` is asked once, for the sweeps of the page.
    """
    fitting = filtered(sweeps, filters)
    groups = folded(fitting)
    page = max(1, min(page, -(-len(groups) // LINES_A_PAGE)))
    begin = (page - 1) * LINES_A_PAGE
    shown = groups[begin : begin + LINES_A_PAGE]
    listed = [sweep for group in shown for sweep in group]
    figures = sweep_figures(listed, open_runs(listed))
    lines = {sweep.sweep_id: sweep_line(sweep, figures, now, progress.get(sweep.sweep_id)) for sweep in listed}
    sizes = Counter(sweep.group_id for sweep in sweeps)
    with_runs = sum(sweep.runs > 0 for sweep in fitting)
    return SweepsPage(
        title="Sweeps",
        entries=tuple(
            ListEntry(
                group=group_line(group, figures, now, sizes[group[0].group_id]) if len(group) > 1 else None,
                lines=tuple(lines[sweep.sweep_id] for sweep in group),
            )
            for group in shown
        ),
        empty_because=empty_because,
        running=any(sweep.status == "running" or sweep.sweep_id in progress for sweep in sweeps),
        filters=filters,
        offered=_offered(sweeps, filters),
        found=f"{len(fitting):,} of {len(sweeps):,} sweeps" if filters.any else "",
        compare_all=f"/compare?{list_query(filters.pairs())}" if filters.any and with_runs > 1 else "",
        newer=list_address(filters, page - 1) if page > 1 else "",
        older=list_address(filters, page + 1) if begin + LINES_A_PAGE < len(groups) else "",
        query=f"?{list_query(filters.pairs())}" if filters.any else "",
    )


def _offered(sweeps: Sequence[SweepRow], filters: Filters) -> tuple[Offered, ...]:
    """The filters by a value, of which there is something to choose: profiles, models and tags."""
    values = {
        "profile": {str(sweep.server.get("profile") or "") for sweep in sweeps},
        "model": {str(sweep.server.get("model") or "") for sweep in sweeps},
        "tag": {tag for sweep in sweeps for tag in tags_of(sweep)},
    }
    return tuple(
        Offered(name, name.capitalize(), tuple(sorted((found | {chosen}) - {""})), chosen)
        for name, found in values.items()
        if (chosen := getattr(filters, name)) or found - {""}
    )
