"""Values from outside, made fit for any database: text without broken characters, JSON without NaN.

Imports `errors`. A server may send a lone surrogate, a NUL or a NaN; a run must not be lost to it.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from loadgen.errors import StoreError


def text(value: str) -> str:
    """`value` with U+FFFD for what is no character in UTF-8 (lone surrogates) or not allowed in PostgreSQL (NUL)."""
    if value.isascii() and "\x00" not in value:
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\x00", "\ufffd")


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
