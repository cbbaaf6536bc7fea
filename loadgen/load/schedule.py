"""What and when, joined: the whole timeline of a run as data, complete before t = 0."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.load.arrivals import NS_PER_S
from loadgen.load.body import NO_FIELDS, Adaptation, ChunkCounts, Dialect, Prompt, encode_body
from loadgen.load.bulk import BodyFile, FileArray, items, let_go, pieces_of, spans
from loadgen.load.dataset import Dataset, Entry
from loadgen.load.prompts import Counts, prompts
from loadgen.load.sampling import lengths, stream
from loadgen.load.spec import RunSpec
from loadgen.load.trace import Trace


@dataclass(frozen=True, slots=True)
class Schedule:
    """n requests in the order in which they are to go out.

    `bodies` are encoded JSON. `prompt_tokens` and `output_tokens` are what each asks for, int32 of shape (n,);
    -1 where only the server can tell. Each asks for `choices` answers side by side, and `output_tokens` are those of all.
    `offsets_ns` are intended arrivals from t = 0, int64 of shape (n,), for the open loop; None where requests wait for a
    free caller instead.
    Each `turns` requests on end are one conversation. The body of a later turn holds the message that it adds alone: what was
    said before goes in when it is known. `think_ns`, int64 of shape (n,), is the time from the end of the turn before to
    the moment at which a request is due, 0 for a first turn; None where all are.
    """

    bodies: Sequence[bytes]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    offsets_ns: NDArray[np.int64] | None
    turns: int = 1
    think_ns: NDArray[np.int64] | None = None
    choices: int = 1

    def __len__(self) -> int:
        return len(self.bodies)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits over every byte that will be sent, but for answers sent back, and every intended moment."""
        digest = hashlib.sha256()
        for body in self.bodies:
            digest.update(body)
        for moments_ns in (self.offsets_ns, self.think_ns):
            if moments_ns is not None:
                for piece in pieces_of(moments_ns):
                    digest.update(piece.tobytes())
        return digest.hexdigest()[:16]

    def let_go(self) -> None:
        """Give back the memory of what was looked at and lies in files."""
        for column in (self.prompt_tokens, self.output_tokens, self.offsets_ns, self.think_ns):
            if column is not None:
                let_go(column)
        if isinstance(self.bodies, BodyFile):
            self.bodies.let_go()


def build(
    spec: RunSpec,
    requests: int,
    prompt_seed: str,
    dialect: Dialect,
    counts: Counts = None,
    chunk_counts: tuple[ChunkCounts, ...] = (),
    dataset: Dataset | None = None,
    trace: Trace | None = None,
    adaptation: Adaptation = (),
) -> Schedule:
    """The schedule of `requests` requests of `spec`.

    Arrivals and lengths depend on `spec.seed` alone, prompts on `prompt_seed` alone. Completions in the vllm dialect are
    asked with exact token ids; everything else with text, fitted by `counts`. With `dataset`,
    the prompts are its own, in an order that depends on `spec.seed`. `chunk_counts` are the means by which the server is
    asked to tell the tokens of each chunk. With `trace`, arrivals and lengths are those of its first requests, whatever
    the seed. `adaptation` changes every body alike.
    Raises UsageError when the disk has no room for the bodies.
    """
    spread = spec.workload.range_ratio
    turns, choices, images = spec.workload.turns, spec.workload.choices, spec.workload.images
    input_tokens = _unknown(requests)  # of a dataset only the server can tell
    output_tokens = lengths(spec.output_tokens, spread, requests, spec.seed, "output_tokens")
    asked: Iterable[Prompt]
    fields: Iterable[Mapping[str, Any]] = repeat(NO_FIELDS, requests)
    if dataset is not None:
        fields = (entry.fields for entry in dataset.drawn(requests, spec.seed))
        asked = (entry.prompt for entry in dataset.drawn(requests, spec.seed))
        output_tokens = _own_lengths(dataset.drawn(requests, spec.seed), output_tokens)
    elif trace is not None:
        input_tokens, output_tokens = trace.prompt_tokens[:requests], trace.output_tokens[:requests]
        asked = prompts(spec, input_tokens, prompt_seed, dialect, counts)
    else:
        assert spec.input_tokens is not None, "only a dataset's prompts have no stated length"
        input_tokens = lengths(spec.input_tokens, spread, requests, spec.seed, "input_tokens")
        asked = prompts(spec, input_tokens, prompt_seed, dialect, counts)
    if trace is not None and spec.shape.trace is not None:
        offsets: NDArray[np.int64] | None = trace.offsets_ns(spec.shape.trace.time_scale, requests)
    else:
        offsets = spec.shape.offsets_ns(requests, spec.seed)
    bodies = BodyFile.write(
        encode_body(
            spec.endpoint, dialect, spec.model, prompt, answer_tokens, chunk_counts, choices, adaptation, further
        )
        for prompt, answer_tokens, further in zip(asked, items(output_tokens), fields, strict=True)
    )
    # What an image is worth in tokens is the server's affair, and what an earlier answer is worth as a part of a prompt.
    untold = ((np.arange(begin, end) % turns > 0) | (images is not None) for begin, end in spans(requests))
    told = pieces_of(input_tokens)
    return Schedule(
        bodies=bodies,
        prompt_tokens=FileArray.write(
            np.int32, (np.where(rows, np.int32(-1), each) for rows, each in zip(untold, told, strict=True))
        ),
        output_tokens=FileArray.write(np.int32, (piece * np.int32(choices) for piece in pieces_of(output_tokens))),
        offsets_ns=offsets,
        turns=turns,
        think_ns=_think_ns(spec, requests),
        choices=choices,
    )


def _unknown(requests: int) -> NDArray[np.int32]:
    return np.broadcast_to(np.int32(-1), requests)


def _own_lengths(entries: Iterator[Entry], otherwise: NDArray[np.int32]) -> NDArray[np.int32]:
    """The length of the answer that each entry asks for, and where it says none that of `otherwise`."""
    return FileArray.write(
        np.int32,
        (
            np.array([entry.output_tokens or tokens for tokens, entry in zip(piece.tolist(), entries, strict=False)])
            for piece in pieces_of(otherwise)
        ),
    )


def _think_ns(spec: RunSpec, requests: int) -> NDArray[np.int64] | None:
    """Exponential times of mean `think_time_s` before each later turn; by the numeric seed, the same on every server."""
    sessions = spec.workload.sessions
    if sessions is None or sessions.think_time_s == 0:
        return None
    rng, mean_s, turns = stream(spec.seed, "think_time"), sessions.think_time_s, sessions.turns

    def pieces() -> Iterator[NDArray[np.float64]]:
        for begin, end in spans(requests):
            drawn_s = rng.exponential(mean_s, end - begin)
            drawn_s[-begin % turns :: turns] = 0
            yield np.rint(drawn_s * NS_PER_S)

    return FileArray.write(np.int64, pieces())
