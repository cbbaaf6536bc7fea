"""The longest sequence that a profile's server takes: by its arguments, and by the model's own configuration.

For profiles that vLLM serves; looks at the environment for its permission.
"""

import os
from collections.abc import Mapping

from loadgen.errors import ModelError
from loadgen.moe.context import Context
from loadgen.servers.profiles.command import arguments, environment
from loadgen.servers.profiles.layout import layout
from loadgen.servers.profiles.schema import Argument, ServerProfile
from loadgen.servers.profiles.subject import context_of

_PERMISSION = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"


def too_long(profile: ServerProfile, asked: int) -> str | None:
    """Why a request of `asked` tokens, input and output together, is refused; None if it is not, or nothing is known."""
    flags = arguments(profile)
    given = layout(flags).max_model_len
    if given is not None:
        return f"{asked:,} tokens of input and output are more than max-model-len {given:,}" if asked > given else None
    own = known_context(profile, flags)
    if own is None or asked <= own.default:
        return None
    more = "" if own.default == own.most else f", unless max-model-len asks for up to {own.most:,}"
    return (
        f"{asked:,} tokens of input and output are more than the {own.default:,} that the model takes{more} ({own.key})"
    )


def refused_max_model_len(profile: ServerProfile, release: str | None = None) -> str | None:
    """Why vLLM refuses the max-model-len that is given: it is longer than the model's own; else None."""
    flags = arguments(profile, release)
    given, own = layout(flags).max_model_len, known_context(profile, flags)
    if given is None or own is None or given <= own.most or _is_permitted(environment(profile, release)):
        return None
    return (
        f"max-model-len {given:,} is more than the {own.most:,} tokens of the model's own configuration ({own.key}), which "
        f"vLLM refuses; lower it, or set {_PERMISSION}=1 in environment"
    )


def known_context(profile: ServerProfile, flags: Mapping[str, Argument]) -> Context | None:
    """The model's own lengths; None where its configuration is not known or not understood, which other checks say."""
    try:
        return context_of(profile, flags)
    except ModelError:
        return None


def _is_permitted(variables: Mapping[str, str]) -> bool:
    value = variables.get(_PERMISSION, os.environ.get(_PERMISSION, ""))
    return value.strip().lower() in ("1", "true")
