"""Which coordinates of servers tell the points of a study apart, and so have to agree where points are compared."""

from pathlib import Path

import pytest

from loadgen.study.measured import MeasuredPoint, Series
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
    ("name", "told_by"),
    [
        ("fig03", set()),  # each model is on one server
        ("fig05", set()),  # top-k is a setting of the study
        ("fig10", {"precision"}),
        ("fig13", {"gpus"}),  # a scheme is on two GPUs and on four
        ("fig16", set()),
    ],
)
def test_what_tells_the_points_of_a_figure_apart(name: str, told_by: set[str]) -> None:
    file = read_study(name)
    assert telling_apart(points_of(file, variants_of(file))) == told_by


def test_points_of_two_servers_agree_in_their_gpus_unless_the_comparison_is_over_them(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text(TWO)
    file = read_study(str(path))
    points = points_of(file, variants_of(file))
    measured = [MeasuredPoint(point, Series("H100", "measured"), (), telling_apart(points)) for point in points]
    assert len({setting(each, ["batch"]) for each in measured}) == 2
    for over in ("gpus", "profile", "tensor"):
        assert len({setting(each, ["batch", over]) for each in measured}) == 1
