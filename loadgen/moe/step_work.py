"""Bytes and FLOPs of one step on the fullest GPU of one pipeline stage, by the kind of layer.

Weights are read once a step. Each matrix product reads its input and writes its output once; between the two products of a
feed-forward part lies its intermediate. Norms count their weights only: their activations can stay on the chip.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from loadgen.moe.architecture import Architecture, Experts, GroupedQueryAttention, LatentAttention
from loadgen.moe.memory import KEPT_BYTES, KvPrecision, Precision, kv_cache_bytes_per_token, weight_bytes_by_kind
from loadgen.moe.parameters import expected_distinct_experts, parameters_by_stage
from loadgen.moe.placement import Parallelism, layers_per_stage
from loadgen.moe.step import Step

# experts, top-k, tokens of the step → experts that the step reads in one layer
DistinctExperts = Callable[[int, int, float], float]

FLOPS_OF_A_MULTIPLY_ADD = 2
ACTIVATION_BYTES = 2  # of one number: bf16


@dataclass(frozen=True, slots=True)
class Precisions:
    """How numbers are stored. Products of fp8 weights are computed in fp8 where the device can, others in bf16."""

    weights: Precision = "bf16"
    kv_cache: KvPrecision = "bf16"


@dataclass(frozen=True, slots=True)
class Work:
    """What one kind of layer moves and computes in a step."""

    kind: str
    flops: float = 0.0
    weight_bytes: float = 0.0
    cache_bytes: float = 0.0
    activation_bytes: float = 0.0

    @property
    def bytes(self) -> float:
        return self.weight_bytes + self.cache_bytes + self.activation_bytes


@dataclass(frozen=True)
class StageWork:
    """One pipeline stage: `work` of a step. All that does not depend on the step is computed once."""

    architecture: Architecture
    parallelism: Parallelism
    precisions: Precisions
    distinct_experts: DistinctExperts
    elements: dict[str, int]  # of the weights on one GPU, by kind
    weight_bytes: dict[str, float]
    layers: int
    sparse_layers: int
    head_elements: int  # 0 on a stage without the head
    embeds: bool
    kv_bytes_per_token: float  # of all its layers
    flops_per_pair: "PairFlops"

    def work(self, step: Step) -> tuple[Work, ...]:
        tokens = step.tokens
        if not tokens:
            return ()
        works = [self._projections(tokens), self._attention(step), Work("norms", 0, self.weight_bytes["norms"])]
        if self.embeds:
            hidden = self.architecture.hidden_size
            rows_bytes, moved = tokens * hidden * KEPT_BYTES, tokens * hidden * ACTIVATION_BYTES
            works.append(Work("embedding", 0, rows_bytes, activation_bytes=moved))
        experts = self.architecture.experts
        if experts is not None and self.sparse_layers:
            works += self._sparse(experts, tokens)
        if dense_layers := self.layers - self.sparse_layers:
            width = (self.architecture.dense_ffn_size or 0) / self.parallelism.tensor
            works.append(self._dense_ffn("dense_ffn", tokens, width=width, layers=dense_layers))
        if self.head_elements and step.sampled:
            works.append(self._head(step.sampled))
        return tuple(works)

    def _projections(self, tokens: float) -> Work:
        """Queries, keys and values before attention, and the output after it."""
        width = 2 * self.architecture.hidden_size + 2 * self._query_size
        return self._product(
            "attention_projections",
            elements=self.elements["attention"],
            weight_bytes=self.weight_bytes["attention"],
            tokens=tokens,
            moved=tokens * width * self.layers,
        )

    def _attention(self, step: Step) -> Work:
        """Scores and their weighted sum of values. Cached keys and values are read once for each sequence, new ones written."""
        cached = step.decode_context_tokens + sum(chunk.context_tokens for chunk in step.chunks) + step.tokens
        moved = step.tokens * 2 * self._query_size * self.layers
        flops = step.decode_tokens * step.decode_context_tokens * self.flops_per_pair.decode + sum(
            chunk.attended_pairs * self.flops_per_pair.prefill + chunk.start * self.flops_per_pair.cached_token
            for chunk in step.chunks
        )
        return Work(
            "attention",
            flops,
            cache_bytes=cached * self.kv_bytes_per_token,
            activation_bytes=moved * ACTIVATION_BYTES,
        )

    def _sparse(self, experts: Experts, tokens: float) -> list[Work]:
        """Routers, routed experts and shared experts.

        Routed experts take the tokens of all data-parallel copies, and a GPU has an equal share of the work: a part of
        every expert, or some whole experts that are chosen as often as the others.
        """
        group = self.parallelism.expert_group
        all_tokens = tokens * self.parallelism.data
        read_share = self.distinct_experts(experts.experts, experts.top_k, all_tokens) / experts.experts
        passes = experts.top_k * all_tokens
        hidden = self.architecture.hidden_size
        spread = self.parallelism.experts
        width = (hidden + experts.ffn_size) / group if spread else hidden + experts.ffn_size / group
        routed = Work(
            "routed_experts",
            FLOPS_OF_A_MULTIPLY_ADD * self.elements["routed_experts"] / experts.experts * passes,
            weight_bytes=read_share * self.weight_bytes["routed_experts"],
            activation_bytes=passes * 2 * width * self.sparse_layers * ACTIVATION_BYTES,
        )
        router = self._product(
            "router",
            elements=self.elements["router"],
            weight_bytes=self.weight_bytes["router"],
            tokens=tokens,
            moved=tokens * (hidden + experts.experts) * self.sparse_layers,
        )
        if not experts.shared_experts:
            return [router, routed]
        shared_width = experts.shared_ffn_size / self.parallelism.tensor
        return [
            router,
            routed,
            self._dense_ffn("shared_experts", tokens, width=shared_width, layers=self.sparse_layers),
        ]

    def _dense_ffn(self, kind: str, tokens: float, *, width: float, layers: int) -> Work:
        """A feed-forward part that every token passes; `width` of its intermediate on one GPU."""
        return self._product(
            kind,
            elements=self.elements[kind],
            weight_bytes=self.weight_bytes[kind],
            tokens=tokens,
            moved=tokens * 2 * (self.architecture.hidden_size + width) * layers,
        )

    def _head(self, sampled: float) -> Work:
        hidden = self.architecture.hidden_size
        return self._product(
            "head",
            elements=self.head_elements,
            weight_bytes=self.head_elements * KEPT_BYTES,
            tokens=sampled,
            moved=sampled * (hidden + self.head_elements / hidden),
        )

    def _product(self, kind: str, *, elements: int, weight_bytes: float, tokens: float, moved: float) -> Work:
        """Tokens times matrices of so many elements; `moved` counts elements of activations."""
        flops = FLOPS_OF_A_MULTIPLY_ADD * elements * tokens
        return Work(kind, flops, weight_bytes, activation_bytes=moved * ACTIVATION_BYTES)

    @property
    def _query_size(self) -> int:
        attention = self.architecture.attention
        size = (
            attention.head_size
            if isinstance(attention, GroupedQueryAttention)
            else attention.nope_size + attention.rope_size
        )
        return attention.heads // self.parallelism.tensor * size


@dataclass(frozen=True, slots=True)
class PairFlops:
    """FLOPs of attention over all layers of a stage."""

    decode: float  # of one key that a decoding token attends to
    prefill: float  # of one pair of a prompt's token and a key
    cached_token: float  # of one earlier token of a prompt, to have its keys and values back from the latent


def stage_works(
    architecture: Architecture,
    parallelism: Parallelism,
    precisions: Precisions,
    distinct_experts: DistinctExperts = expected_distinct_experts,
) -> tuple[StageWork, ...]:
    """Return each pipeline stage, the first first. ModelError: the model cannot be laid out so."""
    one_stage = replace(parallelism, pipeline=1)
    kv_bytes = kv_cache_bytes_per_token(architecture, precisions.kv_cache, one_stage) / architecture.layers
    pair = _pair_flops(architecture, parallelism.tensor)
    held_by_stage = parameters_by_stage(architecture, parallelism)
    stages, start = [], 0
    for stage, share in enumerate(layers_per_stage(architecture.layers, parallelism.pipeline)):
        held = held_by_stage[stage]
        last = stage == parallelism.pipeline - 1
        stages.append(
            StageWork(
                architecture=architecture,
                parallelism=parallelism,
                precisions=precisions,
                distinct_experts=distinct_experts,
                elements=held.by_kind(),
                weight_bytes=weight_bytes_by_kind(held, precisions.weights),
                layers=share,
                sparse_layers=sum(architecture.has_experts(layer) for layer in range(start, start + share)),
                head_elements=(held.head or held.embedding) if last else 0,
                embeds=stage == 0,
                kv_bytes_per_token=kv_bytes * share,
                flops_per_pair=PairFlops(pair.decode * share, pair.prefill * share, pair.cached_token * share),
            )
        )
        start += share
    return tuple(stages)


def _pair_flops(architecture: Architecture, tensor: int) -> PairFlops:
    """Of one layer on one GPU. Decoding with MLA stays in the latent (DeepSeek-V2, §2.1.2); a prompt has its keys expanded."""
    attention = architecture.attention
    heads = attention.heads // tensor
    if isinstance(attention, LatentAttention):
        decode = heads * (2 * attention.kv_rank + attention.rope_size)
        prefill = heads * (attention.nope_size + attention.rope_size + attention.value_size)
        expand = attention.kv_rank * heads * (attention.nope_size + attention.value_size)
    else:
        decode = prefill = heads * 2 * attention.head_size
        expand = 0
    return PairFlops(*(FLOPS_OF_A_MULTIPLY_ADD * float(count) for count in (decode, prefill, expand)))
