"""Servers of pruned models: the configuration that they have, and the checkpoint that is made for them."""

from dataclasses import dataclass
from pathlib import Path

from loadgen.checkpoints.layouts import layout_of
from loadgen.checkpoints.selection import Pruning
from loadgen.checkpoints.sizes import columns_left, experts_left
from loadgen.errors import UsageError
from loadgen.moe.architecture import Architecture

PRUNED_FOLDER = ".pruned-models"
"""Where checkpoints are that studies make, in the working directory."""

_BF16_BYTES = 2  # the precision of every checkpoint that is served without its own weights


@dataclass(frozen=True, slots=True)
class PrunedCheckpoint:
    """A checkpoint that is made before its server is started."""

    source: Path
    pruning: Pruning

    @property
    def target(self) -> Path:
        """`.pruned-models/tiny-olmoe-inter-0.5-norm`."""
        of_rule = f"random-{self.pruning.seed}" if self.pruning.rule == "random" else self.pruning.rule
        return Path(PRUNED_FOLDER) / f"{self.source.name}-{self.pruning.kind}-{self.pruning.ratio:g}-{of_rule}"


def pruned_configuration(architecture: Architecture | None, pruning: Pruning) -> dict[str, int]:
    """Return the keys of a model's configuration that pruning changes. Raises UsageError if it cannot be pruned so."""
    if architecture is None or architecture.experts is None:
        raise UsageError("a model without experts that are known here cannot be pruned")
    layout, experts = layout_of({"model_type": architecture.family}), architecture.experts
    if pruning.kind == "intra":
        return {layout.ffn_key: columns_left(experts.ffn_size, pruning.ratio, element_bytes=_BF16_BYTES)}
    return {layout.experts_keys[0]: experts_left(experts.experts, pruning.ratio)}
