"""All that is known of a profile and of the model behind it, as one document.

Counts are of parameters, sizes in bytes. A figure that cannot be, such as a layout that does not come out even, is None.
"""

from typing import Any, NotRequired, TypedDict, cast, final

from loadgen.errors import ModelError
from loadgen.moe.architecture import Architecture, GroupedQueryAttention
from loadgen.moe.memory import KvPrecision, Precision, kv_cache_bytes_per_token, weight_bytes
from loadgen.moe.models import model
from loadgen.moe.parameters import active_parameters, expected_distinct_experts, parameters
from loadgen.moe.placement import Parallelism
from loadgen.moe.table1 import TABLE_1, compare_with_paper
from loadgen.servers.profiles.checks import is_served_by_vllm, resources
from loadgen.servers.profiles.command import arguments, argv, environment
from loadgen.servers.profiles.layout import layout
from loadgen.servers.profiles.profile_file import ProfileFile
from loadgen.servers.profiles.schema import ServerProfile
from loadgen.servers.profiles.subject import architecture_of
from loadgen.servers.redaction import shown, shown_words


class ShownProfile(TypedDict):
    """The profile resolved, without keys at their default; secrets are hidden. The keys beside these are those of `ServerProfile`."""

    path: str
    name: str
    description: NotRequired[str]
    unservable: NotRequired[str]  # why nothing here can serve it
    sweep: NotRequired[dict[str, object]]  # the default grid
    notes: NotRequired[str]


@final
class NoMemoryFacts(TypedDict):
    problem: str


@final
class MemoryFacts(TypedDict):
    """What lies in the memory of the fullest GPU."""

    layout: str
    usable_bytes: int
    weights_bytes: int
    draft_weights_bytes: int
    reserve_bytes: int
    kv_cache_bytes: int
    kv_cache_bytes_per_token: int
    sequences_of_max_model_len: float | None
    problem: str | None
    remark: str | None


class GpuShare(TypedDict):
    """Bytes on the fullest GPU of one layout, by precision; None if the model cannot be laid out so."""

    tensor: int
    pipeline: int
    data: int
    experts_spread: bool
    weights_bytes: dict[str, int | None]
    kv_cache_bytes_per_token: dict[str, int | None]


class PaperFigure(TypedDict):
    """One figure of the paper's table beside the real one. `agrees` None: the paper counts a vision part."""

    label: str
    paper: float
    real: float
    counted: str | None  # how `real` was counted; None: everything
    agrees: bool | None
    difference_ratio: float


class PaperRow(TypedDict):
    title: str
    figures: list[PaperFigure]


class ArchitectureFacts(TypedDict):
    """Sizes, parameters by kind of layer, and the experts that a step reads."""

    family: str
    layers: int
    dense_layers: int
    dense_ffn_size: int | None
    hidden_size: int
    vocabulary: int
    attention: dict[str, str | int]
    experts: dict[str, int] | None
    parameters: dict[str, int]  # in all, and those that one token uses
    parameters_by_kind: dict[str, dict[str, int]]  # likewise
    distinct_experts_per_step: dict[str, float]  # by sequences in a step


class ModelFacts(ArchitectureFacts):
    """What is known of a model."""

    name: str | None
    card: dict[str, str] | None  # parameters as the model's card states them
    sources: list[str]
    notes: list[str]
    per_gpu: list[GpuShare]
    paper_table_1: PaperRow | None


class ProfileFacts(TypedDict):
    """A profile, its command, its memory and its model."""

    profile: ShownProfile
    request_model: str
    weights: str
    release: str | None  # of the engine
    argv: list[str] | None  # None: loadgen does not start it
    environment: dict[str, str] | None
    memory: MemoryFacts | NoMemoryFacts | None
    model: ModelFacts | None  # None: the architecture is not known


BATCHES = (1, 4, 16, 32, 64, 128)
PRECISIONS: tuple[Precision, ...] = ("bf16", "fp8", "int4")
KV_PRECISIONS: tuple[KvPrecision, ...] = ("bf16", "fp8")
LAYOUTS = (
    Parallelism(),
    Parallelism(tensor=2),
    Parallelism(tensor=4),
    Parallelism(tensor=8),
    Parallelism(pipeline=2),
    Parallelism(pipeline=4),
    Parallelism(tensor=4, experts=True),
    Parallelism(data=4, experts=True),
)


