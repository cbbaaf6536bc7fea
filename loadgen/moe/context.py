"""The longest sequence that a model's own configuration allows, as vLLM 0.32 derives it.

Read in vllm/config/model.py (`_get_and_verify_max_len`) and transformers_utils/model_arch_config_convertor.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_KEYS = (
    "max_position_embeddings",
    "n_positions",
    "max_seq_len",
    "seq_length",
    "model_max_length",
    "max_target_positions",
    "max_sequence_length",
    "max_seq_length",
    "seq_len",
)
_LANGUAGE_PARTS = ("text_config", "language_config", "llm_config", "thinker_config")
# Of these kinds the length in the configuration is the scaled one already.
_SCALED_ALREADY = ("su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling")


@dataclass(frozen=True, slots=True)
class Context:
    """Lengths in tokens of prompt and reply together, and the key of the configuration that they come from."""

    most: int  # a longer max-model-len is refused
    default: int  # without one
    key: str


def context(config: Mapping[str, object]) -> Context | None:
    """The lengths that a `config.json` allows; None if it has none of the keys."""
    text = language_part(config)
    found = {key: length for key in _KEYS if (length := _length(text.get(key))) is not None}
    if not found:
        return None
    key = "model_max_length" if "model_max_length" in found else min(found, key=lambda name: found[name])
    ropes = list(_ropes(text))
    scale = 1.0
    for kind, factor in ropes:
        if kind not in _SCALED_ALREADY and "gemma3" not in str(text.get("model_type")):
            scale = factor
    own = int(found[key] * scale)
    default = own
    if any(kind == "longrope" for kind, _ in ropes):
        default = _length(text.get("original_max_position_embeddings")) or own
    return Context(most=max(own, _length(config.get("model_max_length")) or 0), default=default, key=key)


def language_part(config: Mapping[str, object]) -> Mapping[str, object]:
    """Return the language model's part of a multimodal configuration, however deep; else the whole."""
    for key in language_keys(config):
        part = config[key]
        assert isinstance(part, Mapping)
        config = part
    return config


def language_keys(config: Mapping[str, object]) -> tuple[str, ...]:
    """Return the keys that lead to `language_part`."""
    for name in _LANGUAGE_PARTS:
        part = config.get(name)
        if isinstance(part, Mapping):
            return (name, *language_keys(part))
    return ()


def _ropes(text: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """(kind, factor) of each scaling of rotary positions: one, or one for each kind of layer."""
    given = text.get("rope_parameters") or text.get("rope_scaling")
    if not isinstance(given, Mapping):
        return
    inner = [value for value in given.values() if isinstance(value, Mapping)]
    for rope in inner or [given]:
        factor = rope.get("factor")
        number = isinstance(factor, int | float) and not isinstance(factor, bool)
        yield str(rope.get("rope_type") or rope.get("type") or "default"), float(factor) if number else 1.0  # type: ignore[arg-type]


def _length(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < float("inf"):
        return None
    return int(value)
