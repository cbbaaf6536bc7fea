"""One context per page: everything that a template may say, as text and charts, ready to print.

Templates decide nothing: a page's context holds what is shown, in the order in which it is shown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.outline.run_outline import Outline
from loadgen.analysis.point_findings import findings_of
from loadgen.analysis.server.gpu import GpuSeries
from loadgen.analysis.verdict import MergedFinding
from loadgen.report.charts.chart import Chart
from loadgen.report.charts.plots import run_page_charts, sweep_page_charts
from loadgen.report.comparison.page import ComparisonPage
from loadgen.report.figures import reading_note
from loadgen.report.format import ago, flat, number, plural, timestamp
from loadgen.report.pages.job_pages import JobsPage, LoginPage
from loadgen.report.pages.live_view import LiveView
from loadgen.report.pages.sweeps_list import SweepsPage
from loadgen.report.points import Table
from loadgen.report.run_selection import OneRun, RunSelection
from loadgen.report.words import run_facts
from loadgen.report.words.accuracy import accuracy_note, accuracy_table
from loadgen.report.words.foreign_client import foreign_client, foreign_table, foreign_tool
from loadgen.report.words.remote import is_unverified
from loadgen.report.words.run_facts import Facts, FigureLine, Highlight
from loadgen.report.words.search_result import search_highlight
from loadgen.report.words.server import (
    account_facts,
    account_table,
    gpu_facts,
    has_dummy_weights,
    launch_command,
    served_line,
    server_name,
    without_command,
)
from loadgen.report.words.sweep_tables import PointsTable, RunsTable, points_table, runs_table
from loadgen.store.rows import ServerSample, SweepRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultPage:
    """What the pages of a sweep and of a run have in common."""

    title: str
    sweep_id: str
    model: str
    server_name: str
    served: str  # from which profile, where loadgen started the server
    url: str
    status: str
    simulated: bool
    dummy_weights: bool
    imported: str
    foreign: str
    highlights: tuple[Highlight, ...]
    charts: tuple[Chart, ...]
    findings: tuple[MergedFinding, ...]
    command: str  # that started the server
    spec: Facts
    server: Facts
    environment: Facts
    unverified: bool  # some server did not have to prove who it is


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPage(ResultPage):
    """One sweep with its load points, its charts, its runs and its environment."""

    row: SweepRow
    siblings: tuple[tuple[str, str], ...]  # the other sweeps of the group that can be gone to: (id, name)
    start_failure: str
    created: str
    created_ago: str
    progress: str
    reading_note: str
    points: PointsTable | None  # None before the first run has ended
    runs: RunsTable | None  # likewise
    accuracy: Table | None  # None if its server was not evaluated
    accuracy_note: str
    live: LiveView | None = None  # while it is measured
    linked_runs: frozenset[str] | None = None  # in a report: the runs which it holds; None: every run has a page


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage(ResultPage):
    """One run with its distributions, its timeline, its figures and the client's account of itself."""

    run_id: str
    repeat: int
    load_label: str
    started: str
    started_ago: str
    interrupted: bool
    replies: Facts
    timeline: Chart
    over_time: Chart | None
    statistics: tuple[str, ...]
    distributions: tuple[FigureLine, ...]
    turns: Table | None
    scalars: tuple[FigureLine, ...]
    outcomes: Table
    lengths: Table
    load: Facts
    client: Facts
    account: Table | None
    account_facts: Facts
    gpu: Facts
    words: Table | None = None  # of the other client, where one measured
    sweep_linked: bool = True


@dataclass(frozen=True, slots=True)
class ReportPage:
    title: str
    created: str
    contents: tuple[tuple[str, str], ...]  # (anchor, text)
    sweeps: tuple[SweepPage, ...]
    runs: tuple[RunPage, ...]
    comparison: ComparisonPage | None = None  # of all of them, before the rest
    linked: frozenset[str] = frozenset()  # the sweeps that the comparison leads to


@dataclass(frozen=True, slots=True)
class ErrorPage:
    title: str
    message: str


Page = ComparisonPage | SweepsPage | SweepPage | RunPage | ReportPage | JobsPage | LoginPage | ErrorPage

TEMPLATES: dict[type[Page], str] = {
    ComparisonPage: "comparison.html",
    SweepsPage: "sweeps.html",
    SweepPage: "sweep.html",
    RunPage: "run.html",
    ReportPage: "report.html",
    JobsPage: "jobs.html",
    LoginPage: "login.html",
    ErrorPage: "error.html",
}
WITH_CHARTS = (ComparisonPage, SweepPage, RunPage, ReportPage)


