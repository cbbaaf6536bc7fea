"""How many parameters a model has, by the kind of layer: in all, active for one token, and on one GPU; experts that a step reads.

The counts in all are those of the checkpoint, element for element.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from loadgen.errors import ModelError
from loadgen.moe.architecture import Architecture, Attention, Experts, GroupedQueryAttention
from loadgen.moe.placement import Parallelism, kv_heads_on_gpu, layers_per_stage, split

MATRICES_OF_A_FFN = 3  # gate, up and down
_ONE_CHOICE_WHEN_MADE_UP = ("deepseek_v2",)  # families


@dataclass(frozen=True, slots=True)
class Parameters:
    """Elements by the kind of layer, over all layers counted."""

    embedding: int = 0
    attention: int = 0
    routed_experts: int = 0
    shared_experts: int = 0
    dense_ffn: int = 0
    router: int = 0  # with the shared expert's gate
    norms: int = 0  # with biases
    head: int = 0  # without its bias; 0 where it is the embedding

    @property
    def total(self) -> int:
        return sum(self.by_kind().values())

    @property
    def without_embedding(self) -> int:
        """What takes part in arithmetic: the input embedding is only looked up, unless it is the head too."""
        return self.total - (self.embedding if self.head else 0)

    def by_kind(self) -> dict[str, int]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __add__(self, other: "Parameters") -> "Parameters":
        return Parameters(**{kind: count + getattr(other, kind) for kind, count in self.by_kind().items()})


def parameters(architecture: Architecture) -> Parameters:
    return parameters_by_stage(architecture, Parallelism())[0]


def active_parameters(architecture: Architecture) -> Parameters:
    """Those that one token passes: all but the routed experts, of which it passes top-k of E in each sparse layer.

    The embedding counts whole, as in the totals that most model cards give; DeepSeek's count without it.
    """
    every = parameters(architecture)
    experts = architecture.experts
    if experts is None:
        return every
    return replace(every, routed_experts=every.routed_experts // experts.experts * experts.top_k)


def parameters_by_stage(architecture: Architecture, parallelism: Parallelism) -> tuple[Parameters, ...]:
    """What the fullest GPU of each pipeline stage holds, the first stage first.

    The first stage has the embedding; the last one the final norm and the head, or a second copy of the embedding where
    that is the head. The vocabulary is split over the tensor-parallel GPUs, norms and biases are whole on each.
    """
    stages, start = [], 0
    shares = layers_per_stage(architecture.layers, parallelism.pipeline)
    table = math.ceil(architecture.vocabulary / parallelism.tensor) * architecture.hidden_size
    for stage, share in enumerate(shares):
        held = Parameters()
        for layer in range(start, start + share):
            held += _layer(architecture, layer, parallelism)
        if stage == 0:
            held += Parameters(embedding=table)
        if stage == len(shares) - 1:
            held += _end(architecture, table, already_has_embedding=stage == 0)
        stages.append(held)
        start += share
    return tuple(stages)


def _end(architecture: Architecture, table: int, already_has_embedding: bool) -> Parameters:
    norms = _norm(architecture) + (architecture.vocabulary if architecture.head_bias else 0)
    if not architecture.tied_embeddings:
        return Parameters(head=table, norms=norms)
    return Parameters(embedding=0 if already_has_embedding else table, norms=norms)


def _norm(architecture: Architecture) -> int:
    return architecture.hidden_size * (2 if architecture.norm_bias else 1)


def _layer(architecture: Architecture, layer: int, parallelism: Parallelism) -> Parameters:
    """One layer on one GPU: attention, the feed-forward part, and a norm before each."""
    hidden, attention = architecture.hidden_size, architecture.attention
    held = Parameters(
        attention=_attention(attention, hidden, parallelism.tensor),
        norms=2 * _norm(architecture) + attention.vectors,
    )
    if architecture.has_experts(layer) and architecture.experts is not None:
        return held + _sparse(architecture.experts, hidden, parallelism)
    return held + Parameters(dense_ffn=_ffn(architecture.dense_ffn_size or 0, hidden, parallelism.tensor))


def _ffn(size: int, hidden: int, parts: int) -> int:
    return MATRICES_OF_A_FFN * hidden * math.ceil(size / parts)


def _sparse(experts: Experts, hidden: int, parallelism: Parallelism) -> Parameters:
    group = parallelism.expert_group
    if parallelism.experts:
        routed = math.ceil(experts.experts / group) * _ffn(experts.ffn_size, hidden, 1)
    else:
        routed = experts.experts * _ffn(experts.ffn_size, hidden, group)
    return Parameters(
        routed_experts=routed,
        shared_experts=_ffn(experts.shared_ffn_size, hidden, parallelism.tensor),
        router=hidden * (experts.experts + (1 if experts.shared_gate else 0)),
        norms=experts.experts if experts.router_bias else 0,
    )


def _attention(attention: Attention, hidden: int, tensor: int) -> int:
    """Matrices of one layer on one GPU. Heads are split; what makes the latents of MLA is whole on each GPU."""
    heads = split(attention.heads, tensor, "attention heads")
    if isinstance(attention, GroupedQueryAttention):
        kv_heads = kv_heads_on_gpu(attention.kv_heads, tensor)
        return 2 * hidden * (heads + kv_heads) * attention.head_size  # queries and output; keys and values
    query_size = heads * (attention.nope_size + attention.rope_size)
    queries = (
        hidden * query_size
        if attention.query_rank is None
        else hidden * attention.query_rank + attention.query_rank * query_size
    )
    latents = hidden * (attention.kv_rank + attention.rope_size)
    keys_and_values = attention.kv_rank * heads * (attention.nope_size + attention.value_size)
    return queries + latents + keys_and_values + heads * attention.value_size * hidden


def expected_distinct_experts(experts: int, top_k: int, batch_tokens: float) -> float:
    """The expected number of distinct routed experts that a batch of tokens reads in one sparse layer: E·(1 − (1 − k/E)^B).

    Assumes uniform routing: each token takes k different experts of E, every one as likely as the others, independently
    of the other tokens. A token then misses a given expert with probability 1 − k/E, and the batch misses it with the
    B-th power of that. Real routers are uneven, tokens of one text alike, and both make the number smaller: this is the
    number of a perfectly balanced model, an upper estimate.

    `batch_tokens` is the number of tokens in the step: sequences when decoding, prompt tokens when prefilling.
    """
    if not 1 <= top_k <= experts or batch_tokens < 0:
        raise ModelError(
            f"a step of {batch_tokens} tokens that pass {top_k} of {experts} experts each: "
            "tokens must be at least 0 and top-k between 1 and the number of experts"
        )
    return experts * (1 - math.pow(1 - top_k / experts, batch_tokens))


def distinct_experts_drawn(experts: int, top_k: int, batch_tokens: float) -> float:
    """The same where the k experts of a token are drawn one by one and may repeat: E·(1 − (1 − 1/E)^(k·B)).

    So vLLM's `uniform_random` routing draws them (layers/fused_moe/router/routing_simulator_router.py): with k = E, a token
    reads 63 % of the experts and not all.
    """
    return experts * (1 - math.pow(1 - 1 / experts, top_k * batch_tokens))


def distinct_experts_of_made_up(architecture: Architecture) -> Callable[[int, int, float], float]:
    """Return the number of distinct experts that routers with made-up weights choose, as a function like `expected_distinct_experts`.

    DeepSeek-V2's router scores in 16 bits; made-up scores are so close that they round to one number, and every token takes
    the same experts. Other routers choose as evenly as expected.
    """
    if architecture.family in _ONE_CHOICE_WHEN_MADE_UP:
        return lambda experts, top_k, batch_tokens: top_k
    return expected_distinct_experts
