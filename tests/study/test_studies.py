"""The studies that come with loadgen: each is read, and its points are those that the paper's figure has."""

import pytest

from loadgen.study.points import points_of
from loadgen.study.study_file import read_study, study_names
from loadgen.study.variants import variants_of

FIGURES = {f"fig{number:02}" for number in range(1, 19) if number != 2}  # Figure 2 is a diagram


def test_every_figure_of_the_paper_has_a_study() -> None:
    assert set(study_names()) == FIGURES | {"table1", "quick"}


@pytest.mark.parametrize(
    ("name", "servers", "points"),
    [
        ("table1", 0, 0),
        ("fig01", 0, 0),
        ("fig03", 6, 24),
        ("fig04", 3, 12),
        ("fig05", 12, 180),
        ("fig06", 2, 148),
        ("fig07", 64, 64),
        ("fig08", 64, 64),
        ("fig09", 64, 64),
        ("fig10", 2, 62),
        ("fig11", 49, 49),
        ("fig12", 26, 130),
        ("fig13", 20, 60),
        ("fig14", 5, 45),
        ("fig15", 4, 4),
        ("fig16", 3, 60),
        ("fig17", 6, 6),
        ("fig18", 3, 12),
        ("quick", 5, 45),
    ],
)
def test_servers_and_points(name: str, servers: int, points: int) -> None:
    file = read_study(name)
    variants = variants_of(file)
    found = points_of(file, variants)
    assert (len(variants), len(found)) == (servers, points)
    assert len({variant.served.identity for variant in variants if variant.cannot_run is None}) == len(
        [variant for variant in variants if variant.cannot_run is None]
    )


def test_studies_that_draw_the_same_points_differently_share_them() -> None:
    points = {
        name: [point.run.hash for point in points_of(file, variants_of(file))]
        for name in ("fig07", "fig08", "fig09")
        for file in [read_study(name)]
    }
    assert points["fig07"] == points["fig08"] == points["fig09"]
