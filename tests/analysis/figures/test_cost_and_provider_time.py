"""What a run cost, and what its provider says of its time, from requests that a person can check by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from loadgen.analysis.figures.cost import Price, cost_of
from loadgen.engine.records.record import CountedBy, Outcome, Recording, RequestRecord
from loadgen.load.shapes import Wave
from loadgen.load.spec import RunSpec
from tests.analysis.summaries import summarise

Row = Callable[..., RequestRecord]
SpecOf = Callable[..., RunSpec]
RecordingOf = Callable[..., Recording]

BY_TOKENS = Price(usd_per_million_input_tokens=2.0, usd_per_million_output_tokens=10.0)
TIMES = {"queue_time": 0.1, "prompt_time": 0.05, "completion_time": 0.4, "total_time": 0.6, "created": 1723733419}


def test_tokens_are_paid_as_the_server_counts_them(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rows = [
        row([(0.5, 1), (1.0, 3)], prompt_tokens=100),
        row([(0.5, 1), (1.0, 1)], prompt_tokens=50),
        row([], outcome=Outcome.HTTP_ERROR, output_tokens=None, prompt_tokens=None),
        row([(0.5, 1)], outcome=Outcome.TRUNCATED, prompt_tokens=None),
    ]
    recording = recording_of(rows)
    cost = cost_of(BY_TOKENS, summarise(spec_of(Wave(4)), recording), recording, recording_of(rows[:1]))
    assert cost == {
        "price": {"usd_per_million_input_tokens": 2.0, "usd_per_million_output_tokens": 10.0},
        "usd": pytest.approx(150 * 2e-6 + 6 * 10e-6),
        "warmup_usd": pytest.approx(100 * 2e-6 + 4 * 10e-6),
        "usd_per_million_output_tokens": pytest.approx((150 * 2e-6 + 6 * 10e-6) / 6 * 1e6),
        "input_tokens": 150,
        "output_tokens": 6,
        "uncounted_requests": 1,
    }


def test_what_is_paid_and_not_known_is_no_sum(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    guessed = [row([(0.5, 1), (1.0, 1)], counted_by=CountedBy.ASSUMED)]
    recording = recording_of(guessed)
    summary = summarise(spec_of(Wave(1)), recording)
    cost = cost_of(BY_TOKENS, summary, recording, None)
    assert cost is not None
    assert (cost["usd"], cost["usd_per_million_output_tokens"], cost["warmup_usd"]) == (None, None, 0.0)
    free_answers = cost_of(Price(usd_per_million_input_tokens=1.0), summary, recording, None)
    assert free_answers is not None
    assert free_answers["usd"] == pytest.approx(8e-6)


def test_time_is_paid_whatever_is_asked_in_it(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    recording = recording_of([row([(0.5, 50), (1.0, 50)])], wall_s=10.0)
    summary = summarise(spec_of(Wave(1)), recording)
    assert summary["output_tokens_per_s"] == 100.0
    cost = cost_of(Price(usd_per_gpu_hour=3.6, gpus=4), summary, recording, recording_of([], wall_s=5.0))
    assert cost is not None
    assert cost["usd"] == pytest.approx(0.04)
    assert cost["warmup_usd"] == pytest.approx(0.02)
    assert cost["usd_per_million_output_tokens"] == pytest.approx(0.004 / 100 * 1e6)
    assert cost["price"] == {"usd_per_gpu_hour": 3.6, "gpus": 4}


def test_without_a_price_nothing_costs(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    recording = recording_of([row([(0.5, 1)])])
    assert cost_of(None, summarise(spec_of(Wave(1)), recording), recording, None) is None


def test_the_providers_times_stand_beside_ours(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rows = [row([(0.3, 1), (0.8, 1)], server_timing=TIMES), row([(0.4, 1), (0.8, 1)])]
    times = summarise(spec_of(Wave(2)), recording_of(rows))["provider_time"]
    found = {key: (values["n"], values["mean"]) for key, values in times.items()}
    assert found == {
        "queue_s": (1, pytest.approx(0.1)),
        "prompt_s": (1, pytest.approx(0.05)),
        "completion_s": (1, pytest.approx(0.4)),
        "total_s": (1, pytest.approx(0.6)),
        "ttft_less_queue_s": (1, pytest.approx(0.2)),
        "ttft_less_queue_and_prompt_s": (1, pytest.approx(0.15)),
        "e2e_less_total_s": (1, pytest.approx(0.2)),
    }


@pytest.mark.parametrize(
    "timing",
    [
        None,
        {"time_to_first_token_ms": 4.5},
        {"queue_time": None},
        {"queue_time": -1.0},
        {"queue_time": True},
        {"queue_time": "1"},
    ],
)
def test_a_provider_that_tells_nothing_of_use(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf, timing: dict[str, Any] | None
) -> None:
    rows = [row([(0.3, 1), (0.8, 1)], server_timing=timing)]
    assert summarise(spec_of(Wave(1)), recording_of(rows))["provider_time"] is None
