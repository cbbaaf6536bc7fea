"""A server's log: its lines as plain words, how far the server has come by them, followed as it grows, secrets overwritten.

vLLM writes `(EngineCore pid=104) ERROR 05-01 14:39:06 [core.py:1131] text`, progress bars that overwrite themselves with
carriage returns, and colours when it believes to write to a terminal. The words of the stages are vLLM's, of 0.26 to 0.32.
"""

import mmap
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loadgen.servers.redaction import longest_first

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PROCESS = re.compile(r"^\([\w .:=-]+\)\s?")  # (EngineCore pid=104), (Worker_TP0 pid=7), (VllmWorker rank=0 pid=2)
_LEVEL = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)\s+(?:\d\d-\d\d \d\d:\d\d:\d\d\s+)?(?:\[[\w./-]+:\d+\]\s?)?")
_UVICORN = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL):\s+")
_PLACE = re.compile(r"^\[[\w./-]+\.py:\d+\]\s?")  # in logs that were copied without their first columns


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line without its columns of process, level, time and place. `level` is empty where it had none."""

    level: str
    text: str


def log_lines(log: str) -> Iterator[LogLine]:
    """Each line, and each state of a progress bar, in order; blank ones left out."""
    for raw in re.split(r"[\r\n]+", _COLOUR.sub("", log)):
        line = _line(raw)
        if line.text:
            yield line


def _line(raw: str) -> LogLine:
    text = raw.strip()
    while match := _PROCESS.match(text):
        text = text[match.end() :]
    level = ""
    for pattern in (_UVICORN, _LEVEL):
        if match := pattern.match(text):
            level, text = match[1], text[match.end() :]
            break
    return LogLine(level, _PLACE.sub("", text).strip())


_STAGES = (
    (re.compile(r"^(?:Fetching \d+ files|Downloading shards):.*?(\d+)/(\d+)"), "downloading the model, file {0}/{1}"),
    (re.compile(r"^(?:model-\d+-of-\d+\.safetensors|model\.safetensors):\s+\d+%"), "downloading the model"),
    (re.compile(r"^Loading (?:safetensors|pt|\w+) (?:checkpoint )?shards.*?(\d+)/(\d+)"), "loading weights {0}/{1}"),
    (re.compile(r"^Loading (?:safetensors|weights) using .*?(\d+)/(\d+)"), "loading weights {0}/{1}"),
    (re.compile(r"^non-default args:"), "reading the model's configuration"),
    (re.compile(r"^Initializing a V\d LLM engine"), "starting the engine"),
    (re.compile(r"^Starting to load model"), "loading the model"),
    (re.compile(r"^(?:Loading weights took|Model loading took)"), "weights loaded"),
    (re.compile(r"Starting torch\.compile|^Compiling a graph|^Dynamo bytecode transform"), "compiling"),
    (re.compile(r"^Capturing CUDA graphs?.*?(\d+)/(\d+)"), "capturing graphs {0}/{1}"),
    (re.compile(r"^Warming up (?:model|sampler|FlashInfer|\w+)"), "warming up"),
    (re.compile(r"^(?:init engine|Graph capturing finished|Warming up done)"), "starting the HTTP server"),
    (re.compile(r"Starting vLLM (?:API )?server|^Started server process"), "starting the HTTP server"),
    (re.compile(r"^Application startup complete|^SIMULATED model"), "waiting for the first answer"),
)


def stage(log: str) -> str | None:
    """The latest stage that this stretch of a log tells of; None when it tells of none."""
    latest = None
    for line in log_lines(log):
        for pattern, words in _STAGES:
            if match := pattern.search(line.text):
                latest = words.format(*match.groups())
                break
    return latest


_LOOK_AGAIN_S = 0.2


def follow(log: Path, is_over: Callable[[], bool]) -> Iterator[bytes]:
    """What the log holds, then what is added, until `is_over`; what was written before that is given to its end."""
    with log.open("rb") as file:
        while True:
            over = is_over()
            while piece := file.read(65536):
                yield piece
            if over:
                return
            time.sleep(_LOOK_AGAIN_S)


def overwrite(log: Path, secrets: Iterable[str]) -> None:
    """Put asterisks, as many as bytes, in place of each secret in the log; a log that cannot be written stays as it is."""
    texts = [secret.encode() for secret in longest_first(secrets)]
    with suppress(OSError, ValueError), log.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if not texts or size == 0:
            return
        with mmap.mmap(file.fileno(), size) as content:
            for text in texts:
                at = content.find(text)
                while at >= 0:
                    content[at : at + len(text)] = b"*" * len(text)
                    at = content.find(text, at + len(text))
