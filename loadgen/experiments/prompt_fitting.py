"""Making text prompts as long as asked: by the server's tokenizer for a bounded time, or by the usage that it reports.

A prompt takes about three questions to `/tokenize`: a millisecond each on a free server, a hundred on a distant one. A server
without `/tokenize` is asked up to three questions in all, and its warm-up corrects what they showed.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from loadgen.engine.records.record import Outcome, Records
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.load import length_fit
from loadgen.load.prompts import Counts, CountTokens
from loadgen.load.rate_limits import UNLIMITED
from loadgen.load.schedule import Schedule
from loadgen.load.spec import RunSpec
from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.http_client import Headers
from loadgen.servers.reported_tokens import reported_tokens

_MAX_SAMPLES = 256
_KEPT_RATIO = 0.005
_QUESTION_TIMEOUT_S = 30.0
FITTING_LIMIT_S = 60.0


@dataclass(slots=True)
class BoundedCounter:
    """Counts tokens by `count` until this has taken `FITTING_LIMIT_S` in all; from then on it counts no more.

    Callable: text -> tokens, None once the time is up. `on_limit` is told once, when the limit is passed; the texts after
    it are of about the length asked, and the server's counts say how long they were.
    """

    count: Callable[[str], int]
    on_limit: Callable[[], None]
    clock_s: Callable[[], float] = time.monotonic
    _spent_s: float = field(default=0.0, init=False)

    def __call__(self, text: str) -> int | None:
        """The tokens of `text`, or None once the time is up."""
        if self._spent_s >= FITTING_LIMIT_S:
            return None
        began_s = self.clock_s()
        tokens = self.count(text)
        self._spent_s += self.clock_s() - began_s
        if self._spent_s >= FITTING_LIMIT_S:
            self.on_limit()
        return tokens


def length_fit_of(
    facts: EndpointFacts, runs: Sequence[RunSpec], headers: Headers, route: Route = DIRECT
) -> length_fit.LengthFit | None:
    """How texts of a stated length are made for `runs`, None where the server's tokenizer counts them or none is made.

    The server is asked, but where questions count in limits: there the warm-up has to tell.
    """
    fitted = [run for run in runs if _makes_texts(run, facts)]
    if not fitted or facts.has_tokenize:
        return None
    run = fitted[0]
    if facts.dialect == "cerebras" or run.rate_limits != UNLIMITED:
        return length_fit.assumed(facts.template_tokens)
    timeout_s = min(_QUESTION_TIMEOUT_S, run.request_timeout_s)
    ask = partial(
        reported_tokens,
        facts=facts,
        model=run.model,
        endpoint=run.endpoint,
        headers=headers,
        timeout_s=timeout_s,
        route=route,
    )
    return fit_by_questions(facts.template_tokens, ask)


def fitted_by(counts: Counts, run: RunSpec, facts: EndpointFacts) -> dict[str, Any]:
    """What `lengths.prompt_tokens` says of how prompts were made as long as asked."""
    none = dict.fromkeys(length_fit.LengthFit().to_json())
    if not _has_stated_length(run):
        return none
    if not _makes_texts(run, facts):
        return none | {"fitted_by": "token_ids"}
    if isinstance(counts, length_fit.LengthFit):
        return counts.to_json()
    return none | {"fitted_by": None if counts is None else "tokenize"}


def _has_stated_length(run: RunSpec) -> bool:
    return run.workload.dataset is None


def _makes_texts(run: RunSpec, facts: EndpointFacts) -> bool:
    """Whether the prompts of `run` are texts of ours, and not a dataset's or token ids."""
    return _has_stated_length(run) and (run.endpoint == "chat" or facts.dialect != "vllm")


def fit_by_questions(template_tokens: int | None, reported_tokens: Callable[[str], int | None]) -> length_fit.LengthFit:
    """The fit by up to three short requests, `reported_tokens` of a text each; as assumed where they are not counted.

    `template_tokens` is what the server reported for one word, less one.
    """
    start = length_fit.assumed(template_tokens)
    if template_tokens is None:
        return start
    rng = np.random.default_rng(0)
    single = length_fit.LengthSample.of("Hello", template_tokens + 1)
    every = _asked(_decks(length_fit.WORDS, 1, rng), reported_tokens)
    if every is not None and (fit := length_fit.fit_of_all_words(single, every)) is not None:
        return fit
    texts = [_decks(length_fit.COMMON_WORDS, repeats, rng) for repeats in (1, 3)]
    samples = [sample for text in texts if (sample := _asked(text, reported_tokens)) is not None]
    if len(samples) < len(texts):
        return start
    return length_fit.fit_of_common_words(samples, every) or length_fit.LengthFit(source="uncounted")


def after_warmup(counts: Counts, schedule: Schedule, records: Records) -> Counts:
    """What tells the tokens of a text, corrected by what the server reported for the prompts of the warm-up."""
    samples, off = [], []
    usable = (records.outcome == Outcome.OK) & (records.prompt_tokens > 0)
    for row in np.flatnonzero(usable)[:_MAX_SAMPLES].tolist():
        place = int(records.index[row])
        text = _text_of(schedule.bodies[place])
        if text is not None:
            tokens = int(records.prompt_tokens[row])
            samples.append(length_fit.LengthSample.of(text, tokens))
            off.append(tokens - int(schedule.prompt_tokens[place]))
    if not samples or counts is None:
        return counts
    if isinstance(counts, length_fit.LengthFit):
        return length_fit.corrected(counts, samples)
    shift = round(float(np.mean(off)))
    asked = float(np.mean([sample.tokens for sample in samples])) - shift
    # More than that is no template: a count that has nothing to do with the prompt.
    return _shifted(counts, shift) if _KEPT_RATIO * asked < abs(shift) <= asked else counts


def _shifted(count: CountTokens, shift_tokens: int) -> CountTokens:
    """Count by `count`, and add what the server's usage has beyond that: another template, or a system prompt of a gateway."""

    def counted(text: str) -> int | None:
        tokens = count(text)
        return None if tokens is None else tokens + shift_tokens

    return counted


def _decks(words: tuple[str, ...], repeats: int, rng: np.random.Generator) -> str:
    """A text that has each of `words` so often, in an order of chance."""
    return " ".join(words[place] for _ in range(repeats) for place in rng.permutation(len(words)).tolist())


def _asked(text: str, reported_tokens: Callable[[str], int | None]) -> length_fit.LengthSample | None:
    tokens = reported_tokens(text)
    return None if tokens is None else length_fit.LengthSample.of(text, tokens)


def _text_of(body: bytes) -> str | None:
    """Return the text of the last prompt of a body that we made, None if it is not a text."""
    match json.loads(body):
        case {"prompt": str(text)} | {"messages": [*_, {"content": str(text)}]}:
            return text
        case _:
            return None
