"""A file of JSON from somewhere: read whole, hashed, and safe to walk through and to store.

Whatever its format: it is not too large, its numbers are finite and fit a database, its depth is bounded, and its keys are words.
"""

import gzip
import hashlib
import io
import json
import math
import os
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadgen.errors import UsageError
from loadgen.store import plain

MAX_BYTES = 64 * 1024 * 1024  # some 3,000 runs; as Python's objects, about ten times that
DEEPEST = 40  # ours go down to 6
GZIP = b"\x1f\x8b"  # the first bytes of a file that gzip compressed
MAX_NUMBER = 2**63 - 1  # of a database's whole numbers; a duration in nanoseconds is far below


@dataclass(frozen=True, slots=True)
class ResultFile:
    """What a file held; a list where it held several documents, one after the other. `name` is without its folder, and printable."""

    name: str
    sha256: str
    document: Any
    written_at: datetime
    not_finite: tuple[str, ...] = ()  # places of numbers that are none, such as NaN; they are null in `document`


def shown(text: object) -> str:
    """A path or a word from a file, fit to be printed within a sentence."""
    return str(plain.printable(str(text))).replace("\n", "\ufffd")


def read_file(path: Path) -> ResultFile:
    """The JSON in the file at `path`, which gzip may have compressed.

    Raises UsageError in one sentence that names the file and what is wrong with it.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
            written_at = datetime.fromtimestamp(os.fstat(stream.fileno()).st_mtime, UTC)
    except OSError as error:
        raise UsageError(f"cannot read {shown(path)}: {(error.strerror or 'refused').lower()}") from error
    text = _decompressed(content, path) if content.startswith(GZIP) else content
    if len(text) > MAX_BYTES:
        raise UsageError(f"{shown(path)} is larger than {MAX_BYTES // 2**20} MiB, which no sweep's result should be")
    try:
        document = _parsed(text)
        not_finite: list[str] = []
        document = _checked(document, (), not_finite)
    except json.JSONDecodeError as error:
        raise UsageError(f"{shown(path)} is not JSON: {error.msg.lower()} in line {error.lineno}") from None
    except RecursionError:
        raise UsageError(f"{shown(path)} is no result: it is nested too deeply") from None
    except UnicodeDecodeError:
        raise UsageError(f"{shown(path)} is not JSON: it is no text in UTF-8 or UTF-16") from None
    except ValueError as error:  # of our own below, and of a number with thousands of digits
        raise UsageError(f"{shown(path)} is no result: {str(error).split(';')[0]}") from None
    digest = hashlib.sha256(content).hexdigest()
    return ResultFile(shown(path.name), digest, document, written_at, tuple(not_finite))


def where(place: tuple[str | int, ...]) -> str:
    """A place in a document as people write it: `runs[0].ttft_s.p50`."""
    words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return shown(words.removeprefix(".")) or "the whole"


def _decompressed(content: bytes, path: Path) -> bytes:
    """What gzip compressed, up to one byte over `MAX_BYTES`. Raises UsageError."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            return stream.read(MAX_BYTES + 1)
    except EOFError:
        raise UsageError(f"{shown(path)} is a gzip file that was cut off: copy it again") from None
    except (zlib.error, gzip.BadGzipFile):
        raise UsageError(f"{shown(path)} is a damaged gzip file: copy it again") from None


def _parsed(content: bytes) -> Any:
    """The document; where several stand one after the other, as in a file that was appended to, all of them."""
    text = content.decode(json.detect_encoding(content), "surrogatepass")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        found.append(value)
        while text[at : at + 1].isspace():
            at += 1
    return found


def _checked(value: Any, place: tuple[str | int, ...], not_finite: list[str]) -> Any:
    """`value` with null for each number that is none, whose place is noted.

    Raises ValueError on a number that fits nowhere, a key that is no word, and too many levels.
    """
    if len(place) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            if plain.unprintable(key) is not None:
                raise ValueError(f"{where((*place, key))} is a key with control characters")
            value[key] = _checked(item, (*place, key), not_finite)
    if isinstance(value, list):
        for number, item in enumerate(value):
            value[number] = _checked(item, (*place, number), not_finite)
    if isinstance(value, float) and not math.isfinite(value):
        not_finite.append(where(place))
        return None
    if isinstance(value, int | float) and abs(value) > MAX_NUMBER:
        raise ValueError(f"{where(place)} is too large a number")
    return value
