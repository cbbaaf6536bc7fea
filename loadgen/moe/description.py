"""What a model is, in rows for people to read."""

from loadgen.moe.architecture import Architecture, GroupedQueryAttention
from loadgen.moe.memory import kv_cache_bytes_per_token, weight_bytes
from loadgen.moe.parameters import active_parameters, parameters


def describe(architecture: Architecture) -> tuple[tuple[str, str], ...]:
    """(label, value) of each fact, the most asked first; counts in full, bytes of the whole model in bf16."""
    every, active = parameters(architecture), active_parameters(architecture)
    return (
        ("parameters", f"{every.total:,}"),
        ("active per token", f"{active.total:,}"),
        ("layers", f"{architecture.layers}, of which {architecture.dense_layers} dense"),
        ("hidden size", f"{architecture.hidden_size:,}"),
        ("attention", _attention(architecture)),
        ("experts", _experts(architecture)),
        ("dense FFN size", "none" if architecture.dense_ffn_size is None else f"{architecture.dense_ffn_size:,}"),
        ("vocabulary", f"{architecture.vocabulary:,}, head {'tied' if architecture.tied_embeddings else 'untied'}"),
        ("weights in bf16", f"{weight_bytes(architecture) / 1e9:.1f} GB"),
        ("KV cache in bf16", f"{kv_cache_bytes_per_token(architecture):,} bytes per token"),
    )


def _attention(architecture: Architecture) -> str:
    attention = architecture.attention
    if isinstance(attention, GroupedQueryAttention):
        return f"{attention.kind}, {attention.heads} heads, {attention.kv_heads} KV heads of {attention.head_size}"
    return f"{attention.kind}, {attention.heads} heads, latent of {attention.kv_rank} + {attention.rope_size}"


def _experts(architecture: Architecture) -> str:
    experts = architecture.experts
    if experts is None:
        return "none"
    shared = (
        f", {experts.shared_experts} shared of {experts.shared_ffn_size:,} in all" if experts.shared_experts else ""
    )
    return f"{experts.top_k} of {experts.experts} with FFN size {experts.ffn_size:,}{shared}"
