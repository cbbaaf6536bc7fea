"""The pages of studies as JSON: what they say, for programs. Figures are in their own units; what is unknown is null."""

from collections.abc import Iterable, Sequence
from typing import Any

from loadgen.report.points import pool
from loadgen.report.study.agreement import agreements, unpredictable
from loadgen.report.study.claim_words import stated_words
from loadgen.report.study.results import VERDICTS, SeriesResults, Standing, StudyResults
from loadgen.report.study.sizes import SizeCell, sizes_table
from loadgen.report.study.sources import SeriesSource
from loadgen.study.accuracy import STUDY_FIGURES
from loadgen.study.claims import Claim
from loadgen.study.estimate import Estimate
from loadgen.study.judge import Judgement
from loadgen.study.measured import MeasuredPoint, Series

Json = dict[str, Any]
SCHEMA_VERSION = 1


def studies_document(all_results: Sequence[StudyResults], problems: Sequence[str] = ()) -> Json:
    return {
        "schema_version": SCHEMA_VERSION,
        "claims": _counts(standing for results in all_results for standing in results.standing),
        "studies": [
            _head(results) | {"series": [_series_head(each) for each in results.by_series]} for results in all_results
        ],
        "problems": list(problems),
    }


def reports_document(all_results: Sequence[StudyResults]) -> Json:
    return {"schema_version": SCHEMA_VERSION, "studies": [study_document(results) for results in all_results]}


def study_document(results: StudyResults) -> Json:
    study = results.file.study
    figures = _figures(results)
    return {
        "schema_version": SCHEMA_VERSION,
        **_head(results),
        "setting": study.setting or None,
        "panels": [panel.model_dump(mode="json", exclude_defaults=True) for panel in study.panels],
        "series": [
            _series_head(each)
            | {
                "points": [_point(point, figures) for point in each.points],
                "did_not_start": [
                    {"server": failure.point.variant.label, "memory": failure.is_memory, "reason": failure.sentence}
                    for failure in each.failed
                ],
                "does_not_fit": [{"server": label, "reason": problem} for label, problem in each.cannot_fit.items()],
                "claims": [_judgement(judgement) for judgement in each.judgements],
            }
            for each in results.by_series
        ],
        "prediction_errors": [
            {"hardware": each.measured.hardware, "against": each.measured.label, **each.errors.to_json()}
            for each in agreements(results)
        ],
        "cannot_run": [{"server": each.label, "reason": each.cannot_run} for each in results.cannot_run],
        "cannot_be_predicted": [{"server": label, "reason": reason} for label, reason in unpredictable(results)],
        "models": list(study.models),
        "sizes": _sizes(study.models),
        "claims": [_standing(study.name, standing) for standing in results.standing],
    }


def claims_document(all_results: Sequence[StudyResults]) -> Json:
    claims = [_standing(results.file.study.name, each) for results in all_results for each in results.standing]
    counts = _counts(standing for results in all_results for standing in results.standing)
    return {"schema_version": SCHEMA_VERSION, "verdicts": counts, "claims": claims}


def _head(results: StudyResults) -> Json:
    study = results.file.study
    return {
        "name": study.name,
        "title": study.title,
        "place": study.place or None,
        "question": study.question,
        "planned_points": len(results.points),
        "verdicts": _counts(results.standing),
    }


def _counts(standings: Iterable[Standing]) -> dict[str, int]:
    found = [standing.judgement.verdict for standing in standings]
    return {verdict: found.count(verdict) for verdict in VERDICTS}


def _series_head(each: SeriesResults) -> Json:
    return _series(each.series) | {"measured_points": each.planned_found, "source": _source(each.source)}


def _series(series: Series) -> Json:
    return {"key": series.key, "hardware": series.hardware, "provenance": series.provenance}


def _source(source: SeriesSource) -> Json:
    return {
        "runs": source.runs,
        "hosts": list(source.hosts),
        "servers": list(source.servers),
        "gpus": list(source.gpus),
        "days": list(source.days),
        "loadgen": list(source.loadgen),
        "sweep_ids": list(source.sweep_ids),
    }


def _figures(results: StudyResults) -> tuple[tuple[str, str], ...]:
    """The figures that panels and claims of the study are about, each with its statistic."""
    study = results.file.study
    of_panels = ((panel.y, panel.statistic) for panel in study.panels)
    of_claims = (
        (claim.metric, claim.statistic)
        for claim in study.claims
        if claim.compare.kind not in ("fact", "none", "oom") and claim.metric in STUDY_FIGURES
    )
    return tuple(dict.fromkeys((*of_panels, *of_claims)))


def _point(point: MeasuredPoint, figures: Iterable[tuple[str, str]]) -> Json:
    values = {}
    for key, statistic in figures:
        figure = STUDY_FIGURES[key]
        pooled = pool([figure.read(run, statistic) for run in point.runs])
        name = f"{key}.{statistic}" if figure.is_distribution else key
        values[name] = (
            None
            if pooled is None
            else {"mean": pooled.mean, "low": pooled.low, "high": pooled.high, "runs": pooled.runs}
        )
    return {
        "coordinates": point.coordinates,
        "figures": values,
        "run_ids": [run["run_id"] for run in point.runs],
        "sweep_ids": list(dict.fromkeys(run["sweep_id"] for run in point.runs)),
    }


def _sizes(models: Sequence[str]) -> list[Json] | None:
    table = sizes_table(models)
    if table is None:
        return None
    return [
        {"model": title, "sizes": {column: _size(cell) for column, cell in zip(table.columns, cells, strict=True)}}
        for title, cells in table.rows
    ]


def _size(cell: SizeCell) -> Json:
    return {"paper": cell.paper, "real": cell.real, "counted": cell.counted or None, "verdict": cell.verdict}


def _standing(study: str, standing: Standing) -> Json:
    return {
        "study": study,
        **_claim(standing.claim),
        "series": None if standing.series is None else _series(standing.series),
        **_judgement(standing.judgement),
    }


def _claim(claim: Claim) -> Json:
    return {
        "place": claim.place,
        "says": claim.says,
        "stated": stated_words(claim),
        "reading": claim.reading,
        "contradicts": [{"id": each.id, "why": each.why} for each in claim.contradicts],
    }


def _judgement(judgement: Judgement) -> Json:
    return {
        "id": judgement.claim.id,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "compared": [
            {
                "of": each.of,
                "ratio": None if each.ratio is None else _estimate(each.ratio),
                "verdict": each.verdict,
                "stated": each.stated,
                "found": each.found,
            }
            for each in judgement.compared
        ],
    }


def _estimate(ratio: Estimate) -> Json:
    return {
        "value": ratio.value,
        "low": ratio.low,
        "high": ratio.high,
        "runs": ratio.runs,
        "interval": "assumed" if ratio.assumed else "measured",
    }
