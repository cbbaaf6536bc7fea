"""Traces to replay: when requests arrived elsewhere, and how long they were.

A trace is JSON Lines, one JSON array, or CSV with a header if the file's name ends in .csv. Three sets of columns are known;
others are ignored. A row that asks for nothing, or is not JSON, is skipped and counted. Only times and lengths of a trace are
used: prompts are generated.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.errors import UsageError
from loadgen.load.arrivals import NS_PER_S, TraceSource
from loadgen.load.bulk import FileArray, spans
from loadgen.load.file_rows import Row, RowsFile, SkippedRow, number_of, open_rows, used_rows
from loadgen.load.shapes import OpenLoop

# Columns of time, prompt and reply, and how many units of that time make a second.
_COLUMNS = (
    ("offset_s", "prompt_tokens", "output_tokens", 1.0),
    ("timestamp", "input_length", "output_length", 1000.0),  # Mooncake
    ("Timestamp", "Request tokens", "Response tokens", 1.0),  # BurstGPT
)
_NOTHING = ("", "nan", "null", "none", "na", "n/a")  # what tables write where a value is missing
_MAX_TOKENS = int(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True)
class Trace:
    """n requests in order of arrival: `offsets_s` from the first one, float64; lengths in tokens, int32."""

    source: TraceSource  # as it stands in its file, at a scale of 1
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
                f"the first {requests:,} requests of the trace {self.source.name} come all at one moment, so that they have no rate: "
                "replay more of it with --requests, or send them with --wave"
            )
        return OpenLoop((requests - 1) / span_s, "trace", trace=replace(self.source, time_scale=time_scale))


def read_trace(path: Path) -> Trace:
    """The trace in `path`. Rows that ask for nothing are skipped. Raises UsageError, with the line, for what cannot be read."""
    file = open_rows(path, "trace")
    found = _table(file) if path.suffix.lower() == ".csv" else file.rows()
    rows, skipped, first_skipped = used_rows(found, lambda row: _request(row.place, row.value))
    if not rows:
        why_none = f" in any of its {skipped:,} rows: {first_skipped}" if skipped else ""
        raise UsageError(f"the trace {path} has no requests{why_none}; write one on each line")
    columns = np.array(rows, dtype=np.float64)
    columns = columns[np.argsort(columns[:, 0], kind="stable")]
    return Trace(
        source=TraceSource(file.name, file.hash, 1.0, skipped, first_skipped),
        offsets_s=columns[:, 0] - columns[0, 0],
        prompt_tokens=columns[:, 1].astype(np.int32),
        output_tokens=columns[:, 2].astype(np.int32),
    )


def _table(file: RowsFile) -> Iterator[Row]:
    """The rows of a CSV with a heading, whose columns are apart by a comma, a semicolon or a tab."""
    try:
        with file.text(newline="") as text:
            heading = text.readline()
            text.seek(0)
            apart = max(",;\t", key=heading.count)
            reader = csv.DictReader(text, delimiter=apart)
            while (row := next(reader, None)) is not None:
                place = f"{file.name} line {reader.line_num}"
                for value in row.values():
                    if isinstance(value, str):
                        file.checked(value, place)
                yield Row(place, {(key or "").strip(): value for key, value in row.items()})
    except csv.Error as error:
        raise UsageError(f"the trace {file.path} is not CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the trace {file.path} is not text in {file.encoding.upper()}") from error


def _request(where: str, row: Any) -> tuple[float, int, int]:
    """Return (time in seconds, prompt tokens, output tokens). Raises UsageError and SkippedRow."""
    if not isinstance(row, dict):
        raise SkippedRow("is not an object with the columns of one request")
    for time, prompt, output, units_per_s in _COLUMNS:
        if time in row and prompt in row and output in row:
            at_s, prompt_tokens, output_tokens = (_number(where, key, row[key]) for key in (time, prompt, output))
            lengths = _length(where, prompt, prompt_tokens), _length(where, output, output_tokens)
            return at_s / units_per_s, *lengths
    known = "; ".join(", ".join(columns[:3]) for columns in _COLUMNS)
    raise SkippedRow(f"does not have the columns of a request; known are {known}")


def _number(where: str, column: str, value: Any) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in _NOTHING):
        raise SkippedRow(f"has nothing at {column}")
    number = number_of(value)
    if number is None:
        raise UsageError(f"{where}: {column} must be a number, not {value}")
    return number


def _length(where: str, column: str, number: float) -> int:
    if number == 0:
        raise SkippedRow(f"has 0 at {column}")
    if not 1 <= number <= _MAX_TOKENS or number != int(number):
        raise UsageError(f"{where}: {column} must be a whole number of at least 1, not {number:g}")
    return int(number)
