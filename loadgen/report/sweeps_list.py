"""The list of sweeps as a page: which of them are asked for, a page of them at a time, each to be ticked for a comparison.

May import store's rows and the rest of report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from types import MappingProxyType
from urllib.parse import quote, urlencode

import loadgen
from loadgen.report.comparison.selection import filtered, tags_of
from loadgen.report.comparison.view import Filters
from loadgen.report.facts import import_line
from loadgen.report.foreign import foreign_client
from loadgen.report.live import live_line
from loadgen.report.readable import ago, moment
from loadgen.report.served import failure_kind, has_dummy_weights, server_name
from loadgen.store.rows import ProgressRow, SweepRow

LINES_A_PAGE = 50
_ALL = Filters()


@dataclass(frozen=True, slots=True)
class SweepLine:
    """A sweep's row in the list."""

    sweep_id: str
    name: str
    server: str
    model: str
    created: str
    created_ago: str
    progress: str
    status: str
    start_failure: str  # its kind, where the server did not start
    live: str  # how it stands while it is measured; empty for any other, and where nothing is known
    group_id: str
    tags: tuple[tuple[str, str], ...]  # (tag, address of the list of those that have it)
    has_runs: bool
    simulated: bool
    dummy_weights: bool
    imported: str  # from where; empty for what was measured into this database
    foreign: str  # the other client that measured it; empty for what loadgen did
    valid: int
    doubtful: int
    invalid: int


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
    lines: tuple[SweepLine, ...]
    empty_because: str
    running: bool  # some sweep is: the page looks again by itself
    filters: Filters
    offered: tuple[Offered, ...]
    found: str  # how many fit the filters, of how many; empty without filters
    compare_all: str  # the address of the comparison of all that fit; empty where that says nothing
    newer: str  # the address of the page before, and of the one after; empty where there is none
    older: str
    query: str  # the twin's
    draws: bool = False
    version: str = loadgen.__version__


def sweeps_page(
    sweeps: Sequence[SweepRow],
    now: datetime,
    empty_because: str = "Nothing has been measured yet.",
    filters: Filters = _ALL,
    page: int = 1,
    progress: Mapping[str, ProgressRow] = MappingProxyType({}),
) -> SweepsPage:
    """Page `page` of those of `sweeps`, in the order given, that the filters let through; the last one where there are fewer.

    `progress` is of those that are being measured, by their ids.
    """
    fitting = filtered(sweeps, filters)
    page = max(1, min(page, -(-len(fitting) // LINES_A_PAGE)))
    begin = (page - 1) * LINES_A_PAGE
    with_runs = sum(sweep.runs > 0 for sweep in fitting)
    return SweepsPage(
        title="Sweeps",
        lines=tuple(_line(sweep, now, progress.get(sweep.sweep_id)) for sweep in fitting[begin : begin + LINES_A_PAGE]),
        empty_because=empty_because,
        running=any(sweep.status == "running" for sweep in sweeps),
        filters=filters,
        offered=_offered(sweeps, filters),
        found=f"{len(fitting):,} of {len(sweeps):,} sweeps" if filters.any else "",
        compare_all=f"/compare?{_query(filters.pairs())}" if filters.any and with_runs > 1 else "",
        newer=_address(filters, page - 1) if page > 1 else "",
        older=_address(filters, page + 1) if begin + LINES_A_PAGE < len(fitting) else "",
        query=f"?{_query(filters.pairs())}" if filters.any else "",
    )


def _line(sweep: SweepRow, now: datetime, progress: ProgressRow | None) -> SweepLine:
    return SweepLine(
        sweep_id=sweep.sweep_id,
        name=sweep.name or sweep.sweep_id,
        server=server_name(sweep.server),
        model=str(sweep.server.get("model") or ""),
        created=moment(sweep.created_at),
        created_ago=ago(sweep.created_at, now),
        progress=f"{sweep.runs:,} / {sweep.planned_runs:,}",
        status=sweep.status,
        start_failure=failure_kind(sweep),
        live=live_line(progress),
        group_id=sweep.group_id or "",
        tags=tuple((tag, _address(Filters(tag=tag), 1)) for tag in tags_of(sweep)),
        has_runs=sweep.runs > 0,
        simulated=sweep.simulated,
        dummy_weights=has_dummy_weights(sweep.server),
        imported="" if sweep.imported is None else import_line(asdict(sweep.imported)),
        foreign=foreign_client(sweep),
        valid=sweep.valid,
        doubtful=sweep.doubtful,
        invalid=sweep.invalid,
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


def _address(filters: Filters, page: int) -> str:
    pairs = filters.pairs() + ([("page", str(page))] if page > 1 else [])
    return f"/?{_query(pairs)}" if pairs else "/"


def _query(pairs: Sequence[tuple[str, str]]) -> str:
    return urlencode(pairs, quote_via=quote)
