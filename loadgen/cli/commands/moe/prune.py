"""`loadgen moe prune`: a checkpoint with fewer experts, or with smaller ones."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from loadgen.cli.console.terminal import Terminal, echo, show_json
from loadgen.cli.flags import options
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from loadgen.checkpoints.selection import Pruning

Rule = Literal["frequency", "norm", "random"]
CheckpointFolder = Annotated[
    str, typer.Argument(metavar="CHECKPOINT", help="The folder of the checkpoint, in safetensors.", show_default=False)
]
_FLAGS = (
    Flag("output", "DIR", "The new folder of the pruned checkpoint.", type=Path | None, short="-o"),
    Flag("inter", "RATIO", "Remove this share of the experts of each layer.", type=float | None),
    Flag("intra", "RATIO", "Remove this share of the columns of each expert.", type=float | None),
    Flag("rule", "NAME", "What stays: frequency (by --counts), norm (largest L2 norm), random (by --seed).", type=Rule, default="norm"),
    Flag("counts", "FILE", "Counts of experts, as `loadgen moe experts` writes them, for --rule frequency.", type=Path | None),
    Flag("seed", "N", "Seed of --rule random.", type=int | None),
)  # fmt: skip


@command(_FLAGS, takes_db=False)
def prune(
    terminal: Terminal,
    checkpoint: CheckpointFolder,
    *,
    output: Path | None,
    as_json: options.Json = False,
    **keys: Any,
) -> None:
    """Remove experts of a checkpoint, or columns of each expert, without training. Needs no GPU.

    For example: loadgen moe prune Mixtral-8x7B-v0.1 -o mixtral-inter50 --inter 0.5
    """
    from loadgen.checkpoints.card import summary_lines
    from loadgen.checkpoints.prune import prune as prune_checkpoint

    if not checkpoint:
        raise UsageError("CHECKPOINT is empty; name the folder of the checkpoint")
    if output is None or output == Path():  # Path("") is the working directory
        raise UsageError("-o DIR is missing: the new folder of the pruned checkpoint")
    pruning = _pruning(**keys)
    with _ended_as_by_ctrl_c():
        document = prune_checkpoint(Path(checkpoint), output, pruning, terminal.note)
    if as_json:
        show_json({**document})
        return
    for line in summary_lines(document):
        echo(line)
    echo(f"Written to {output}; serve it with: vllm serve {output}")


def _pruning(
    rule: Rule,
    inter: float | None = None,
    intra: float | None = None,
    *,
    counts: Path | None = None,
    seed: int | None = None,
) -> "Pruning":
    """What the flags ask for. Raises UsageError."""
    from loadgen.checkpoints.selection import Pruning
    from loadgen.moe.expert_counts import read_expert_counts

    if (inter is None) == (intra is None):
        raise UsageError("one of --inter RATIO and --intra RATIO is needed, and not both")
    if seed is not None and rule != "random":
        raise UsageError(f"--seed is for --rule random, not for --rule {rule}; leave one of them out")
    if seed is not None and seed < 0:
        raise UsageError(f"--seed is a whole number of at least 0, not {seed}")
    return Pruning(
        "inter" if inter is not None else "intra",
        inter if inter is not None else intra or 0.0,
        rule,
        seed=seed or 0,
        counts=None if counts is None else read_expert_counts(counts),
    )


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Let SIGTERM and SIGHUP interrupt the block too, so that it cleans up."""
    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(each, signal.default_int_handler) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)
