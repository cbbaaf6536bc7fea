"""What the store has of a study, on results that came with loadgen."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from loadgen.importers.importing import read_sweep
from loadgen.report.study.claim_rows import claim_rows
from loadgen.report.study.results import SeriesResults, standings
from loadgen.report.study.site import DASHBOARD
from loadgen.store.repository import Store
from loadgen.study.claims import Claim
from loadgen.study.judge import Judgement
from loadgen.study.measured import FailedVariant, Series
from loadgen.study.study_file import StudyFile, read_study
from tests.report.study.on_record import study_results

RESULTS = Path(__file__).resolve().parents[3] / "results"
OF_MEMORY = "s5.4-summary-extremes-are-out-of-memory"
NAMES = ("deepseek-v2-lite", "qwen1.5-moe-a2.7b")
MINE = """\
title: Mine
question: Which is faster?
servers: [{profile: deepseek-v2-lite}]
loads: [{wave: [1, 64], lengths: [128]}]
claims:
  - {id: grows, place: here, says: It grows., compare: {kind: trend, axis: batch, direction: increases, where: {model: deepseek-v2-lite}}}
  - id: faster
    place: here
    says: One is faster than the other.
    compare: {kind: ordering, points: [{model: deepseek-v2-lite}, {model: qwen1.5-moe-a2.7b}]}
  - {id: layers, place: here, says: It has 32 layers., compare: {kind: fact, model: mixtral-8x7b, facts: {layers: 32}}}
"""
OTHER = """\
title: Other
question: Another?
servers: [{profile: qwen1.5-moe-a2.7b}]
loads: [{wave: [1, 64], lengths: [128]}]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store.open(f"sqlite:///{tmp_path_factory.mktemp('store') / 'results.db'}")
    for name in NAMES:
        found = read_sweep(RESULTS / f"2026-11-30-h200-{name}-dummy-waves-128.json.gz")
        made.add_imported(found.sweep, found.runs)
    return made


def study(folder: Path, *, lengths: str = "128", other: str = NAMES[1]) -> StudyFile:
    """`mine`, compared with a study of the model `other`."""
    (folder / "other.yaml").write_text(OTHER.replace(NAMES[1], other))
    mine = MINE.replace(NAMES[1], other).replace("lengths: [128]", f"lengths: [{lengths}]")
    (folder / "mine.yaml").write_text(f"{mine}compared_with: [{folder / 'other.yaml'}]\n")
    return read_study(str(folder / "mine.yaml"))


def test_verdicts_by_series(store: Store, tmp_path: Path) -> None:
    results = study_results(study(tmp_path, other="qwen3-30b-a3b"), store)
    (series,) = results.by_series
    assert len(series.points) == 2
    assert {each.claim.id: each.verdict for each in series.judgements} == {
        "grows": "holds",
        "faster": "not_measured",
        "layers": "holds",
    }


def test_a_series_that_has_a_part_of_the_study_confirms_nothing(store: Store, tmp_path: Path) -> None:
    grows = study_results(study(tmp_path, lengths="128, 16384"), store).standing[0].judgement
    assert (grows.verdict, len(grows.compared)) == ("inconclusive", 1)
    assert (grows.reason or "").startswith("covers 1 of 2 comparisons")


def test_a_series_with_enough_for_a_verdict_comes_before_a_stronger_one_without() -> None:
    claim = cast(Claim, None)
    unmeasured = [Judgement(claim, "not_measured")]
    by_series = [
        cast(SeriesResults, SimpleNamespace(series=series, judgements=(judgement,)))
        for series, judgement in (
            (Series("H100", "measured"), Judgement(claim, "inconclusive", is_of_a_part=True)),
            (Series("H100", "simulated"), Judgement(claim, "holds")),
        )
    ]
    (standing,) = standings(unmeasured, by_series)
    assert (standing.judgement.verdict, standing.series) == ("holds", Series("H100", "simulated"))
    (standing,) = standings(unmeasured, by_series[:1])
    assert (standing.judgement.verdict, standing.series) == ("inconclusive", Series("H100", "measured"))


def test_claims_may_compare_with_the_points_of_another_study(store: Store, tmp_path: Path) -> None:
    results = study_results(study(tmp_path), store)
    (series,) = results.by_series
    assert len(series.points) == 2
    (faster,) = [each for each in series.judgements if each.claim.id == "faster"]
    assert len(faster.compared) == 2


def test_facts_need_no_measured_point(store: Store) -> None:
    results = study_results(read_study("fig01"), store)
    assert results.by_series == ()
    assert [each.verdict for each in results.unmeasured] == ["holds", "holds", "holds", "not_testable"]


def test_memory_that_was_computed_is_not_called_measured(tmp_path: Path) -> None:
    found = read_sweep(RESULTS / "2026-12-01-h200-mixtral-skeleton-8x1792-top-1-dummy-fig07.json.gz")
    store = Store.open(f"sqlite:///{tmp_path / 'results.db'}")
    store.add_imported(found.sweep, found.runs)
    results = study_results(read_study("fig07"), store)
    (series,) = results.by_series
    assert {row.finding.by for row in claim_rows(results, DASHBOARD) if row.claim.id == OF_MEMORY} == {
        "computed from the memory of H200, not tried"
    }
    largest = next(
        point
        for point in results.points
        if (point.coordinates["experts"], point.coordinates["ffn_size"]) == (64, 14_336)
    )
    tried = replace(series, failed=(FailedVariant(largest, series.series, True, "out of memory"),))
    rows = claim_rows(replace(results, by_series=(tried,)), DASHBOARD)
    assert {row.finding.by for row in rows if row.claim.id == OF_MEMORY} == {"H200, measured, dummy weights"}
