"""A server's log as lines of plain words. Pure.

vLLM writes `(EngineCore pid=104) ERROR 05-01 14:39:06 [core.py:1131] text`, progress bars that overwrite themselves with
carriage returns, and colours when it believes to write to a terminal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PROCESS = re.compile(r"^\([\w .:=-]+\)\s?")  # (EngineCore pid=104), (Worker_TP0 pid=7), (VllmWorker rank=0 pid=2)
_LEVEL = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+(?:\d\d-\d\d \d\d:\d\d:\d\d\s+)?(?:\[[\w./-]+:\d+\]\s?)?")
_UVICORN = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL):\s+")
_PLACE = re.compile(r"^\[[\w./-]+\.py:\d+\]\s?")  # in logs that were copied without their first columns


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its columns of process, level, time and place. `level` is empty where it had none."""

    level: str
    text: str


def lines(log: str) -> Iterator[Line]:
    """Each line, and each state of a progress bar, in order; blank ones left out."""
    for raw in re.split(r"[\r\n]+", _COLOUR.sub("", log)):
        line = _line(raw)
        if line.text:
            yield line


def _line(raw: str) -> Line:
    text = raw.strip()
    while match := _PROCESS.match(text):
        text = text[match.end() :]
    level = ""
    for pattern in (_UVICORN, _LEVEL):
        if match := pattern.match(text):
            level, text = match[1], text[match.end() :]
            break
    return Line(level, _PLACE.sub("", text).strip())
