"""The layers of a checkpoint that have experts: their tensors, found by name and checked against the configuration."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loadgen.checkpoints.checkpoint import CONFIGURATION, Checkpoint
from loadgen.checkpoints.layouts import Layout, Owner, Part, TensorPlace, layout_of
from loadgen.checkpoints.shard import Tensor
from loadgen.errors import ModelError, UsageError
from loadgen.moe.architecture import Experts
from loadgen.moe.context import language_part
from loadgen.moe.families import architecture

_BLOCK = (128, 128)  # DeepSeek-V3's


@dataclass(frozen=True, slots=True)
class MoeCheckpoint:
    """A checkpoint with experts; a layer that predicts further tokens (DeepSeek-V3) follows those of the model."""

    checkpoint: Checkpoint
    layout: Layout
    experts: Experts
    hidden_size: int
    groups: int  # of equally many experts each, of which a token's experts come from `groups_per_token`
    groups_per_token: int
    layers: Mapping[int, tuple[tuple[TensorPlace, Tensor], ...]]  # what pruning may change, by layer

    def weights(self, layer: int, owner: Owner) -> dict[Part, Tensor]:
        """The matrices of an expert, of the shared experts, or of all experts of a layer together."""
        return {place.part: tensor for place, tensor in self.layers[layer] if place.owner == owner and place.is_weight}

    def scales(self, layer: int, owner: Owner) -> dict[Part, Tensor]:
        """What quantised matrices of an expert are to be multiplied by."""
        parts = self.layers[layer]
        return {place.part: tensor for place, tensor in parts if place.owner == owner and place.is_scale}

    @property
    def scale_block(self) -> tuple[int, int]:
        """The rows and columns of a matrix that have a scale of their own, where it is quantised in blocks."""
        quantisation = self.checkpoint.config.get("quantization_config")
        said = quantisation.get("weight_block_size") if isinstance(quantisation, Mapping) else None
        sizes = [size for size in said if isinstance(size, int) and size > 0] if isinstance(said, list) else []
        return (sizes[0], sizes[1]) if len(sizes) == 2 else _BLOCK

    def owners(self, layer: int) -> set[Owner]:
        """Whose tensors a layer has."""
        return {place.owner for place, _ in self.layers[layer]}


def read_moe(checkpoint: Checkpoint) -> MoeCheckpoint:
    """Find the experts of a checkpoint. Raises UsageError if it has none, or if a tensor is missing or of another shape."""
    layout = layout_of(checkpoint.config)
    try:
        sizes = architecture(checkpoint.config)
    except ModelError as error:
        text = str(error).removesuffix(".")
        raise UsageError(f"{checkpoint.folder / CONFIGURATION}: {text[:1].lower()}{text[1:]}") from None
    if sizes.experts is None:
        raise UsageError(f"{checkpoint.folder} has no experts: no layer of it is sparse; name a model that has some")
    groups, groups_per_token = _groups(checkpoint, sizes.experts.experts)
    layers = _layers(checkpoint, layout)
    found = MoeCheckpoint(checkpoint, layout, sizes.experts, sizes.hidden_size, groups, groups_per_token, layers)
    for layer in sorted({*sizes.experts.layers, *layers}):
        _check_layer(found, layer)
    return found


def _groups(checkpoint: Checkpoint, experts: int) -> tuple[int, int]:
    """In how many groups the experts are, and of how many of them a token's come."""
    language = language_part(checkpoint.config)
    groups, reached = (language.get(key) or 1 for key in ("n_group", "topk_group"))
    if not isinstance(groups, int) or not isinstance(reached, int) or not 0 < reached <= groups or experts % groups:
        raise UsageError(
            f"{checkpoint.folder / CONFIGURATION} has {experts} experts in {groups!r} groups, of which a token reaches {reached!r}"
        )
    return groups, reached


def _layers(checkpoint: Checkpoint, layout: Layout) -> dict[int, tuple[tuple[TensorPlace, Tensor], ...]]:
    found: dict[int, list[tuple[TensorPlace, Tensor]]] = {}
    for name, tensor in checkpoint.tensors.items():
        if (place := layout.place_of(name)) is not None:
            found.setdefault(place.layer, []).append((place, tensor))
    return {layer: tuple(found[layer]) for layer in sorted(found)}


def _check_layer(moe: MoeCheckpoint, layer: int) -> None:
    """Refuse a layer that lacks a part of an expert, or has one of another shape than the configuration says."""
    parts = {(place.owner, place.part) for place, _ in moe.layers.get(layer, ())}
    lacking = next((each for each in _needed(moe, "all" in {owner for owner, _ in parts}) if each not in parts), None)
    if lacking is not None:
        owner, part = lacking
        what = "a router" if owner == "router" else f"the {part} matrix of {_named(owner)}"
        raise UsageError(
            f"{moe.checkpoint.folder} lacks {what} in layer {layer}, which {CONFIGURATION} has; download it again"
        )
    for place, tensor in moe.layers[layer]:
        expected = _shape(moe, place)
        if expected is not None and tensor.shape != expected:
            raise UsageError(
                f"{tensor.path} has {tensor.name} of shape {list(tensor.shape)}, and by {CONFIGURATION} it is "
                f"{list(expected)}; take both from the same model"
            )
        if isinstance(place.owner, int) and place.owner >= moe.experts.experts:
            raise UsageError(
                f"{tensor.path} has {tensor.name}, and {CONFIGURATION} has {moe.experts.experts} experts; "
                "take both from the same model"
            )


def _needed(moe: MoeCheckpoint, is_joined: bool) -> Iterator[tuple[Owner, Part]]:
    yield "router", "router"
    if is_joined:
        yield from (("all", "gate_up"), ("all", "down"))
        return
    for expert in range(moe.experts.experts):
        yield from ((expert, "gate"), (expert, "up"), (expert, "down"))


def _named(owner: Owner) -> str:
    return f"expert {owner}" if isinstance(owner, int) else f"{owner} experts"


def _shape(moe: MoeCheckpoint, place: TensorPlace) -> tuple[int, ...] | None:
    """The shape of a matrix by the configuration; None for what is no matrix (a scale, a bias, packed weights)."""
    if not place.is_weight:
        return None
    experts, ffn, hidden = moe.experts.experts, moe.experts.ffn_size, moe.hidden_size
    if place.owner == "shared":
        ffn = moe.experts.shared_ffn_size
    if place.owner == "all":
        return (experts, 2 * ffn, hidden) if place.part == "gate_up" else (experts, hidden, ffn)
    return {"router": (experts, hidden), "down": (hidden, ffn)}.get(place.part, (ffn, hidden))
