"""Claims of a paper as data: where each stands, what it compares, and what it states.

A claim selects points by coordinates. Coordinates that it leaves out are open: the comparison is made once for each
combination of them that was measured, and `over` says how many of those comparisons the claim is about.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Value = bool | int | float | str
"""The value of one coordinate of a point."""

Where = dict[str, Value | list[Value]]
"""Values of coordinates, one or several of each. A point is selected if it has one of them for every coordinate."""

Over = Literal["all", "mean", "max", "any"]
"""How a claim speaks of several comparisons: of each, of their mean, of the largest (`up to`), of at least one."""


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


class Ratio(_Part):
    """The metric at `a` over the metric at `b`."""

    kind: Literal["ratio"]
    a: Where
    b: Where
    where: Where = Field(default_factory=dict)  # of both
    over: Over = "all"
    stated: Stated


class Ordering(_Part):
    """Points in the order of the metric."""

    kind: Literal["ordering"]
    points: Annotated[list[Where], Field(min_length=2)]
    order: Literal["highest_first", "lowest_first"] = "highest_first"
    where: Where = Field(default_factory=dict)
    over: Over = "all"


class Trend(_Part):
    """The metric along an axis."""

    kind: Literal["trend"]
    axis: str
    direction: Literal["increases", "decreases", "flat", "not_monotonic"]
    where: Where = Field(default_factory=dict)
    over: Over = "all"
    flat_within_ratio: float = 0.1  # of the mean; for `flat`


class Pair(_Part):
    """The ratio of two points, for a contrast."""

    a: Where
    b: Where


class Contrast(_Part):
    """One ratio is further from 1 than another: the gap widens, the drop is larger."""

    kind: Literal["contrast"]
    larger: Pair
    smaller: Pair
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
    """Variants that do not fit in memory; `only`: and no others of the study do so."""

    kind: Literal["oom"]
    at: list[Where]
    only: bool = False


class Fact(_Part):
    """Sizes of a model, as the paper states them."""

    kind: Literal["fact"]
    model: str
    facts: dict[str, Value]


class Incomparable(_Part):
    """Nothing that can be compared with a measurement."""

    kind: Literal["none"]


Comparison = Annotated[
    Ratio | Ordering | Trend | Contrast | Peak | OutOfMemory | Fact | Incomparable, Field(discriminator="kind")
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
    statistic: str = "p50"
    compare: Comparison
    contradicts: tuple[Contradiction, ...] = ()
    not_testable: str | None = None  # why not, whatever is measured: hardware, or what the paper does not state
    reading: str | None = None  # how an ambiguous sentence was read
