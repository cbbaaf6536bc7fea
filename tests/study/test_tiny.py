"""A study on tiny models: which servers and loads stand for which, and what was measured of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.checkpoints.selection import Pruning
from loadgen.spec.sweep_spec import SweepSpec
from loadgen.study.measured import measured_points
from loadgen.study.points import points_of
from loadgen.study.study_file import read_study, study_names
from loadgen.study.tiny import at_tiny_scale, has_tiny_model
from loadgen.study.tiny_loads import tiny_loads
from loadgen.study.variants import StudyVariant, variants_of

SERVED = [name for name in study_names() if name not in ("table1", "fig01")]  # which are arithmetic


def tiny(name: str) -> tuple[StudyVariant, ...]:
    return at_tiny_scale(variants_of(read_study(name)))


def labels(name: str) -> list[str]:
    return [each.label for each in tiny(name) if each.cannot_run is None]


@pytest.mark.parametrize("name", SERVED)
def test_every_study_has_a_run_of_its_own_for_each_point(name: str) -> None:
    file, variants = read_study(name), tiny(name)
    points = points_of(file, variants)
    full = points_of(file, variants_of(file))
    assert [point.coordinates for point in points] == [point.coordinates for point in full]
    served = {(point.variant.label, point.run.hash) for point in points if point.variant.stands_for}
    assert len(served) == sum(1 for point in points if point.variant.stands_for)
    assert all(variant.stands_for is not None or variant.cannot_run for variant in variants)


@pytest.mark.parametrize(
    ("name", "servers"),
    [
        ("fig06", ["tiny-deepseekv2", "tiny-qwen2moe"]),
        ("fig10", ["tiny-mixtral"]),
        ("fig13", ["tiny-mixtral", "tiny-olmoe"]),
        ("fig14", ["tiny-mixtral", "tiny-mixtral-unfused", "tiny-mixtral-unfused-gather"]),
        ("fig04", ["trained-vision-top1", "trained-vision"]),
    ],
)
def test_servers_that_a_tiny_model_cannot_tell_apart_are_one(name: str, servers: list[str]) -> None:
    assert labels(name) == servers


@pytest.mark.parametrize(
    ("name", "label", "reason"),
    [
        ("fig10", "mixtral-fp8", "as a tiny model it is the same as mixtral-fp16"),
        ("fig05", "deepseek-v2-lite with num_experts_per_tok 32", "the same as deepseek-v2-lite with num_experts_per_tok 16"),
        ("fig16", "llama-4-scout-tp4", "there is no tiny model of the family llama4"),
        ("fig14", "mixtral-eager", "as a tiny model it is the same as mixtral-tp4"),
        ("fig14", "mixtral-untuned", "there is no tiny model with the plug-in untuned-kernels"),
    ],
)  # fmt: skip
def test_the_others_say_why_they_cannot_run(name: str, label: str, reason: str) -> None:
    (variant,) = [each for each in tiny(name) if each.label == label]
    assert reason in str(variant.cannot_run)


@pytest.mark.parametrize(("name", "tasks"), [("fig17", ["built-in"]), ("fig18", ["images"])])
def test_tiny_models_are_evaluated_on_what_some_of_them_have_learnt(name: str, tasks: list[str]) -> None:
    (spec,) = tiny_loads(
        [SweepSpec.model_validate({"url": "http://server", "wave": [16], "accuracy": read_study(name).study.accuracy})]
    )
    assert spec.accuracy is not None
    assert (spec.accuracy.tasks, spec.accuracy.limit) == (tasks, 20)


def test_what_stands_for_models_that_read_images_differs_in_its_experts_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])  # where the trained models are
    served = [(each.label, each.served.architecture) for each in tiny("fig18") if each.cannot_run is None]
    top_k = {label: found.experts.top_k for label, found in served if found is not None and found.experts is not None}
    assert top_k == {"trained-vision-top1": 1, "trained-vision": 2}


def test_drafts_are_measured_on_models_that_have_learnt_something() -> None:
    assert labels("fig12")[0] == "trained-mixtral"
    drafts = {label.partition(" with ")[0] for label in labels("fig12")[1:]}
    assert drafts == {f"trained-mixtral-{draft}" for draft in ("draft-small", "draft-large", "ngram")}
    assert "trained-mixtral-draft-large with num_speculative_tokens 7" in labels("fig12")
    assert labels("fig03").count("tiny-qwen3moe") == 1  # a study without drafts keeps the model of the family
    left_out = {str(each.cannot_run) for each in tiny("fig12") if each.cannot_run is not None}
    assert left_out == {
        "there is no trained draft in place of Qwen/Qwen3-4B",
        "there is no trained draft in place of Qwen/Qwen3-8B",
        "on a processor vLLM accepts no stated share of the drafts (synthetic acceptance)",
    }


def test_sizes_of_experts_are_in_proportion_and_need_made_up_weights() -> None:
    assert labels("fig07")[0] == (
        "tiny-mixtral with load-format dummy, intermediate_size 16, num_local_experts 8, num_experts_per_tok 1"
    )
    assert len(set(labels("fig07"))) == 64


def test_pruned_models_are_served_from_pruned_tiny_ones() -> None:
    servers = {each.label: each for each in tiny("fig11") if each.cannot_run is None}
    asked = {label for label in servers if label.startswith("tiny-olmoe with model .pruned-models/tiny-olmoe-inter-")}
    assert {label.split("num_experts ")[1].split(",")[0] for label in asked} == {"14", "12", "8"}
    assert "tiny-olmoe with num_experts_per_tok 8" in servers  # whose weights are those of its folder
    half = servers[
        "tiny-qwen2moe with model .pruned-models/tiny-qwen2moe-intra-0.5-norm, moe_intermediate_size 32, num_experts_per_tok 1"
    ]
    assert half.checkpoint is not None
    assert (half.checkpoint.source, half.checkpoint.pruning) == (
        Path(".tiny-models/tiny-qwen2moe"),
        Pruning("intra", 0.5, "norm"),
    )
    assert all((each.checkpoint is None) == (each.settings["pruning"] == "none") for each in servers.values())
    assert not any("load-format" in label for label in servers)


def test_what_a_tiny_model_has_nothing_for_is_named(tmp_path: Path) -> None:
    path = tmp_path / "layers.yaml"
    path.write_text(
        "title: Layers\nquestion: How many?\nservers: [{profile: olmoe-tp1}]\n"
        "matrix: {layers: {argument: hf-overrides.num_hidden_layers, values: [8, 16]}}\n"
        "loads: [{wave: 1, lengths: [128]}]\n"
    )
    found = at_tiny_scale(variants_of(read_study(str(path))))
    assert {each.cannot_run for each in found} == {
        "a tiny model has nothing in place of hf-overrides.num_hidden_layers"
    }


@pytest.mark.parametrize(
    ("asked", "tiny"),
    [
        ({"wave": [1, 4, 8, 16, 32, 64, 128]}, {"wave": [1, 3, 4, 5, 6, 7, 8]}),
        ({"wave": [2, 3, 4, 12, 16]}, {"wave": [2, 3, 4, 5, 6]}),
        ({"concurrency": [16], "requests": 512}, {"concurrency": [5], "requests": 40}),
        ({"concurrency": [16], "duration_s": 300.0}, {"concurrency": [5], "duration_s": 10.0}),
        ({"concurrency": [4], "requests": 96, "turns": 3}, {"requests": 33}),
        ({"wave": [1], "prefix_tokens": 120}, {"prefix_tokens": 8, "lengths": [(9, 9)]}),
        ({"rate": [0.5, 1, 8]}, {"rate": [0.5, 1.0, 4.0]}),
        ({"wave": [1], "lengths": ["128", "2048/1", "512"]}, {"lengths": [(8, 8), (32, 1), (16, 16)]}),
        (
            {"wave": [1], "input_tokens": [2, 8, 9], "output_tokens": [1]},
            {"input_tokens": [2, 3, 4], "output_tokens": [1]},
        ),
    ],
)
def test_loads_stay_apart_and_in_order(asked: dict[str, Any], tiny: dict[str, Any]) -> None:
    lengths: dict[str, Any] = {} if "lengths" in asked or "input_tokens" in asked else {"lengths": ["128"]}
    (scaled,) = tiny_loads([SweepSpec(url="http://127.0.0.1:1", **asked, **lengths)])
    assert {key: getattr(scaled, key) for key in tiny} == tiny


def test_a_run_of_a_tiny_model_is_the_point_that_it_stands_for() -> None:
    file = read_study("quick")
    points = [point for point in points_of(file, tiny("quick")) if point.variant.stands_for]
    run = points[-1].run
    server = points[-1].variant.variant.served.profile
    document = {
        "sweep_id": "s1",
        "verdict": {"status": "doubtful"},
        "simulated": False,
        "environment": {"cpu_model": "a CPU"},
        "spec": run.to_json(),
        "server": {
            "name": "vLLM",
            "model": server.request_model,
            "profile": server.name,
            "launch": {"model_source": server.model, "arguments": server.arguments, "gpus": [], "environment": {}},
        },
    }
    (found,) = measured_points(points, [json.loads(json.dumps(document))])
    assert found.series.label == "a CPU, tiny model"
    assert (found.coordinates["model"], found.coordinates["batch"]) == ("qwen1.5-moe-a2.7b", 64)
    assert run.concurrency == 7
    full = points_of(file, variants_of(file))
    assert measured_points(full, [json.loads(json.dumps(document))]) == ()


def test_a_study_may_name_the_tiny_server_that_stands_for_one_that_cannot_run() -> None:
    molmoe, first, *others = tiny("fig15")
    assert (molmoe.label, molmoe.cannot_run) == ("trained-deepseek-unbalanced", None)
    assert molmoe.coordinates["profile"] == "molmoe-1b"
    assert (first.label, first.cannot_run) == ("trained-deepseek", None)
    assert all("the same as" in (each.cannot_run or "") for each in others)


@pytest.mark.parametrize("profile", ["trained-deepseek", "a-copy-of-it"])
def test_a_model_that_was_trained_for_tests_is_tiny_whatever_its_profile(profile: str) -> None:
    launch: Any = {"model_source": "trained_models/trained-deepseek"}
    assert has_tiny_model({"profile": profile, "model": "m", "launch": launch})  # type: ignore[typeddict-item]
