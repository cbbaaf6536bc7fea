"""How many kernels an engine launches for a layer, which is what a layer costs the CPU without a CUDA graph."""

from loadgen.moe.architecture import Architecture, LatentAttention

_NORM_QUERIES_AND_KEYS = ("olmoe", "qwen3", "qwen3_moe")
"""Families with a norm of queries and one of keys, by themselves."""

_ROUTERS = {"phimoe": 21}
"""Kernels that choose the experts, for families whose choice is not one kernel: SparseMixer is a function of tensor operations."""


def layer_kernels(architecture: Architecture, *, are_inputs_converted: bool = False) -> float:
    """Return the kernels of a layer, as a mean over all layers. `are_inputs_converted`: to fp8, before every product.

    Counted in vLLM 0.26's code: attention (norm, products, rotation, cache), then a norm and the feed-forward part. A product
    of matrices, an activation, a norm that adds the residual are one kernel each, and a conversion two: the scale, and the
    values. Copies and what a library launches inside of one call are not counted.
    """
    experts, layers = architecture.experts, architecture.layers
    attention, attention_products = _attention(architecture)
    kernels = layers * (attention + 1) + architecture.dense_layers * 3  # gate and up, activation, down
    products = layers * attention_products + architecture.dense_layers * 2
    if experts is not None:
        of_layer = 6 + _ROUTERS.get(architecture.family, 1)  # router, sorting, product, activation, product, sum
        if experts.shared_experts:
            of_layer += 4 + (
                2 if experts.shared_gate else 0
            )  # a dense part and its addition; the gate's product and sigmoid
        kernels += len(experts.layers) * of_layer
        products += len(experts.layers) * (4 if experts.shared_experts else 2)
    return (kernels + (2 * products if are_inputs_converted else 0)) / layers


def _attention(architecture: Architecture) -> tuple[int, int]:
    """The kernels of attention, and the products of weights among them."""
    attention = architecture.attention
    if isinstance(attention, LatentAttention):
        return (11, 3) if attention.query_rank is None else (13, 4)  # one more product for queries, and its norm
    return (8 if architecture.family in _NORM_QUERIES_AND_KEYS else 6), 2
