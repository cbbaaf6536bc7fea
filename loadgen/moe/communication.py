"""Time that the GPUs of one model spend on sending activations to each other in a step.

Nothing overlaps with computing. Rings move 2(n − 1)/n of an all-reduced buffer over each GPU's link, and (n − 1)/n of one
that is gathered or scattered (Thakur, Rabenseifner and Gropp 2005).
"""

from loadgen.moe.architecture import Architecture
from loadgen.moe.hardware import Rates
from loadgen.moe.placement import Parallelism
from loadgen.moe.step import Step
from loadgen.moe.step_work import ACTIVATION_BYTES

HANDED_OVER = 2  # vLLM hands a pipeline stage's hidden states and residual to the next


def communication_s(
    architecture: Architecture,
    parallelism: Parallelism,
    step: Step,
    *,
    layers: int,
    sparse_layers: int,
    rates: Rates,
) -> float:
    """Time of the layers of one stage: all-reduces of tensor parallelism, and experts reached in other copies of the model.

    Tensor parallelism sums twice a layer, after attention and after the feed-forward part; with expert parallelism within
    the tensor-parallel group too, since each GPU has all tokens there.
    """
    hidden_bytes = step.tokens * architecture.hidden_size * ACTIVATION_BYTES
    tensor = parallelism.tensor
    total_s = 0.0
    if tensor > 1:
        total_s += 2 * layers * _collective_s(2 * (tensor - 1) / tensor * hidden_bytes, rates)
    if parallelism.data > 1 and sparse_layers:
        moved = hidden_bytes * _copies(architecture, parallelism)
        total_s += 2 * sparse_layers * _collective_s(moved, rates)
    return total_s


def embedding_and_head_s(architecture: Architecture, tensor: int, step: Step, rates: Rates) -> tuple[float, float]:
    """Time of the all-reduce after the embedding and of gathering the logits, whose vocabulary is split."""
    if tensor == 1:
        return 0.0, 0.0
    hidden_bytes = step.tokens * architecture.hidden_size * ACTIVATION_BYTES
    logits_bytes = step.sampled * architecture.vocabulary * ACTIVATION_BYTES
    embedding_s = _collective_s(2 * (tensor - 1) / tensor * hidden_bytes, rates)
    return embedding_s, _collective_s((tensor - 1) / tensor * logits_bytes, rates) if step.sampled else 0.0


def hand_over_s(architecture: Architecture, step: Step, rates: Rates) -> float:
    """Time from one pipeline stage to the next."""
    return _collective_s(HANDED_OVER * step.tokens * architecture.hidden_size * ACTIVATION_BYTES, rates)


def _copies(architecture: Architecture, parallelism: Parallelism) -> float:
    """How often a token of one copy of the model travels to the experts, and its result back.

    Whole experts: to each GPU that has one of its top-k, as DeepEP's all-to-all sends it, expected as with uniform routing;
    each tensor-parallel GPU sends its share of the tokens. Cut experts: every GPU needs every token (all-gather, then
    reduce-scatter).
    """
    experts = architecture.experts
    assert experts is not None
    if not parallelism.experts:
        return parallelism.data - 1
    group = parallelism.expert_group
    reached = group * (1 - (1 - 1 / group) ** experts.top_k)
    return reached * (group - 1) / group / parallelism.tensor


def _collective_s(moved_bytes: float, rates: Rates) -> float:
    return moved_bytes / rates.link_bytes_per_s + rates.collective_latency_s