def facts(file: ProfileFile, release: str | None) -> ProfileFacts:
    """The profile resolved, its command for this release of the engine, its memory, and its model."""
    profile = file.profile
    starts = profile.unservable is None and profile.launcher != "external" and not profile.abstract
    return {
        "profile": cast(
            ShownProfile, {"path": str(file.path), **shown(profile.model_dump(mode="json", exclude_defaults=True))}
        ),
        "request_model": profile.request_model,
        "weights": profile.weights,
        "release": release,
        "argv": shown_words(argv(profile, release)) if starts else None,
        "environment": shown(environment(profile, release)) if starts else None,
        "memory": _memory(profile, release) if is_served_by_vllm(profile) else None,
        "model": _model(profile, release),
    }


def _memory(profile: ServerProfile, release: str | None) -> MemoryFacts | NoMemoryFacts | None:
    try:
        fit = resources(profile, release)
    except ModelError as error:
        return {"problem": str(error)}
    if fit is None:
        return None
    return {
        "layout": fit.layout.label,
        "usable_bytes": fit.usable_bytes,
        "weights_bytes": fit.weights_bytes,
        "draft_weights_bytes": fit.draft_weights_bytes,
        "reserve_bytes": fit.reserve_bytes,
        "kv_cache_bytes": fit.kv_cache_bytes,
        "kv_cache_bytes_per_token": fit.kv_bytes_per_token,
        "sequences_of_max_model_len": None if fit.sequences is None else round(fit.sequences, 1),
        "problem": fit.problem,
        "remark": fit.remark,
    }


def _model(profile: ServerProfile, release: str | None) -> ModelFacts | None:
    served = architecture_of(profile, arguments(profile, release))
    if served is None:
        return None
    named = None if profile.architecture is None else model(profile.architecture)
    own = layout(arguments(profile, release)).parallelism
    return {
        "name": profile.architecture,
        "card": None if named is None else {"total": named.card_total, "active": named.card_active},
        "sources": [] if named is None else list(named.sources),
        "notes": [] if named is None else list(named.notes),
        **_architecture(served),
        "per_gpu": [_per_gpu(served, over) for over in ((own, *LAYOUTS) if own not in LAYOUTS else LAYOUTS)],
        "paper_table_1": _paper(profile.architecture),
    }


def _architecture(served: Architecture) -> ArchitectureFacts:
    every, active, experts = parameters(served), active_parameters(served), served.experts
    return {
        "family": served.family,
        "layers": served.layers,
        "dense_layers": served.dense_layers,
        "dense_ffn_size": served.dense_ffn_size,
        "hidden_size": served.hidden_size,
        "vocabulary": served.vocabulary,
        "attention": _attention(served),
        "experts": None
        if experts is None
        else {
            "experts": experts.experts,
            "top_k": experts.top_k,
            "ffn_size": experts.ffn_size,
            "shared_experts": experts.shared_experts,
            "shared_ffn_size": experts.shared_ffn_size,
        },
        "parameters": {"total": every.total, "active": active.total, "active_without_embedding": active.without_embedding},
        "parameters_by_kind": {
            kind: {"total": count, "active": active.by_kind()[kind]} for kind, count in every.by_kind().items()
        },
        "distinct_experts_per_step": {}
        if experts is None
        else {
            str(batch): round(expected_distinct_experts(experts.experts, experts.top_k, batch), 2) for batch in BATCHES
        },
    }  # fmt: skip


def _attention(served: Architecture) -> dict[str, str | int]:
    attention = served.attention
    sizes: dict[str, str | int] = {"kind": attention.kind, "heads": attention.heads}
    if isinstance(attention, GroupedQueryAttention):
        return sizes | {"kv_heads": attention.kv_heads, "head_size": attention.head_size}
    return sizes | {"kv_rank": attention.kv_rank, "rope_size": attention.rope_size}


def _per_gpu(served: Architecture, over: Parallelism) -> GpuShare:
    """Bytes on the fullest GPU of one layout; None where the model cannot be laid out so."""

    def or_none(count: Any, *of: Any) -> int | None:
        try:
            return int(count(served, *of))
        except ModelError:
            return None

    return {
        "tensor": over.tensor,
        "pipeline": over.pipeline,
        "data": over.data,
        "experts_spread": over.experts,
        "weights_bytes": {precision: or_none(weight_bytes, precision, over) for precision in PRECISIONS},
        "kv_cache_bytes_per_token": {
            precision: or_none(kv_cache_bytes_per_token, precision, over) for precision in KV_PRECISIONS
        },
    }


def _paper(name: str | None) -> PaperRow | None:
    row = next((row for row in TABLE_1 if row.name == name), None)
    if row is None:
        return None
    return {
        "title": row.title,
        "figures": [
            {
                "label": figure.label,
                "paper": figure.paper,
                "real": round(figure.real, 3),
                "counted": figure.counted or None,
                "agrees": figure.agrees,
                "difference_ratio": round(figure.difference_ratio, 3),
            }
            for figure in compare_with_paper(row)
        ],
    }
