"""How vLLM lays a model out over GPUs: which layers a pipeline stage has, and which share of a layer one GPU.

Read in vLLM 0.32.
"""

from dataclasses import dataclass

from loadgen.errors import ModelError


@dataclass(frozen=True, slots=True)
class Parallelism:
    """Sizes of the groups. `experts`: whole experts are spread, where otherwise each one is cut.

    Routed experts are spread or cut over tensor · data GPUs either way (vLLM's fused_moe/config.py); on a group of one,
    as with pipeline stages alone, `experts` changes nothing. Everything else is repeated in each data-parallel copy.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    experts: bool = False

    def __post_init__(self) -> None:
        for name in ("tensor", "pipeline", "data"):
            if getattr(self, name) < 1:
                raise ModelError(f"the {name}-parallel size is {getattr(self, name)}; at least 1 is needed")

    @property
    def expert_group(self) -> int:
        return self.tensor * self.data

    @property
    def label(self) -> str:
        """`tensor 4, experts spread`, without what is 1; `one GPU`."""
        sizes = (("tensor", self.tensor), ("pipeline", self.pipeline), ("data", self.data))
        parts = [f"{name} {size}" for name, size in sizes if size > 1] or ["one GPU"]
        return ", ".join([*parts, *(["experts spread"] if self.experts else [])])

    @property
    def gpus(self) -> int:
        return self.tensor * self.pipeline * self.data


def layers_per_stage(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each pipeline stage, the first first.

    As vLLM's get_pp_indices (distributed/utils.py): evenly, and what is left over goes one each to the stages before the
    last, backwards, since the last one has the head.
    """
    if stages > layers:
        raise ModelError(f"{layers} layers cannot be spread over {stages} pipeline stages")
    shares = [layers // stages] * stages
    for back in range(2, layers % stages + 2):
        shares[-back] += 1
    return tuple(shares)


def split(count: int, parts: int, what: str) -> int:
    """`count` / `parts`, which must come out even."""
    if count % parts:
        raise ModelError(f"{count} {what} cannot be split evenly over {parts} tensor-parallel GPUs")
    return count // parts


def kv_heads_on_gpu(kv_heads: int, tensor: int) -> int:
    """Key-value heads on one GPU: a share, or one that several GPUs have a copy of when there are more GPUs than heads."""
    if tensor > kv_heads:
        if tensor % kv_heads:
            raise ModelError(f"{kv_heads} key-value heads cannot be repeated evenly over {tensor} tensor-parallel GPUs")
        return 1
    return split(kv_heads, tensor, "key-value heads")
