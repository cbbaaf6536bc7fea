"""Runs on record and the points that they measured."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.moe.hardware import ACCELERATORS, Hardware
from loadgen.servers.profiles.profile_file import read_profile
from loadgen.study.measured import Series, measured_points, series_of
from loadgen.study.points import on_one_gpu, points_of
from loadgen.study.served import served_by, served_of
from loadgen.study.study_file import read_study
from loadgen.study.tiny import has_tiny_model
from loadgen.study.variants import variants_of

ROOT = Path(__file__).resolve().parents[2]
H200_DUMMY = Series("H200", "dummy_routed")
UNIFORM = {"VLLM_MOE_ROUTING_SIMULATION_STRATEGY": "uniform_random"}


def runs_of(name: str) -> list[Any]:
    path = ROOT / "results" / name
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    runs: list[Any] = json.loads(text)["runs"]
    return runs


@pytest.fixture(scope="module")
def waves() -> list[Any]:
    return runs_of("2026-11-30-h200-deepseek-v2-lite-dummy-waves-128.json.gz")


def test_runs_of_another_day_are_found_by_what_they_measured(waves: list[Any]) -> None:
    file = read_study("fig06")
    found = measured_points(points_of(file, variants_of(file)), waves)
    assert [point.coordinates["batch"] for point in found] == [1, 4, 8, 16, 32, 64, 128]
    assert {point.series for point in found} == {H200_DUMMY}
    assert {point.coordinates["hardware"] for point in found} == {"H200"}
    assert [len(point.runs) for point in found] == [2] * 7
    assert found[0].values("paper.throughput_tokens_per_s") == pytest.approx([585.4, 589.1], abs=0.1)


def test_a_study_of_another_model_finds_none(waves: list[Any]) -> None:
    file = read_study("fig10")
    assert measured_points(points_of(file, variants_of(file)), waves) == ()


def test_of_several_predictions_of_a_point_the_newest_counts(waves: list[Any]) -> None:
    file = read_study("fig06")
    server = waves[0]["server"] | {"name": "loadgen prediction"}
    predicted: list[Any] = [
        {**waves[0], "server": server, "simulated": True, "started_at": f"2026-12-0{day}"} for day in (2, 3, 1)
    ]
    (point,) = measured_points(points_of(file, variants_of(file)), predicted)
    assert [run["started_at"] for run in point.runs] == ["2026-12-03"]


def test_an_invalid_run_is_no_point(waves: list[Any]) -> None:
    file = read_study("fig06")
    bad: list[Any] = [{**run, "verdict": {"status": "invalid", "findings": []}} for run in waves]
    assert measured_points(points_of(file, variants_of(file)), bad) == ()


def test_a_planned_server_and_its_record_are_the_same_variant(waves: list[Any]) -> None:
    (planned, _) = variants_of(read_study("fig06"))
    on_record = served_of(waves[0]["server"])
    assert on_record is not None
    assert on_record.identity == planned.served.identity
    assert served_by(planned.variant.served.profile).identity == planned.served.identity


@pytest.mark.parametrize(
    ("launch", "simulated", "series"),
    [
        ({"weights": "real", "gpus": [{"name": "NVIDIA H100 80GB HBM3"}]}, False, Series("H100", "measured")),
        ({"weights": "dummy", "gpus": [{"name": "NVIDIA H200"}]}, False, H200_DUMMY),
        (
            {"weights": "dummy", "gpus": [{"name": "NVIDIA H200"}], "environment": UNIFORM},
            False,
            Series("H200", "dummy"),
        ),
        ({"weights": "real", "gpus": [{"name": "AMD Instinct MI300X"}]}, False, Series("MI300X", "measured")),
        ({"weights": "real", "gpus": [{"name": "NVIDIA H100"}]}, True, Series("H100", "simulated")),
        ({"gpus": [{"name": "NVIDIA A100 SXM4 80GB"}]}, True, Series("A100", "simulated")),
        ({"weights": "real", "gpus": [], "model_source": ".tiny-models/tiny-olmoe"}, False, Series("a CPU", "tiny")),
        ({"weights": None, "arguments": {"load-format": "dummy"}}, False, Series("a CPU", "dummy_routed")),
    ],
)
def test_series(launch: dict[str, Any], simulated: bool, series: Series) -> None:
    run: Any = {"server": {"launch": launch}, "simulated": simulated, "environment": {"cpu_model": "a CPU"}}
    assert series_of(run) == series


@pytest.mark.parametrize(
    ("gpu", "label"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA A100 SXM4 80GB", "A100"),  # as a prediction has it
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"),
        ("NVIDIA A100 80GB PCIe", "A100 80GB PCIe"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H100 PCIe", "H100 PCIe"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("NVIDIA H200 MIG 1g.18gb", "H200 MIG 1g.18gb"),
        ("NVIDIA GeForce RTX 4090", "GeForce RTX 4090"),
        ("NVIDIA RTX 6000 Ada Generation", "RTX 6000 Ada Generation"),
        ("NVIDIA RTX A6000", "RTX A6000"),
        ("Tesla T4", "Tesla T4"),
        ("AMD Instinct MI300X OAM", "MI300X"),
        ("AMD Instinct MI250X", "MI250X"),
        ("Cerebras CS-3 (WSE-3)", "CS-3"),
        ("NVIDIA", "NVIDIA"),
    ],
)
def test_the_hardware_of_a_series_is_the_accelerator_or_the_whole_name_of_the_gpu(gpu: str, label: str) -> None:
    run: Any = {"server": {"launch": {"gpus": [{"name": gpu}]}}, "simulated": False, "environment": {}}
    assert series_of(run) == Series(label, "measured")


@pytest.mark.parametrize("accelerator", ACCELERATORS, ids=lambda each: each.name)
def test_a_prediction_has_the_hardware_of_a_measurement(accelerator: Hardware) -> None:
    names = (accelerator.name, accelerator.title, *accelerator.aliases)
    runs: list[Any] = [
        {"server": {"launch": {"gpus": [{"name": name}]}}, "simulated": False, "environment": {}} for name in names
    ]
    assert {series_of(run).hardware for run in runs} == {accelerator.label}


@pytest.mark.parametrize(
    ("profile", "model_source", "is_tiny"),
    [
        ("tiny-mixtral", ".tiny-models/tiny-mixtral", True),
        ("tiny-mixtral-tp2", ".tiny-models/tiny-mixtral", True),
        ("vllm", "/srv/loadgen/.tiny-models/tiny-olmoe", True),
        ("tiny-olmoe", "/srv/tiny-olmoe", True),
        ("tiny-olmoe", None, True),
        ("vllm", "microsoft/Phi-tiny-MoE-instruct", False),
        ("mixtral-8x7b", "/data/tiny-cluster/models/Mixtral-8x7B", False),
        ("mixtral-8x7b", "/data/.tiny-models/Mixtral-8x7B", False),
        ("tiny-mixtral", "/data/Mixtral-8x7B", False),  # `--model` of the start
        ("tiny-of-mine", "somebody/tiny-mixtral", False),
        ("deepseek-vl2-tiny", "deepseek-ai/deepseek-vl2-tiny", False),
    ],
)
def test_a_tiny_model_is_one_of_those_made_for_a_processor(
    profile: str, model_source: str | None, is_tiny: bool
) -> None:
    launch = {"weights": "real", "model_source": model_source}
    run: Any = {
        "server": {"profile": profile, "launch": launch},
        "simulated": False,
        "environment": {"cpu_model": "a CPU"},
    }
    assert series_of(run).provenance == ("tiny" if is_tiny else "measured")


def test_every_shipped_profile_of_a_tiny_model_is_known_as_one() -> None:
    profiles = {path.stem: read_profile(path.stem).profile for path in (ROOT / "server_profiles").glob("tiny-*.yaml")}
    assert len(profiles) == 9
    for name, profile in profiles.items():
        server: Any = {"profile": name, "launch": {"model_source": profile.model}}
        assert has_tiny_model(server), name
        server["launch"] = {}
        assert has_tiny_model(server), name


def test_the_name_of_a_series_says_what_it_is() -> None:
    assert Series("H200", "dummy").label == "H200, measured, dummy weights"
    assert Series("H100", "simulated").label == "H100, SIMULATED"
    assert Series("Intel Xeon", "tiny").key == "intel-xeon-tiny"


def test_servers_that_differ_in_other_arguments_are_different_points(tmp_path: Path, waves: list[Any]) -> None:
    path = tmp_path / "seqs.yaml"
    path.write_text(
        "title: x\nquestion: y\nservers: [{profile: deepseek-v2-lite}]\n"
        "matrix: {seqs: {argument: max-num-seqs, values: [8, 128]}}\nloads: [{wave: [1, 4], lengths: [128]}]\n"
    )
    file = read_study(str(path))
    points = points_of(file, variants_of(file))
    found = measured_points(points, waves)
    assert [(each.coordinates["seqs"], each.coordinates["batch"]) for each in found] == [(128, 1), (128, 4)]
    launch = waves[0]["server"]["launch"]
    server = {**waves[0]["server"], "launch": {**launch, "arguments": {**launch["arguments"], "max-num-seqs": 8}}}
    others: list[Any] = [{**run, "server": server, "sweep_id": "s8"} for run in waves]
    both = measured_points(points, [*waves, *others])
    assert [each.coordinates["seqs"] for each in both] == [8, 8, 128, 128]
    assert [len(each.runs) for each in both] == [2] * 4
    third: list[Any] = [
        {
            **run,
            "server": {**server, "launch": {**launch, "arguments": {**launch["arguments"], "max-num-seqs": 64}}},
            "sweep_id": "s64",
        }
        for run in waves
    ]
    assert measured_points(points, third) == ()


def test_arguments_that_do_not_change_the_speed_tell_points_apart_where_the_study_names_them(
    tmp_path: Path, waves: list[Any]
) -> None:
    path = tmp_path / "memory.yaml"
    path.write_text(
        "title: x\nquestion: y\nservers: [{profile: deepseek-v2-lite}]\n"
        "matrix: {memory: {argument: gpu-memory-utilization, values: [0.5, 0.8]}}\nloads: [{wave: [1, 4], lengths: [128]}]\n"
    )
    file = read_study(str(path))
    points = points_of(file, variants_of(file))
    changed = json.loads(json.dumps(waves))
    for run in changed:
        run["server"]["launch"]["arguments"]["gpu-memory-utilization"] = 0.8
    assert [each.coordinates["memory"] for each in measured_points(points, changed)] == [0.8, 0.8]
    assert measured_points(points, waves) == ()
    assert len(measured_points(points_of(read_study("fig06"), variants_of(read_study("fig06"))), changed)) == 7


@pytest.mark.parametrize(
    ("argument", "value", "found"), [("max-num-seqs", 8, 0), ("max-model-len", 8192, 7), ("enforce-eager", True, 0)]
)
def test_a_server_with_other_arguments_is_another_point(
    waves: list[Any], argument: str, value: object, found: int
) -> None:
    file = read_study("fig06")
    changed = json.loads(json.dumps(waves))
    for run in changed:
        run["server"]["launch"]["arguments"][argument] = value
    assert len(measured_points(points_of(file, variants_of(file)), changed)) == found


def of_mixtral(run: Any, gpus: int) -> Any:
    """The same run, of Mixtral-8x7B over so many GPUs."""
    planned = read_profile("mixtral-tp4").profile
    arguments = planned.arguments | {"tensor-parallel-size": gpus, "load-format": "dummy"}
    launch = run["server"]["launch"] | {
        "architecture": planned.architecture,
        "arguments": arguments,
        "environment": dict(planned.environment) | UNIFORM,
    }
    server = run["server"] | {"model": planned.request_model, "launch": launch}
    return run | {"server": server, "sweep_id": f"{gpus} GPUs"}


def test_one_gpu_may_measure_what_is_planned_over_several(waves: list[Any]) -> None:
    file = read_study("fig14")
    points = points_of(file, variants_of(file))
    runs = [of_mixtral(run, 1) for run in waves]
    assert measured_points(points, runs) == ()
    (found,) = measured_points((*points, *on_one_gpu(points)), runs)
    at = {key: found.coordinates[key] for key in ("experts_run", "batch", "length", "gpus", "tensor", "hardware")}
    assert at == {"experts_run": "fused", "batch": 64, "length": 128, "gpus": 1, "tensor": 1, "hardware": "H200"}
    assert found.point.variant.planned_gpus == 4
    assert "gpus" not in found.distinguished_by


def test_one_gpu_and_the_planned_ones_are_told_apart(waves: list[Any]) -> None:
    file = read_study("fig14")
    points = points_of(file, variants_of(file))
    runs = [of_mixtral(run, gpus) for run in waves for gpus in (1, 4)]
    four, one = measured_points((*points, *on_one_gpu(points)), runs)
    assert (four.coordinates["gpus"], one.coordinates["gpus"]) == (4, 1)
    assert all("gpus" in each.distinguished_by for each in (four, one))


def test_a_study_of_parallelism_has_no_point_on_one_gpu_that_it_does_not_name() -> None:
    file = read_study("fig13")
    assert on_one_gpu(points_of(file, variants_of(file))) == ()
