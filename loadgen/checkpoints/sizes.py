"""How many experts and columns a pruning leaves: arithmetic on the sizes of a model."""

from math import floor

from loadgen.errors import UsageError

_ALIGNMENT_BYTES = 16  # what one load of a GPU's matrix kernels takes


def experts_left(experts: int, ratio: float, *, groups: int = 1) -> int:
    """Return how many experts of a layer stay: half an expert to remove removes one, and each group keeps as many as the others.

    Raises UsageError if that is all of them, or none.
    """
    left = experts - groups * floor(experts * ratio / groups + 0.5)
    if left == experts:
        raise UsageError(
            f"inter-pruning of {ratio:g} removes no expert of {experts}; remove at least {groups / experts:g}"
        )
    if not left:
        raise UsageError(f"inter-pruning of {ratio:g} leaves no expert of {experts}; remove fewer")
    return left


def columns_left(ffn_size: int, ratio: float, *, element_bytes: int) -> int:
    """Return how many columns of an expert stay: a multiple of 16 bytes, so that kernels can load them.

    Raises UsageError if that is all of them, or none.
    """
    multiple = max(1, _ALIGNMENT_BYTES // element_bytes)
    left = multiple * floor(ffn_size * (1 - ratio) / multiple + 0.5)
    if not 0 < left < ffn_size:
        raise UsageError(
            f"intra-pruning of {ratio:g} would leave {left} of {ffn_size} columns, since they stay in multiples of {multiple}; "
            f"name another share, such as {multiple * max(1, ffn_size // multiple // 2) / ffn_size:g}"
        )
    return left
