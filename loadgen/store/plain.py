"""Values from outside, made fit for any database: text without broken characters, JSON without NaN.

A server may send a lone surrogate, a NUL or a NaN; a run must not be lost to it.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from loadgen.analysis.document.run import FindingDocument, RunDocument
from loadgen.analysis.verdict import some_of, with_finding

NOT_STORABLE = "figure_not_finite"
_MAX_NAMED = 5


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


_MAX_DEPTH = 100  # beyond it, encoders and databases begin to refuse


def storable(value: Any, place: str = "") -> tuple[Any, list[str]]:
    """`value` of JSON types alone, and the dotted places of what became null: a missing figure is null."""
    left_out: list[str] = []
    return _clean(value, place, left_out, depth=0), left_out


def _clean(value: Any, place: str, left_out: list[str], depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
    elif depth < _MAX_DEPTH:
        if isinstance(value, dict):
            return {
                text(str(key)): _clean(item, f"{place}.{key}" if place else str(key), left_out, depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [_clean(item, f"{place}[{number}]", left_out, depth + 1) for number, item in enumerate(value)]
        if hasattr(value, "tolist"):  # of NumPy
            return _clean(value.tolist(), place, left_out, depth + 1)
    left_out.append(place or "document")
    return None


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """The readings that are numbers; Prometheus knows NaN and infinity, and neither is a figure."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def write_json(document: object) -> str:
    """`document` as JSON, with null for what `storable` leaves out."""
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return json.dumps(storable(document)[0], separators=(",", ":"), allow_nan=False)


def guarded(document: RunDocument, left_out: Iterable[str] = ()) -> RunDocument:
    """A run document that any database takes, with a finding that names each figure left out, here or `left_out` before."""
    clean: RunDocument
    clean, places = storable(document)
    places = [*places, *left_out]
    if not places:
        return clean
    finding: FindingDocument = {
        "code": NOT_STORABLE,
        "severity": "doubtful",
        "message": f"Not a finite number, and therefore unknown: {some_of(places, _MAX_NAMED)}.",
        "hint": "this is a fault in loadgen or in what the server reports: look at the stored requests before using these figures",
        "badness": float(len(places)),
    }
    return {**clean, "verdict": with_finding(clean["verdict"], finding)}
