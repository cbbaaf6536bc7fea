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
SERIES = Series("H100", "measured")


read = cache(read_study)


@cache
def study(name: str) -> tuple[StudyFile, tuple[Point, ...]]:
    """A study, with its points and those that it compares with."""
    file = read(name)
    return file, (*points_of(file, variants_of(file)), *compared_points(file))


def claims() -> dict[str, tuple[Claim, ...]]:
    """The claims of each study."""
    return {name: tuple(read(name).study.claims) for name in study_names()}


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
    assert {name for name, found in claims().items() if found} == FIGURES | {"quick"}


def test_ids_are_unique_over_all_studies() -> None:
    ids = [claim.id for found in claims().values() for claim in found]
    assert sorted(ids) == sorted(set(ids))


def test_contradictions_are_named_on_both_sides() -> None:
    named = {claim.id: {each.id for each in claim.contradicts} for found in claims().values() for claim in found}
    one_sided = [(id_, other) for id_, others in named.items() for other in others if id_ not in named.get(other, ())]
    assert one_sided == []


def test_every_claim_that_compares_nothing_says_why() -> None:
    silent = [
        claim.id
        for found in claims().values()
        for claim in found
        if claim.compare.kind == "none" and not claim.not_testable
    ]
    assert silent == []


@pytest.mark.parametrize("name", study_names())
def test_every_claim_selects_points_of_its_study(name: str) -> None:
    file, points = study(name)
    selected = {
        (claim.id, key, each)
        for claim in file.study.claims
        for where in wheres(claim.compare)
        for key, value in where.items()
        for each in (value if isinstance(value, list) else [value])
    }
    assert [one for one in selected if not any(is_at(point.coordinates, {one[1]: one[2]}) for point in points)] == []


@pytest.mark.parametrize("name", study_names())
def test_every_claim_is_judged_once_every_point_is_measured(name: str) -> None:
    file, points = study(name)
    evidence = Evidence(
        [measured(point, place) for place, point in enumerate(points)],
        [(point, place % 2 == 0) for place, point in enumerate(points)],
    )
    assert [claim.id for claim in file.study.claims if not is_judged(claim, evidence)] == []


def is_judged(claim: Claim, evidence: Evidence) -> bool:
    """Whether a claim gets a verdict of the right kind, and compares points unless it says that it compares none."""
    comparable = judge(claim.model_copy(update={"not_testable": None}), evidence)
    if claim.compare.kind != "none" and not comparable.compared:
        return False
    if claim.not_testable:
        return judge(claim, evidence).verdict == "not_testable"
    return comparable.verdict not in ("not_testable", "not_measured")


def test_sentences_without_claims_are_listed_once() -> None:
    path = Path(__file__).parent / "lines_without_claims.yaml"
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))
    sentences = [(row["line"], sentence) for row in rows for sentence in row["sentences"]]
    assert sentences == sorted(set(sentences))
    assert {row["kind"] for row in rows} == {"background", "definition", "setting", "scope", "advice"}
