"""Claims as the pages list them: what the paper says, what was found, and the verdict, by the series that it rests on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loadgen.report.study.claim_words import (
    VERDICT_MARKS,
    VERDICT_WORDS,
    ComparedLine,
    compared_lines,
    found_words,
    over_words,
    stated_words,
)
from loadgen.report.study.results import SeriesResults, Standing, StudyResults
from loadgen.report.study.site import Site
from loadgen.study.claims import Claim, OutOfMemory
from loadgen.study.judge import Judgement, Verdict
from loadgen.study.points import is_at

_ASSUMED = "an interval is assumed, not measured"  # said once for all claims of a page


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict of one series on a claim. `by` is what it rests on: a series or arithmetic, empty if nothing needs to be said."""

    verdict: Verdict
    words: str
    mark: str
    found: str
    by: str
    shared: str  # what is alike in all comparisons
    compared: tuple[ComparedLine, ...]


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A claim with the verdict that stands, and those of all other series.

    `over`: what the ratio that was found is of. `reason`: why there is no verdict, or what weakens it. `is_assumed`: it rests on intervals that were not measured.
    """

    claim: Claim
    study: str
    href: str  # on the page of its study
    stated: str
    over: str
    reason: str
    is_assumed: bool
    finding: Finding
    others: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class ContradictionSide:
    """One claim of a contradiction."""

    claim: Claim
    href: str
    verdict: Verdict
    words: str
    mark: str


@dataclass(frozen=True, slots=True)
class ContradictionRow:
    """Two claims of the paper that cannot both be true."""

    ours: ContradictionSide
    theirs: ContradictionSide
    why: str


def claim_rows(results: StudyResults, site: Site) -> tuple[ClaimRow, ...]:
    """The claims of a study, in its order."""
    return tuple(_row(results, at, standing, site) for at, standing in enumerate(results.standing))


def _row(results: StudyResults, at: int, standing: Standing, site: Site) -> ClaimRow:
    claim, name = standing.claim, results.file.study.name
    others = [
        _finding(each.judgements[at], each)
        for each in results.by_series
        if each.series != standing.series and each.judgements[at].compared and standing.series is not None
    ]
    reasons = (standing.judgement.reason or "").split("; ")
    return ClaimRow(
        claim=claim,
        study=name,
        href=site.claim(name, claim.id),
        stated=stated_words(claim),
        over=over_words(claim) if standing.judgement.ratios else "",
        reason=sentence("; ".join(each for each in reasons if each != _ASSUMED)),
        is_assumed=_ASSUMED in reasons,
        finding=_finding(
            standing.judgement, next((each for each in results.by_series if each.series == standing.series), None)
        ),
        others=tuple(others),
    )


def _finding(judgement: Judgement, of: SeriesResults | None) -> Finding:
    verdict = judgement.verdict
    return Finding(
        verdict,
        VERDICT_WORDS[verdict],
        VERDICT_MARKS[verdict],
        found_words(judgement),
        "" if of is None else _by(judgement.claim, of),
        *compared_lines(judgement),
    )


def _by(claim: Claim, of: SeriesResults) -> str:
    """What a verdict rests on: a series; or arithmetic, where the servers that are said not to fit were not started."""
    if isinstance(claim.compare, OutOfMemory):
        tried = [each.point.coordinates for each in of.failed if each.is_memory]
        tried += [each.coordinates for each in of.points]
        if not any(is_at(each, where) for each in tried for where in claim.compare.at):
            return f"computed from the memory of {of.series.hardware}, not tried"
    return of.series.label


def sentence(reason: str) -> str:
    """Return a reason as a sentence; empty if it is."""
    return "" if not reason else f"{reason[0].upper()}{reason[1:].rstrip('.')}."


def contradictions(
    claims: Iterable[Claim], everything: Mapping[str, tuple[str, Standing]], site: Site
) -> tuple[ContradictionRow, ...]:
    """The pairs that these claims are in, each once. `everything`: all claims by id, each with the name of its study."""
    found: list[ContradictionRow] = []
    seen: set[frozenset[str]] = set()
    for claim in claims:
        for other in claim.contradicts:
            pair = frozenset((claim.id, other.id))
            if pair in seen or other.id not in everything or claim.id not in everything:
                continue
            seen.add(pair)
            found.append(
                ContradictionRow(
                    _side(everything[claim.id], site), _side(everything[other.id], site), sentence(other.why)
                )
            )
    return tuple(found)


def _side(of: tuple[str, Standing], site: Site) -> ContradictionSide:
    study, standing = of
    claim, verdict = standing.claim, standing.judgement.verdict
    return ContradictionSide(
        claim, site.claim(study, claim.id), verdict, words=VERDICT_WORDS[verdict], mark=VERDICT_MARKS[verdict]
    )
