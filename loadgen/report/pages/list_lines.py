"""The rows of the list of sweeps: one for each sweep, and one above those of a group."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from urllib.parse import quote, urlencode

from loadgen.analysis.verdict import some_of
from loadgen.report.comparison.selection import tags_of
from loadgen.report.comparison.view import Filters
from loadgen.report.format import MISSING_FIGURE, ago, milliseconds, number, plural, timestamp
from loadgen.report.pages.live_view import live_line
from loadgen.report.pages.sweep_figures import SweepFigures, gpus_line
from loadgen.report.words.foreign_client import foreign_client
from loadgen.report.words.run_facts import sweep_import_line
from loadgen.report.words.server import failure_kind, has_dummy_weights, server_name
from loadgen.store.rows import ProgressRow, SweepRow

_MAX_NAMED = 3  # servers, models or kinds of GPU in the row of a group


@dataclass(frozen=True, slots=True)
class FigureCells:
    """What a row shows of its figures, as text: a dash for each that is unknown."""

    output: str  # tokens/s
    load: str  # at which load; empty if unknown or not one
    doubtful: bool
    ttft: str  # ms
    gpus: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLine:
    """What the rows of sweeps and of groups have in common."""

    name: str
    server: str
    model: str
    figures: FigureCells
    created: str  # of a group, the latest
    created_ago: str
    progress: str
    simulated: bool
    dummy_weights: bool
    valid: int
    doubtful: int
    invalid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepLine(ListLine):
    sweep: SweepRow
    start_failure: str  # its kind, where the server did not start
    live: str  # how it stands while it is measured; empty for any other, and where nothing is known
    tags: tuple[tuple[str, str], ...]  # (tag, address of the list of those that have it)
    imported: str  # from where; empty for what was measured into this database
    foreign: str  # the other client that measured it; empty for what loadgen did


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLine(ListLine):
    """The row of a group, above those of its sweeps: sums, and ranges of their figures."""

    group_id: str
    sweeps: str  # how many: `3 sweeps`, or `2 of 3 sweeps` where the filters leave some out
    chosen: str  # what its box selects for a comparison; empty without a run
    statuses: tuple[tuple[str, int], ...]  # each with the number of sweeps


@dataclass(frozen=True, slots=True)
class ListEntry:
    """A sweep, or a group with its sweeps in the order measured."""

    group: GroupLine | None
    lines: tuple[SweepLine, ...]


def folded(sweeps: Iterable[SweepRow]) -> list[list[SweepRow]]:
    """The sweeps, newest first, with those of one group together at the place of the newest, in the order measured."""
    groups: dict[str, list[SweepRow]] = {}
    for sweep in sweeps:
        groups.setdefault(sweep.group_id or sweep.sweep_id, []).insert(0, sweep)
    return list(groups.values())


def sweep_line(
    sweep: SweepRow, figures: Mapping[str, SweepFigures], now: datetime, progress: ProgressRow | None
) -> SweepLine:
    return SweepLine(
        sweep=sweep,
        name=sweep.name or sweep.sweep_id,
        server=server_name(sweep.server),
        model=str(sweep.server.get("model") or ""),
        figures=figure_cells([figures[sweep.sweep_id]]),
        created=timestamp(sweep.created_at),
        created_ago=ago(sweep.created_at, now),
        progress=f"{sweep.runs:,} / {sweep.planned_runs:,}",
        start_failure=failure_kind(sweep),
        live=live_line(progress),
        tags=tuple((tag, list_address(Filters(tag=tag), 1)) for tag in tags_of(sweep)),
        simulated=sweep.simulated,
        dummy_weights=has_dummy_weights(sweep.server),
        imported=sweep_import_line(sweep),
        foreign=foreign_client(sweep),
        valid=sweep.valid,
        doubtful=sweep.doubtful,
        invalid=sweep.invalid,
    )


def group_line(sweeps: Sequence[SweepRow], figures: Mapping[str, SweepFigures], now: datetime, size: int) -> GroupLine:
    """The row of those sweeps of one group that the list shows, in the order measured, of `size` in all."""
    newest = sweeps[-1]
    group_id = newest.group_id or ""
    with_runs = [sweep.sweep_id for sweep in sweeps if sweep.runs]
    runs, planned = sum(sweep.runs for sweep in sweeps), sum(sweep.planned_runs for sweep in sweeps)
    is_whole = len(sweeps) == size
    return GroupLine(
        group_id=group_id,
        name=_common_name([sweep.name or sweep.sweep_id for sweep in sweeps]),
        sweeps=plural(size, "sweep") if is_whole else f"{len(sweeps):,} of {plural(size, 'sweep')}",
        chosen=(group_id if is_whole else ",".join(with_runs)) if with_runs else "",
        server=_named(server_name(sweep.server) for sweep in sweeps),
        model=_named(str(sweep.server.get("model") or "") for sweep in sweeps),
        figures=figure_cells([figures[sweep.sweep_id] for sweep in sweeps]),
        created=timestamp(newest.created_at),
        created_ago=ago(newest.created_at, now),
        progress=f"{runs:,} / {planned:,}",
        statuses=tuple(Counter("failed" if sweep.start_failure else sweep.status for sweep in sweeps).items()),
        simulated=any(sweep.simulated for sweep in sweeps),
        dummy_weights=any(has_dummy_weights(sweep.server) for sweep in sweeps),
        valid=sum(sweep.valid for sweep in sweeps),
        doubtful=sum(sweep.doubtful for sweep in sweeps),
        invalid=sum(sweep.invalid for sweep in sweeps),
    )


def list_address(filters: Filters, page: int) -> str:
    pairs = filters.pairs() + ([("page", str(page))] if page > 1 else [])
    return f"/?{list_query(pairs)}" if pairs else "/"


def list_query(pairs: Sequence[tuple[str, str]]) -> str:
    return urlencode(pairs, quote_via=quote)


def figure_cells(figures: Sequence[SweepFigures]) -> FigureCells:
    """The figures of a sweep, or the ranges over those of a group."""
    points = [(each, each.best_point) for each in figures]
    found = [(each, point) for each, point in points if point is not None]
    loads = {
        (point.load_label or "")
        + (f", {number(point.input_tokens)} in, {point.output_tokens:,} out" if each.lengths_vary else "")
        for each, point in found
    }
    return FigureCells(
        output=_range([point.output_tokens_per_s for _, point in found], number),
        load=loads.pop() if len(loads) == 1 else "",
        doubtful=any(point.status == "doubtful" for _, point in found),
        ttft=_range([point.ttft_p50_s for _, point in found], milliseconds),
        gpus=_gpus(figures),
    )


def _range(values: Iterable[float | None], write: Callable[[float | None], str]) -> str:
    """The least and the greatest of those that are known: `500 to 638`."""
    known = [value for value in values if value is not None]
    if not known:
        return MISSING_FIGURE
    ends = dict.fromkeys((write(min(known)), write(max(known))))
    return " to ".join(ends)


def _gpus(figures: Sequence[SweepFigures]) -> str:
    """The GPUs of one server or several: `1 to 8 × NVIDIA H200` where only the number differs."""
    models = {tuple(sorted(set(each.gpu_names or ()))) for each in figures}
    counts = [each.gpu_count for each in figures if each.gpu_count is not None]
    if len(models) == 1 and len(counts) == len(figures) and min(counts) < max(counts):
        (names,) = models
        if len(names) == 1:
            return f"{min(counts)} to {max(counts)} × {names[0]}"
    return _named(gpus_line(each.gpu_count, each.gpu_names) for each in figures)


def _named(texts: Iterable[str]) -> str:
    """Each of the texts once; of many, the first ones and how many more."""
    return some_of(list(dict.fromkeys(filter(None, texts))), _MAX_NAMED)


def _common_name(names: Sequence[str]) -> str:
    """The words that all the names begin with; without any, the first name and how many more."""
    words = zip(*(name.split() for name in names), strict=False)
    common = " ".join(each[0] for each in takewhile(lambda each: len(set(each)) == 1, words))
    return common.strip(" :,·-") or f"{names[0]} and {len(names) - 1} more"
