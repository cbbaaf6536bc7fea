"""Rows of a user's file: JSON values with their places, or text.

A file is text in UTF-8, or in UTF-16 or UTF-32 with a byte order mark. It holds one JSON value a line, or is one JSON array,
which is read piece by piece. Only a line feed, a carriage return or both end a line.
"""

import hashlib
import io
import json
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from loadgen.errors import UsageError

Made = TypeVar("Made")

_PIECE_CHARACTERS = 1 << 20
_CUT_CHARACTERS = 16  # an error this near the end of a piece may come from the cut
SURROGATE = re.compile("[\ud800-\udfff]")
_WHITE = " \t\n\r"
_PACKED = (
    (b"\x1f\x8b", "compressed with gzip: unpack it with gunzip first"),
    (b"BZh", "compressed with bzip2: unpack it with bunzip2 first"),
    (b"\xfd7zXZ", "compressed with xz: unpack it with unxz first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it with unzstd first"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"PAR1", "a Parquet file: write it as JSON Lines first"),
)


class SkippedRow(Exception):
    """A row that is not used and not wrong; its message goes on after the row's place, as in `is empty`."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value, or a `SkippedRow` where a line has none, and its place in the file, such as `own.jsonl line 3`."""

    place: str
    value: Any


@dataclass(frozen=True, slots=True)
class RowsFile:
    """A file that can be read, by the hash and the size of its content; `kind` is what messages call it."""

    path: Path
    kind: str
    encoding: str
    hash: str
    size_bytes: int

    @property
    def name(self) -> str:
        """The name without its folder."""
        return self.path.name

    def text(self, newline: str | None = None) -> io.TextIOWrapper:
        """The content; bytes that are no text become lone surrogates, which `checked` refuses."""
        errors = "surrogateescape" if self.encoding.startswith("utf-8") else "surrogatepass"
        return self.path.open(encoding=self.encoding, errors=errors, newline=newline)

    def checked(self, text: str, place: str) -> str:
        """`text` as it is. Raises UsageError when the file's bytes there are no text."""
        if not text.isascii() and (found := SURROGATE.search(text)):
            code = ord(found.group())
            what = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"half a character, \\u{code:04x}"
            raise UsageError(f"{place} is not text in {self.encoding.removesuffix('-sig').upper()}: it has {what}")
        return text

    def rows(self) -> Iterator[Row]:
        """Each value in turn. A line that is not JSON, or is blank before the last value, has a `SkippedRow`.

        Raises UsageError, with the place, for JSON that cannot be taken as it is and for an array that is not JSON.
        """
        try:
            with self.text() as text:
                begins = text.read(_PIECE_CHARACTERS)
                if _is_array(begins):
                    yield from _array(self, text, begins)
                    return
            with self.text() as text:
                yield from _lines(self, text)
        except UnicodeDecodeError as error:
            raise UsageError(f"the {self.kind} {self.path} is not text in {self.encoding.upper()}") from error


def open_rows(path: Path, kind: str) -> RowsFile:
    """The file at `path`. Raises UsageError when it cannot be read or is packed."""
    try:
        if not stat.S_ISREG(mode := path.stat().st_mode):
            what = "is a directory" if stat.S_ISDIR(mode) else "is not a regular file: write it to one first"
            raise UsageError(f"cannot read the {kind} {path}: {what}")
        with path.open("rb") as file:
            head = file.read(8)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
            size_bytes = file.tell()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        why = (getattr(error, "strerror", None) or "refused").lower()
        raise UsageError(f"cannot read the {kind} {path}: {why}") from error
    for magic, what in _PACKED:
        if head.startswith(magic):
            raise UsageError(f"the {kind} {path} is {what}")
    return RowsFile(path, kind, json.detect_encoding(head), digest, size_bytes)


def used_rows(rows: Iterable[Row], read: Callable[[Row], Made]) -> tuple[list[Made], int, str | None]:
    """(what `read` makes of each row that it does not skip, how many are skipped, the place of the first and the reason)."""
    made: list[Made] = []
    skipped, first = 0, None
    for row in rows:
        try:
            if isinstance(row.value, SkippedRow):
                raise row.value
            made.append(read(row))
        except SkippedRow as why:
            skipped += 1
            first = first or f"{row.place} {why}"
    return made, skipped, first


