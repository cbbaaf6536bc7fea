"""Pruning of a checkpoint, shard by shard: memory is bounded by the largest tensor, not by the checkpoint."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadgen.checkpoints import card
from loadgen.checkpoints.checkpoint import CONFIGURATION, INDEX, index_of, read_checkpoint
from loadgen.checkpoints.moe_layers import MoeCheckpoint, read_moe
from loadgen.checkpoints.new_folder import new_folder
from loadgen.checkpoints.selection import Pruning, Selection, select
from loadgen.checkpoints.shard import NewTensor, header_of, write_shard
from loadgen.checkpoints.slicing import sliced


@dataclass(frozen=True, slots=True)
class _NewShard:
    name: str
    metadata: dict[str, str]
    tensors: tuple[NewTensor, ...]

    @property
    def size_bytes(self) -> int:
        return len(header_of(self.metadata, self.tensors)) + self.weight_bytes

    @property
    def weight_bytes(self) -> int:
        return sum(tensor.size_bytes for tensor in self.tensors)


def prune(
    folder: Path, target: Path, pruning: Pruning, say: Callable[[str], None] = lambda line: None
) -> card.PruningDocument:
    """Write the checkpoint in `folder`, pruned, to the new folder `target`, and return what was done.

    `say` gets a line for each shard. Raises UsageError for a checkpoint that cannot be pruned so, or a folder that cannot be
    written; `target` is then not there.
    """
    checkpoint = read_checkpoint(folder)
    moe = read_moe(checkpoint)
    selection = select(moe, pruning)
    shards = _new_shards(moe, pruning, selection)
    document = card.document_of(moe, pruning, selection, sum(shard.weight_bytes for shard in shards))
    others = list(checkpoint.other_files())
    size_bytes = sum(shard.size_bytes for shard in shards) + sum((folder / path).stat().st_size for path in others)
    with new_folder(target, size_bytes) as part:
        for number, shard in enumerate(shards, 1):
            say(f"writing {shard.name} ({number} of {len(shards)}), {shard.size_bytes / 1e6:,.1f} MB")
            write_shard(part / shard.name, shard.metadata, shard.tensors)
        if checkpoint.is_indexed:
            (part / INDEX).write_text(_index(shards), encoding="utf-8")
        for path in others:
            (part / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / path, part / path)
        (part / CONFIGURATION).write_text(_configuration(moe, selection), encoding="utf-8")
        (part / card.FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        (part / "README.md").write_text(card.readme_of(document, card.summary_lines(document)), encoding="utf-8")
    return document


def _new_shards(moe: MoeCheckpoint, pruning: Pruning, selection: Selection) -> list[_NewShard]:
    """The shards to write, named as before; one from which all experts are gone is not written."""
    found = []
    for shard in moe.checkpoint.shards:
        made = (sliced(moe, pruning.kind, selection, tensor) for tensor in shard.tensors)
        tensors = tuple(tensor for tensor in made if tensor is not None)
        if tensors:
            found.append(_NewShard(shard.path.name, dict(shard.metadata), tensors))
    return found


def _index(shards: Sequence[_NewShard]) -> str:
    return index_of({tensor.name: (shard.name, tensor.size_bytes) for shard in shards for tensor in shard.tensors})


def _configuration(moe: MoeCheckpoint, selection: Selection) -> str:
    """The configuration with as many experts, of such a size, as the pruned checkpoint has."""
    config = dict(moe.checkpoint.config)
    for key in moe.layout.experts_keys:
        if key in config:
            config[key] = selection.experts
    config[moe.layout.ffn_key] = selection.ffn_size
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"
