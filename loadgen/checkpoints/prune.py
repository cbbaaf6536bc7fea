"""Pruning of a checkpoint into a new folder, shard by shard: memory is bounded by the largest tensor, not by the checkpoint."""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loadgen.checkpoints import card
from loadgen.checkpoints.checkpoint import CONFIGURATION, INDEX, index_of, read_checkpoint
from loadgen.checkpoints.layouts import TensorPlace
from loadgen.checkpoints.moe_layers import MoeCheckpoint, read_moe
from loadgen.checkpoints.selection import Kind, PrunedSelection, Pruning, select
from loadgen.checkpoints.shard import NewTensor, Raw, Tensor, copied, header_of, write_shard
from loadgen.errors import UsageError
from loadgen.moe.context import language_keys


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
    _check_new(target)  # before the norms, which take minutes
    selection = select(moe, pruning, say)
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


def _new_shards(moe: MoeCheckpoint, pruning: Pruning, selection: PrunedSelection) -> list[_NewShard]:
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


def _configuration(moe: MoeCheckpoint, selection: PrunedSelection) -> str:
    """The configuration with as many experts, of such a size, as the pruned checkpoint has."""
    config = dict(moe.checkpoint.config)
    part = config
    for key in language_keys(config):
        inner = part[key]
        assert isinstance(inner, Mapping)
        part[key] = part = dict(inner)
    for key in moe.layout.experts_keys:
        if key in part:
            part[key] = selection.experts
    part[moe.layout.ffn_key] = selection.ffn_size
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def new_folder(target: Path, size_bytes: int) -> Iterator[Path]:
    """Yield an empty folder next to `target`, which takes that name when the block ends, and is removed if it fails.

    Raises UsageError, before anything is written, if `target` exists or the disk has less room than `size_bytes`; and if it
    cannot be written to.
    """
    part = _check_new(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise _unwritable(target, error) from None
    if free < size_bytes:
        raise UsageError(
            f"{target} takes {size_bytes / 1e6:,.1f} MB and the disk has {free / 1e6:,.1f} MB free; free some, or name "
            "a folder on another disk"
        )
    try:
        part.mkdir()
    except FileExistsError:
        raise _in_use(part) from None
    except OSError as error:
        raise _unwritable(target, error) from None
    try:
        yield part
        part.rename(target)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            raise _unwritable(target, error) from None
        raise


def _check_new(target: Path) -> Path:
    """Return the folder to write to before it takes the name `target`. Raises UsageError if one of them, or no way to it, is there."""
    part = target.with_name(f"{target.name}.part")
    if target.is_symlink() or target.exists():
        raise UsageError(f"{target} exists; name a new folder")
    if part.exists():
        raise _in_use(part)
    if any(parent.is_file() for parent in target.parents):
        raise _unwritable(target, NotADirectoryError())
    if not os.access(next(parent for parent in target.absolute().parents if parent.exists()), os.W_OK):
        raise _unwritable(target, PermissionError(errno.EACCES, "no permission"))
    return part


def _in_use(part: Path) -> UsageError:
    return UsageError(f"{part} exists: another command writes to it, or one was killed; if none does, remove it")


def _unwritable(target: Path, error: OSError) -> UsageError:
    why = error.strerror or str(error)
    if isinstance(error, FileExistsError | NotADirectoryError):
        file = next((parent for parent in target.parents if parent.is_file()), target.parent)
        why = f"{file} is a file"
    return UsageError(f"{target} cannot be written: {why}; name another folder")


Indices = NDArray[np.int64]


def sliced(moe: MoeCheckpoint, kind: Kind, selection: PrunedSelection, tensor: Tensor) -> NewTensor | None:
    """Return what becomes of a tensor; None if its expert is removed. Raises UsageError for one that cannot be cut."""
    place = moe.layout.place_of(tensor.name)
    if place is None:
        return copied(tensor, tensor.name)
    if kind == "inter":
        return _without_experts(place, tensor, selection.kept_experts[place.layer])
    return _without_columns(moe, place, tensor, selection)


def _without_experts(place: TensorPlace, tensor: Tensor, kept: Indices) -> NewTensor | None:
    if place.owner == "shared":
        return copied(tensor, tensor.name)
    if place.owner in ("router", "all"):
        return _taken(tensor, kept, axis=0)
    at = np.flatnonzero(kept == place.owner)
    return copied(tensor, f"{place.head}{at[0]}{place.tail}") if len(at) else None


def _without_columns(moe: MoeCheckpoint, place: TensorPlace, tensor: Tensor, selection: PrunedSelection) -> NewTensor:
    if place.owner == "router":
        return copied(tensor, tensor.name)
    if place.owner == "all":
        return _columns_of_all(moe, place, tensor, selection)
    ffn = moe.experts.shared_ffn_size if place.owner == "shared" else moe.experts.ffn_size
    columns = selection.columns(place.layer, place.owner)
    if place.part != "down" and tensor.shape[:1] == (ffn,):
        return _taken(tensor, columns, axis=0)
    if place.part == "down" and len(tensor.shape) == 2 and tensor.shape[1] == ffn:
        return _taken(tensor, columns, axis=1)
    is_whole = len(tensor.shape) < 2 or tensor.shape[1] == 1  # a scale of the matrix or of its rows, a bias
    if tensor.shape in ((), (1,)) or (place.part == "down" and is_whole):
        return copied(tensor, tensor.name)
    raise UsageError(
        f"{tensor.path} has {tensor.name} of shape {list(tensor.shape)}, which is quantised in blocks or packed, so that no "
        "column can be taken out of it; use --inter, or a checkpoint in bf16"
    )


def _columns_of_all(moe: MoeCheckpoint, place: TensorPlace, tensor: Tensor, selection: PrunedSelection) -> NewTensor:
    """Cut a tensor of all experts of a layer: rows of [experts, gate and up, hidden], columns of [experts, hidden, ffn]."""
    if not place.is_weight:
        raise UsageError(f"{tensor.path} has {tensor.name}, from which no column can be taken out; use --inter")
    ffn, kept = moe.experts.ffn_size, selection.ffn_size
    experts, rows, columns = tensor.shape
    shape = (experts, 2 * kept, columns) if place.part == "gate_up" else (experts, rows, kept)

    def pieces() -> Iterator[Raw]:
        raw = tensor.raw()
        for expert in range(experts):
            chosen = selection.columns(place.layer, expert)
            yield (
                raw[expert][np.concatenate((chosen, chosen + ffn))]
                if place.part == "gate_up"
                else raw[expert][:, chosen]
            )

    return NewTensor(tensor.name, tensor.dtype, shape, pieces)


def _taken(tensor: Tensor, kept: Indices, *, axis: int) -> NewTensor:
    shape = (*tensor.shape[:axis], len(kept), *tensor.shape[axis + 1 :])
    return NewTensor(tensor.name, tensor.dtype, shape, partial(_pieces_taken, tensor, kept, axis))


def _pieces_taken(tensor: Tensor, kept: Indices, axis: int) -> Iterator[Raw]:
    yield np.take(tensor.raw(), kept, axis=axis)
