"""Whole numbers as vLLM's parser reads them (0.32, utils/argparse_utils.py).

`32k` is 32,000 and `32K` is 32,768: lower case is decimal, upper case binary, and a fraction may stand before a lower-case
letter only.
"""

import re
from collections.abc import Mapping

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
