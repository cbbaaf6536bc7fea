"""Values from outside, made fit for any database: text without broken characters, JSON without NaN.

Imports `errors`. A server may send a lone surrogate, a NUL or a NaN; a run must not be lost to it.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from loadgen.errors import StoreError


def text(value: str) -> str:
    """`value` with U+FFFD for what is no character in UTF-8 (lone surrogates) or not allowed in PostgreSQL (NUL)."""
    if value.isascii() and "\x00" not in value:
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "\ufffd")


_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def unprintable(value: str) -> str | None:
    """The first character that may steer a terminal or is none in UTF-8: control (but for tab and line ends), of direction, lone surrogate."""
    found = _UNPRINTABLE.search(value)
    return None if found is None else found.group()


def printable(value: Any) -> Any:
    """`value` (of JSON types) with U+FFFD for what `unprintable` names, in all its texts."""
    if isinstance(value, str):
        return _UNPRINTABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [printable(item) for item in value]
    return value


def without_nan(value: Any) -> Any:
    """`value` (of JSON types) with None for each number that is not finite: a missing figure is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return value


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The readings that are numbers; Prometheus knows NaN and infinity, and neither is a figure."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def write_json(document: object) -> str:
    """`document` as JSON. Raises `StoreError` on NaN and on anything that is not of JSON's types."""
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"A document cannot be stored as JSON: {error}; this is a fault in loadgen.") from error
