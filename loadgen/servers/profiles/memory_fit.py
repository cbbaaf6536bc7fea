"""Whether a model fits the GPUs that a profile asks for, before anybody waits for the start.

what vLLM may use = memory of the GPU · gpu-memory-utilization
    KV cache = that − weights − draft's weights − reserve

on the fullest GPU. With kv-cache-memory-bytes, vLLM takes that for the KV cache and ignores gpu-memory-utilization. It fits when the KV cache holds one sequence of max-model-len. The reserve is an estimate for what the
arithmetic does not know: activations, CUDA graphs, communication buffers, the vision part of a multimodal model.
"""

from dataclasses import dataclass

from loadgen.moe.architecture import Architecture
from loadgen.moe.memory import kv_cache_bytes_per_token, weight_bytes
from loadgen.moe.placement import Parallelism
from loadgen.servers.profiles.layout import Layout

GB = 10**9
RESERVE_BYTES = 4 * GB
VISION_RESERVE_BYTES = 3 * GB  # on top; the cards of DeepSeek-VL2 and Llama 4 tell 0.4 and 1.2 B parameters of it
WITH_VISION = ("deepseek_vl_v2", "llama4")  # families


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on the fullest GPU."""

    layout: Layout
    usable_bytes: int
    weights_bytes: int
    draft_weights_bytes: int
    reserve_bytes: int
    kv_bytes_per_token: int  # the draft's included

    @property
    def kv_cache_bytes(self) -> int:
        """What is left for the KV cache, or what the arguments say outright; negative where the weights alone are too many."""
        if self.layout.kv_bytes is not None:
            return self.layout.kv_bytes
        return self.usable_bytes - self.weights_bytes - self.draft_weights_bytes - self.reserve_bytes

    @property
    def sequences(self) -> float | None:
        """How many sequences of max-model-len it holds at once; None where no length is given."""
        length = self.layout.max_model_len
        return (
            None if length is None or length < 1 else max(0, self.kv_cache_bytes) / (length * self.kv_bytes_per_token)
        )

    @property
    def problem(self) -> str | None:
        """Why it does not fit, in a sentence; None where it does."""
        held = self.weights_bytes + self.draft_weights_bytes + self.reserve_bytes
        if self.layout.kv_bytes is not None:
            held += self.layout.kv_bytes
        if held >= self.usable_bytes:
            return (
                f"it does not fit ({self.layout.label}): {gigabytes(self.weights_bytes + self.draft_weights_bytes)} of weights and "
                f"{gigabytes(held - self.weights_bytes - self.draft_weights_bytes)} for the rest are more than the {gigabytes(self.usable_bytes)} "
                "that it may use of each GPU; spread it over more GPUs, quantise it, or ask for larger GPUs"
            )
        if self.sequences is not None and self.sequences < 1:
            length = self.layout.max_model_len or 0
            return (
                f"not one sequence fits ({self.layout.label}): weights leave {gigabytes(self.kv_cache_bytes)} of each GPU to the KV "
                f"cache, and {length:,} tokens need {gigabytes(length * self.kv_bytes_per_token)}; lower max-model-len or spread it "
                "over more GPUs"
            )
        return None

    @property
    def remark(self) -> str | None:
        """Where fewer of the longest sequences fit than may run at once, or the engine chooses the length; else None."""
        if self.layout.is_length_chosen:
            return f"the engine chooses max-model-len: the KV cache holds about {self.kv_cache_bytes // self.kv_bytes_per_token:,} tokens"
        most, sequences = self.layout.max_num_seqs, self.sequences
        if most is None or sequences is None or sequences >= most:
            return None
        return (
            f"the KV cache holds {sequences:.0f} sequences of {self.layout.max_model_len:,} tokens, fewer than "
            f"max-num-seqs {most}: with longer ones than {self.kv_cache_bytes // (most * self.kv_bytes_per_token):,} tokens the rest wait"
        )


def memory(
    model: Architecture, layout: Layout, gpu_memory_bytes: int, draft: Architecture | None = None
) -> Memory | None:
    """The arithmetic of one model, and of the draft that speculates for it; None where the precision is not known.

    ModelError where it cannot be laid out so.
    """
    if layout.precision is None:
        return None
    over = layout.parallelism
    draft_over = Parallelism(tensor=layout.draft_tensor or over.tensor)
    return Memory(
        layout=layout,
        usable_bytes=int(gpu_memory_bytes * (layout.memory_ratio if layout.kv_bytes is None else 1)),
        weights_bytes=weight_bytes(model, layout.precision, over),
        draft_weights_bytes=0 if draft is None else weight_bytes(draft, "bf16", draft_over),
        reserve_bytes=RESERVE_BYTES + (VISION_RESERVE_BYTES if model.family in WITH_VISION else 0),
        kv_bytes_per_token=kv_cache_bytes_per_token(model, layout.kv_precision, over)
        + (0 if draft is None else kv_cache_bytes_per_token(draft, layout.kv_precision, draft_over)),
    )


def gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / GB:,.1f} GB"
