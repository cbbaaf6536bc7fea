"""How often each expert of each sparse layer was chosen, and how many distinct experts the tokens of one step chose.

Counts come from vLLM's workers, from the routed experts in a server's replies, or from transformers; `source` says which.
The file format is JSON, so that a count made in one environment is read in another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, NotRequired

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from loadgen.errors import UsageError, first_problem
from loadgen.moe.parameters import expected_distinct_experts

CountSource = Literal["worker_extension", "routed_experts", "transformers"]


class LayerCountsDocument(TypedDict):
    """One sparse layer, by its number in the model, counted from 0."""

    layer: int
    counts: list[int]  # tokens that chose each expert, in the order of the experts


class StepSizeDocument(TypedDict):
    """All steps that had the same number of tokens."""

    tokens: int  # in each of these steps
    steps: int
    distinct_experts: int  # those of each layer in each step, summed over steps and layers


class ExpertCountsDocument(TypedDict):
    """Expert counts as JSON."""

    schema_version: Literal[1]
    model: str
    source: CountSource
    experts_per_token: int  # top-k
    tokens: int  # that passed the routers, those of prompts included
    layers: list[LayerCountsDocument]
    step_sizes: NotRequired[list[StepSizeDocument] | None]  # null: what counted saw no steps of the server


@dataclass(frozen=True, slots=True)
class StepSize:
    """The steps of one number of tokens."""

    tokens: int
    steps: int
    distinct_experts: int  # those of each layer in each step, summed over steps and layers


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """How evenly one layer uses its experts. None if no token passed the layer."""

    layer: int
    max_over_mean: float | None
    entropy_ratio: float | None
    gini: float | None
    unused_experts: int


@dataclass(frozen=True)
class ExpertCounts:
    """Counts of one model over one workload: sparse layers × routed experts."""

    model: str
    source: CountSource
    experts_per_token: int
    layers: tuple[int, ...]  # numbers of the sparse layers in the model, from 0, ascending
    counts: npt.NDArray[np.int64]  # sparse layers × experts
    tokens: int  # that passed the routers, those of prompts included
    step_sizes: tuple[StepSize, ...] | None = None  # by ascending tokens; None: what counted saw no steps

    @property
    def experts(self) -> int:
        return int(self.counts.shape[1])

    def of_layer(self, layer: int) -> npt.NDArray[np.int64]:
        """Return the counts of one layer by its number in the model. Raises ValueError for a layer without experts."""
        row: npt.NDArray[np.int64] = self.counts[self.layers.index(layer)]
        return row

    def figures(self) -> tuple[LayerFigures, ...]:
        """Return the figures of each layer, in the order of `layers`."""
        return tuple(
            LayerFigures(
                layer=layer,
                max_over_mean=max_over_mean(row),
                entropy_ratio=entropy_ratio(row),
                gini=gini(row),
                unused_experts=int((row == 0).sum()),
            )
            for layer, row in zip(self.layers, self.counts, strict=True)
        )

    def expected_distinct(self, tokens: float) -> float:
        """Return the distinct experts that a step of `tokens` reads in one layer if routing is uniform, as the roofline has it."""
        return expected_distinct_experts(self.experts, self.experts_per_token, tokens)

    def measured_distinct(self, tokens: float) -> float | None:
        """Return the mean distinct experts of one layer in a step of `tokens`, between the nearest sizes that occurred.

        Linear between two sizes; None outside of those that occurred, or if no steps were seen.
        """
        sizes = self.step_sizes
        if not sizes or not sizes[0].tokens <= tokens <= sizes[-1].tokens:
            return None
        return float(np.interp(tokens, [each.tokens for each in sizes], [self.mean_distinct(each) for each in sizes]))

    def distinct_experts(self, experts: int, top_k: int, tokens: float) -> float:
        """Return the mean distinct experts of one layer in a step of `tokens`: what was measured, as the roofline asks for it.

        Beyond the sizes that occurred, the formula of uniform routing, times what the nearest size had of it. The formula alone
        if no steps were seen, or for layers of other experts.
        """
        expected = expected_distinct_experts(experts, top_k, tokens)
        sizes = self.step_sizes
        if not sizes or (experts, top_k) != (self.experts, self.experts_per_token):
            return expected
        measured = self.measured_distinct(tokens)
        if measured is not None:
            return measured
        nearest = min((sizes[0], sizes[-1]), key=lambda size: abs(size.tokens - tokens))
        return min(experts, expected * self.mean_distinct(nearest) / self.expected_distinct(nearest.tokens))

    def mean_distinct(self, size: StepSize) -> float:
        """Return the mean number of distinct experts of one layer in one step of this size."""
        return size.distinct_experts / size.steps / len(self.layers)

    def __add__(self, other: "ExpertCounts") -> "ExpertCounts":
        """Return the counts of both, such as those of two data-parallel ranks. Raises ValueError if they are of other layers."""
        if (self.layers, self.counts.shape, self.experts_per_token) != (
            other.layers,
            other.counts.shape,
            other.experts_per_token,
        ):
            raise ValueError("expert counts of different layers, numbers of experts or top-k cannot be added")
        steps = None
        if self.step_sizes is not None and other.step_sizes is not None:
            steps = merged_step_sizes((*self.step_sizes, *other.step_sizes))
        return ExpertCounts(
            model=self.model,
            source=self.source,
            experts_per_token=self.experts_per_token,
            layers=self.layers,
            counts=self.counts + other.counts,
            tokens=self.tokens + other.tokens,
            step_sizes=steps,
        )

    def to_json(self) -> ExpertCountsDocument:
        return {
            "schema_version": 1,
            "model": self.model,
            "source": self.source,
            "experts_per_token": self.experts_per_token,
            "tokens": self.tokens,
            "layers": [
                {"layer": layer, "counts": [int(count) for count in row]}
                for layer, row in zip(self.layers, self.counts, strict=True)
            ],
            "step_sizes": None
            if self.step_sizes is None
            else [
                {"tokens": each.tokens, "steps": each.steps, "distinct_experts": each.distinct_experts}
                for each in self.step_sizes
            ],
        }


def max_over_mean(counts: npt.NDArray[np.int64]) -> float | None:
    """Return the largest count over the mean count: 1 if all experts are used alike, the number of experts if one has all.

    With the experts on different GPUs this bounds how much longer the busiest one works. None if nothing was counted.
    """
    mean = counts.mean()
    return float(counts.max() / mean) if mean else None


def entropy_ratio(counts: npt.NDArray[np.int64]) -> float | None:
    """Return the entropy of the choice of experts over its maximum, between 0 (one expert) and 1 (all alike).

    H = −Σ p·ln p / ln E with p = count / Σ counts over E experts (Shannon 1948, normalised: Pielou's evenness, 1966).
    None if nothing was counted; 1 for a single expert.
    """
    total = counts.sum()
    if not total:
        return None
    if len(counts) == 1:
        return 1.0
    share = counts[counts > 0] / total
    # −1 · 0.0 is −0.0, which would be shown with its sign
    return abs(float(-(share * np.log(share)).sum() / np.log(len(counts))))


def gini(counts: npt.NDArray[np.int64]) -> float | None:
    """Return the Gini coefficient of the counts: 0 if all experts are used alike, (E − 1)/E if one has all.

    G = Σ (2i − E − 1)·c_i / (E·Σ c_i) over the counts in ascending order, i from 1 (Gini 1912). None if nothing was counted.
    """
    total, experts = counts.sum(), len(counts)
    if not total:
        return None
    ranks = np.arange(1, experts + 1)
    return float(((2 * ranks - experts - 1) * np.sort(counts)).sum() / (experts * total))


def shares_apart(one: npt.NDArray[np.int64], other: npt.NDArray[np.int64]) -> float | None:
    """Return how far two layers' shares of choices are apart: half of Σ |p − q|, the total variation distance.

    0 if both choose each expert equally often, 1 if they have none in common; the share of choices that would have to move.
    None if one of them has no counts. Raises ValueError for different numbers of experts.
    """
    if len(one) != len(other):
        raise ValueError("layers of different numbers of experts have no shares to compare")
    if not one.sum() or not other.sum():
        return None
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def expert_counts_from_json(document: ExpertCountsDocument) -> ExpertCounts:
    """Return the counts of a document. Raises ValueError for one whose parts contradict each other."""
    layers = tuple(each["layer"] for each in document["layers"])
    widths = {len(each["counts"]) for each in document["layers"]}
    if not layers or len(widths) != 1 or 0 in widths:
        raise ValueError("every layer must have the same number of experts, and there must be a layer")
    if list(layers) != sorted(set(layers)):
        raise ValueError("the layers must ascend")
    if not 1 <= document["experts_per_token"] <= min(widths):
        raise ValueError("experts_per_token must be between 1 and the number of experts")
    counts = np.array([each["counts"] for each in document["layers"]], dtype=np.int64)
    if counts.min() < 0 or layers[0] < 0:
        raise ValueError("no count and no layer may be below 0")
    passes = document["tokens"] * document["experts_per_token"]
    if wrong := [layer for layer, row in zip(layers, counts, strict=True) if row.sum() != passes]:
        raise ValueError(f"the counts of layer {wrong[0]} must add up to tokens × experts_per_token, {passes}")
    steps = document.get("step_sizes")
    if steps is not None and any(each["steps"] < 1 or each["distinct_experts"] < 0 for each in steps):
        raise ValueError("each of step_sizes must have at least one step, and no fewer than 0 distinct experts")
    return ExpertCounts(
        model=document["model"],
        source=document["source"],
        experts_per_token=document["experts_per_token"],
        layers=layers,
        counts=counts,
        tokens=document["tokens"],
        step_sizes=None
        if steps is None
        else merged_step_sizes(StepSize(each["tokens"], each["steps"], each["distinct_experts"]) for each in steps),
    )


def read_expert_counts(path: Path) -> ExpertCounts:
    """Read a file of `loadgen moe experts`. Raises UsageError for one that cannot be read, or is none."""
    try:
        return expert_counts_from_json(_document_type().validate_json(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"cannot read the expert counts {path}: {error.strerror}") from None
    except ValidationError as failure:
        problem = first_problem(failure.errors())
    except (ValueError, OverflowError) as error:
        problem = str(error)
    raise UsageError(f"{path} has no expert counts: {problem}; make the file with `loadgen moe experts … -o FILE`")


@cache
def _document_type() -> TypeAdapter[ExpertCountsDocument]:
    return TypeAdapter(ExpertCountsDocument)


def merged_step_sizes(sizes: Iterable[StepSize]) -> tuple[StepSize, ...]:
    """Return one entry for each number of tokens, ascending, with the sums of all that have it."""
    merged: dict[int, StepSize] = {}
    for each in sizes:
        known = merged.get(each.tokens)
        merged[each.tokens] = (
            each
            if known is None
            else StepSize(each.tokens, known.steps + each.steps, known.distinct_experts + each.distinct_experts)
        )
    return tuple(merged[tokens] for tokens in sorted(merged))
