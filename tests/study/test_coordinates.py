"""Mistakes in the coordinates of panels and claims."""

from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.study.coordinates import check_coordinates
from loadgen.study.points import compared_points, points_of
from loadgen.study.study_file import read_study, study_names
from loadgen.study.variants import variants_of

STUDY = """
title: Mine
question: Does it hold?
servers: [{profile: olmoe-tp1}]
loads: [{wave: [1, 16], lengths: [128]}]
panels:
  - {title: T, y: output_tokens_per_s, x: batch, where: {load: wave}}
claims:
  - id: a
    place: here
    says: More is more
    compare: {kind: ratio, a: {batch: 16}, b: {batch: 1}, where: {length: 128}, stated: {min: 1}}
  - {id: b, place: here, says: So it is, compare: {kind: trend, axis: batch, direction: increases}}
"""


@pytest.mark.parametrize("name", study_names())
def test_studies_that_come_with_loadgen_have_none(name: str) -> None:
    file = read_study(name)
    check_coordinates(file, (*points_of(file, variants_of(file)), *compared_points(file)))


@pytest.mark.parametrize(
    ("right", "wrong", "sentence"),
    [
        ("x: batch", "x: batchh", r"^unknown coordinate 'batchh' at 'panels.0.x' in .*mine.yaml line 7; did you mean 'batch'\?"),
        ("load: wave", "load: waves", r"'panels.0.where.load' in .* line 7 is waves, which no point has; known values: wave$"),
        ("a: {batch: 16}", "a: {batches: 16}", r"^unknown coordinate 'batches' at 'claims.0.compare.a.batches' in .* line 12; .*'batch'\?"),
        ("a: {batch: 16}", "a: {batch: 64}", r"'claims.0.compare.a.batch' in .* line 12 is 64, which no point has; known values: 1, 16$"),
        ("{length: 128}", "{lenght: 128}", r"^unknown coordinate 'lenght' at 'claims.0.compare.where.lenght' in .* line 12; .*'length'\?"),
        ("x: batch", "x: concurrency", r"^unknown coordinate 'concurrency' at .* line 7; the 'concurrency' of a load is the coordinate 'batch'$"),
        ("x: batch", "x: rate", r"^unknown coordinate 'rate' at .* line 7; the 'rate' of a load is the coordinate 'batch'$"),
        ("a: {batch: 16}", "a: {wave: 16}", r"^unknown coordinate 'wave' at .* line 12; the 'wave' of a load is the coordinate 'batch'$"),
        ("axis: batch", "axis: colour", r"^unknown coordinate 'colour' at 'claims.1.compare.axis' in .* line 13; known coordinates: hardware, model, profile"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(tmp_path: Path, right: str, wrong: str, sentence: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(STUDY.replace(right, wrong))
    file = read_study(str(path))
    with pytest.raises(UsageError, match=sentence):
        check_coordinates(file, points_of(file, variants_of(file)))
