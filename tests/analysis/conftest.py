"""Small runs that a person can check by hand. Moments are given in seconds and kept in nanoseconds."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from loadgen.engine.records.record import ClientFacts, CountedBy, Outcome, Recording, Records, RequestRecord
from loadgen.load.shapes import ClosedLoop, LoadShape
from loadgen.load.spec import RunSpec
from tests.analysis.summaries import summarise

# What a server with counters says of a run that it knows everything about.
ACCOUNT = {
    "requests_finished": 1000,
    "requests_sent": 1000,
    "prefix_cache_hit_ratio": 0.0,
    "first_tokens": 1000,
    "ttft_mean_s": 0.099,
    "client_first_tokens": 1000,
    "client_ttft_mean_s": 0.1,
}


def _ns(moment_s: float | None) -> int | None:
    return None if moment_s is None else round(moment_s * 1e9)


def make_row(
    arrivals: Sequence[tuple[float, int]] = (),
    *,
    slot: int = 0,
    sent_s: float | None = 0.0,
    due_s: float | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    outcome: Outcome = Outcome.OK,
    counted_by: CountedBy = CountedBy.TOKEN_IDS,
    coalesced: Sequence[bool] | None = None,
    choices: Sequence[int] | None = None,
    **fields: Any,
) -> RequestRecord:
    """One request. `arrivals` are (moment, tokens); what is left out follows from what is given."""
    stamps_s = [moment for moment, _ in arrivals]
    tokens = [count for _, count in arrivals]
    row = RequestRecord(
        index=0,
        slot=slot,
        outcome=outcome,
        http_status=200,
        finish_reason="length",
        due_ns=_ns(sent_s if due_s is None else due_s),
        start_ns=_ns(sent_s if start_s is None else start_s),
        sent_ns=_ns(sent_s),
        first_byte_ns=_ns(stamps_s[0]) if stamps_s else None,
        end_ns=_ns(end_s if end_s is not None else stamps_s[-1] if stamps_s else None),
        prompt_tokens_asked=8,
        output_tokens_asked=sum(tokens),
        prompt_tokens=8,
        output_tokens=sum(tokens),
        counted_by=counted_by,
        arrival_ns=np.array([round(moment * 1e9) for moment in stamps_s], np.int64),
        arrival_tokens=np.array(tokens, np.int32),
        arrival_choice=np.array(choices or [0] * len(tokens), np.int16),
        arrival_coalesced=np.array(coalesced or [False] * len(tokens), np.bool_),
    )
    return replace(row, **fields)


def make_spec(shape: LoadShape | None = None, **fields: Any) -> RunSpec:
    """A closed loop of one caller unless told otherwise."""
    asked: dict[str, Any] = {"requests": 64, "input_tokens": 8, "output_tokens": 2} | fields
    return RunSpec(url="http://127.0.0.1:1", model="m", shape=shape or ClosedLoop(1), **asked)


def make_recording(rows: list[RequestRecord], *, interrupted: bool = False, **client: Any) -> Recording:
    """What the engine would bring home from these rows, with a client that had nothing to do."""
    facts: dict[str, Any] = {"stamp_source": "kernel", "workers": 1, "cpu_s": 0.1, "wall_s": 1.0, "reads": 1} | client
    numbered = [replace(row, index=index) for index, row in enumerate(rows)]
    return Recording(Records.from_rows(numbered), ClientFacts(**facts), "2026-01-01T00:00:00+00:00", interrupted)


def make_lockstep(
    concurrency: int, waves: int, *, answer_s: float = 1.0, jitter_s: float = 1e-4
) -> list[RequestRecord]:
    """Equally long requests of two tokens: all slots run side by side, each wave a little ragged, in order of sending."""
    draw = np.random.default_rng(5)
    rows: list[tuple[float, RequestRecord]] = []
    for slot in range(concurrency):
        free_s = 0.0
        for _ in range(waves):
            sent_s = free_s + 1e-6
            free_s = sent_s + answer_s + jitter_s * float(draw.random())
            arrivals = [(sent_s + answer_s / 2, 1), (free_s, 1)]
            rows.append((sent_s, make_row(arrivals, slot=slot, sent_s=sent_s)))
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]


@pytest.fixture
def row() -> Callable[..., RequestRecord]:
    return make_row


@pytest.fixture
def spec_of() -> Callable[..., RunSpec]:
    return make_spec


@pytest.fixture
def recording_of() -> Callable[..., Recording]:
    return make_recording


@pytest.fixture
def lockstep() -> Callable[..., list[RequestRecord]]:
    return make_lockstep


@pytest.fixture(scope="session")
def healthy() -> Any:
    """The summary of a run with nothing to say against it: a closed loop of eight, TTFT 0.5 s. Copy it to change it."""
    lag_ns = np.full(2000, 50_000, np.int64)
    recording = make_recording(make_lockstep(8, 256), loop_lag_ns=lag_ns)
    summary = summarise(make_spec(ClosedLoop(8), requests=2048), recording)
    summary["client"] |= {"doctor": None, "host_busy_ratio": None}  # what a run adds from beside its recording
    summary["client"] |= {"proxy": False, "tls": None}
    summary["lengths"]["output_tokens"]["can_be_asked"] = True
    summary["server_account"] = summary["server_readings"] = summary["gpu"] = summary["foreign"] = None
    summary["experts_failure"] = None
    return summary
