"""Table 1 of the paper MoE-Inference-Bench beside the real configurations.

The paper's figures are copied as they stand, mistakes included; nothing else in loadgen is computed from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from loadgen.moe.architecture import Architecture
from loadgen.moe.models import model
from loadgen.moe.parameters import Parameters, active_parameters, parameters

BILLION = 10**9


@dataclass(frozen=True, slots=True)
class Table1Row:
    """One model as Table 1 has it. Sizes are in billions, with the digits that the paper gives."""

    title: str
    name: str  # of our model
    layers: int
    hidden_size: int
    ffn_size: int
    experts: int
    top_k: int
    total: str
    active: str
    with_vision: bool = False  # its sizes include a vision part, ours are of the language model


TABLE_1 = (
    Table1Row("Mixtral 8x7B", "mixtral-8x7b", 32, 4096, 14336, 8, 2, "47", "12.9"),
    Table1Row("Qwen 1.5 MoE", "qwen1.5-moe-a2.7b", 24, 2048, 5632, 60, 4, "14.3", "2.7"),
    Table1Row("Qwen3-30B-A3B", "qwen3-30b-a3b", 48, 5120, 13824, 128, 8, "30.5", "3.3"),
    Table1Row("DeepSeek V2 Lite", "deepseek-v2-lite", 27, 2048, 1408, 64, 6, "15.7", "2.4"),
    Table1Row("Phi 3.5 MoE", "phi-3.5-moe", 32, 4096, 6400, 16, 2, "41.9", "6.6"),
    Table1Row("OLMoE-1B-7B", "olmoe-1b-7b", 16, 2048, 8192, 64, 8, "7.2", "1.3"),
    Table1Row("DeepSeek VL2 Tiny", "deepseek-vl2-tiny", 16, 1536, 8960, 8, 2, "3", "1.0", with_vision=True),
    Table1Row("DeepSeek VL2 Small", "deepseek-vl2-small", 24, 2048, 11008, 8, 2, "16", "2.8", with_vision=True),
    Table1Row("DeepSeek VL2", "deepseek-vl2", 32, 4096, 14336, 8, 2, "27", "4.5", with_vision=True),
)
WITHOUT_EMBEDDING = "without the embedding"


@dataclass(frozen=True, slots=True)
class PaperComparison:
    """One figure of the paper and the real one, in the same unit. `agrees` is None where they are not of the same thing."""

    label: str
    paper: float
    real: float
    decimals: int | None  # that the paper gives, of a size in billions; None for a count
    agrees: bool | None
    counted: str = ""  # how `real` was counted; empty: everything

    @property
    def difference_ratio(self) -> float:
        """How far the paper is from the real figure, as a share of the real one."""
        return self.paper / self.real - 1


def compare_with_paper(row: Table1Row) -> tuple[PaperComparison, ...]:
    """Each figure of a row beside the real one: the five dimensions, then total and active parameters in billions.

    A dimension agrees when it is equal. A size agrees when it is less than one unit of the paper's last digit away, so
    that rounded and cut-off figures both do; an active one also where the input embedding was left out.
    """
    architecture = model(row.name).architecture
    return (*_dimensions(row, architecture), *_sizes(row, architecture))


def _dimensions(row: Table1Row, architecture: Architecture) -> tuple[PaperComparison, ...]:
    experts = architecture.experts
    assert experts is not None
    pairs = (
        ("layers", row.layers, architecture.layers),
        ("hidden size", row.hidden_size, architecture.hidden_size),
        ("FFN size of an expert", row.ffn_size, experts.ffn_size),
        ("experts", row.experts, experts.experts),
        ("experts per token", row.top_k, experts.top_k),
    )
    return tuple(PaperComparison(label, paper, real, None, paper == real) for label, paper, real in pairs)


def _sizes(row: Table1Row, architecture: Architecture) -> tuple[PaperComparison, ...]:
    active = active_parameters(architecture)
    total = parameters(architecture).total
    return (
        _size("parameters", row.total, {"": total / BILLION}, row.with_vision),
        _size("active parameters", row.active, active_counts(active), row.with_vision),
    )


def _size(label: str, paper: str, counts: Mapping[str, float], with_vision: bool) -> PaperComparison:
    counted, real = nearest_count(paper, {"": counts[""]} if with_vision else counts)
    agrees = None if with_vision else size_agrees(paper, real)
    return PaperComparison(label, float(paper), real, len(paper.partition(".")[2]), agrees, counted)


def active_counts(active: Parameters) -> Mapping[str, float]:
    """The two ways to count active parameters, in billions: all of them, and those without the input embedding."""
    return {"": active.total / BILLION, WITHOUT_EMBEDDING: active.without_embedding / BILLION}


def nearest_count(stated: str, counts: Mapping[str, float]) -> tuple[str, float]:
    """Return the first of several counts that a stated size agrees with, else the first of all; sizes are in billions."""
    first = next(iter(counts.items()))
    return next((each for each in counts.items() if size_agrees(stated, each[1])), first)


def size_agrees(stated: str, real: float) -> bool:
    """Whether a size is less than one unit of its last digit away from the real one, both in billions."""
    unit = 10.0 ** -len(stated.partition(".")[2])
    return abs(real - float(stated)) < unit
