"""Loads for tiny models: the sizes and lengths of a study brought down to what a processor does in seconds.

Different sizes stay different and in order, so that each point of the study has a run of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2, sqrt

from loadgen.load.image_questions import IMAGE_TASKS
from loadgen.spec.sweep_spec import SweepSpec

_SHORT_TOKENS, _SHORT_TINY_TOKENS = 128, 8
_REQUESTS_PER_CALLER = 4
_MAX_DURATION_S = 10.0
_TINY_ACCURACY: Mapping[str, object] = {"limit": 20, "shots": None, "chat": False}
_OF_IMAGES = {"images", *IMAGE_TASKS}


@dataclass(frozen=True, slots=True)
class _Scale:
    """What becomes of each size (requests at once) and of each length (tokens)."""

    sizes: Mapping[int, int]
    lengths: Mapping[int, int]

    def of(self, spec: SweepSpec) -> SweepSpec:
        """The same loads, scaled."""
        changed: dict[str, object] = {}
        for key in ("concurrency", "wave"):
            if (values := getattr(spec, key)) is not None:
                changed[key] = [self.sizes[value] for value in values]
        for key in ("input_tokens", "output_tokens"):
            if (values := getattr(spec, key)) is not None:
                changed[key] = [self.lengths[value] for value in values]
        if spec.lengths is not None:
            changed["lengths"] = [(self.lengths[prompt], self.lengths[reply]) for prompt, reply in spec.lengths]
        if spec.prefix_tokens is not None:
            changed["prefix_tokens"] = self.lengths[spec.prefix_tokens]
        if spec.rate is not None:
            changed["rate"] = [_tiny_rate(rate_per_s) for rate_per_s in spec.rate]
        if spec.requests is not None:
            conversations = -(-_REQUESTS_PER_CALLER * _tiny_size(spec.requests) // (spec.turns or 1))
            changed["requests"] = min(spec.requests, conversations * (spec.turns or 1))
        if spec.duration_s is not None:
            changed["duration_s"] = min(spec.duration_s, _MAX_DURATION_S)
        if spec.accuracy is not None:
            changed["accuracy"] = spec.accuracy.model_copy(update={**_TINY_ACCURACY, "tasks": _tiny_tasks(spec)})
        return spec.model_copy(update=changed)


def tiny_loads(specs: Sequence[SweepSpec]) -> tuple[SweepSpec, ...]:
    """Scale the loads of a study: b requests at once to 1 + log2 b, and lengths by their square root from 128 tokens as 8.

    At most four requests a caller are sent, and no run is longer than ten seconds.
    """
    sizes = [size for spec in specs for values in (spec.concurrency, spec.wave) for size in values or ()]
    lengths = [
        length
        for spec in specs
        for length in (
            *(spec.input_tokens or ()),
            *(spec.output_tokens or ()),
            *(each for pair in spec.lengths or () for each in pair),
            *(() if spec.prefix_tokens is None else (spec.prefix_tokens,)),
        )
    ]
    scale = _Scale(_kept_apart(sizes, _tiny_size), _kept_apart(lengths, _tiny_length))
    return tuple(scale.of(spec) for spec in specs)


def _tiny_tasks(spec: SweepSpec) -> list[str]:
    """What tiny models are evaluated on: questions about images as they are, and loadgen's own tasks in place of all others.

    There are tiny models that have learnt these.
    """
    asked = [] if spec.accuracy is None else list(spec.accuracy.tasks)
    return asked if asked and _OF_IMAGES.issuperset(asked) else ["built-in"]


def _kept_apart(values: Iterable[int], tiny: Callable[[int], int]) -> dict[int, int]:
    """Each value by what becomes of it: by `tiny`, or one more than the value below it where that is the same."""
    found: dict[int, int] = {}
    least = 1
    for value in sorted(set(values)):
        found[value] = max(least, tiny(value))
        least = found[value] + 1
    return found


def _tiny_size(size: int) -> int:
    return 1 + round(log2(size))


def _tiny_length(tokens: int) -> int:
    return 1 if tokens == 1 else max(2, round(_SHORT_TINY_TOKENS * sqrt(tokens / _SHORT_TOKENS)))


def _tiny_rate(rate_per_s: float) -> float:
    return rate_per_s if rate_per_s < 1 else 1 + log2(rate_per_s)
