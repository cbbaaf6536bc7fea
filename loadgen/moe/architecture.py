"""The sizes of a decoder-only transformer, dense or with experts, under one name each whatever its family calls them.

Sizes are counts of elements, never bytes. A *matrix* is what quantisation and tensor
parallelism act on; a *vector* is a norm's weight or a bias, which stays as it is and lies whole on every GPU.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GroupedQueryAttention:
    """Separate keys and values for each of `kv_heads`, shared by heads / kv_heads queries (Ainslie et al. 2023)."""

    heads: int
    kv_heads: int
    head_size: int
    vectors: int  # elements of norms and biases in one layer

    @property
    def kind(self) -> str:
        return "MHA" if self.kv_heads == self.heads else "GQA"


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Keys and values compressed to one latent of `kv_rank` and one rotary key of `rope_size` a token (DeepSeek-V2, §2.1)."""

    heads: int
    query_rank: int | None  # None: queries are not compressed
    kv_rank: int
    nope_size: int  # the part of a head's query and key without position
    rope_size: int
    value_size: int
    vectors: int

    @property
    def kind(self) -> str:
        return "MLA"


Attention = GroupedQueryAttention | LatentAttention


@dataclass(frozen=True, slots=True)
class Experts:
    """The sparse feed-forward part: which layers have it, and what stands in each of them."""

    layers: tuple[int, ...]  # ascending, from 0
    experts: int  # routed ones
    top_k: int  # how many of them each token passes
    ffn_size: int  # intermediate size of one routed expert
    shared_experts: int  # that every token passes
    shared_ffn_size: int  # of all shared ones together
    shared_gate: bool  # a learned weight for the shared expert's output
    router_bias: bool  # a correction for balance, added to the scores when experts are chosen


@dataclass(frozen=True, slots=True)
class VisionTower:
    """An encoder of square tiles of an image, and the projector that makes the language model's tokens of their patches.

    Its layers are those of a vision transformer: attention, and a feed-forward part of two matrices (DeepSeek-VL2, §2.1).
    """

    layers: int
    width: int
    heads: int
    ffn_size: int
    patch_size: int  # pixels on a side
    tile_size: int  # pixels on a side
    downsampling: int  # patches on a side that become one token
    projected_size: int  # of the projector's two products: the language model's hidden size
    grids: tuple[tuple[int, int], ...]  # (columns, rows) of tiles that an image may be cut into


@dataclass(frozen=True, slots=True)
class Architecture:
    """One language model. Feed-forward parts have three matrices (gate, up, down) in every family known here."""

    family: str  # the configuration's model_type
    layers: int
    hidden_size: int
    vocabulary: int
    tied_embeddings: bool  # the head is the embedding
    dtype: str | None  # of the checkpoint; None where the configuration does not say
    attention: Attention
    experts: Experts | None  # None: a dense model
    dense_ffn_size: int | None  # of the layers without experts; None where there are none
    norm_bias: bool  # LayerNorm with a bias instead of RMSNorm
    head_bias: bool
    vision: VisionTower | None = None  # None: it reads no images, or how is not known here

    def has_experts(self, layer: int) -> bool:
        return self.experts is not None and layer in self.experts.layers

    @property
    def dense_layers(self) -> int:
        return self.layers - (len(self.experts.layers) if self.experts else 0)
