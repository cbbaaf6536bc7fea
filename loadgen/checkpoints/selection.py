"""What stays of a pruned model: experts (inter) or columns of experts (intra), chosen by a rule.

frequency: the experts that most tokens went to. norm: the largest L2 norm, of an expert over its three matrices, of a column over
its row of gate, its row of up and its column of down. random: by a seed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loadgen.checkpoints.layouts import Owner, Part
from loadgen.checkpoints.moe_layers import MoeCheckpoint
from loadgen.checkpoints.norms import scale_of, squared_norms
from loadgen.checkpoints.shard import ELEMENT_BYTES, Tensor
from loadgen.checkpoints.sizes import columns_left, experts_left
from loadgen.errors import UsageError
from loadgen.moe.expert_counts import ExpertCounts
from loadgen.moe.models import known_as

Kind = Literal["inter", "intra"]
Rule = Literal["frequency", "norm", "random"]
Scores = NDArray[np.float64]

_SHARED = -1  # among the columns of a layer, those of the shared experts


@dataclass(frozen=True, slots=True)
class Pruning:
    """What is asked: of all experts (inter), or of the columns of each (intra), `ratio` is removed."""

    kind: Kind
    ratio: float
    rule: Rule
    seed: int = 0
    counts: ExpertCounts | None = None

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise UsageError(f"--{self.kind} is a share between 0 and 1, such as 0.25, not {self.ratio:g}")
        if self.kind == "inter" and self.rule == "frequency" and self.counts is None:
            raise UsageError(
                "--rule frequency needs --counts FILE, what `loadgen moe experts` wrote; or take --rule norm"
            )
        if self.counts is not None and self.rule != "frequency":
            raise UsageError(f"--counts is for --rule frequency, not for --rule {self.rule}; leave one of them out")
        if self.counts is not None and not self.counts.tokens:
            raise UsageError("the counts of --counts are of 0 tokens; count experts over a workload first")


@dataclass(frozen=True, slots=True)
class PrunedSelection:
    """What stays, in ascending order: by layer the experts, or by layer and expert the columns.

    The same number of them stay in every layer and expert: `experts` and `ffn_size`.
    """

    experts: int
    ffn_size: int
    kept_experts: Mapping[int, NDArray[np.int64]] = field(default_factory=dict)
    kept_columns: Mapping[tuple[int, int], NDArray[np.int64]] = field(default_factory=dict)

    def columns(self, layer: int, owner: Owner) -> NDArray[np.int64]:
        """The columns that stay of an expert, or of the shared experts."""
        return self.kept_columns[layer, owner if isinstance(owner, int) else _SHARED]


def select(moe: MoeCheckpoint, pruning: Pruning, say: Callable[[str], None] = lambda line: None) -> PrunedSelection:
    """Choose what stays. `say` gets a line for each layer whose norms are computed.

    Raises UsageError for a ratio that leaves too little or removes nothing, or counts of another model.
    """
    if pruning.counts is not None:
        _check_counts(moe, pruning.counts)
    layers = _announced(moe, pruning, say)
    if pruning.kind == "inter":
        kept = _experts_that_stay(moe, pruning.ratio)
        experts = {layer: _best(_expert_scores(moe, pruning, layer), kept, moe.groups) for layer in layers}
        return PrunedSelection(kept, moe.experts.ffn_size, kept_experts=experts)
    kept = _columns_that_stay(moe, pruning.ratio)
    columns = {
        (layer, expert): _best(scores, kept * len(scores) // moe.experts.ffn_size)
        for layer in layers
        for expert, scores in _column_scores(moe, pruning, layer).items()
    }
    return PrunedSelection(moe.experts.experts, kept, kept_columns=columns)


def _announced(moe: MoeCheckpoint, pruning: Pruning, say: Callable[[str], None]) -> Iterator[int]:
    """The layers in order; `say` hears of each before its weights are read, which takes seconds in large models."""
    for number, layer in enumerate(moe.layers, 1):
        if _reads_weights(pruning, layer):
            say(f"computing the norms of layer {layer} ({number} of {len(moe.layers)})")
        yield layer


def _reads_weights(pruning: Pruning, layer: int) -> bool:
    if pruning.kind == "inter" and pruning.rule == "frequency":
        return pruning.counts is None or layer not in pruning.counts.layers
    return pruning.rule != "random"


def _experts_that_stay(moe: MoeCheckpoint, ratio: float) -> int:
    experts, top_k, groups = moe.experts.experts, moe.experts.top_k, moe.groups
    kept = experts_left(experts, ratio, groups=groups)
    in_reach = kept * moe.groups_per_token // groups
    if in_reach < top_k or (moe.experts.router_bias and kept < 2 * groups):  # a group is chosen by its best two
        of_groups = (
            "" if groups == 1 else f", of which a token reaches {in_reach} in {moe.groups_per_token} of {groups} groups"
        )
        raise UsageError(
            f"inter-pruning of {ratio:g} leaves {kept} of {experts} experts{of_groups}, and each token passes {top_k}; "
            "remove fewer"
        )
    return kept


def _columns_that_stay(moe: MoeCheckpoint, ratio: float) -> int:
    tensors = (tensor for parts in moe.layers.values() for place, tensor in parts if place.owner != "router")
    smallest = min(ELEMENT_BYTES[tensor.dtype] for tensor in tensors)
    return columns_left(moe.experts.ffn_size, ratio, element_bytes=smallest)


def _best(scores: Scores, kept: int, groups: int = 1) -> NDArray[np.int64]:
    """The `kept` with the highest scores, as many of each group; of equal ones the first."""
    size = len(scores) // groups
    order = np.argsort(-scores.reshape(groups, size), axis=1, kind="stable")[:, : kept // groups]
    return np.sort((order + np.arange(groups)[:, None] * size).reshape(-1))


def _check_counts(moe: MoeCheckpoint, counts: ExpertCounts) -> None:
    """Refuse counts that another model made, as far as can be seen."""
    ours = moe.checkpoint.name
    if known_as(counts.model) != known_as(ours):
        raise UsageError(
            f"the counts are of the model {counts.model}, and the checkpoint is {ours}; count its own experts, or give the "
            "checkpoint a link with that name if they are the same"
        )
    layers, experts = set(counts.layers), counts.experts
    if (
        experts != moe.experts.experts
        or counts.experts_per_token != moe.experts.top_k
        or set(moe.experts.layers) != layers
    ):
        raise UsageError(
            f"the counts are of {experts} experts in {len(layers)} layers, {counts.experts_per_token} for each token, and {ours} "
            f"has {moe.experts.experts} in {len(moe.experts.layers)}, {moe.experts.top_k} for each token; count its own experts"
        )


def _expert_scores(moe: MoeCheckpoint, pruning: Pruning, layer: int) -> Scores:
    if pruning.rule == "random":
        return np.random.default_rng([pruning.seed, layer]).random(moe.experts.experts)
    if pruning.rule == "frequency" and pruning.counts is not None and layer in pruning.counts.layers:
        return pruning.counts.of_layer(layer).astype(np.float64)
    scores = _squares(moe, layer)
    return np.array([scores[expert].sum() for expert in range(moe.experts.experts)])


def _column_scores(moe: MoeCheckpoint, pruning: Pruning, layer: int) -> dict[int, Scores]:
    """By expert, and of shared experts whose size is that of the others."""
    if pruning.rule != "random":
        return _squares(moe, layer)
    sizes = dict.fromkeys(range(moe.experts.experts), moe.experts.ffn_size)
    if "shared" in moe.owners(layer):
        sizes[_SHARED] = moe.experts.shared_ffn_size
    rng = np.random.default_rng([pruning.seed, layer])
    return {expert: rng.random(size) for expert, size in sizes.items()}


def _squares(moe: MoeCheckpoint, layer: int) -> dict[int, Scores]:
    """The squared norm of each column of each expert: of its row of gate, its row of up and its column of down."""
    owners = moe.owners(layer)
    found = {}
    for expert in range(moe.experts.experts):
        weights = moe.weights(layer, "all" if "all" in owners else expert)
        if "all" in owners:
            found[expert] = _squares_of_joined(weights, expert)
        else:
            found[expert] = _squares_of(moe, weights, moe.scales(layer, expert))
    if "shared" in owners:
        found[_SHARED] = _squares_of(moe, moe.weights(layer, "shared"), moe.scales(layer, "shared"))
    return found


def _squares_of(moe: MoeCheckpoint, weights: Mapping[Part, Tensor], scales: Mapping[Part, Tensor]) -> Scores:
    if len(weights) < 3:
        raise UsageError(
            f"the weights of {moe.checkpoint.folder} are packed and have no norm here; take the rule random"
        )
    found = np.zeros(weights["down"].shape[1])
    for part, tensor in weights.items():
        scale = scale_of(scales[part], tensor.shape, moe.scale_block) if part in scales else None
        found += squared_norms(tensor, tensor.raw(), axis=0 if part == "down" else 1, scale=scale)
    return found


def _squares_of_joined(weights: Mapping[Part, Tensor], expert: int) -> Scores:
    """Of one expert where a tensor has all of them."""
    gate_up, down = weights["gate_up"], weights["down"]
    both = squared_norms(gate_up, gate_up.raw()[expert], axis=1).reshape(2, -1).sum(axis=0)
    return np.asarray(both + squared_norms(down, down.raw()[expert], axis=0))
