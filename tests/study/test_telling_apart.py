"""Which coordinates of servers tell the points of a study apart, and so have to agree where points are compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.study.judge import Evidence, judge
from loadgen.study.measured import MeasuredPoint, Series, as_planned
from loadgen.study.pairs import setting
from loadgen.study.points import points_of, telling_apart
from loadgen.study.study_file import read_study
from loadgen.study.variants import variants_of

TWO = """
title: x
question: y
servers: [{profile: mixtral-tp2}, {profile: mixtral-tp4}]
loads: [{wave: [1, 64], lengths: [128]}]
"""


@pytest.mark.parametrize(
    ("name", "distinguished_by"),
    [
        ("fig03", set()),  # each model is on one server
        ("fig05", set()),  # top-k is a setting of the study
        ("fig10", {"precision"}),
        ("fig13", {"gpus"}),  # a scheme is on two GPUs and on four
        ("fig16", set()),
    ],
)
def test_what_tells_the_points_of_a_figure_apart(name: str, distinguished_by: set[str]) -> None:
    file = read_study(name)
    assert telling_apart(points_of(file, variants_of(file))) == distinguished_by


def test_points_of_two_servers_agree_in_their_gpus_unless_the_comparison_is_over_them(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(TWO)
    file = read_study(str(path))
    points = points_of(file, variants_of(file))
    measured = [MeasuredPoint(point, Series("H100", "measured"), (), telling_apart(points)) for point in points]
    assert len({setting(each, ["batch"]) for each in measured}) == 2
    for over in ("gpus", "profile", "tensor"):
        assert len({setting(each, ["batch", over]) for each in measured}) == 1


FOUR = """
title: x
question: y
servers:
  - {profile: mixtral-tp2}
  - {profile: mixtral-tp4}
  - {profile: mixtral-tp2, arguments: {quantization: fp8}}
  - {profile: mixtral-tp4, arguments: {quantization: fp8}}
loads: [{wave: [1, 64], lengths: [128]}]
"""
ALIKE = """
title: x
question: y
servers: [{profile: mixtral-tp2}, {profile: mixtral-fp16}]
loads: [{wave: [1, 64], lengths: [128]}]
"""


@pytest.mark.parametrize(
    ("text", "over", "settings"),
    [
        (FOUR, "batch", 4),
        (FOUR, "tensor", 2 * 2),  # each precision at each batch
        (FOUR, "precision", 2 * 2),  # each number of GPUs at each batch
        (FOUR, "profile", 2),
        (ALIKE, "batch", 2),  # nothing but the profile tells them apart
        (ALIKE, "gpus", 2),
        (ALIKE, "top_k", 2 * 2),
    ],
)
def test_what_follows_from_the_comparison_need_not_agree(tmp_path: Path, text: str, over: str, settings: int) -> None:
    path = tmp_path / "some.yaml"
    path.write_text(text)
    file = read_study(str(path))
    points = points_of(file, variants_of(file))
    if text == ALIKE:
        points = tuple(replace(point, coordinates={**point.coordinates, "precision": "bf16"}) for point in points)
    distinguished_by = telling_apart(points)
    measured = [MeasuredPoint(point, Series("H100", "measured"), (), distinguished_by) for point in points]
    assert len({setting(each, [over]) for each in measured}) == settings


def test_schemes_are_compared_on_the_same_number_of_gpus() -> None:
    file = read_study("fig13")
    points = points_of(file, variants_of(file))
    planned = as_planned(points, Series("H100", "measured"))
    (claim,) = [each for each in file.study.claims if each.id == "s7.1-insight-tp-over-pp"]
    judgement = judge(claim, Evidence(planned, (), planned))
    assert len(judgement.compared) == 2 * 2 * 2  # models, batches, two GPUs or four
    for each in judgement.compared:
        tensor, pipeline = each.points
        assert tensor.coordinates["gpus"] == pipeline.coordinates["gpus"]
