"""Bytes of a model's weights and of its KV cache, on the fullest GPU.

Not in here: activations, CUDA graphs, what the allocator wastes, the vision part of a multimodal model, and the second,
rearranged copy of MLA's kv_b matrix that vLLM 0.32 keeps (layers/attention/mla_attention.py).
"""

import math
from typing import Literal

from loadgen.moe.architecture import Architecture, GroupedQueryAttention
from loadgen.moe.parameters import Parameters, parameters_by_stage
from loadgen.moe.placement import Parallelism, kv_heads_on_gpu, layers_per_stage

Precision = Literal["bf16", "fp8", "int4"]
KvPrecision = Literal["bf16", "fp8"]

# Bits of one weight in a matrix that is quantised. int4 is AWQ's and GPTQ's usual layout: 4 bits, and for each group of 128
# a scale of 16 bits and a zero of 4. The scales of fp8, one a matrix or a channel, are left out: under 0.1 %.
WEIGHT_BITS: dict[Precision, float] = {"bf16": 16, "fp8": 8, "int4": 4 + (16 + 4) / 128}
KV_BYTES: dict[KvPrecision, int] = {"bf16": 2, "fp8": 1}
KEPT_BYTES = 2  # a weight that is not quantised
QUANTISED = ("attention", "routed_experts", "shared_experts", "dense_ffn")  # kinds of Parameters


def weight_bytes(
    architecture: Architecture, precision: Precision = "bf16", parallelism: Parallelism | None = None
) -> int:
    """Bytes of the weights on the fullest GPU; of the whole model without `parallelism`.

    Attention and feed-forward matrices are quantised. Embedding, head, routers, norms and biases are not, as in vLLM and in
    the usual AWQ, GPTQ and FP8 checkpoints.
    """
    stages = parameters_by_stage(architecture, parallelism or Parallelism())
    return max(math.ceil(sum(weight_bytes_by_kind(stage, precision).values())) for stage in stages)


def weight_bytes_by_kind(held: Parameters, precision: Precision) -> dict[str, float]:
    quantised_bytes = WEIGHT_BITS[precision] / 8
    return {
        kind: count * (quantised_bytes if kind in QUANTISED else KEPT_BYTES) for kind, count in held.by_kind().items()
    }


def kv_cache_bytes_per_token(
    architecture: Architecture, precision: KvPrecision = "bf16", parallelism: Parallelism | None = None
) -> int:
    """Bytes that one more token of context takes on the fullest GPU that serves its request.

    Ordinary attention: 2 · kv heads on the GPU · head size · layers of the longest stage. Tensor parallelism splits the kv
    heads, until each GPU has one; from there on they are repeated. MLA caches one latent and one rotary key for all heads,
    (kv rank + rope size) a layer, which no tensor parallelism splits. (Layers with chunked or sliding attention stop
    growing at their window; this counts them as if they did not.)
    """
    over = parallelism or Parallelism()
    attention = architecture.attention
    if isinstance(attention, GroupedQueryAttention):
        elements = 2 * kv_heads_on_gpu(attention.kv_heads, over.tensor) * attention.head_size
    else:
        elements = attention.kv_rank + attention.rope_size
    return elements * max(layers_per_stage(architecture.layers, over.pipeline)) * KV_BYTES[precision]
