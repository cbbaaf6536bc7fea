"""The checkpoints that a study's servers of pruned models load: made once, before the first server starts."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from loadgen.checkpoints.card import FILE
from loadgen.checkpoints.prune import prune
from loadgen.errors import UsageError
from loadgen.experiments.events import CheckpointPruning, OnEvent
from loadgen.study.pruned import PrunedCheckpoint


def make_checkpoints(checkpoints: Iterable[PrunedCheckpoint | None], on_event: OnEvent) -> None:
    """Prune each checkpoint to its own folder, unless that was done since the source was written.

    Raises UsageError for one that cannot be made.
    """
    for checkpoint in dict.fromkeys(each for each in checkpoints if each is not None):
        if _is_there(checkpoint):
            continue
        if checkpoint.target.exists():
            shutil.rmtree(checkpoint.target)
        on_event(CheckpointPruning(checkpoint.source, checkpoint.target))
        prune(checkpoint.source, checkpoint.target, checkpoint.pruning)


def _is_there(checkpoint: PrunedCheckpoint) -> bool:
    """Whether the folder was made of the source as it is now. Raises UsageError for a folder that is something else."""
    card = checkpoint.target / FILE
    if not checkpoint.target.exists():
        return False
    try:
        made = json.loads(card.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(f"{checkpoint.target} is no checkpoint that loadgen has pruned; move it away") from None
    pruning = checkpoint.pruning
    is_alike = (made.get("kind"), made.get("ratio"), made.get("rule")) == (pruning.kind, pruning.ratio, pruning.rule)
    return is_alike and _newest_s(checkpoint.source) <= card.stat().st_mtime


def _newest_s(folder: Path) -> float:
    return max(path.stat().st_mtime for path in folder.iterdir())
