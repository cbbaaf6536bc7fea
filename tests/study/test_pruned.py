"""Servers of pruned models: by another configuration under made-up weights, else by a checkpoint that is made for them."""

from pathlib import Path
from typing import Any

import pytest

from loadgen.checkpoints.selection import Pruning
from loadgen.errors import UsageError
from loadgen.study.pruned import PrunedCheckpoint
from loadgen.study.study_file import read_study
from loadgen.study.tiny import at_tiny_scale, has_tiny_model
from loadgen.study.variants import StudyVariant, variants_of

STUDY = """
title: Pruned
question: Faster?
servers: [{profile: olmoe-tp1, pruned: PRUNED, ARGUMENTS}]
loads: [{wave: 1, lengths: [128]}]
"""


def study(tmp_path: Path, pruned: str, arguments: str = "arguments: {}") -> Path:
    path = tmp_path / "pruned.yaml"
    path.write_text(STUDY.replace("PRUNED", pruned).replace("ARGUMENTS", arguments))
    return path


def variant(path: Path, models: Path | None = None) -> StudyVariant:
    (found,) = variants_of(read_study(str(path)), models=models)
    return found


def test_the_shapes_of_figure_11() -> None:
    """The sizes that were written by hand before: 12.5, 25 and 50 % of OLMoE's 64 experts of 1,024 columns, of Qwen's 60 of 1,408."""
    served = {
        (each.served.model, each.settings["pruning"], each.settings["pruning_ratio"]): (
            each.served.coordinates["experts"],
            each.served.coordinates["ffn_size"],
        )
        for each in variants_of(read_study("fig11"))
    }
    assert served == {
        ("olmoe-1b-7b", "none", 0): (64, 1024),
        ("olmoe-1b-7b", "inter", 0.125): (56, 1024),
        ("olmoe-1b-7b", "inter", 0.25): (48, 1024),
        ("olmoe-1b-7b", "inter", 0.5): (32, 1024),
        ("olmoe-1b-7b", "intra", 0.125): (64, 896),
        ("olmoe-1b-7b", "intra", 0.25): (64, 768),
        ("olmoe-1b-7b", "intra", 0.5): (64, 512),
        ("qwen1.5-moe-a2.7b", "none", 0): (60, 1408),
        ("qwen1.5-moe-a2.7b", "inter", 0.125): (52, 1408),
        ("qwen1.5-moe-a2.7b", "inter", 0.25): (45, 1408),
        ("qwen1.5-moe-a2.7b", "inter", 0.5): (30, 1408),
        ("qwen1.5-moe-a2.7b", "intra", 0.125): (60, 1232),
        ("qwen1.5-moe-a2.7b", "intra", 0.25): (60, 1056),
        ("qwen1.5-moe-a2.7b", "intra", 0.5): (60, 704),
    }


def test_made_up_weights_need_no_checkpoint(tmp_path: Path) -> None:
    found = variant(study(tmp_path, "{inter: 0.5}", "arguments: {load-format: dummy}"))
    assert found.label == "olmoe-tp1 with load-format dummy, num_experts 32"
    assert (found.checkpoint, found.cannot_run) == (None, None)


def test_real_weights_need_one_in_a_folder(tmp_path: Path) -> None:
    path = study(tmp_path, "{intra: 0.25, rule: random, seed: 3}")
    assert variant(path).cannot_run == (
        "its checkpoint is pruned from one of allenai/OLMoE-1B-7B-0924 in a folder: name that with --models"
    )
    (tmp_path / "olmoe-1b-7b").mkdir()
    found = variant(path, models=tmp_path)
    assert found.cannot_run is None
    assert found.checkpoint == PrunedCheckpoint(tmp_path / "olmoe-1b-7b", Pruning("intra", 0.25, "random", seed=3))
    assert found.variant.served.profile.model == ".pruned-models/olmoe-1b-7b-intra-0.25-random-3"
    assert found.served.coordinates["ffn_size"] == 768


@pytest.mark.parametrize(
    ("pruned", "sentence"),
    [
        ("{inter: 0.5, intra: 0.5}", "one of inter and intra must be given"),
        ("{}", "one of inter and intra must be given"),
        ("{inter: 1.5}", "less than 1"),
        ("{inter: 0.001}", "inter-pruning of 0.001 removes no expert of 64"),
        ("{intra: 0.001}", "intra-pruning of 0.001 would leave 1024 of 1024 columns"),
    ],
)
def test_a_mistake_is_named_with_its_place(pruned: str, sentence: str, tmp_path: Path) -> None:
    path = study(tmp_path, pruned)
    with pytest.raises(UsageError) as refused:
        variants_of(read_study(str(path)))
    assert sentence in str(refused.value)
    assert "pruned.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("profile", "source", "is_tiny"),
    [
        ("tiny-olmoe", ".pruned-models/tiny-olmoe-inter-0.5-norm", True),
        ("tiny-olmoe", "/somewhere/.pruned-models/tiny-olmoe-intra-0.5-norm", True),
        ("olmoe-tp1", ".pruned-models/olmoe-1b-7b-inter-0.5-norm", False),
        ("tiny-olmoe", ".pruned-models/olmoe-1b-7b-inter-0.5-norm", False),
        ("trained-mixtral", ".pruned-models/trained-mixtral-inter-0.5-norm", True),
        ("trained-deepseek", ".pruned-models/trained-deepseek-intra-0.5-norm", True),
        ("mixtral-8x7b", ".pruned-models/trained-mixtral-inter-0.5-norm", False),
    ],
)
def test_a_pruned_tiny_model_is_a_tiny_one(profile: str, source: str, is_tiny: bool) -> None:
    assert has_tiny_model({"profile": profile, "model": "m", "launch": {"model_source": source}}) is is_tiny  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("source", "is_tiny"), [("trained-mixtral", True), ("tiny-olmoe", True), ("OLMoE-1B-7B-0924", False)]
)
def test_a_pruned_model_in_any_folder_is_known_by_its_source(source: str, is_tiny: bool) -> None:
    launch: Any = {
        "model_source": "pinter05",
        "pruned": {"source": source, "kind": "inter", "ratio": 0.5, "rule": "norm"},
    }
    server: Any = {"profile": "trained-mixtral", "model": "m", "launch": launch}
    assert has_tiny_model(server) is is_tiny


def test_the_tiny_server_that_a_study_names_is_pruned_as_well(tmp_path: Path) -> None:
    path = study(tmp_path, "{inter: 0.5}, tiny: trained-mixtral", "arguments: {load-format: dummy}")
    (found,) = at_tiny_scale(variants_of(read_study(str(path))))
    assert found.checkpoint == PrunedCheckpoint(Path("trained_models/trained-mixtral"), Pruning("inter", 0.5, "norm"))
    assert found.label == "trained-mixtral with model .pruned-models/trained-mixtral-inter-0.5-norm"
    assert found.variant.served.profile.model == str(found.checkpoint.target)
