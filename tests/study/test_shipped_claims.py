"""The claims of the studies that come with loadgen: each can be judged, and names only points that its study has."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from pydantic import BaseModel

from loadgen.analysis.document.run import RunDocument
from loadgen.moe.expert_counts import ExpertCountsDocument
from loadgen.study.accuracy import MeanAccuracy
from loadgen.study.claims import Claim, Pair, Where
from loadgen.study.judge import Evidence, judge
from loadgen.study.measured import MeasuredPoint, Series
from loadgen.study.points import Point, compared_points, is_at, points_of
from loadgen.study.study_file import StudyFile, read_study, study_names
from loadgen.study.variants import variants_of

FIGURES = {"table1", *(f"fig{number:02}" for number in range(1, 19) if number != 2)}  # Figure 2 is a diagram
CLAIMS = [(name, claim.id) for name in study_names() for claim in read_study(name).study.claims]
SERIES = Series("H100", "measured")


@cache
def study(name: str) -> tuple[StudyFile, tuple[Point, ...]]:
    file = read_study(name)
    return file, (*points_of(file, variants_of(file)), *compared_points(file))


def claim_of(name: str, id_: str) -> Claim:
    return next(claim for claim in study(name)[0].study.claims if claim.id == id_)


def measured(point: Point, place: int) -> MeasuredPoint:
    """A point with three runs, every figure that claims use between 1 and 2, and an accuracy."""
    runs = []
    for repeat in range(3):
        value = 1 + (place * 37 % 101) / 101 + repeat / 1000
        document: Mapping[str, Any] = {
            "paper": {"ttft_s": value, "itl_s": value, "throughput_tokens_per_s": value},
            "e2e_latency_s": {"p50": value},
            "requests_per_s": value,
            "output_tokens_per_s": value,
            "tpot_s": {"p50": value},
            "experts": counts_of(value),
        }
        runs.append(cast(RunDocument, document))
    share = 0.3 + (place * 37 % 101) / 202
    accuracy = MeanAccuracy(share, share - 0.01, share + 0.01, ("boolq",))
    return MeasuredPoint(point, SERIES, tuple(runs), accuracy=accuracy)


def counts_of(value: float) -> ExpertCountsDocument:
    """Counts of two experts that are the less even the larger `value` is."""
    counts = [round(1000 * value) + 100, 1000]
    return {
        "schema_version": 1,
        "model": "m",
        "source": "worker_extension",
        "experts_per_token": 1,
        "tokens": sum(counts),
        "layers": [{"layer": 0, "counts": counts}],
    }


def wheres(part: BaseModel) -> Iterator[Where]:
    """Every selection of points in a comparison."""
    for name, value in part:
        match value:
            case Pair():
                yield from wheres(value)
            case dict() if name in ("a", "b", "where"):
                yield value
            case list() if name in ("points", "at"):
                yield from (each for each in value if isinstance(each, dict))


def test_every_study_has_a_claim() -> None:
    assert {name for name, _ in CLAIMS} == FIGURES | {"quick"}


def test_ids_are_unique_over_all_studies() -> None:
    ids = [id_ for _, id_ in CLAIMS]
    assert sorted(ids) == sorted(set(ids))


def test_contradictions_are_named_on_both_sides() -> None:
    named = {id_: {each.id for each in claim_of(name, id_).contradicts} for name, id_ in CLAIMS}
    one_sided = [(id_, other) for id_, others in named.items() for other in others if id_ not in named.get(other, ())]
    assert one_sided == []


@pytest.mark.parametrize(("name", "id_"), CLAIMS)
def test_a_claim_selects_points_of_its_study(name: str, id_: str) -> None:
    points = study(name)[1]
    for where in wheres(claim_of(name, id_).compare):
        for key, value in where.items():
            for each in value if isinstance(value, list) else [value]:
                assert any(is_at(point.coordinates, {key: each}) for point in points), f"no point has {key} {each}"


@pytest.mark.parametrize(("name", "id_"), CLAIMS)
def test_a_claim_is_judged_once_every_point_is_measured(name: str, id_: str) -> None:
    points = study(name)[1]
    evidence = Evidence(
        [measured(point, place) for place, point in enumerate(points)],
        [(point, place % 2 == 0) for place, point in enumerate(points)],
    )
    claim = claim_of(name, id_)
    judgement = judge(claim, evidence)
    assert (
        judgement.verdict == "not_testable"
        if claim.not_testable
        else judgement.verdict not in ("not_testable", "not_measured")
    )
    if claim.compare.kind != "none":
        comparable = claim.model_copy(update={"not_testable": None})
        assert judge(comparable, evidence).compared


@pytest.mark.parametrize(("name", "id_"), CLAIMS)
def test_a_claim_that_compares_nothing_says_why(name: str, id_: str) -> None:
    claim = claim_of(name, id_)
    assert claim.not_testable or claim.compare.kind != "none"


def test_sentences_without_claims_are_listed_once() -> None:
    path = Path(__file__).parent / "lines_without_claims.yaml"
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    sentences = [(row["line"], sentence) for row in rows for sentence in row["sentences"]]
    assert sentences == sorted(set(sentences))
    assert {row["kind"] for row in rows} == {"background", "definition", "setting", "scope", "advice"}
