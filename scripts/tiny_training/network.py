"""A fast equivalent of transformers' Mixtral, DeepSeek-V2 and Llama for training small models.

Parameters have transformers' names and shapes. Every expert is computed for every token and weighted by its routing weight,
zero for those not chosen: more arithmetic than a loop over experts, but a few large matrix products of fixed shape.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PretrainedConfig

ROPE_BASE = 10000.0


@dataclass
class Routing:
    """How tokens are routed during one forward pass; a change of `top_k` or `removed` shows what a model loses."""

    top_k: int | None = None  # None: as configured
    removed: dict[int, Tensor] = field(default_factory=dict)  # by layer: bool of shape (experts,)
    logits: list[Tensor] = field(default_factory=list)  # by sparse layer: (tokens, experts)
    probabilities: list[Tensor] = field(default_factory=list)  # by sparse layer: (tokens, experts), before the choice
    chosen: list[Tensor] = field(default_factory=list)  # by sparse layer: bool of shape (tokens, experts)

    def balancing_loss(self) -> Tensor:
        """Experts × Σ (share of tokens × mean probability), 1 for uniform routing (Switch Transformer, Fedus et al. 2021, Eq. 4)."""
        losses = []
        for probabilities, chosen in zip(self.probabilities, self.chosen, strict=True):
            shares = chosen.float().mean(0)
            shares = shares / shares.sum()
            losses.append(probabilities.shape[1] * (shares * probabilities.mean(0)).sum())
        return torch.stack(losses).mean()

    def z_loss(self) -> Tensor:
        """Mean squared log of the routers' normaliser (ST-MoE, Zoph et al. 2022, Eq. 5)."""
        return torch.stack([logits.logsumexp(-1).pow(2).mean() for logits in self.logits]).mean()


class Norm(nn.Module):
    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


