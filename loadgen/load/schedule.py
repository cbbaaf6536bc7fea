"""The whole timeline of a run as data, complete before t = 0: what is sent, and when."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen.load.arrivals import NS_PER_S
from loadgen.load.body import NO_FIELDS, Prompt, RequestForm, encode_body
from loadgen.load.bulk import BodyFile, FileArray, chunks_of, items, release_pages, spans
from loadgen.load.dataset import Dataset, Entry
from loadgen.load.prompts import Counts, prompts
from loadgen.load.sampling import lengths, random_stream
from loadgen.load.spec import RunSpec
from loadgen.load.trace import Trace
from loadgen.load.workload import Workload


@dataclass(frozen=True, slots=True)
class Schedule:
    """n requests in the order in which they are sent.

    `bodies` are encoded JSON. `prompt_tokens` and `output_tokens` are what each asks for, int32 of shape (n,); -1 where only
    the server can tell. Each asks for `choices` completions, and `output_tokens` are those of all.
    `offsets_ns` are due times from t = 0, int64 of shape (n,), for an open loop; None if requests wait for a free caller.
    Each `turns` consecutive requests are one conversation. The body of a later turn holds only the message that it adds:
    earlier messages are inserted when they are known. `think_ns`, int64 of shape (n,), is the time from the end of the
    previous turn until a request is due, 0 for a first turn; None if all are 0.
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
        """16 hexadecimal digits over every byte to be sent, except for replies sent back, and every due time."""
        digest = hashlib.sha256()
        for body in self.bodies:
            digest.update(body)
        for times_ns in (self.offsets_ns, self.think_ns):
            if times_ns is not None:
                for piece in chunks_of(times_ns):
                    digest.update(piece.tobytes())
        return digest.hexdigest()[:16]

    def release_pages(self) -> None:
        """Release the resident memory of what lies in files."""
        for column in (self.prompt_tokens, self.output_tokens, self.offsets_ns, self.think_ns):
            if column is not None:
                release_pages(column)
        if isinstance(self.bodies, BodyFile):
            self.bodies.release_pages()


def build(
    spec: RunSpec,
    requests: int,
    *,
    prompt_seed: str,
    form: RequestForm,
    counts: Counts = None,
    dataset: Dataset | None = None,
    trace: Trace | None = None,
) -> Schedule:
    """The schedule of `requests` requests of `spec`, written in `form`.

    Arrivals and lengths depend on `spec.seed` alone, prompts on `prompt_seed` alone. Completions in the vllm dialect are
    asked with exact token ids; everything else with text, fitted by `counts`. With `dataset`, the prompts are its own, in an
    order that depends on `spec.seed`. With `trace`, arrivals and lengths are those of its first requests, whatever the seed.
    Raises UsageError when the disk has no room for the bodies.
    """
    workload, seed = spec.workload, spec.seed
    input_tokens, output_tokens = _lengths(spec, requests, dataset, trace)
    asked: Iterable[Prompt]
    fields: Iterable[Mapping[str, Any]] = repeat(NO_FIELDS, requests)
    if dataset is not None:
        fields = (entry.fields for entry in dataset.drawn(requests, seed))
        asked = (entry.prompt for entry in dataset.drawn(requests, seed))
    else:
        asked = prompts(
            spec, input_tokens, prompt_seed=prompt_seed, dialect=form.dialect, counts=counts, ids=form.prompt_ids
        )
    bodies = BodyFile.write(
        encode_body(
            form,
            endpoint=spec.endpoint,
            model=spec.model,
            prompt=prompt,
            output_tokens=reply_tokens,
            choices=workload.choices,
            fields=further,
        )
        for prompt, reply_tokens, further in zip(asked, items(output_tokens), fields, strict=True)
    )
    if trace is not None and spec.shape.trace is not None:
        offsets: NDArray[np.int64] | None = trace.offsets_ns(spec.shape.trace.time_scale, requests)
    else:
        offsets = spec.shape.offsets_ns(requests, seed)
    return Schedule(
        bodies=bodies,
        prompt_tokens=_known_lengths(input_tokens, workload),
        output_tokens=FileArray.write(
            np.int32, (piece * np.int32(workload.choices) for piece in chunks_of(output_tokens))
        ),
        offsets_ns=offsets,
        turns=workload.turns,
        think_ns=_think_ns(spec, requests),
        choices=workload.choices,
    )


def _lengths(
    spec: RunSpec, requests: int, dataset: Dataset | None, trace: Trace | None
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The tokens of each prompt, -1 where only the server can tell, and of each choice of its reply."""
    if dataset is None and trace is not None:
        return trace.prompt_tokens[:requests], trace.output_tokens[:requests]
    spread, seed = spec.workload.range_ratio, spec.seed
    output_tokens = lengths(spec.output_tokens, spread, requests=requests, seed=seed, source="output_tokens")
    if dataset is not None:
        own = _own_lengths(dataset.drawn(requests, seed), output_tokens)
        return np.broadcast_to(np.int32(-1), requests), own
    assert spec.input_tokens is not None, "only a dataset's prompts have no stated length"
    input_tokens = lengths(spec.input_tokens, spread, requests=requests, seed=seed, source="input_tokens")
    return input_tokens, output_tokens


def _known_lengths(input_tokens: NDArray[np.int32], workload: Workload) -> NDArray[np.int32]:
    """The tokens of each prompt; -1 for one with images or an earlier reply, whose tokens only the server can count."""
    has_images, turns = workload.images is not None, workload.turns
    unknown = ((np.arange(begin, end) % turns > 0) | has_images for begin, end in spans(len(input_tokens)))
    return FileArray.write(
        np.int32,
        (np.where(rows, np.int32(-1), each) for rows, each in zip(unknown, chunks_of(input_tokens), strict=True)),
    )


def _own_lengths(entries: Iterator[Entry], otherwise: NDArray[np.int32]) -> NDArray[np.int32]:
    """The reply length that each entry asks for, or that of `otherwise` if it asks for none."""
    return FileArray.write(
        np.int32,
        (
            np.array([entry.output_tokens or tokens for tokens, entry in zip(piece.tolist(), entries, strict=False)])
            for piece in chunks_of(otherwise)
        ),
    )


def _think_ns(spec: RunSpec, requests: int) -> NDArray[np.int64] | None:
    """Exponential times of mean `think_time_s` before each later turn; by the numeric seed, the same on every server."""
    sessions = spec.workload.sessions
    if sessions is None or sessions.think_time_s == 0:
        return None
    rng, mean_s, turns = random_stream(spec.seed, "think_time"), sessions.think_time_s, sessions.turns

    def pieces() -> Iterator[NDArray[np.float64]]:
        for begin, end in spans(requests):
            drawn_s = rng.exponential(mean_s, end - begin)
            drawn_s[-begin % turns :: turns] = 0
            yield np.rint(drawn_s * NS_PER_S)

    return FileArray.write(np.int64, pieces())
