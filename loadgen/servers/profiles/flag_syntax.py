"""The spellings of an engine's argument, brought to one: `max_model_len`, `hf-overrides.key`, JSON in quotes.

vLLM takes `--hf-overrides.text_config.key 4` for `--hf-overrides '{"text_config": {"key": 4}}'`, but of both together only the
dotted ones. In one spelling they merge, whichever file, flag or matrix each came from.
"""

import json
from collections.abc import Mapping
from typing import Any

from loadgen.servers.profiles.lengths import readable_int
from loadgen.servers.profiles.schema import merged

_SWITCHES = {"true": True, "false": False}


def canonical(arguments: Mapping[str, object]) -> dict[str, object]:
    """Dashes in flags, mappings in place of dotted keys and of JSON objects in quotes; a later argument changes an earlier one.

    None stays where it is: it takes away what an extended profile says.
    """
    result: dict[str, object] = {}
    for name, value in arguments.items():
        flag, *keys = name.split(".")
        flag = flag.replace("_", "-")
        nested = _value_of_key(keys, value) if keys else _value_of_flag(value)
        under = result.get(flag)
        result[flag] = _over(under, nested) if isinstance(under, dict) and isinstance(nested, dict) else nested
    return result


def flat(arguments: Mapping[str, object]) -> dict[str, object]:
    """The inverse: each key of a mapping as a dotted argument of its own. A mapping that is empty or has a dot in a key stays."""
    result: dict[str, object] = {}
    for name, value in canonical(arguments).items():
        result |= _flattened(name, value)
    return result


def changed(arguments: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """The arguments with some changed: mappings key by key, None takes one away."""
    return merged(canonical(arguments), canonical(changes))


def without(arguments: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """The arguments but for those that `changes` names, or a key of them, or a mapping that holds them."""
    given = flat(arguments)
    kept = {name: value for name, value in given.items() if not any(_overlap(name, other) for other in flat(changes))}
    return canonical(kept)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def short_name(name: str, among: Mapping[str, object] | None = None) -> str:
    """The last key of a dotted argument, `num_experts_per_tok`, unless another of those `among` it ends alike."""
    last = name.rpartition(".")[2]
    alike = [other for other in among or () if other.rpartition(".")[2] == last]
    return last if len(alike) < 2 else name


def _flattened(name: str, value: Any) -> dict[str, object]:
    if not isinstance(value, dict) or not value or any("." in str(key) or not str(key) for key in value):
        return {name: value}
    result: dict[str, object] = {}
    for key, inner in value.items():
        result |= _flattened(f"{name}.{key}", inner)
    return result


def _over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """As `merged`, but None stays."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return result


def _value_of_flag(value: Any) -> Any:
    """A JSON object in quotes as a mapping, and a switch in quotes as a switch."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() in _SWITCHES:
        return _SWITCHES[value.strip().lower()]
    if value.lstrip().startswith("{"):
        try:
            read = json.loads(value)
        except ValueError:
            return value
        return read if isinstance(read, dict) else value
    return value


def _value_of_key(keys: list[str], value: Any) -> dict[str, object]:
    """`keys` as mappings within each other around the value, which is read as vLLM reads it."""
    *_, last = keys
    if last.endswith("+"):  # vLLM's mark of a list
        keys[-1] = last[:-1]
        value = value if isinstance(value, list) else str(value).split(",")
    elif isinstance(value, str):
        value = _read(value)
    for key in reversed(keys):
        value = {key: value}
    return value  # type: ignore[no-any-return]  # at least one key was laid around it


def _read(text: str) -> Any:
    """JSON, else a number with a suffix, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        number = readable_int(text)
        return text if number is None else number
