"""The exception tree and the exit codes: what can go wrong, and what the shell is told.

Each message is one sentence which says what failed, with which value, and what to do.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from enum import IntEnum
from typing import TypedDict

_SUBJECT = re.compile(r"^(?:[A-Z]\w*|Decimal input) should\b")  # `Input should`, `String should`


class ExitCode(IntEnum):
    """What the process answers to the shell."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    INVALID_RUN = 3
    GATE_FAILED = 4
    SERVER_FAILED = 5
    INTERRUPTED = 130


def hint(given: str, known: Iterable[str], *, kind: str = "values", otherwise: str | None = None) -> str:
    """Return what to do about a name that is not among those `known`, for the end of a message.

    `did you mean 'batch'?` if one resembles it; else `otherwise`, or all of them: `known values: 1, 16, 64`.
    """
    names = list(known)
    found = nearest(given, names)
    if found is not None:
        return f"did you mean '{found}'?"
    return otherwise or listed(names, kind)


def nearest(given: str, known: Iterable[str], *, similarity: float = 0.6) -> str | None:
    """Return the known name that resembles a given one most, None if none does; `similarity` is from 0 to 1, for equal ones."""
    return next(iter(get_close_matches(given, list(known), n=1, cutoff=similarity)), None)


def listed(known: Iterable[object], kind: str = "values") -> str:
    """Return `known values: 1, 16, 64`."""
    return f"known {kind}: {', '.join(map(str, known))}"


class Problem(TypedDict):
    """What is read of an entry of pydantic's `ValidationError.errors()`, whose words are for programmers."""

    loc: tuple[int | str, ...]
    type: str
    msg: str


def broken_rule(problem: Problem) -> str:
    """Return what a value must be, to follow its name: `must be a whole number`."""
    kind, message = problem["type"], problem["msg"]
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is unknown"
    if kind.startswith("int"):
        return "must be a whole number"
    if kind.startswith("float") or kind == "finite_number":
        return "must be a number"
    if kind.startswith("bool"):
        return "must be true or false"
    if kind in ("string_type", "string_unicode"):
        return "must be a text"
    if kind in ("model_type", "model_attributes_type") or kind.startswith(("dict", "mapping")):
        return "must be a mapping of keys to values"
    if kind.startswith(("tuple", "list")):
        return "must be a list"
    if kind.startswith(("datetime", "date_", "time_", "timezone")):
        return "must be a date or time, such as 2026-01-31T12:00:00Z"
    if kind == "json_invalid":
        return f"is no JSON ({message.removeprefix('Invalid JSON: ')})"
    if kind == "too_short" or (kind == "string_too_short" and "at least 1 " in message):
        return "must not be empty"
    said = message.removeprefix("Value error, ")
    for theirs, ours in (("greater than or equal to", "at least"), ("less than or equal to", "at most")):
        said = said.replace(theirs, ours, 1)
    return _SUBJECT.sub("must", said, count=1)


def first_problem(problems: Sequence[Problem]) -> str:
    """Return the first as `layers.0.counts must be a list`."""
    return f"{'.'.join(map(str, problems[0]['loc'])) or 'it'} {broken_rule(problems[0])}"


class LoadgenError(Exception):
    """Anything that loadgen can name. Shown as its message alone, without a traceback."""

    exit_code: ExitCode = ExitCode.UNEXPECTED


class UsageError(LoadgenError):
    """A flag, a spec file or a combination of both cannot be carried out."""

    exit_code = ExitCode.USAGE


class ModelError(UsageError):
    """A model's configuration is of an unknown family, lacks a size, or cannot be laid out as asked."""


class StoreError(LoadgenError):
    """The database cannot be opened, read or written."""

    exit_code = ExitCode.USAGE


class NotFoundError(StoreError):
    """No sweep or run has that id, or there is no database yet. `place`: where it was looked for, which not every reader may know."""

    def __init__(self, message: str, *, place: str | None = None) -> None:
        super().__init__(message)
        self.place = place

    @property
    def with_place(self) -> str:
        """The message, with the database named."""
        message = str(self)
        return message if self.place is None else message.replace("the database", f"the database {self.place}", 1)


class ServerError(LoadgenError):
    """The measured server did not start, cannot be reached, refused the model, or died during a run."""

    exit_code = ExitCode.SERVER_FAILED


class OutputError(LoadgenError):
    """The result cannot be written to where it was sent."""

    exit_code = ExitCode.USAGE


class GateError(LoadgenError):
    """A gate did not pass: a figure is worse, or could not be judged."""

    exit_code = ExitCode.GATE_FAILED


class EngineError(LoadgenError):
    """The measuring process itself failed; what it had finished before is kept."""


class HostLimitError(EngineError):
    """The system lends too few open files or local ports for the streams asked. Nothing was sent."""

    exit_code = ExitCode.USAGE


class Interrupted(LoadgenError):
    """The user stopped the work; finished runs are saved."""

    exit_code = ExitCode.INTERRUPTED
