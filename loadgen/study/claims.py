"""Claims of a paper as data: where each stands, what it compares, and what it states.

A claim selects points by coordinates. Coordinates that it leaves out are open: the comparison is made once for each
combination of them that was measured, and `over` says how many of those comparisons the claim is about.
"""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Value = bool | int | float | str
"""The value of one coordinate of a point."""

Statistic = Literal["mean", "min", "p50", "p90", "p95", "p99", "max"]
"""What is taken of a figure that is a distribution."""

Where = dict[str, Value | list[Value]]
"""Values of coordinates, one or several of each. A point is selected if it has one of them for every coordinate."""

Over = Literal["all", "mean", "max", "any"]
"""How a claim speaks of several comparisons: of each, of their mean, of the largest (`up to`), of at least one."""

_NAMES = {"top_k": "top-k", "ffn_size": "FFN size", "kv_precision": "precision of the KV cache", "gpus": "GPUs"}
_LOADS = {"wave": "one wave", "closed_loop": "the steady state", "open_loop": "an open loop"}
_SAY_WHAT_THEY_ARE = ("model", "load", "precision", "scheme", "draft", "profile", "kernel", "experts_run")


def name_words(name: str) -> str:
    """`FFN size`: a coordinate's name in a sentence."""
    return _NAMES.get(name, name.replace("_", " "))


