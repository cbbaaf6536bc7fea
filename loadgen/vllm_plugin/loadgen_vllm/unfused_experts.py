"""Experts one after the other, in separate stages, in place of vLLM's fused kernel.

For each expert: gate and up projection, SiLU, product, down projection, times the routing weight, sum. vLLM's router, weight
loading and parallelism stay as they are: only its method for experts without quantisation is replaced, through the hook that
vLLM has for implementations from outside (`register_oot`). Known to fit vLLM 0.26 to 0.32.

`loop` runs every expert over all tokens and masks by the routing weight: the shapes do not depend on the routing, so that CUDA
graphs can capture it. `gather` runs each expert over its own tokens alone, whose number is known only while it runs.
"""

import inspect
from typing import Any

import torch
from torch.nn.functional import linear, silu
from vllm.config import get_current_vllm_config
from vllm.model_executor.layers.fused_moe.activation import MoEActivation
from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import UnquantizedFusedMoEMethod

from .messages import UnsupportedRelease, announce


def looped(
    x: torch.Tensor, *, w13: torch.Tensor, w2: torch.Tensor, weights: torch.Tensor, experts: torch.Tensor
) -> torch.Tensor:
    """Return the sum of the experts' outputs (tokens × hidden), each expert run over all tokens.

    `x` is tokens × hidden, `w13` experts × (gate and up, 2 × intermediate) × hidden, `w2` experts × hidden × intermediate.
    `weights` and `experts` are tokens × top-k: routing weights, and numbers of the experts held here (-1: held elsewhere).
    """
    total = torch.zeros_like(x, dtype=torch.float32)
    for expert in range(w13.shape[0]):
        share = (weights * (experts == expert)).sum(dim=-1, keepdim=True)
        # Not a product alone: 16 bits may overflow for a token that the expert was not chosen for, and 0 · inf is no number.
        total += torch.where(share != 0, _feed_forward(x, w13[expert], w2[expert]) * share, 0.0)
    return total.to(x.dtype)


def gathered(
    x: torch.Tensor, *, w13: torch.Tensor, w2: torch.Tensor, weights: torch.Tensor, experts: torch.Tensor
) -> torch.Tensor:
    """Return the same as `looped`, each expert run over the tokens that chose it."""
    total = torch.zeros_like(x, dtype=torch.float32)
    for expert in range(w13.shape[0]):
        tokens, choices = torch.where(experts == expert)
        if tokens.numel():
            output = _feed_forward(x.index_select(0, tokens), w13[expert], w2[expert])
            total.index_add_(0, tokens, output * weights[tokens, choices, None])
    return total.to(x.dtype)


def _feed_forward(x: torch.Tensor, w13: torch.Tensor, w2: torch.Tensor) -> torch.Tensor:
    gate, up = w13.chunk(2)
    return linear(silu(linear(x, gate)) * linear(x, up), w2)


class UnfusedExperts(UnquantizedFusedMoEMethod):  # type: ignore[misc]
    """vLLM's method for experts without quantisation, with `kind` (`loop` or `gather`) for its kernel."""

    kind = "loop"

    def __init__(self, moe: Any) -> None:
        super().__init__(moe)
        if self.kind == "gather" and not get_current_vllm_config().model_config.enforce_eager:
            raise ValueError(
                "loadgen's plug-in expert-gather needs enforce-eager: true, since CUDA graphs want shapes that do not "
                "depend on the routing; add it to the profile's arguments, or use expert-loop"
            )
        announce(f"expert-{self.kind}")

    @property
    def is_monolithic(self) -> bool:
        """False: vLLM's router chooses the experts, and hands its choice to `apply`."""
        return False

    def maybe_make_prepare_finalize(self, routing_tables: object = None) -> None:
        """None: there is no kernel to prepare for. vLLM 0.26 asks, 0.32 does not."""

    def maybe_roundup_sizes(self, hidden_size: int, intermediate_size: int, *_: object) -> tuple[int, int]:
        """As they are: no kernel wants padding."""
        return hidden_size, intermediate_size

    def process_weights_after_loading(self, layer: Any) -> None:
        """Leave the weights as they were loaded. Raises ValueError for experts of another kind than SiLU's."""
        different = {
            "an activation other than SiLU": layer.activation != MoEActivation.SILU,
            "a limit in the activation": getattr(layer, "swiglu_limit", None) is not None,
            "biases": self.moe.has_bias,
            "routing weights on the input": layer.apply_router_weight_on_input,
        }
        if found := next((what for what, is_so in different.items() if is_so), None):
            raise ValueError(
                f"loadgen's plug-in expert-{self.kind} does not serve this model, whose experts have {found}; "
                "leave `plugins` out of the profile"
            )

    def apply(
        self, layer: Any, x: torch.Tensor, topk_weights: torch.Tensor, topk_ids: torch.Tensor, *_: object, **__: object
    ) -> torch.Tensor:
        """Return the routed experts' output, over the experts and the part of each that this process holds."""
        local = topk_ids if layer.expert_map is None else layer.expert_map[topk_ids.long()]
        run = looped if self.kind == "loop" else gathered
        return run(x, w13=layer.w13_weight, w2=layer.w2_weight, weights=topk_weights, experts=local)


def replace_fused_experts(kind: str) -> None:
    """Have vLLM use `UnfusedExperts` from here on. Raises UnsupportedRelease where this vLLM has no such hook."""
    wanted = {"layer", "x", "topk_weights", "topk_ids"}
    given = set(inspect.signature(UnquantizedFusedMoEMethod.apply).parameters)
    if not wanted <= given or not hasattr(UnquantizedFusedMoEMethod, "register_oot"):
        raise UnsupportedRelease(f"expert-{kind}")
    UnfusedExperts.kind = kind
    UnquantizedFusedMoEMethod.register_oot(UnfusedExperts)
