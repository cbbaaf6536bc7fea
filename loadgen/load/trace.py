"""Traces: when requests came elsewhere and how long they were, to be replayed. Imports `errors` and its own room.

A trace is JSON Lines, or CSV with a heading where the file's name ends in .csv. Three sets of columns are known; others are
ignored. Nothing of a trace but moments and lengths is used: the prompts are made here.
"""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.errors import UsageError
from loadgen.load.bulk import FileArray, spans
from loadgen.load.spec import OpenLoop, TraceSource

NS_PER_S = 1_000_000_000

# Columns of moment, prompt and answer, and how many of the moment's units make a second.
_COLUMNS = (
    ("offset_s", "prompt_tokens", "output_tokens", 1.0),
    ("timestamp", "input_length", "output_length", 1000.0),  # Mooncake
    ("Timestamp", "Request tokens", "Response tokens", 1.0),  # BurstGPT
)
_LONGEST = int(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True)
class Trace:
    """n requests in the order of their moments: `offsets_s` from the first one, float64; lengths in tokens, int32."""

    name: str
    hash: str
    offsets_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.offsets_s)

    def offsets_ns(self, time_scale: float, requests: int) -> NDArray[np.int64]:
        """When the first `requests` of them are due, each offset multiplied by `time_scale`."""
        return FileArray.write(
            np.int64,
            (np.rint(self.offsets_s[begin:end] * time_scale * NS_PER_S) for begin, end in spans(requests)),
        )

    def requests_within(self, time_scale: float, duration_s: float) -> int:
        """How many of them are due in [0, duration_s)."""
        return int(np.searchsorted(self.offsets_s * time_scale, duration_s))

    def longest(self, requests: int) -> tuple[int, int]:
        """Prompt and output tokens of the longest among the first `requests`, both together."""
        both = self.prompt_tokens[:requests].astype(np.int64) + self.output_tokens[:requests]
        row = int(both.argmax())
        return int(self.prompt_tokens[row]), int(self.output_tokens[row])

    def replay(self, time_scale: float, requests: int) -> OpenLoop:
        """The open loop that replays the first `requests`, at their mean rate: n − 1 gaps over the time from first to last.

        Raises UsageError when they all come at once, which is no rate.
        """
        span_s = float(self.offsets_s[requests - 1]) * time_scale
        if span_s <= 0:
            raise UsageError(
                f"the first {requests:,} requests of the trace {self.name} come all at one moment, so that they have no rate: "
                "replay more of it with --requests, or send them with --wave"
            )
        return OpenLoop((requests - 1) / span_s, "trace", trace=TraceSource(self.name, self.hash, time_scale))


def read_trace(path: Path) -> Trace:
    """The trace in `path`. Raises UsageError, which names the line, for what cannot be read or sent."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read the trace {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the trace {path} is not text in UTF-8") from error
    rows = [_request(f"{path.name} line {line}", row) for line, row in _rows(path, text)]
    if not rows:
        raise UsageError(f"the trace {path} has no requests; write one on each line")
    columns = np.array(rows, dtype=np.float64)
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    return Trace(
        name=path.name,
        hash=hashlib.sha256(content).hexdigest()[:16],
        offsets_s=columns[:, 0] - columns[0, 0],
        prompt_tokens=columns[:, 1].astype(np.int32),
        output_tokens=columns[:, 2].astype(np.int32),
    )


def _rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, the columns of its request), for each line that is not blank."""
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text, newline=""))
        for row in reader:
            yield reader.line_num, row
        return
    for line, written in enumerate(text.splitlines(), start=1):
        if not written.strip():
            continue
        try:
            found = json.loads(written)
        except ValueError as error:
            raise UsageError(f"{path.name} line {line} is not JSON; a trace has one object on each line") from error
        if not isinstance(found, dict):
            raise UsageError(f"{path.name} line {line} is not an object with the columns of one request")
        yield line, found


def _request(where: str, row: dict[str, Any]) -> tuple[float, int, int]:
    """(moment in seconds, prompt tokens, output tokens). Raises UsageError."""
    for moment, prompt, output, units_per_s in _COLUMNS:
        if moment in row and prompt in row and output in row:
            at_s = _number(where, moment, row[moment]) / units_per_s
            return at_s, _length(where, prompt, row[prompt]), _length(where, output, row[output])
    known = "; ".join(", ".join(columns[:3]) for columns in _COLUMNS)
    raise UsageError(f"{where} does not have the columns of a request; known are {known}")


def _number(where: str, column: str, value: Any) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"{where}: {column} must be a number, not {value}")
    return number


def _length(where: str, column: str, value: Any) -> int:
    number = _number(where, column, value)
    if not 1 <= number <= _LONGEST or number != int(number):
        raise UsageError(
            f"{where}: {column} must be a whole number of at least 1, not {value}; "
            "leave out requests that failed or asked for nothing"
        )
    return int(number)