def value_words(value: Value) -> str:
    """`14,336`: the value of any coordinate."""
    if isinstance(value, str):
        return _LOADS.get(value, value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def coordinate_words(name: str, value: str) -> str:
    """`batch 64`, or `fp8`, which says by itself what it is; `value` is in words."""
    return value if name in _SAY_WHAT_THEY_ARE else f"{name_words(name)} {value}"


class _Part(BaseModel):
    """Files are checked strictly: an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Stated(_Part):
    """The ratio that the paper states, as a range; one end may be open."""

    min: float | None = None
    max: float | None = None
    as_written: str = ""  # `15-20 %`, as the paper has it
    approximate: bool = False  # the paper says about, roughly, nearly

    @model_validator(mode="after")
    def _has_an_end(self) -> "Stated":
        if self.min is None and self.max is None:
            raise ValueError("needs 'min' or 'max'")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"has a 'min' of {self.min}, above its 'max' of {self.max}")
        return self


Pick = Literal["highest", "lowest"]


class Take(_Part):
    """Which of several points on each side of a ratio is meant: the one with the highest or the lowest value of the metric."""

    a: Pick | None = None
    b: Pick | None = None


class Pair(_Part):
    """The metric at `a` over the metric at `b`. With `take`, over the best or the worst of several points: the runner-up."""

    a: Where
    b: Where
    where: Where = Field(default_factory=dict)  # of both
    take: Take = Take()


class Ratio(Pair):
    """A pair whose ratio the paper states."""

    kind: Literal["ratio"]
    over: Over = "all"
    stated: Stated


class Ordering(_Part):
    """Points in the order of the metric. A place that several points have is a group: each of them comes before the next."""

    kind: Literal["ordering"]
    points: Annotated[list[Where], Field(min_length=2)]
    order: Literal["highest_first", "lowest_first"] = "highest_first"
    where: Where = Field(default_factory=dict)
    over: Over = "all"


class Trend(_Part):
    """The metric along an axis or, with `of`, a ratio along it."""

    kind: Literal["trend"]
    axis: str
    direction: Literal["increases", "decreases", "flat", "not_monotonic"]
    of: Pair | None = None
    where: Where = Field(default_factory=dict)
    over: Over = "all"
    flat_within_ratio: float = 0.1  # highest over lowest, less 1; for `flat`


class Scaling(_Part):
    """How fast the metric changes along an axis, from its first value to its last one.

    `proportional`: as the axis does. `sublinear`: it grows, and less than the axis does. `straight_line`: the values in
    between lie on the line from end to end.
    """

    kind: Literal["scaling"]
    axis: str
    growth: Literal["proportional", "sublinear", "straight_line"]
    within_ratio: float = 0.2  # how far off still is proportional, or on the line
    where: Where = Field(default_factory=dict)
    over: Over = "all"


class Contrast(_Part):
    """The ratio of one pair is above that of another: the gain is larger, the drop steeper, the gap wider.

    The two pairs agree in every coordinate that neither names. `over` "mean" compares the means of both. With
    `either_way`, the ratio that is further from 1 is the larger one, above or below.
    """

    kind: Literal["contrast"]
    larger: Pair
    smaller: Pair
    either_way: bool = False
    where: Where = Field(default_factory=dict)
    over: Over = "all"


class Peak(_Part):
    """The value of an axis at which the metric is best, or its step to the next value is steepest."""

    kind: Literal["peak"]
    axis: str
    of: Literal["highest", "lowest", "steepest_step"] = "highest"
    at: Value | list[Value]  # of a step: its two ends
    where: Where = Field(default_factory=dict)
    over: Over = "all"


class OutOfMemory(_Part):
    """Variants that do not fit in memory: all of those at `at`, or at least one. `only`: and no others of the study."""

    kind: Literal["oom"]
    at: list[Where]
    over: Literal["all", "any"] = "all"
    only: bool = False


FactName = Literal[
    "type",
    "modality",
    "layers",
    "hidden_size",
    "ffn_size",
    "experts",
    "top_k",
    "parameters",
    "active_parameters",
    "expert_share",
    "active_expert_share",
    "experts_divisible_by",
    "smallest_parameters",
    "largest_parameters",
]
"""What can be stated of models; the last two are of several together."""


def _is_count(stated: object) -> bool:
    return isinstance(stated, int) and not isinstance(stated, bool)


def _is_size(stated: object) -> bool:
    return isinstance(stated, str) and re.fullmatch(r"\d+(\.\d+)?B", stated) is not None


_COUNT = ("a whole number", _is_count)
_TEXT = ("a word", lambda stated: isinstance(stated, str))
_RANGE = ("a range such as {min: 0.5}", lambda stated: isinstance(stated, Stated))
_SIZE = ("a size such as 46.7B", _is_size)
_SIZE_OR_RANGE = ("a size such as 46.7B or a range", lambda stated: isinstance(stated, Stated) or _is_size(stated))
_SOUND: Mapping[FactName, tuple[str, Callable[[object], bool]]] = {
    "type": _TEXT,
    "modality": _TEXT,
    "parameters": _SIZE,
    "active_parameters": _SIZE,
    "expert_share": _RANGE,
    "active_expert_share": _RANGE,
    "smallest_parameters": _SIZE_OR_RANGE,
    "largest_parameters": _SIZE_OR_RANGE,
}


class Fact(_Part):
    """Sizes of a model, or of each of several, as the paper states them: counts, `46.7B`, or a range."""

    kind: Literal["fact"]
    model: str | list[str]
    facts: dict[FactName, Stated | Value]

    @model_validator(mode="after")
    def _has_sound_values(self) -> "Fact":
        for name, stated in self.facts.items():
            kind, is_sound = _SOUND.get(name, _COUNT)
            if not is_sound(stated):
                raise ValueError(f"has '{name}' {stated!r}, which must be {kind}")
        return self

    @property
    def models(self) -> list[str]:
        """The names, of one as of several."""
        return [self.model] if isinstance(self.model, str) else self.model


class Incomparable(_Part):
    """Nothing that can be compared with a measurement."""

    kind: Literal["none"]


Comparison = Annotated[
    Ratio | Ordering | Trend | Scaling | Contrast | Peak | OutOfMemory | Fact | Incomparable,
    Field(discriminator="kind"),
]


class Contradiction(_Part):
    """Another claim of the same paper that cannot be true as well."""

    id: str
    why: str


class Claim(_Part):
    """One claim. `says` is a paraphrase; `place` is the section or figure in the paper."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    place: str
    says: str
    metric: str = "paper.throughput_tokens_per_s"  # a figure's key
    statistic: Statistic = "p50"
    compare: Comparison
    contradicts: tuple[Contradiction, ...] = ()
    not_testable: str | None = None  # why not, whatever is measured: hardware, or what the paper does not state
    reading: str | None = None  # how an ambiguous sentence was read
