"""The page of a study: its question, its figures by series, its claims with their verdicts, and what did not run."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.stats import TAIL_NAMES, samples_needed
from loadgen.errors import UsageError
from loadgen.moe.hardware import hardware
from loadgen.report.charts.chart import Chart
from loadgen.report.format import MISSING_FIGURE, percent, plural
from loadgen.report.points import Table
from loadgen.report.study.agreement import Agreement, agreements, unpredictable
from loadgen.report.study.claim_rows import ClaimRow, ContradictionRow, claim_rows, contradictions, sentence
from loadgen.report.study.panels.captions import caption
from loadgen.report.study.panels.charts import panel_charts
from loadgen.report.study.panels.rows import PanelMark, PanelScales, marks_of, scales_of
from loadgen.report.study.panels.values import ValueTable, value_table
from loadgen.report.study.prediction_errors import FIGURE_NAMES, FIGURES_COMPARED, OUTLIERS_TOO, ErrorRow
from loadgen.report.study.results import SeriesResults, Standing, StudyResults
from loadgen.report.study.site import Site
from loadgen.report.study.sizes import SizesTable, sizes_charts, sizes_table
from loadgen.report.study.sources import SeriesSource
from loadgen.report.study.tally import Tally, tally
from loadgen.servers.prediction.fitted import SERVER_NAME as PREDICTION
from loadgen.servers.prediction.fitted import basis_of
from loadgen.study.accuracy import STUDY_FIGURES
from loadgen.study.measured import Provenance, Series
from loadgen.study.points import is_at
from loadgen.study.schema import Panel, Study


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """A series with how much of the study it has, and where it comes from."""

    key: str
    hardware: str
    provenance: Provenance
    label: str
    coverage: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PanelSeries:
    line: SeriesLine
    charts: tuple[Chart, ...]
    caption: str
    table: ValueTable


@dataclass(frozen=True, slots=True)
class PanelSection:
    """One panel, by series."""

    title: str
    anchor: str
    formula: str
    by_series: tuple[PanelSeries, ...]

    @property
    def is_narrow(self) -> bool:
        """Whether another panel fits next to it: it has one chart."""
        return sum(len(each.charts) for each in self.by_series) == 1


@dataclass(frozen=True, slots=True)
class NotRun:
    """Servers of the study that have no points, for one reason."""

    where: str  # the series, every machine, or the prediction
    servers: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Running:
    """A sweep of the study that is being measured: its name, its address, and how far it is."""

    name: str
    href: str
    progress: str


@dataclass(frozen=True, slots=True)
class StudyPage:
    title: str
    study: Study
    lines: tuple[SeriesLine, ...]
    running: tuple[Running, ...]
    fresh: str  # changes when the page has something new
    panels: tuple[PanelSection, ...]
    not_drawn: tuple[str, ...]  # sentences about the panels that have nothing to show
    sizes: SizesTable | None
    size_charts: tuple[Chart, ...]
    claims: tuple[ClaimRow, ...]
    tally: Tally
    contradictions: tuple[ContradictionRow, ...]
    agreement: Table | None  # of predictions with measurements
    agreement_note: str
    not_run: tuple[NotRun, ...]
    commands: tuple[tuple[str, str], ...]
    before: tuple[str, str] | None  # title and address of the study before
    after: tuple[str, str] | None
    site: Site
    has_charts: bool


_PREDICTION = "prediction"
_MEASURING = (("what it takes", "plan"), ("measure it", "run"))

Everything = Mapping[str, tuple[str, Standing]]
"""All claims by id, each with the name of its study: contradictions lead from one study to another."""


def everything(all_results: Sequence[StudyResults]) -> Everything:
    return {
        standing.claim.id: (results.file.study.name, standing)
        for results in all_results
        for standing in results.standing
    }


def study_page(results: StudyResults, all_results: Sequence[StudyResults], site: Site) -> StudyPage:
    study = results.file.study
    lines = {each.series: series_line(each, planned=len(results.points)) for each in results.by_series}
    sections = [_section(results, at, panel, lines, site) for at, panel in enumerate(study.panels)]
    panels = tuple(section for section in sections if section is not None)
    charts = () if study.needs_server else sizes_charts(study.models)
    before, after = _beside(results, all_results, site)
    agreed = agreements(results)
    without = unpredictable(results)
    return StudyPage(
        title=study.title,
        study=study,
        lines=tuple(lines.values()),
        running=running_lines(results, site),
        fresh=fresh_key([results]),
        panels=panels,
        not_drawn=_not_drawn(
            results,
            [panel for panel, section in zip(study.panels, sections, strict=True) if section is None],
            {label for label, _ in without},
        ),
        sizes=None if study.needs_server else sizes_table(study.models),
        size_charts=charts,
        claims=claim_rows(results, site),
        tally=tally(standing.judgement.verdict for standing in results.standing),
        contradictions=contradictions(study.claims, everything(all_results), site),
        agreement=_agreement_table(agreed),
        agreement_note=_agreement_note(agreed),
        not_run=_not_run(results, without),
        commands=_commands(results, {label for label, _ in without}),
        before=before,
        after=after,
        site=site,
        has_charts=bool(charts) or bool(panels),
    )


def running_lines(results: StudyResults, site: Site) -> tuple[Running, ...]:
    return tuple(
        Running(
            each.name or each.sweep_id, site.sweep(each.sweep_id), f"{each.runs} of {plural(each.planned_runs, 'run')}"
        )
        for each in results.running
    )


def fresh_key(all_results: Sequence[StudyResults]) -> str:
    """Another text as soon as a run has ended, or a sweep has begun or ended."""
    ids = [each.sweep_id for results in all_results for each in results.running]
    return " ".join((str(sum(each.source.runs for results in all_results for each in results.by_series)), *ids))


def series_line(results: SeriesResults, *, planned: int) -> SeriesLine:
    return line_of(results.series, results.source, f"{results.planned_found:,} of {plural(planned, 'point')}")


def line_of(series: Series, source: SeriesSource, coverage: str) -> SeriesLine:
    """The same of any runs of a series."""
    facts = [
        ("key for --series", series.key),
        ("runs", f"{source.runs:,}" if source.runs else ""),
        ("GPUs of the server", "; ".join(source.gpus)),
        ("on one GPU", "; ".join(source.on_one_gpu)),
        ("server", "; ".join(source.servers)),
        ("client" if series.provenance != "simulated" else "predicted on", "; ".join(source.hosts)),
        ("loadgen", "; ".join(source.loadgen)),
        ("measured" if series.provenance != "simulated" else "predicted", " to ".join(source.days)),
        ("rests on", _basis(series, source)),
    ]
    return SeriesLine(
        series.key,
        series.hardware,
        series.provenance,
        series.label,
        coverage,
        tuple((name, value) for name, value in facts if value),
    )


def _basis(series: Series, source: SeriesSource) -> str:
    """What predictions of a series rest on; empty for all else."""
    if not any(server.startswith(PREDICTION) for server in source.servers):
        return ""
    try:
        return basis_of(hardware(series.hardware))
    except UsageError:  # of a later version
        return ""


def _section(
    results: StudyResults, at: int, panel: Panel, lines: Mapping[Series, SeriesLine], site: Site
) -> PanelSection | None:
    """None without anything to show."""
    marks = {each.series: marks_of(panel, each.points) for each in results.by_series}
    scales = scales_of(panel, results.points, [mark for found in marks.values() for mark in found])
    if scales is None:
        return None
    by_series = tuple(
        _of_series(scales, found, series, lines[series], site) for series, found in marks.items() if found
    )
    return PanelSection(panel.title, f"figure-{at + 1}", scales.figure.formula, by_series)


def _not_drawn(results: StudyResults, panels: Sequence[Panel], unpredicted: Collection[str]) -> tuple[str, ...]:
    """The panels without anything to show, by the reason."""
    by_reason: dict[str, list[str]] = {}
    for panel in panels:
        by_reason.setdefault(_why_not_drawn(results, panel, unpredicted), []).append(panel.title)
    return tuple(f"Not drawn: {'; '.join(titles)}. {reason}" for reason, titles in by_reason.items())


def _why_not_drawn(results: StudyResults, panel: Panel, unpredicted: Collection[str]) -> str:
    found = [
        (each.series.provenance, point)
        for each in results.by_series
        for point in each.points
        if is_at(point.coordinates, panel.where)
    ]
    runs = [run for _, point in found for run in point.runs]
    if panel.statistic in TAIL_NAMES and any(STUDY_FIGURES[panel.y].read(run) is not None for run in runs):
        return _too_few(panel, runs)
    if any(provenance != "simulated" for provenance, _ in found):
        return "What is measured does not have this figure."
    if found:
        return "It is not measured yet, and a prediction does not have it."
    planned = [point.variant for point in results.points if is_at(point.coordinates, panel.where)]
    if all(variant.label in unpredicted or variant.cannot_run is not None for variant in planned):
        return "None of it is measured yet, nor can it be predicted: see what did not run."
    return "None of it is measured or predicted yet."


def _too_few(panel: Panel, runs: Iterable[RunDocument]) -> str:
    needed = samples_needed(int(panel.statistic.removeprefix("p")))
    entries = [STUDY_FIGURES[panel.y].of(run) for run in runs]
    counts = [entry["n"] for entry in entries if isinstance(entry, dict) and entry.get("n") is not None]
    most = f", and no run has more than {max(counts):,}" if counts else ""
    return f"A {panel.statistic} needs {needed:,} requests in a run{most}."


def _of_series(
    scales: PanelScales, marks: Sequence[PanelMark], series: Series, line: SeriesLine, site: Site
) -> PanelSeries:
    charts = panel_charts(scales, marks, series)
    return PanelSeries(line, charts, caption(scales, marks), value_table(scales, marks, site))


def _agreement_table(found: Sequence[Agreement]) -> Table | None:
    """The errors by series, of the runs that the constants were fitted on and of all others."""
    rows = [
        (each.measured.label, name, str(total.runs), *(_error(total, figure) for figure in FIGURES_COMPARED))
        for each in found
        for name, total in each.errors.totals
        if total.runs and not (name == OUTLIERS_TOO and not each.errors.outliers)
    ]
    return Table(("measured", "which runs", "runs", *FIGURE_NAMES.values()), tuple(rows)) if rows else None


def _error(of: ErrorRow, figure: str) -> str:
    median, largest = of.median[figure], of.largest[figure]
    return MISSING_FIGURE if median is None or largest is None else f"{percent(median)}, {percent(largest)}"


def _agreement_note(found: Sequence[Agreement]) -> str:
    words = (
        "|predicted − measured|/measured: median, largest. Each run is predicted on the host that it was measured on, "
        "as by `loadgen study predict --check`; the points drawn as SIMULATED are those of the fastest host."
    )
    outliers = [each for agreement in found for each in agreement.errors.outliers]
    for reason, count in Counter(each.outlier for each in outliers).items():
        words += f" {plural(count, 'outlier')}: {reason}."
    if any(each.measured.provenance == "dummy_routed" for each in found):
        words += " Where made-up routers send all tokens to the same experts, their runs are predicted so."
    return words


def _not_run(results: StudyResults, without: Iterable[tuple[str, str]]) -> tuple[NotRun, ...]:
    """Servers that cannot be started, then by series those that did not start or do not fit, then those without prediction."""
    found: dict[tuple[str, str], list[str]] = {}
    for variant in results.cannot_run:
        found.setdefault(("everywhere", str(variant.cannot_run)), []).append(variant.label)
    for each in results.by_series:
        started = {point.point.variant.label for point in each.points}
        failed = {failure.point.variant.label: failure.sentence for failure in each.failed}
        for label, reason in {**each.cannot_fit, **failed}.items():
            if label not in started:
                found.setdefault((each.series.label, reason), []).append(label)
    for label, reason in without:
        found.setdefault((_PREDICTION, reason), []).append(label)
    return tuple(
        NotRun(where, tuple(servers), sentence(reason) or MISSING_FIGURE) for (where, reason), servers in found.items()
    )


def _commands(results: StudyResults, unpredicted: Collection[str]) -> tuple[tuple[str, str], ...]:
    """What to type for the same again."""
    study = results.file.study
    shown = results.file.study.name if results.file.path.parent.name == "studies" else str(results.file.path)
    can_be_predicted = any(each.label not in unpredicted and each.cannot_run is None for each in results.variants)
    report = ("this page as a file", f"loadgen study report {shown} -o {study.name}.html")
    if not study.needs_server:
        return (report,)
    return (
        *(
            (f"{what}{on}", f"loadgen study {command} {shown}{flag}")
            for on, flag in _scales(results)
            for what, command in _MEASURING
        ),
        *(
            (("predict it, without a GPU", f"loadgen study predict {shown} --hardware h100"),)
            if can_be_predicted
            else ()
        ),
        report,
        ("a figure for a paper", f"loadgen study plot {shown} -o {study.name}.pdf"),
    )


def _scales(results: StudyResults) -> tuple[tuple[str, str], ...]:
    """In words and as a flag: tiny if only tiny models were measured, both if others were too."""
    tiny = {each.series.provenance == "tiny" for each in results.by_series}
    found = (("", ""),) if tiny != {True} else ()
    return (*found, (" on tiny models", " --scale tiny")) if True in tiny else found


def _beside(
    results: StudyResults, all_results: Sequence[StudyResults], site: Site
) -> tuple[tuple[str, str] | None, tuple[str, str] | None]:
    names = [each.file.study.name for each in all_results]
    if site.kind == "file" or results.file.study.name not in names:
        return None, None
    at = names.index(results.file.study.name)

    def link(place: int) -> tuple[str, str] | None:
        if not 0 <= place < len(names):
            return None
        study = all_results[place].file.study
        return study.place.partition(",")[0] or study.title, site.study(study.name)

    return link(at - 1), link(at + 1)
