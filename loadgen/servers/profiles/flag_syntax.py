"""The spellings of an engine's argument, brought to one: `max_model_len`, `hf-overrides.key`, JSON in quotes, `32k`.

vLLM takes `--hf-overrides.text_config.key 4` for `--hf-overrides '{"text_config": {"key": 4}}'`, but of both together only the
dotted ones. In one spelling they merge, whichever file, flag or matrix each came from.

Whole numbers are read as by vLLM 0.32 (utils/argparse_utils.py): `32k` is 32,000 and `32K` is 32,768; a fraction may stand before
a lower-case letter only.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from loadgen.moe.models import overlaid
from loadgen.servers.profiles.schema import merged

LENGTHS = (
    "max-model-len",
    "max-num-batched-tokens",
    "max-num-scheduled-tokens",
    "max-num-queued-tokens",
    "kv-cache-memory-bytes",
    "safetensors-prefetch-block-size",
)
"""The flags that take a suffix; to the others `4k` is no number."""
COUNTS = (
    "max-num-seqs",
    "tensor-parallel-size",
    "pipeline-parallel-size",
    "data-parallel-size",
    "block-size",
)
AUTO = -1
"""What `max-model-len: auto` is read as: vLLM chooses the longest that fits."""

_WITH_SUFFIX = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT])", re.ASCII)
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}


def readable_int(text: str) -> int | None:
    """`4096`, `32k`, `25.6k`, `4M`; None where vLLM takes it for no whole number."""
    text = text.strip()
    match = _WITH_SUFFIX.fullmatch(text)
    if match is None:
        try:
            return int(text)
        except ValueError:
            return None
    number, suffix = match.groups()
    power = _POWERS[suffix.lower()]
    if suffix.islower():
        return int(float(number) * 1000**power)
    return None if "." in number else int(number) * 1024**power


def length(name: str, value: object) -> int | None:
    """The value of the flag `name` as vLLM has it; None where it is not given or no whole number. `AUTO` of max-model-len."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    if not isinstance(value, str):
        return None
    if name == "max-model-len" and value.strip().lower() in ("auto", "-1"):
        return AUTO
    if name in LENGTHS:
        return readable_int(value)
    try:
        return int(value)
    except ValueError:
        return None


def wrong_lengths(given: Mapping[str, object]) -> dict[str, str]:
    """By flag, why its value is no length or count for vLLM; empty where all are."""
    wrong: dict[str, str] = {}
    for name in (*LENGTHS, *COUNTS):
        value = given.get(name)
        if name not in given or value is None:
            continue
        number = length(name, value)
        if number is None:
            wrong[name] = f"is {value!r}, which is no whole number to vLLM; {_hint(name, value)}"
        elif number < 1 and not (number == AUTO and name == "max-model-len"):
            wrong[name] = f"is {value}; give a number of at least 1" + (", or auto" if name == "max-model-len" else "")
    return wrong


def _hint(name: str, value: object) -> str:
    if name not in LENGTHS:
        return "write it in digits, without a suffix"
    if isinstance(value, str) and _WITH_SUFFIX.fullmatch(value.strip()):
        return f"a fraction goes with a lower-case suffix, {value.strip().lower()}"
    return "write it in digits, or like 32k (32,000) or 32K (32,768)"


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
        result[flag] = overlaid(under, nested) if isinstance(under, dict) and isinstance(nested, dict) else nested
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
