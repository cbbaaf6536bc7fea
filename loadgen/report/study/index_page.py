"""The index of studies: each with what was measured of it and the verdicts on its claims; and the page of all claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from loadgen.report.comparison.page import Choice
from loadgen.report.format import plural
from loadgen.report.study.claim_rows import ClaimRow, ContradictionRow, claim_rows, contradictions
from loadgen.report.study.claim_words import VERDICT_WORDS
from loadgen.report.study.results import VERDICTS, StudyResults
from loadgen.report.study.site import Site
from loadgen.report.study.sources import SeriesSource, merged
from loadgen.report.study.study_page import SeriesLine, everything, fresh_key, line_of, series_line
from loadgen.report.study.tally import Tally, tally
from loadgen.report.study.thumbnail import Thumbnail, thumbnail
from loadgen.study.measured import Series
from loadgen.study.schema import Study


@dataclass(frozen=True, slots=True)
class StudyCard:
    study: Study
    href: str
    lines: tuple[SeriesLine, ...]
    status: str  # without any series
    is_running: bool  # something of it is being measured
    tally: Tally
    thumbnail: Thumbnail


@dataclass(frozen=True, slots=True)
class StudiesPage:
    """Everything that the index says. `problems` are studies that could not be read."""

    title: str
    cards: tuple[StudyCard, ...]
    tally: Tally
    lines: tuple[SeriesLine, ...]
    problems: tuple[str, ...]
    running: bool
    fresh: str
    site: Site


@dataclass(frozen=True, slots=True)
class ClaimsPage:
    """All claims. `shown` says of how many; a row that the filter leaves out is not in `claims`."""

    title: str
    claims: tuple[ClaimRow, ...]
    tally: Tally
    verdicts: tuple[Choice, ...]
    studies: tuple[Choice, ...]
    shown: str
    contradictions: tuple[ContradictionRow, ...]
    site: Site


def studies_page(all_results: Sequence[StudyResults], site: Site, problems: Sequence[str] = ()) -> StudiesPage:
    """The index of these studies, in their order."""
    sources: dict[Series, list[SeriesSource]] = {}
    studies: dict[Series, int] = {}
    for results in all_results:
        for each in results.by_series:
            sources.setdefault(each.series, []).append(each.source)
            studies[each.series] = studies.get(each.series, 0) + 1
    return StudiesPage(
        title="Studies",
        cards=tuple(_card(results, site) for results in all_results),
        tally=tally(standing.judgement.verdict for results in all_results for standing in results.standing),
        lines=tuple(
            line_of(series, merged(sources[series]), f"in {count} {'study' if count == 1 else 'studies'}")
            for series, count in studies.items()
        ),
        problems=tuple(problems),
        running=any(results.running for results in all_results),
        fresh=fresh_key(all_results),
        site=site,
    )


def _card(results: StudyResults, site: Site) -> StudyCard:
    study = results.file.study
    lines = tuple(series_line(each, planned=len(results.points)) for each in results.by_series)
    return StudyCard(
        study=study,
        href=site.study(study.name),
        lines=lines,
        status="" if lines else _status(results),
        is_running=bool(results.running),
        tally=tally(standing.judgement.verdict for standing in results.standing),
        thumbnail=thumbnail(results),
    )


def _status(results: StudyResults) -> str:
    """Why there is no series."""
    if not results.file.study.needs_server:
        return "Arithmetic from the models' configurations."
    if len(results.cannot_run) == len(results.variants):
        return "No server of it can be started."
    return f"None of {plural(len(results.points), 'point')} is measured or predicted yet."


def claims_page(all_results: Sequence[StudyResults], site: Site, asked: Mapping[str, str]) -> ClaimsPage:
    """All claims that a filter lets through: `verdict`, `study`, and `q`, words in the claim."""
    rows = [row for results in all_results for row in claim_rows(results, site)]
    shown = [
        row
        for row in rows
        if asked.get("verdict", "") in ("", row.finding.verdict) and asked.get("study", "") in ("", row.study)
    ]
    names = [results.file.study for results in all_results if results.standing]
    counts = {verdict: sum(row.finding.verdict == verdict for row in rows) for verdict in VERDICTS}
    claims = [standing.claim for results in all_results for standing in results.standing]
    return ClaimsPage(
        title="Claims",
        claims=tuple(shown),
        tally=tally(row.finding.verdict for row in rows),
        verdicts=tuple(
            Choice(verdict, f"{VERDICT_WORDS[verdict]} ({counts[verdict]})", verdict == asked.get("verdict"))
            for verdict in VERDICTS
        ),
        studies=tuple(
            Choice(study.name, study.place.partition(",")[0] or study.title, study.name == asked.get("study"))
            for study in names
        ),
        shown=f"{len(shown)} of {plural(len(rows), 'claim')}",
        contradictions=contradictions(claims, everything(all_results), site),
        site=site,
    )
