"""The tensors of a pruned checkpoint: each as it is, renamed, cut, or left out."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from loadgen.checkpoints.layouts import Place
from loadgen.checkpoints.moe_layers import MoeCheckpoint
from loadgen.checkpoints.selection import Kind, Selection
from loadgen.checkpoints.shard import NewTensor, Raw, Tensor, copied
from loadgen.errors import UsageError

Indices = NDArray[np.int64]


def sliced(moe: MoeCheckpoint, kind: Kind, selection: Selection, tensor: Tensor) -> NewTensor | None:
    """Return what becomes of a tensor; None if its expert is removed. Raises UsageError for one that cannot be cut."""
    place = moe.layout.place_of(tensor.name)
    if place is None:
        return copied(tensor, tensor.name)
    if kind == "inter":
        return _without_experts(place, tensor, selection.kept_experts[place.layer])
    return _without_columns(moe, place, tensor, selection)


def _without_experts(place: Place, tensor: Tensor, kept: Indices) -> NewTensor | None:
    if place.owner == "shared":
        return copied(tensor, tensor.name)
    if place.owner in ("router", "all"):
        return _taken(tensor, kept, axis=0)
    at = np.flatnonzero(kept == place.owner)
    return copied(tensor, f"{place.head}{at[0]}{place.tail}") if len(at) else None


def _without_columns(moe: MoeCheckpoint, place: Place, tensor: Tensor, selection: Selection) -> NewTensor:
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


def _columns_of_all(moe: MoeCheckpoint, place: Place, tensor: Tensor, selection: Selection) -> NewTensor:
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
