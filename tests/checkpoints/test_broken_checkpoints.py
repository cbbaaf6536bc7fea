"""A checkpoint that is broken, or not one to prune: one sentence that names the file, and nothing left behind."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from loadgen.checkpoints.prune import prune
from loadgen.checkpoints.selection import Pruning
from loadgen.checkpoints.shard import read_shard
from loadgen.errors import UsageError
from tests.checkpoints.small_checkpoints import MIXTRAL, SMALL, file_of, tensors_of, write

SHARD = "model-00002-of-00003.safetensors"
EXPERT = "model.layers.1.block_sparse_moe.experts.5.w2.weight"


def rewritten(path: Path, change: Callable[[dict[str, dict[str, list[int]]]], object]) -> None:
    """Change the header of a file, and nothing else of it."""
    content = path.read_bytes()
    size = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:size])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[size:])


def without(folder: Path, name: str) -> None:
    tensors = tensors_of(MIXTRAL)
    del tensors[name]
    (folder / "model.safetensors").write_bytes(file_of(tensors))


def overlapping(header: dict[str, dict[str, list[int]]]) -> None:
    names = [name for name in header if name != "__metadata__"]
    header[names[1]]["data_offsets"] = header[names[0]]["data_offsets"]
    header[names[1]]["shape"] = header[names[0]]["shape"]


def of_shape(name: str, shape: list[int]) -> Callable[[dict[str, dict[str, list[int]]]], None]:
    def change(header: dict[str, dict[str, list[int]]]) -> None:
        header[name]["shape"] = shape

    return change


def configured(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def in_both(folder: Path) -> None:
    (folder / "a.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors").rename(folder / "b.safetensors")


SINGLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "has no config.json that can be read: No such"),
    "a configuration that is no object": (lambda folder: (folder / "config.json").write_text("[1"), "config.json is not a JSON object"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "has no safetensors; only checkpoints in that format"),
    "a dense model": (lambda folder: configured(folder, model_type="llama"), "models of the family 'llama' cannot be pruned here"),
    "a missing size": (lambda folder: configured(folder, num_local_experts=None), "config.json: the configuration of a mixtral model has None for `num_local_experts`"),
    "more experts in the configuration": (lambda folder: configured(folder, num_local_experts=9), "lacks the gate matrix of expert 8 in layer 0"),
    "fewer experts in the configuration": (lambda folder: configured(folder, num_local_experts=4), "model.safetensors has model.layers.0.block_sparse_moe.gate.weight of shape [8, 16], and by config.json it is [4, 16]"),
    "another size in the configuration": (lambda folder: configured(folder, intermediate_size=64), "experts.0.w1.weight of shape [32, 16], and by config.json it is [64, 16]"),
    "a lost tensor": (lambda folder: without(folder, EXPERT), "lacks the down matrix of expert 5 in layer 1"),
    "a lost router": (lambda folder: without(folder, "model.layers.0.block_sparse_moe.gate.weight"), "lacks a router in layer 0"),
    "an empty file": (lambda folder: (folder / "model.safetensors").write_bytes(b""), "model.safetensors is no safetensors file, or is cut short in its header"),
    "a page of HTML": (lambda folder: (folder / "model.safetensors").write_bytes(b"<!doctype html>" * 9), "model.safetensors is no safetensors file, or is cut short in its header"),
    "half a file": (lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100]), "model.safetensors is cut short: model.layers.1"),
    "a header of text": (lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 4) + b"{{{{"), "model.safetensors has a header that is not a JSON object"),
    "a header of something else": (lambda folder: (folder / "model.safetensors").write_bytes(struct.pack("<Q", 8) + b'{"a":{}}'), "model.safetensors has a header that cannot be read: a.dtype is missing"),
    "overlapping tensors": (lambda folder: rewritten(folder / "model.safetensors", overlapping), "model.safetensors is damaged: the bytes of "),
    "a shape of another size": (lambda folder: rewritten(folder / "model.safetensors", of_shape(EXPERT, [16, 31])), f"model.safetensors is damaged: {EXPERT} of shape [16, 31] takes 992 bytes and has 1,024"),
    "a shape turned round": (lambda folder: rewritten(folder / "model.safetensors", of_shape(EXPERT, [32, 16])), f"model.safetensors has {EXPERT} of shape [32, 16], and by config.json it is [16, 32]"),
    "an unknown type": (lambda folder: rewritten(folder / "model.safetensors", lambda header: header[EXPERT].update(dtype="F4")), "model.safetensors has elements of type F4 in model.layers.1"),  # type: ignore[call-overload]
    "the same tensors twice": (in_both, "model.embed_tokens.weight is in a.safetensors and in b.safetensors"),
}  # fmt: skip

SHARDED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing shard": (lambda folder: (folder / SHARD).unlink(), f"lacks the shard {SHARD}, which model.safetensors.index.json names"),
    "a tensor that is elsewhere": (lambda folder: (folder / SHARD).write_bytes(file_of({})), f"{SHARD} lacks model.layers.0.self_attn.o_proj.weight"),
    "an index of something else": (lambda folder: (folder / "model.safetensors.index.json").write_text("{}"), "model.safetensors.index.json cannot be read as an index"),
    "a shard outside the folder": (lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../b"}}'), "names the shard ../b, which is no file of its folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", [*SINGLE, *SHARDED])
def test_one_sentence_names_what_is_broken(name: str, tmp_path: Path) -> None:
    damage, sentence = {**SINGLE, **SHARDED}[name]
    source = write(tmp_path / "source", shards=3 if name in SHARDED else 1)
    damage(source)
    with pytest.raises(UsageError) as refused:
        prune(source, tmp_path / "pruned", Pruning("inter", 0.5, "norm"))
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere; name the local folder of a checkpoint"):
        prune(tmp_path / "nowhere", tmp_path / "pruned", Pruning("inter", 0.5, "norm"))


def test_a_qwen_without_sparse_layers(tmp_path: Path) -> None:
    source = write(tmp_path / "source", SMALL["qwen3_moe"], mlp_only_layers=[0, 1])
    with pytest.raises(UsageError, match="source has no experts: no layer of it is sparse"):
        prune(source, tmp_path / "pruned", Pruning("inter", 0.5, "norm"))


def test_every_byte_of_a_header_may_be_wrong(tmp_path: Path) -> None:
    """Whatever stands there, the answer is a sentence or a header, never another failure."""
    content = file_of({name: values for name, values in tensors_of(MIXTRAL).items() if "layers" not in name})
    path = tmp_path / "model.safetensors"
    refused = []
    for at in range(160):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x15]) + content[at + 1 :])
        try:
            read_shard(path)
        except UsageError as error:
            refused.append(str(error))
    assert len(refused) > 40
    assert all(str(path) in sentence for sentence in refused)
