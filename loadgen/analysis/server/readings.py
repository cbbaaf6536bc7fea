"""May the readings of a server's page of metrics be taken for one server's account of the run?

Counters of one process never fall, and it began once; what contradicts that makes the account unknown.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from loadgen.analysis.document.server import ServerReadings
from loadgen.analysis.measured import Measured
from loadgen.analysis.server.engine_names import EngineNames, names_in
from loadgen.engine.records.record import MISSING, CountedBy

_ROUNDING = 1e-9  # of a sum of floating-point numbers
_SAME_START_S = 1.0  # what an exporter that works the start out anew each time may be off by
_MISSING_RATIO = 0.1  # of our answers, from which on the counters are not those of all that answered us


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the page. `counters` has each by all its labels, `identity` when the process and its series began."""

    at_ns: int  # from t = 0
    values: Mapping[str, float]
    unusable: frozenset[str] = frozenset()
    counters: Mapping[str, float] = field(default_factory=dict)
    identity: Mapping[str, float] = field(default_factory=dict)
    malformed_lines: int = 0
    is_check: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """The readings between which the run lies, and the names of the engine that they are of."""

    begin: Reading
    end: Reading
    readings: tuple[Reading, ...]  # without checks and empty ones
    names: EngineNames


def span_of(readings: Sequence[Reading]) -> Span | None:
    """None without a reading on both sides of t = 0, or of an engine that is not known."""
    told = tuple(reading for reading in readings if reading.values and not reading.is_check)
    before = [reading for reading in readings if reading.at_ns <= 0 and not reading.is_check]
    if not before or not told or told[-1].at_ns <= 0:
        return None
    names = names_in(told[-1].values)
    return None if names is None else Span(before[-1], told[-1], told, names)


def why_unknown(readings: Sequence[Reading], span: Span, measured: Measured) -> str | None:
    """What speaks against one server's account of the whole run, as the end of a sentence; None when nothing does."""
    if _ended_ns(measured) > span.end.at_ns:
        return "the page could not be read after the last response"
    if _began_apart(readings):
        return "its readings are of processes that were started at different times"
    fallen = _fallen(readings, span.names)
    if fallen:
        return f"{fallen[0]} falls between readings, as no counter of one process does"
    return _not_all_of_it(span, measured)


def readings_document(readings: Sequence[Reading], measured: Measured, has_page: bool = False) -> ServerReadings | None:
    """The run document's `server_readings`: how the page could be read; None without a page of a known engine.

    `has_page` says that the server answered with a page before the run, whatever it is of.
    """
    span = span_of(readings)
    if span is None:
        engines = [each for each in readings if names_in(each.values) is not None]
        if not engines and (readings or not has_page):
            return None
        return {
            "readings": len([each for each in engines if not each.is_check]),
            "malformed_lines": max((each.malformed_lines for each in engines), default=0),
            "unusable": [],
            "unknown_because": "the page could not be read both before the run and in it",
        }
    used = [reading for reading in span.readings if reading is span.begin or reading.at_ns > 0]
    return {
        "readings": len(span.readings),
        "malformed_lines": max(reading.malformed_lines for reading in readings),
        "unusable": sorted({name for each in used for name in each.unusable if _is_of_account(name, span.names)}),
        "unknown_because": why_unknown(readings, span, measured),
    }


def counters_of(names: EngineNames) -> tuple[str, ...]:
    """The counters that an account is made of, as far as the engine has them."""
    every = (
        names.finished,
        names.output_tokens,
        names.prompt_tokens,
        names.prefix_queries,
        names.prefix_hits,
        names.preemptions,
        names.drafts,
        names.draft_tokens,
        names.accepted_tokens,
    )
    return tuple(name for name in every if name is not None)


def _is_of_account(name: str, names: EngineNames) -> bool:
    gauges = (names.running, names.waiting, names.kv_cache_usage)
    bare = name.split("{")[0]
    return (
        bare in (*counters_of(names), *gauges)
        or bare.removesuffix("_bucket").removesuffix("_sum") in names.times.values()
    )


def _ended_ns(measured: Measured) -> int:
    ends = (piece.records.end_ns[piece.records.end_ns != MISSING] for piece in measured.pieces())
    return max((int(each.max()) for each in ends if len(each)), default=0)


def _began_apart(readings: Sequence[Reading]) -> bool:
    last: dict[str, float] = {}
    for reading in readings:
        if any(abs(at - last[key]) > _SAME_START_S for key, at in reading.identity.items() if key in last):
            return True
        last |= reading.identity
    return False


def _fallen(readings: Sequence[Reading], names: EngineNames) -> list[str]:
    """The counters of the account that fall somewhere, by all their labels or summed."""
    known = set(counters_of(names))
    last: dict[str, float] = {}
    fallen: dict[str, None] = {}
    for reading in readings:
        for key, value in _counted(reading, known):
            if key in last and value < last[key] - _ROUNDING * abs(last[key]):
                fallen[key.split("{")[0]] = None
            last[key] = value
    return list(fallen)


def _counted(reading: Reading, known: set[str]) -> Iterator[tuple[str, float]]:
    yield from ((key, value) for key, value in reading.counters.items() if key.split("{")[0] in known)
    yield from ((name, reading.values[name]) for name in known if name in reading.values)


def _not_all_of_it(span: Span, measured: Measured) -> str | None:
    """Fewer requests, or tokens where requests are not counted, than came to us from there: another process answered some."""
    names, answered = span.names, measured.count(lambda piece: piece.ok) * measured.spec.workload.choices
    finished = _moved(span, names.finished)
    if finished is not None:
        missing = answered - finished
        if missing > max(1.0, _MISSING_RATIO * answered):
            return f"it finished {finished:,.0f} requests by its counter, and {answered:,} were answered"
        return None
    tokens, ours = _moved(span, names.output_tokens), _reported_tokens(measured)
    if names.finished is None and tokens is not None and ours is not None and ours - tokens > _MISSING_RATIO * ours:
        return f"it made {tokens:,.0f} output tokens by its counter, and {ours:,} came by its own count"
    return None


def _reported_tokens(measured: Measured) -> int | None:
    """Output tokens of the ok requests by the server's own word; None where anything else counted them."""
    tokens = 0
    for piece in measured.pieces():
        counted_by = piece.records.counted_by[piece.ok]
        if np.any((counted_by != CountedBy.USAGE) & (counted_by != CountedBy.TOKEN_IDS)):
            return None
        tokens += int(piece.records.output_tokens[piece.ok].sum(dtype=np.int64))
    return tokens


def _moved(span: Span, name: str | None) -> float | None:
    if name is None or name not in span.end.values or name in span.begin.unusable:
        return None
    return span.end.values[name] - span.begin.values.get(name, 0.0)