def number_of(value: Any) -> float | None:
    """A finite number that `value` is or spells, as in 8, 8.0 or "8"; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if number - number == 0 else None


def _is_array(begins: str) -> bool:
    """Whether the file is one array, by its beginning; a line that is a whole list with more below it is a row."""
    stripped = begins.lstrip(_WHITE)
    if not stripped.startswith("["):
        return False
    first, _, rest = stripped.partition("\n")
    if not rest.strip(_WHITE):
        return True
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return True
    return False


def _lines(file: RowsFile, text: io.TextIOWrapper) -> Iterator[Row]:
    blank: list[int] = []
    for number, line in enumerate(text, start=1):
        if not line.strip():
            blank.append(number)
            continue
        yield from (Row(f"{file.name} line {each}", SkippedRow("is empty")) for each in blank)
        blank.clear()
        place = f"{file.name} line {number}"
        try:
            value = _DECODER.decode(file.checked(line, place).strip(_WHITE))
        except json.JSONDecodeError as error:
            value = SkippedRow(_not_json(error))
        except (ValueError, RecursionError) as error:
            _refuse(place, error)
        yield Row(place, value)


def _array(file: RowsFile, text: io.TextIOWrapper, piece: str) -> Iterator[Row]:
    """The items of one array. No more of the text is kept than one item and a piece need."""
    line, entry = 1, 0
    file.checked(piece, f"{file.name} from line 1 on")
    at = piece.index("[") + 1
    line += piece.count("\n", 0, at)
    while True:
        piece, at, line = _at_next(file, text, piece, at, line)
        place = f"{file.name} entry {entry + 1} in line {line}"
        if piece[at : at + 1] == "]":
            break
        if entry:
            if piece[at : at + 1] != ",":
                raise UsageError(f"{place} is not JSON: a comma or the end of the array is missing before it")
            piece, at, line = _at_next(file, text, piece, at + 1, line)
            place = f"{file.name} entry {entry + 1} in line {line}"
        value, piece, begin, at = _value(file, text, piece, at, place)
        yield Row(place, value)
        entry += 1
        line += piece.count("\n", begin, at)
    while rest := piece[at + 1 :].strip(_WHITE) or text.read(_PIECE_CHARACTERS):
        if rest.strip(_WHITE):
            raise UsageError(f"{file.name} line {line} has more after the end of the array")
        piece, at = "", -1


def _at_next(file: RowsFile, text: io.TextIOWrapper, piece: str, at: int, line: int) -> tuple[str, int, int]:
    """The piece, and where in it and in which line the next character is that is no white space."""
    while True:
        end = at
        while end < len(piece) and piece[end] in _WHITE:
            end += 1
        line += piece.count("\n", at, end)
        if end < len(piece):
            return piece, end, line
        piece, at = text.read(_PIECE_CHARACTERS), 0
        if not piece:
            raise UsageError(f"{file.name} ends in line {line} before the end of its array: it is cut off")
        file.checked(piece, f"{file.name} from line {line} on")


def _value(file: RowsFile, text: io.TextIOWrapper, piece: str, at: int, place: str) -> tuple[Any, str, int, int]:
    """The value at `at`, the piece as far as it had to be read, and where in it the value begins and ends."""
    while True:
        failure: json.JSONDecodeError | None = None
        try:
            value, end = _DECODER.raw_decode(piece, at)
            if end < len(piece):  # a number at the very end may go on
                return value, piece, at, end
        except json.JSONDecodeError as error:
            failure = error
            if error.pos < len(piece) - _CUT_CHARACTERS and not error.msg.startswith("Unterminated string"):
                _refuse(place, error)
        except (ValueError, RecursionError) as error:
            _refuse(place, error)
        more = text.read(max(_PIECE_CHARACTERS, len(piece) - at))
        if not more:
            if failure is None:
                return value, piece, at, end
            _refuse(place, failure)
        piece, at = piece[at:] + file.checked(more, f"{place} or below"), 0


def _refuse(place: str, error: Exception) -> NoReturn:
    if isinstance(error, json.JSONDecodeError):
        raise UsageError(f"{place} {_not_json(error)}") from error
    if isinstance(error, RecursionError):
        raise UsageError(f"{place} is nested too deeply") from error
    if isinstance(error, UsageError):
        raise error
    raise UsageError(f"{place} {str(error).split(';')[0]}") from error


def _not_json(error: json.JSONDecodeError) -> str:
    return f"is not JSON: {error.msg.lower().removesuffix(' at')} at character {error.pos + 1}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"has the key {json.dumps(twice)} twice in one object")
    return made


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"has {word}, which is not a number in JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)
