"""`loadgen report`: sweeps and runs in one HTML file that needs nothing but a browser."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from loadgen.report.comparison.page import comparison_page
from loadgen.report.comparison.selection import select
from loadgen.report.comparison.view import View
from loadgen.report.format import timestamp
from loadgen.report.pages.contexts import ReportPage, RunPage, SweepPage, run_page, sweep_page
from loadgen.report.pages.rendering import render
from loadgen.report.run_selection import find, members, outline_of
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow


def render_report(store: Store, ids: Sequence[str], view: View | None = None) -> str:
    """The sweeps, those of groups, and runs of these ids (or unique beginnings), in this order, sweeps first.

    With a `view`, they are compared before the rest, as it says. Raises `NotFoundError`, and UsageError for a name in the view
    that these runs do not have.
    """
    single_ids = [each for given in ids for each in members(store, given)]
    found = [find(store, each) for each in single_ids]
    single = {run["run_id"]: run for sweep, runs in found if sweep is None for run in runs}
    whole = {sweep.sweep_id: (sweep, runs) for sweep, runs in found if sweep is not None}
    linked = frozenset(single)
    rows = [sweep for sweep, _ in whole.values()]
    sweeps = tuple(
        sweep_page(sweep, runs, None, linked, _beside(sweep, rows), store.outline) for sweep, runs in whole.values()
    )
    pages = tuple(
        run_page(run, outline_of(store, run), None, run["sweep_id"] in whole, store.samples(run_id), store.gpus(run_id))
        for run_id, run in single.items()
    )
    comparison = None if view is None else comparison_page(view, select(store, replace(view, ids=tuple(single_ids))))
    return render(
        ReportPage(
            title=_title(sweeps, pages),
            created=timestamp(datetime.now(UTC).isoformat()),
            contents=(
                *((("comparison", "Comparison"),) if comparison is not None else ()),
                *((page.sweep_id, f"Sweep {page.title}") for page in sweeps),
                *((page.run_id, f"Run {page.title} ({page.run_id})") for page in pages),
            ),
            sweeps=sweeps,
            runs=pages,
            comparison=comparison,
            linked=frozenset(whole),
        )
    )


def _beside(sweep: SweepRow, rows: Sequence[SweepRow]) -> list[SweepRow]:
    return [row for row in rows if row.group_id and row.group_id == sweep.group_id]


def _title(sweeps: Sequence[SweepPage], runs: Sequence[RunPage]) -> str:
    titles = [page.title for page in sweeps] + [page.title for page in runs]
    return titles[0] if len(titles) == 1 else f"{titles[0]} and {len(titles) - 1} more"
