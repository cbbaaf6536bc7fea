"""Pruned checkpoints of every layout: what stays is what was there, under new numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from loadgen.checkpoints.layouts import LAYOUTS
from loadgen.checkpoints.prune import prune
from loadgen.checkpoints.selection import Kind, Pruning, Rule
from tests.checkpoints.small_checkpoints import (
    EXPERTS,
    FFN,
    MIXTRAL,
    SMALL,
    Small,
    matrices,
    read,
    tensors_of,
    values_of,
    write,
)


def config_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


def norm_of(expert: tuple[NDArray[Any], ...]) -> float:
    return float(sum((values_of(matrix) ** 2).sum() for matrix in expert))


def column_norms(gate: NDArray[Any], up: NDArray[Any], down: NDArray[Any]) -> NDArray[np.float64]:
    squares = [values_of(matrix) ** 2 for matrix in (gate, up, down)]
    return np.asarray(squares[0].sum(1) + squares[1].sum(1) + squares[2].sum(0))


def test_every_family_of_the_layouts_is_tried() -> None:
    assert {small.family for small in SMALL.values()} == {family for layout in LAYOUTS for family in layout.families}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("name", SMALL)
def test_experts_that_stay_are_those_with_the_largest_norm(name: str, shards: int, tmp_path: Path) -> None:
    small = SMALL[name]
    source = write(tmp_path / "source", small, shards=shards)
    document = prune(source, tmp_path / "pruned", Pruning("inter", 0.5, "norm"))
    before, after = read(source), read(tmp_path / "pruned")
    for layer in small.sparse_layers:
        norms = np.array([norm_of(expert) for expert in matrices(before, small, layer)])
        halves = np.split(np.arange(EXPERTS), 2 if name == "deepseek_v3" else 1)  # groups keep equally many
        best = sorted(int(each) for half in halves for each in half[np.argsort(-norms[half])[: len(half) // 2]])
        kept = matrices(after, small, layer)
        assert len(kept) == EXPERTS // 2
        for number, old in enumerate(best):
            for new, was in zip(kept[number], matrices(before, small, layer)[old], strict=True):
                np.testing.assert_array_equal(new, was)
        router = f"model.layers.{layer}.{small.block}.gate"
        np.testing.assert_array_equal(after[f"{router}.weight"], before[f"{router}.weight"][best])
        if small.router_bias:
            bias = f"{router}.e_score_correction_bias"
            np.testing.assert_array_equal(after[bias], before[bias][best])
        assert {"layer": layer, "experts": best} in (document["kept_experts"] or [])
    assert config_of(tmp_path / "pruned") == {**config_of(source), small.experts_key: EXPERTS // 2}


@pytest.mark.parametrize("name", SMALL)
def test_columns_that_stay_are_those_with_the_largest_norm(name: str, tmp_path: Path) -> None:
    small = SMALL[name]
    source = write(tmp_path / "source", small, shards=2)
    prune(source, tmp_path / "pruned", Pruning("intra", 0.25, "norm"))
    before, after = read(source), read(tmp_path / "pruned")
    for layer in small.sparse_layers:
        pairs = list(zip(matrices(before, small, layer), matrices(after, small, layer), strict=True))
        if small.family in ("deepseek_v2", "deepseek_v3") and (shared := shared_of(before, small, layer)):
            pairs.append((shared, shared_of(after, small, layer)))
        for was, new in pairs:
            size = len(was[0])
            best = np.sort(np.argsort(-column_norms(*was), kind="stable")[: size * 3 // 4])
            np.testing.assert_array_equal(new[0], was[0][best])
            np.testing.assert_array_equal(new[1], was[1][best])
            np.testing.assert_array_equal(new[2], was[2][:, best])
    assert config_of(tmp_path / "pruned") == {**config_of(source), small.ffn_key: FFN * 3 // 4}


def shared_of(tensors: dict[str, NDArray[Any]], small: Small, layer: int) -> Any:
    block = f"model.layers.{layer}.{small.block}.shared_experts"
    return tuple(tensors[f"{block}.{name}.weight"] for name in small.names if f"{block}.{name}.weight" in tensors)


@pytest.mark.parametrize("kind", ["inter", "intra"])
def test_all_else_is_as_it_was(kind: Any, tmp_path: Path) -> None:
    small = SMALL["qwen2_moe"]
    source = write(tmp_path / "source", small)
    (source / "consolidated.safetensors").write_bytes(
        (source / "model.safetensors").read_bytes()
    )  # in Mistral's format
    (source / "pytorch_model.bin").write_bytes(b"and in one more")
    (source / "additional_chat_templates").mkdir()
    (source / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    (source / "README.md").write_text("of the source")
    prune(source, tmp_path / "pruned", Pruning(kind, 0.5, "norm"))
    before, after = read(source), read(tmp_path / "pruned")
    untouched = [name for name in before if ".experts." not in name and not name.endswith("mlp.gate.weight")]
    assert any("shared_expert." in name for name in untouched)
    for name in untouched:
        np.testing.assert_array_equal(after[name], before[name])
    assert {str(path.relative_to(tmp_path / "pruned")) for path in (tmp_path / "pruned").rglob("*") if path.is_file()} == {
        "README.md", "additional_chat_templates/tools.jinja", "chat_template.jinja", "config.json", "generation_config.json",
        "model.safetensors", "pruning.json", "tokenizer.json",
    }  # fmt: skip
    assert (tmp_path / "pruned" / "chat_template.jinja").read_text() == "{{ messages }}"
    assert {path.name for path in tmp_path.iterdir()} == {"source", "pruned"}


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
@pytest.mark.parametrize("rule", ["norm", "random"])
def test_other_precisions_are_cut_as_bytes(dtype: type, rule: Rule, tmp_path: Path) -> None:
    tensors = tensors_of(MIXTRAL, dtype)
    source = write(tmp_path / "source", tensors=tensors)
    prune(source, tmp_path / "pruned", Pruning("intra", 0.5, rule, seed=3))
    for new, was in zip(matrices(read(tmp_path / "pruned"), MIXTRAL, 1), matrices(tensors, MIXTRAL, 1), strict=True):
        rows = [next(at for at, old in enumerate(was[0]) if (old == row).all()) for row in new[0]]
        assert len(rows) == FFN // 2
        assert rows == sorted(rows)
        np.testing.assert_array_equal(new[1], was[1][rows])
        np.testing.assert_array_equal(new[2], was[2][:, rows])


def test_a_seed_draws_the_same_experts_again(tmp_path: Path) -> None:
    source = write(tmp_path / "source")
    kept = [
        prune(source, tmp_path / f"pruned-{at}", Pruning("inter", 0.5, "random", seed=seed))["kept_experts"]
        for at, seed in enumerate((0, 0, 1))
    ]
    assert kept[0] == kept[1] != kept[2]


def test_the_shards_and_their_index_agree(tmp_path: Path) -> None:
    prune(write(tmp_path / "source", shards=3), tmp_path / "pruned", Pruning("inter", 0.5, "norm"))
    index = json.loads((tmp_path / "pruned" / "model.safetensors.index.json").read_text())
    tensors = read(tmp_path / "pruned")
    assert set(index["weight_map"]) == set(tensors)
    assert set(index["weight_map"].values()) == {path.name for path in (tmp_path / "pruned").glob("*.safetensors")}
    assert index["metadata"]["total_size"] == sum(values.nbytes for values in tensors.values())


def test_a_pruned_checkpoint_is_pruned_again(tmp_path: Path) -> None:
    prune(write(tmp_path / "source", shards=2), tmp_path / "half", Pruning("inter", 0.5, "norm"))
    prune(tmp_path / "half", tmp_path / "smaller", Pruning("intra", 0.5, "norm"))
    config = config_of(tmp_path / "smaller")
    assert (config["num_local_experts"], config["intermediate_size"]) == (EXPERTS // 2, FFN // 2)
    assert len(matrices(read(tmp_path / "smaller"), MIXTRAL, 0)) == EXPERTS // 2


def test_what_was_done_is_written_down(tmp_path: Path) -> None:
    source = write(tmp_path / "source")
    document = prune(source, tmp_path / "pruned", Pruning("intra", 0.3, "random", seed=5))
    assert json.loads((tmp_path / "pruned" / "pruning.json").read_text()) == document
    size = {name: sum(values.nbytes for values in read(tmp_path / name).values()) for name in ("source", "pruned")}
    assert document["weight_bytes"] == {"before": size["source"], "after": size["pruned"]}
    assert document["ffn_size"] == {"before": FFN, "after": 24}  # 22.4 in multiples of 8
    assert document["removed_ratio"] == 0.25
    assert document["source"] == "source"
    text = (tmp_path / "pruned" / "README.md").read_text()
    assert "24 of 32 columns stay in each expert (25 % removed), chosen by a random draw with seed 5" in text


@pytest.mark.parametrize("part", ["text_config", "language_config"])
@pytest.mark.parametrize("name", ["mixtral", "deepseek_v2", "deepseek_v3", "joined"])
def test_of_a_model_that_reads_images_the_language_model_is_pruned(name: str, part: str, tmp_path: Path) -> None:
    small = SMALL[name]
    plain = write(tmp_path / "plain", small)
    held = read(plain)
    tower = {"vision_tower.encoder.layers.1.mlp.fc1.weight": held["model.embed_tokens.weight"]}
    nested = write(tmp_path / "nested", small, tensors={f"language_model.{key}": held[key] for key in held} | tower)
    outer = {"model_type": "llava", "vision_config": {"num_hidden_layers": 2}, "hidden_size": 1}
    (nested / "config.json").write_text(json.dumps(outer | {part: config_of(plain)}))
    kinds: tuple[Kind, ...] = ("inter", "intra")
    for kind in kinds:
        document = prune(plain, tmp_path / f"plain-{kind}", Pruning(kind, 0.5, "norm"))
        of_nested = prune(nested, tmp_path / f"nested-{kind}", Pruning(kind, 0.5, "norm"))
        assert of_nested["kept_experts"] == document["kept_experts"]
        before, after = read(tmp_path / f"plain-{kind}"), read(tmp_path / f"nested-{kind}")
        assert after.keys() == {f"language_model.{key}" for key in before} | tower.keys()
        for key, values in before.items():
            np.testing.assert_array_equal(after[f"language_model.{key}"], values)
        assert config_of(tmp_path / f"nested-{kind}") == outer | {part: config_of(tmp_path / f"plain-{kind}")}