def _angles(tokens: int, size: int, device: torch.device) -> Tensor:
    """Rotation angles, float32 of shape (tokens, size / 2)."""
    frequencies = ROPE_BASE ** -(torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    return torch.arange(tokens, device=device, dtype=torch.float32)[:, None] * frequencies


def _attended(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention; all of shape (batch, tokens, heads, size), in which only `v` may differ."""
    q, k, v = (each.transpose(1, 2) for each in (q, k, v))
    later = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.transpose(2, 3)) * q.shape[-1] ** -0.5
    return (scores.masked_fill(later, float("-inf")).softmax(-1).to(v.dtype) @ v).transpose(1, 2)


class GroupedQueryAttention(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        hidden, self.size = config.hidden_size, config.head_dim
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.q_proj = _linear(hidden, self.heads * self.size)
        self.k_proj = _linear(hidden, self.kv_heads * self.size)
        self.v_proj = _linear(hidden, self.kv_heads * self.size)
        self.o_proj = _linear(self.heads * self.size, hidden)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        angles = _angles(tokens, self.size, x.device)
        q = self._turned(self.q_proj(x).view(batch, tokens, self.heads, self.size), angles)
        k = self._turned(self.k_proj(x).view(batch, tokens, self.kv_heads, self.size), angles)
        v = self.v_proj(x).view(batch, tokens, self.kv_heads, self.size)
        shared = batch, tokens, self.kv_heads, self.heads // self.kv_heads, self.size
        k, v = (each[:, :, :, None].expand(shared).reshape(batch, tokens, -1, self.size) for each in (k, v))
        return self.o_proj(_attended(q, k, v).reshape(batch, tokens, -1))

    @staticmethod
    def _turned(x: Tensor, angles: Tensor) -> Tensor:
        """Rotate the first half of a head against the second."""
        cos, sin = angles.cos()[:, None].to(x.dtype), angles.sin()[:, None].to(x.dtype)
        first, second = x.chunk(2, -1)
        return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


class LatentAttention(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.heads, self.rank = config.num_attention_heads, config.kv_lora_rank
        self.nope, self.rope, self.value = config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim
        self.q_proj = _linear(hidden, self.heads * (self.nope + self.rope))
        self.kv_a_proj_with_mqa = _linear(hidden, self.rank + self.rope)
        self.kv_a_layernorm = Norm(self.rank, 1e-6)
        self.kv_b_proj = _linear(self.rank, self.heads * (self.nope + self.value))
        self.o_proj = _linear(self.heads * self.value, hidden)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        angles = _angles(tokens, self.rope, x.device)
        q = self.q_proj(x).view(batch, tokens, self.heads, self.nope + self.rope)
        q_nope, q_rope = q.split((self.nope, self.rope), -1)
        latent, k_rope = self.kv_a_proj_with_mqa(x).split((self.rank, self.rope), -1)
        expanded = self.kv_b_proj(self.kv_a_layernorm(latent)).view(batch, tokens, self.heads, -1)
        k_nope, v = expanded.split((self.nope, self.value), -1)
        k_rope = self._turned(k_rope[:, :, None], angles).expand(-1, -1, self.heads, -1)
        q = torch.cat((q_nope, self._turned(q_rope, angles)), -1)
        k = torch.cat((k_nope, k_rope), -1)
        return self.o_proj(_attended(q, k, v).reshape(batch, tokens, -1))

    @staticmethod
    def _turned(x: Tensor, angles: Tensor) -> Tensor:
        """Rotate each pair of neighbouring elements."""
        cos, sin = angles.cos()[:, None].to(x.dtype), angles.sin()[:, None].to(x.dtype)
        first, second = x[..., 0::2], x[..., 1::2]
        return torch.stack((first * cos - second * sin, second * cos + first * sin), -1).flatten(-2)


class FeedForward(nn.Module):
    def __init__(self, hidden: int, size: int) -> None:
        super().__init__()
        self.gate_proj, self.up_proj = _linear(hidden, size), _linear(hidden, size)
        self.down_proj = _linear(size, hidden)

    def forward(self, x: Tensor, routing: Routing) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Router(nn.Module):
    def __init__(self, experts: int, hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(experts, hidden))


class Experts(nn.Module):
    def __init__(self, experts: int, hidden: int, size: int) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * size, hidden))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, size))

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """`x` (tokens, hidden), `weights` (tokens, experts)."""
        experts, twice, hidden = self.gate_up_proj.shape
        gate, up = F.linear(x, self.gate_up_proj.view(-1, hidden)).view(-1, experts, twice).chunk(2, -1)
        inner = F.silu(gate) * up * weights[:, :, None].to(gate.dtype)
        return inner.flatten(1) @ self.down_proj.transpose(1, 2).reshape(-1, hidden).to(inner.dtype)


class SparseFeedForward(nn.Module):
    def __init__(self, config: PretrainedConfig, layer: int) -> None:
        super().__init__()
        hidden, self.layer, self.top_k = config.hidden_size, layer, config.num_experts_per_tok
        self.is_mixtral = config.model_type == "mixtral"
        experts = config.num_local_experts if self.is_mixtral else config.n_routed_experts
        size = config.intermediate_size if self.is_mixtral else config.moe_intermediate_size
        self.gate, self.experts = Router(experts, hidden), Experts(experts, hidden, size)
        if not self.is_mixtral:
            self.shared_experts = FeedForward(hidden, size * config.n_shared_experts)

    def forward(self, x: Tensor, routing: Routing) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        with torch.autocast(x.device.type, enabled=False):
            logits = F.linear(flat.float(), self.gate.weight)
            if (removed := routing.removed.get(self.layer)) is not None:
                logits = logits.masked_fill(removed, float("-inf"))
            probabilities = logits.softmax(-1)
            best, places = probabilities.topk(min(self.top_k, routing.top_k or self.top_k), -1)
            if self.is_mixtral:
                best = best / best.sum(-1, keepdim=True)
            weights = torch.zeros_like(probabilities).scatter(1, places, best)
        routing.logits.append(logits)
        routing.probabilities.append(probabilities)
        routing.chosen.append(torch.zeros_like(probabilities).scatter(1, places, 1.0) > 0)
        mixed = self.experts(flat, weights).view(x.shape)
        return mixed if self.is_mixtral else mixed + self.shared_experts(x, routing)


class Layer(nn.Module):
    def __init__(self, config: PretrainedConfig, layer: int) -> None:
        super().__init__()
        is_deepseek = config.model_type == "deepseek_v2"
        self.self_attn = LatentAttention(config) if is_deepseek else GroupedQueryAttention(config)
        if config.model_type == "llama" or (is_deepseek and layer < config.first_k_dense_replace):
            self.mlp: nn.Module = FeedForward(config.hidden_size, config.intermediate_size)
        else:
            self.mlp = SparseFeedForward(config, layer)
        self.input_layernorm = Norm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = Norm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, routing: Routing) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x), routing)


class Body(nn.Module):
    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = Norm(config.hidden_size, config.rms_norm_eps)

    def forward(self, tokens: Tensor, routing: Routing, before: Tensor | None = None) -> Tensor:
        """`before` (batch, places, hidden) stands before the tokens' own embeddings."""
        x = self.embed_tokens(tokens)
        if before is not None:
            x = torch.cat((before, x), 1)
        for layer in self.layers:
            x = layer(x, routing)
        return self.norm(x)


class Network(nn.Module):
    """Logits, float32 of shape (batch, tokens, vocabulary), for token ids of shape (batch, tokens)."""

    def __init__(self, config: PretrainedConfig, *, router_spread: float, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.places_before = 0
        self.model = Body(config)
        self.lm_head = _linear(config.hidden_size, config.vocab_size)
        self._begin(router_spread, generator)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, tokens: Tensor, routing: Routing) -> Tensor:
        return self.lm_head(self.model(tokens, routing)).float()

    @torch.no_grad()
    def _begin(self, router_spread: float, generator: torch.Generator) -> None:
        """First weights: normal, by the number of inputs; outputs into the residual smaller with depth."""
        depth = (2 * self.config.num_hidden_layers) ** -0.5
        embedded = self.config.hidden_size**-0.5 if self.config.tie_word_embeddings else 0.5
        for name, weight in self.named_parameters():
            if name.endswith("mlp.gate.weight"):
                weight.normal_(0.0, router_spread, generator=generator)
            elif name.endswith(("o_proj.weight", "down_proj.weight", "down_proj")):
                weight.normal_(0.0, depth * weight.shape[-1] ** -0.5, generator=generator)
            elif weight.dim() > 1:
                weight.normal_(0.0, embedded if "embed" in name else weight.shape[-1] ** -0.5, generator=generator)