def sweep_page(
    sweep: SweepRow,
    runs: Sequence[RunDocument],
    now: datetime | None,
    linked_runs: frozenset[str] | None = None,
    siblings: Sequence[SweepRow] = (),
    open_outline: Callable[[str], Outline | None] = lambda run_id: None,
    live: LiveView | None = None,
) -> SweepPage:
    """One sweep and the documents of its runs. Without a `now`, moments are absolute: for a page that is kept.

    `siblings` are the sweeps of its group that can be gone to from there; `open_outline` gives the outline of a run, by its id;
    `live` is how it stands while it is measured.
    """
    outlines, accuracy = cache(open_outline), {sweep.sweep_id: sweep.accuracy}  # several charts are drawn of an outline
    selection = RunSelection(tuple(runs), {}, lambda run: OneRun(run, outlines(run["run_id"])), accuracy)
    return SweepPage(
        title=sweep.name or sweep.sweep_id,
        sweep_id=sweep.sweep_id,
        model=str(sweep.server.get("model") or ""),
        server_name=server_name(sweep.server),
        served=served_line(sweep.server),
        row=sweep,
        siblings=tuple((each.sweep_id, each.name) for each in siblings if each.sweep_id != sweep.sweep_id),
        start_failure="" if sweep.start_failure is None else str(sweep.start_failure["sentence"]),
        url=str(sweep.server.get("url") or ""),
        created=timestamp(sweep.created_at),
        created_ago=ago(sweep.created_at, now),
        progress=f"{number(sweep.runs)} of {plural(sweep.planned_runs, 'run')}",
        status=sweep.status,
        simulated=sweep.simulated,
        dummy_weights=has_dummy_weights(sweep.server),
        imported=run_facts.sweep_import_line(sweep),
        foreign=foreign_client(sweep),
        highlights=search_highlight(sweep.search) + run_facts.sweep_highlights(runs),
        charts=sweep_page_charts(selection),
        reading_note=reading_note(runs) if runs else "",
        points=points_table(runs) if runs else None,
        runs=runs_table(runs) if runs else None,
        accuracy=accuracy_table(sweep.accuracy),
        accuracy_note=accuracy_note(sweep.accuracy, sweep.sweep_id),
        findings=tuple(findings_of(runs)),
        command=launch_command(sweep.server),
        spec=flat(sweep.spec),
        server=flat(without_command(sweep.server)),
        environment=run_facts.environment_facts(sweep.environment),
        unverified=any(map(is_unverified, runs)),
        live=live,
        linked_runs=linked_runs,
    )


def run_page(
    run: RunDocument,
    outline: Outline | None,
    now: datetime | None,
    sweep_linked: bool = True,
    samples: Sequence[ServerSample] = (),
    gpus: Sequence[GpuSeries] = (),
) -> RunPage:
    """One run: its document, its outline (None where it was imported without one), and what was read of its server.

    `now` as for a sweep.
    """
    spec = run["spec"]
    charts, timeline, over_time = run_page_charts(OneRun(run, outline, samples, gpus))
    return RunPage(
        title=f"{spec['load_label']}, repeat {run['repeat']}",
        run_id=run["run_id"],
        sweep_id=run["sweep_id"],
        repeat=run["repeat"],
        load_label=f"{spec['load_label']} · {number(spec['input_tokens'])} in · {spec['output_tokens']:,} out",
        model=spec["model"],
        server_name=server_name(run["server"]),
        served=served_line(run["server"]),
        url=str(run["server"]["url"] or ""),
        started=timestamp(run["started_at"]),
        started_ago=ago(run["started_at"], now),
        status=run["verdict"]["status"],
        simulated=run["simulated"],
        dummy_weights=has_dummy_weights(run["server"]),
        imported=run_facts.import_line(run.get("imported")),
        foreign=foreign_tool(run),
        interrupted=run["interrupted"],
        findings=tuple(findings_of([run])),
        replies=run_facts.reply_texts(run),
        highlights=run_facts.run_highlights(run),
        charts=charts,
        timeline=timeline,
        over_time=over_time,
        statistics=run_facts.STATISTICS,
        distributions=run_facts.distribution_figures(run),
        turns=run_facts.turn_table(run),
        scalars=run_facts.scalar_figures(run),
        outcomes=run_facts.outcome_table(run),
        lengths=run_facts.length_table(run),
        load=run_facts.load_facts(run),
        client=run_facts.client_facts(run),
        account=account_table(run),
        account_facts=account_facts(run),
        gpu=gpu_facts(run),
        command=launch_command(run["server"]),
        spec=flat(spec),
        server=flat(without_command(run["server"])),
        environment=run_facts.environment_facts(run["environment"]),
        words=foreign_table(run),
        unverified=is_unverified(run),
        sweep_linked=sweep_linked,
    )
