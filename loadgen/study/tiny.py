"""A study on tiny models: each server replaced by one of the same family that a processor serves (`--scale tiny`).

It shows that a study runs from end to end, not how fast anything is. The points keep the coordinates of the full-size study;
what was measured for them is a tiny model under a scaled load.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Literal

from loadgen.analysis.document.server import ServerDocument
from loadgen.checkpoints.selection import Pruning
from loadgen.errors import ModelError
from loadgen.moe.architecture import Experts
from loadgen.servers.launcher.variant import Overrides, Variant
from loadgen.servers.profiles.flag_syntax import flat
from loadgen.servers.profiles.subject import architecture_of
from loadgen.study.pruned import PRUNED_FOLDER, PrunedCheckpoint
from loadgen.study.served import served_by
from loadgen.study.variants import StudyVariant

Scale = Literal["full", "tiny"]


@dataclass(frozen=True, slots=True)
class TinyModel:
    """A tiny model of one family, by its profile; `ffn_key` is the configuration's name of the size of an expert."""

    profile: str
    experts: int
    ffn_size: int
    ffn_key: str


TINY_MODELS: Mapping[str, TinyModel] = {
    "deepseek_v2": TinyModel("tiny-deepseekv2", experts=16, ffn_size=64, ffn_key="moe_intermediate_size"),
    "mixtral": TinyModel("tiny-mixtral", experts=8, ffn_size=128, ffn_key="intermediate_size"),
    "olmoe": TinyModel("tiny-olmoe", experts=16, ffn_size=64, ffn_key="intermediate_size"),
    "phimoe": TinyModel("tiny-phimoe", experts=16, ffn_size=128, ffn_key="intermediate_size"),
    "qwen2_moe": TinyModel("tiny-qwen2moe", experts=16, ffn_size=64, ffn_key="moe_intermediate_size"),
    "qwen3_moe": TinyModel("tiny-qwen3moe", experts=16, ffn_size=64, ffn_key="moe_intermediate_size"),
}
"""By family, as scripts/tiny_models.py makes them."""

_WITH_PLUGINS: Mapping[tuple[str, tuple[str, ...]], str] = {
    ("tiny-mixtral", ("expert-loop",)): "tiny-mixtral-unfused",
    ("tiny-mixtral", ("expert-gather",)): "tiny-mixtral-unfused-gather",
}
"""The profile of a tiny model with the plug-ins of the one that it stands for."""

_TARGET = "trained-mixtral"
_DRAFTED: Mapping[str, str] = {
    "Qwen/Qwen3-0.6B": "trained-mixtral-draft-small",
    "Qwen/Qwen3-1.7B": "trained-mixtral-draft-large",
    "ngram": "trained-mixtral-ngram",
}
"""What stands for a model that a study measures with drafts, by draft model or method: a model that has learnt something, whose
drafts are accepted now and then."""
_DRAFT_TOKENS = "speculative-config.num_speculative_tokens"

_FOLDER = ".tiny-models"
_TRAINED_FOLDER, _TRAINED = "trained_models", "trained-"  # the names of models and profiles begin with the latter
_MODELS = frozenset(tiny.profile for tiny in TINY_MODELS.values())  # each profile has the name of its model
_PROFILES = _MODELS | {"tiny-mixtral-tp2", *_WITH_PLUGINS.values(), _TARGET, *_DRAFTED.values()}

_OF_GPUS = frozenset(
    {
        "all2all-backend",
        "attention-backend",
        "data-parallel-size",
        "dtype",
        "enable-eplb",
        "enable-expert-parallel",
        "eplb-config",
        "gpu-memory-utilization",
        "kv-cache-dtype",
        "kv-cache-memory-bytes",
        "load-format",
        "max-model-len",
        "moe-backend",
        "pipeline-parallel-size",
        "quantization",
        "speculative-config",
        "tensor-parallel-size",
    }
)
"""Arguments that are about GPUs, or about a model of full size. A tiny server is started without them."""

_EXPERTS_KEYS = ("num_local_experts", "num_experts", "n_routed_experts")
_TOP_K_KEY = "num_experts_per_tok"
_CONFIGURATION = "hf-overrides."


class _HasNoTinyOne(Exception):
    """No tiny server can stand for a variant; the text says why."""


def has_tiny_model(server: ServerDocument) -> bool:
    """Whether a server on record was started with one of these models: by its profile and the model's folder, which a start may change."""
    has_profile = server.get("profile") in _PROFILES
    launch = server.get("launch") or {}
    if (pruned := launch.get("pruned")) is not None:
        return pruned["source"] in _MODELS or pruned["source"].startswith(_TRAINED)
    source = launch.get("model_source")
    if source is None:
        return has_profile
    folder = PurePath(source)
    if folder.parent.name == _TRAINED_FOLDER:
        return True
    if folder.parent.name == PRUNED_FOLDER:
        has_profile |= str(server.get("profile")).startswith(_TRAINED)
        return has_profile and folder.name.startswith((_TRAINED, *(f"{model}-in" for model in _MODELS)))
    return folder.name in _MODELS and (has_profile or folder.parent.name == _FOLDER)


def at_scale(scale: Scale, variants: tuple[StudyVariant, ...]) -> tuple[StudyVariant, ...]:
    """The servers as they are, or with tiny models in their place."""
    return variants if scale == "full" else at_tiny_scale(variants)


