"""A file of JSON from somewhere: read whole, hashed, and safe to walk through and to store. Imports errors and store.

Whatever its format: it is not too large, its numbers are finite and fit a database, its depth is bounded, and its keys are words.
"""

import hashlib
import json
import math
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadgen.errors import UsageError
from loadgen.store import plain

LARGEST_BYTES = 64 * 1024 * 1024  # some 3,000 runs; as Python's objects, about ten times that
DEEPEST = 40  # ours go down to 6
LARGEST_NUMBER = 2**63 - 1  # of a database's whole numbers; a duration in nanoseconds is far below


@dataclass(frozen=True, slots=True)
class ResultFile:
    """What a file held; a list where it held several documents, one after the other. `name` is without its folder, and printable."""

    name: str
    sha256: str
    document: Any
    written_at: datetime


def shown(text: object) -> str:
    """A path or a word from a file, fit to be printed within a sentence."""
    return str(plain.printable(str(text))).replace("\n", "\ufffd")


def read_file(path: Path) -> ResultFile:
    """The JSON in the file at `path`. Raises UsageError in one sentence that names the file and what is wrong with it."""
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_BYTES + 1)
            written_at = datetime.fromtimestamp(os.fstat(stream.fileno()).st_mtime, UTC)
    except OSError as error:
        raise UsageError(f"cannot read {shown(path)}: {(error.strerror or 'refused').lower()}") from error
    if len(content) > LARGEST_BYTES:
        raise UsageError(
            f"{shown(path)} is larger than {LARGEST_BYTES // 2**20} MiB, which no sweep's result should be"
        )
    try:
        document = _parsed(content)
        _check(document, ())
    except json.JSONDecodeError as error:
        raise UsageError(f"{shown(path)} is not JSON: {error.msg.lower()} in line {error.lineno}") from None
    except RecursionError:
        raise UsageError(f"{shown(path)} is no result: it is nested too deeply") from None
    except UnicodeDecodeError:
        raise UsageError(f"{shown(path)} is not JSON: it is no text in UTF-8") from None
    except ValueError as error:  # of our own below, and of a number with thousands of digits
        raise UsageError(f"{shown(path)} is no result: {str(error).split(';')[0]}") from None
    return ResultFile(shown(path.name), hashlib.sha256(content).hexdigest(), document, written_at)


def where(place: tuple[str | int, ...]) -> str:
    """A place in a document as people write it: `runs[0].ttft_s.p50`."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return shown(words.removeprefix(".")) or "the whole"


def _parsed(content: bytes) -> Any:
    """The document; where each line is one of its own, as of a file that was appended to, all of them."""
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        lines = [line for line in content.splitlines() if line.strip()]
        if not error.msg.startswith("Extra data") or len(lines) < 2:
            raise
        try:
            return [json.loads(line) for line in lines]
        except json.JSONDecodeError:
            raise error from None


def _check(value: Any, place: tuple[str | int, ...]) -> None:
    """Raises ValueError on a number that is none or fits nowhere, a key that is no word, and too many levels."""
    if len(place) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if plain.unprintable(key) is not None:
                raise ValueError(f"{where((*place, key))} is a key with control characters")
            _check(item, (*place, key))
    if isinstance(value, list):
        for number, item in enumerate(value):
            _check(item, (*place, number))
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where(place)} is {value}, which is no figure")
    if isinstance(value, int | float) and abs(value) > LARGEST_NUMBER:
        raise ValueError(f"{where(place)} is too large a number")
