"""A prediction of every study that needs servers, on a few of its points."""

from pathlib import Path

import pytest

from loadgen.experiments.study.predict import predict
from loadgen.store.repository import Store
from loadgen.study.points import Point, points_of
from loadgen.study.study_file import read_study, study_names
from loadgen.study.variants import variants_of

SERVING = [name for name in study_names() if name not in ("table1", "fig01")]  # which are arithmetic


def few(points: tuple[Point, ...]) -> list[Point]:
    """The shortest point of at most four servers: the first, the last, and two between them."""
    by_server: dict[int, Point] = {}
    for point in points:
        known = by_server.setdefault(id(point.variant), point)
        if _tokens(point) < _tokens(known):
            by_server[id(point.variant)] = point
    servers = list(by_server.values())
    return servers if len(servers) <= 4 else [servers[at * (len(servers) - 1) // 3] for at in range(4)]


def _tokens(point: Point) -> int:
    return (point.run.planned_requests() or 0) * point.run.output_tokens


@pytest.mark.parametrize("name", SERVING)
def test_every_point_is_predicted_or_has_a_reason(name: str, tmp_path: Path) -> None:
    file = read_study(name)
    points = few(points_of(file, variants_of(file)))
    with Store.open(f"sqlite:///{tmp_path}/loadgen.db") as store:
        prediction = predict(file, points, "h100", store)
        runs = [run for sweep in store.sweeps() for run in store.runs(sweep.sweep_id)]
    missing = sum(each.points for each in (*prediction.out_of_memory, *prediction.left_out))
    assert prediction.runs + missing == len(points)
    assert prediction.runs > 0
    assert len(runs) == prediction.runs
    assert {run["simulated"] for run in runs} <= {True}
    assert {run["verdict"]["status"] for run in runs} <= {"valid", "doubtful"}