def at_tiny_scale(variants: Sequence[StudyVariant]) -> tuple[StudyVariant, ...]:
    """Replace each server by a tiny one; those that have none, or the same as one before, get the reason as `cannot_run`.

    Raises UsageError for a tiny profile that is missing.
    """
    return tuple(_replaced(variants))


def _replaced(variants: Iterable[StudyVariant]) -> Iterator[StudyVariant]:
    variants = tuple(variants)
    with_drafts = {each.served.model for each in variants if "draft_model" in each.served.coordinates}
    first: dict[str, str] = {}  # tiny servers, by their labels
    for variant in variants:
        if variant.cannot_run is not None and variant.tiny is None:
            yield variant
            continue
        try:
            unpruned = (_drafting if variant.served.model in with_drafts else _tiny_server)(variant)
            server, checkpoint = _pruned(unpruned, variant.pruning)
            served = served_by(server.served.profile)
        except (_HasNoTinyOne, ModelError) as why:
            yield replace(variant, cannot_run=str(why))
            continue
        if server.label in first:
            yield replace(variant, cannot_run=f"as a tiny model it is the same as {first[server.label]}")
            continue
        first[server.label] = variant.label
        yield replace(
            variant, variant=server, served=served, stands_for=variant, checkpoint=checkpoint, cannot_run=None
        )


def _tiny_server(variant: StudyVariant) -> Variant:
    if variant.tiny is not None:
        return Variant.of(variant.tiny)
    profile = variant.variant.profile
    architecture = architecture_of(profile, {})
    if architecture is None or architecture.experts is None:
        raise _HasNoTinyOne(f"there is no tiny model for {profile.request_model}, whose experts are not known")
    tiny = TINY_MODELS.get(architecture.family)
    if tiny is None:
        raise _HasNoTinyOne(f"there is no tiny model of the family {architecture.family}")
    name = _WITH_PLUGINS.get((tiny.profile, profile.plugins)) if profile.plugins else tiny.profile
    if name is None:
        raise _HasNoTinyOne(f"there is no tiny model with the plug-in {' and '.join(profile.plugins)}")
    asked = variant.variant.overrides.arguments
    kept = {name: value for name, value in asked.items() if _flag(name) not in _OF_GPUS | {"hf-overrides"}}
    changes = {
        name.removeprefix(_CONFIGURATION): value
        for name, value in {**flat(profile.arguments), **asked}.items()
        if name.startswith(_CONFIGURATION) and value is not None
    }
    configuration = _scaled(changes, tiny, architecture.experts)
    kept |= {_CONFIGURATION + key: value for key, value in configuration.items()}
    if configuration.keys() - {_TOP_K_KEY} and variant.pruning is None:  # the weights in the folder have other shapes
        kept = {"load-format": "dummy", **kept}
    return Variant.of(name, Overrides(arguments=kept))


def _drafting(variant: StudyVariant) -> Variant:
    """The trained model with a trained draft, by n-gram or without, in place of a server of a study about drafts."""
    draft = variant.served.coordinates.get("draft_model")
    if draft is None:
        return Variant.of(_TARGET, Overrides())
    if "acceptance_length" in variant.served.coordinates:
        raise _HasNoTinyOne("on a processor vLLM accepts no stated share of the drafts (synthetic acceptance)")
    name = _DRAFTED.get(str(draft))
    if name is None:
        raise _HasNoTinyOne(f"there is no trained draft in place of {draft}")
    asked = flat(variant.variant.overrides.arguments)
    return Variant.of(name, Overrides(arguments={key: asked[key] for key in (_DRAFT_TOKENS,) if key in asked}))


def _pruned(server: Variant, pruning: Pruning | None) -> tuple[Variant, PrunedCheckpoint | None]:
    """A tiny server with its model pruned as that of the server that it stands for, and the checkpoint to make for it."""
    if pruning is None:
        return server, None
    checkpoint = PrunedCheckpoint(Path(server.profile.model), pruning)
    return replace(server, overrides=replace(server.overrides, model=str(checkpoint.target))), checkpoint


def _scaled(changes: Mapping[str, object], tiny: TinyModel, real: Experts) -> dict[str, int]:
    """What is changed of the model's configuration, in proportion to the tiny model; top-k as it is, up to all experts."""
    found: dict[str, int] = {}
    for key, value in changes.items():
        if not isinstance(value, int) or key not in (*_EXPERTS_KEYS, tiny.ffn_key, _TOP_K_KEY):
            raise _HasNoTinyOne(f"a tiny model has nothing in place of {_CONFIGURATION}{key}")
        if key in _EXPERTS_KEYS:
            found[key] = max(1, round(value * tiny.experts / real.experts))
        elif key == tiny.ffn_key:
            found[key] = max(1, round(value * tiny.ffn_size / real.ffn_size))
    experts = next((found[key] for key in _EXPERTS_KEYS if key in found), tiny.experts)
    if _TOP_K_KEY in changes:
        top_k = changes[_TOP_K_KEY]
        assert isinstance(top_k, int)
        found[_TOP_K_KEY] = min(top_k, experts)
    return found


def _flag(name: str) -> str:
    return name.partition(".")[0].replace("_", "-")
