"""What running a study would do and take, before it runs."""

from pathlib import Path
from typing import Any

import pytest

from loadgen.experiments.study.duration import ASSUMED_START_S
from loadgen.experiments.study.study_plan import StudyPlan, plan_study
from loadgen.importers.importing import read_sweep
from loadgen.moe.hardware import hardware
from loadgen.store.repository import Store
from loadgen.study.claims import Where
from loadgen.study.points import points_at, points_of
from loadgen.study.study_file import read_study, study_names
from loadgen.study.variants import variants_of

RESULTS = Path(__file__).resolve().parents[3] / "results"
WAVES = RESULTS / "2026-11-30-h200-deepseek-v2-lite-dummy-waves-128.json.gz"

STUDY = """
title: Mine
question: Does it hold?
servers:
  - {profile: olmoe-tp1}
  - {profile: mixtral-tp1}
loads:
  - {wave: [1, 16], lengths: [128, 4096/128]}
repeats: 2
"""


def planned(name: str, on: str = "h100", *, only: Where | None = None, store: Store | None = None) -> StudyPlan:
    file = read_study(name)
    return plan_study(file, points_at(points_of(file, variants_of(file)), only or {}), hardware(on), store)


def own_study(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", study_names())
def test_every_study_has_a_plan(name: str) -> None:
    plan: Any = planned(name).to_json()
    assert plan["needs_server"] == (name not in ("table1", "fig01"))
    assert plan["points"] == sum(len(server["points"]) for server in plan["servers"])
    for server in plan["servers"]:
        for point in server["points"]:
            if point["problem"]:
                assert (point["runs"], point["estimated_s"], point["unknown"]) == (0, None, None)
            else:
                assert (point["estimated_s"] is None) == (point["unknown"] is not None)
        assert server["starts"] == (1 if server["runs"] else 0)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fig04", "the roofline does not cover encoding images"),
        ("fig12", "acceptance of drafted tokens is known only from measuring"),
    ],
)
def test_a_time_that_is_not_known_is_null_with_the_reason(name: str, why: str) -> None:
    plan: Any = planned(name).to_json()
    assert plan["estimated_s"] is None
    assert plan["gpu_hours"] is None
    assert {server["unknown"] for server in plan["servers"]} - {None} == {why}


def test_the_gaps_of_figure_7_are_those_that_do_not_fit_four_gpus_of_80_gb() -> None:
    plan = planned("fig07")
    cannot = {
        (each.variant.settings["experts"], each.variant.settings["ffn_size"]) for each in plan.servers if each.problem
    }
    assert cannot == {(32, 14336), (64, 7168), (64, 14336)}
    assert (plan.starts, plan.runs) == (52, 156)
    assert {each.gpus for each in plan.servers} == {4}
    assert planned("fig07", "mi300x").starts == 64


def test_memory_of_a_variant() -> None:
    (server,) = planned("fig06", only={"model": "deepseek-v2-lite"}).servers
    assert server.memory is not None
    assert server.memory.weights_bytes == pytest.approx(31.4e9, rel=0.01)
    assert server.longest_tokens == 4096
    assert server.sequences == server.memory.kv_cache_bytes // (4096 * server.memory.kv_bytes_per_token) == 326


def test_each_data_parallel_copy_has_a_cache() -> None:
    (server,) = planned("fig13", only={"profile": "mixtral-dp4-ep"}).servers
    assert server.memory is not None
    assert server.sequences == 4 * (server.memory.kv_cache_bytes // (2048 * server.memory.kv_bytes_per_token))


def test_a_point_that_is_longer_than_the_models_context_cannot_run(tmp_path: Path) -> None:
    plan = planned(own_study(tmp_path, STUDY))
    olmoe, mixtral = plan.servers
    assert [each.runs for each in olmoe.points] == [2, 2, 0, 0]
    assert olmoe.points[3].problem is not None
    assert "4,224 tokens" in olmoe.points[3].problem
    assert olmoe.problem is None
    assert mixtral.problem is not None
    assert mixtral.problem.startswith("it does not fit (bf16, one GPU): 93.4 GB of weights")
    assert (mixtral.starts, mixtral.runs, mixtral.estimated_s) == (0, 0, 0.0)


def test_a_bound_is_said_to_be_one_and_a_start_to_be_assumed() -> None:
    (server,) = planned("fig06", only={"model": "deepseek-v2-lite", "load": "wave", "batch": 1, "length": 128}).servers
    assert {each.duration.basis for each in server.points} == {"bound"}
    assert server.is_bound
    assert (server.start.seconds, server.start.basis) == (ASSUMED_START_S, "assumed")
    (point,) = server.points
    assert point.duration.seconds is not None
    # Two waves, one of them the warm-up, of 128 steps that read 2.4 billion active parameters at 3.35 TB/s.
    assert 2 * 128 * 4.0e9 / 3.35e12 < point.duration.seconds < 2 * 128 * 7e9 / 3.35e12
    assert server.estimated_s == pytest.approx(ASSUMED_START_S + 3 * point.duration.seconds)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = read_sweep(WAVES)
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('store')}/loadgen.db")
    store.add_imported(found.sweep, found.runs)
    return store


def test_runs_on_record_on_the_same_hardware_say_how_long_it_takes(store: Store) -> None:
    only: Where = {"model": "deepseek-v2-lite", "load": "wave", "length": 128}
    (server,) = planned("fig06", "h200", only=only, store=store).servers
    assert {each.duration.basis for each in server.points} == {"earlier"}
    assert not server.is_bound
    assert server.start.basis == "earlier"
    assert server.start.seconds == pytest.approx(160.561)
    one = next(each for each in server.points if each.point.coordinates["batch"] == 1)
    runs = [
        run
        for sweep in store.sweeps()
        for run in store.runs(sweep.sweep_id)
        if run["spec"]["shape"] == {"kind": "wave", "size": 1}
    ]
    took_s = sum(run["elapsed_s"] for run in runs) / len(runs)
    assert one.duration.seconds == pytest.approx(2 * took_s)  # and a warm-up of one request


def test_runs_on_other_hardware_say_nothing(store: Store) -> None:
    only: Where = {"model": "deepseek-v2-lite", "load": "wave", "length": 128}
    (server,) = planned("fig06", "h100", only=only, store=store).servers
    assert {each.duration.basis for each in server.points} == {"bound"}
    assert server.start.basis == "assumed"
