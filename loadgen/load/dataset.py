"""A user's own prompts, from a file of JSON Lines. Imports `errors` and its own room.

A line is an object with `prompt` (a text), `messages` (as the chat endpoint takes them) or `conversations` (as ShareGPT has
them, of which the first human turn is asked), and may say in `output_tokens` or `max_tokens` how long its answer is to be.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.errors import UsageError
from loadgen.load.content import DatasetSource
from loadgen.load.seeds import stream
from loadgen.load.spec import Endpoint
from loadgen.load.workload import Prompt

_HUMAN = ("human", "user")
_LONGEST_TOKENS = int(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: its prompt, and the length of its answer in tokens where it says one."""

    prompt: Prompt
    output_tokens: int | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """All lines of a file, at least one."""

    source: DatasetSource
    entries: tuple[Entry, ...]

    def drawn(self, requests: int, seed: int) -> Iterator[Entry]:
        """`requests` of them in an order of chance: none comes a second time before all have come once."""
        rng = stream(seed, "dataset_order")
        for begin in range(0, requests, len(self.entries)):
            for place in rng.permutation(len(self.entries))[: requests - begin].tolist():
                yield self.entries[place]

    @property
    def longest_output_tokens(self) -> int:
        """The longest answer that a line asks for; 0 where none says."""
        return max(entry.output_tokens or 0 for entry in self.entries)


def read_dataset(path: Path, endpoint: Endpoint) -> Dataset:
    """The dataset in `path`, to be asked of `endpoint`. Empty lines are passed over.

    Raises UsageError, with file and line, for whatever cannot be asked.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the dataset {path}: {(error.strerror or 'refused').lower()}") from error
    if content.lstrip()[:1] == b"[":
        raise UsageError(
            f"the dataset {path.name} is one JSON array and not an object a line; turn it with: jq -c '.[]' {path.name}"
        )
    entries = tuple(
        _entry(line, f"{path.name} line {number}", endpoint)
        for number, line in enumerate(content.split(b"\n"), start=1)
        if line.strip()
    )
    if not entries:
        raise UsageError(f"the dataset {path.name} has no line; write one JSON object with a 'prompt' on each")
    source = DatasetSource(
        name=path.name,
        hash=hashlib.sha256(content).hexdigest()[:16],
        prompts=len(entries),
        mean_bytes=round(len(content) / len(entries)),
    )
    return Dataset(source, entries)


def _entry(line: bytes, place: str, endpoint: Endpoint) -> Entry:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f'{place} is not a JSON object; write it like {{"prompt": "…"}}')
    return Entry(_prompt(document, place, endpoint), _output_tokens(document, place))


def _prompt(document: dict[str, Any], place: str, endpoint: Endpoint) -> Prompt:
    prompt, messages, conversations = (document.get(key) for key in ("prompt", "messages", "conversations"))
    if prompt is not None:
        if not isinstance(prompt, str) or not prompt:
            raise UsageError(f"{place}: 'prompt' must be a text that is not empty")
        return prompt
    if messages is not None:
        if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
            raise UsageError(f"{place}: 'messages' must be a list of objects with 'role' and 'content'")
        wrong = next((one for one in messages if not isinstance(one.get("role"), str) or "content" not in one), None)
        if wrong is not None:
            raise UsageError(f"{place}: each of 'messages' must have a 'role' and a 'content'")
        if endpoint != "chat":
            raise UsageError(f"{place} has 'messages', which only a chat takes: say --endpoint chat")
        return messages
    if isinstance(conversations, list):
        turns = [turn for turn in conversations if isinstance(turn, dict) and turn.get("from") in _HUMAN]
        if not turns or not isinstance(turns[0].get("value"), str) or not turns[0]["value"]:
            raise UsageError(f"{place}: 'conversations' has no turn of a human with a 'value'")
        first: str = turns[0]["value"]
        return first
    raise UsageError(f"{place} has neither 'prompt' nor 'messages' nor 'conversations'")


def _output_tokens(document: dict[str, Any], place: str) -> int | None:
    key = "output_tokens" if "output_tokens" in document else "max_tokens"
    tokens = document.get(key)
    if tokens is None:
        return None
    if type(tokens) is not int or not 1 <= tokens <= _LONGEST_TOKENS:
        raise UsageError(f"{place}: '{key}' must be a whole number of at least 1, not {json.dumps(tokens)[:40]}")
    return tokens
