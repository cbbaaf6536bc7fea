"""Which stretch of a run is measured, and which requests."""

from collections.abc import Callable

import numpy as np
import pytest

from loadgen.analysis.window import measured_window
from loadgen.engine.records.record import Outcome, Recording, RequestRecord
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.spec import RunSpec

Rows = Callable[..., list[RequestRecord]]
Row = Callable[..., RequestRecord]
SpecOf = Callable[..., RunSpec]
RecordingOf = Callable[..., Recording]


@pytest.mark.parametrize("waves", [3, 4, 8])
def test_lockstep_keeps_the_middle_waves_and_their_true_rate(
    lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf, waves: int
) -> None:
    records = recording_of(lockstep(16, waves)).records
    window = measured_window(spec_of(ClosedLoop(16)), records)
    assert window.rule == "steady_state"
    held = int(np.count_nonzero(window.requests_of(records)))
    assert held == 16 * (waves - 2)
    assert window.length_s is not None
    assert held / window.length_s == pytest.approx(16.0, rel=2e-3)


def test_it_opens_when_the_last_slot_ends_its_first_request_and_closes_at_the_last_send(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    quick = [row([(0.5 * (i + 1), 1)], slot=0, sent_s=0.5 * i) for i in range(20)]
    slow = [row([(3.2 * (i + 1), 1)], slot=1, sent_s=3.2 * i) for i in range(3)]
    records = recording_of([*quick, *slow]).records
    window = measured_window(spec_of(ClosedLoop(2)), records)
    assert (window.start_ns, window.end_ns) == (3_200_000_000, 9_500_000_000)
    ends = [0.5 * (i + 1) for i in range(20)] + [3.2, 6.4, 9.6]
    assert window.requests_of(records).tolist() == [3.2 < end <= 9.5 for end in ends]


def test_a_slot_that_runs_dry_closes_it_although_others_go_on(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    long = [row([(float(i + 1), 1)], slot=0, sent_s=float(i)) for i in range(30)]
    short = [row([(float(i + 1), 1)], slot=1, sent_s=float(i)) for i in range(12)]
    window = measured_window(spec_of(ClosedLoop(2)), recording_of([*long, *short]).records)
    assert (window.start_ns, window.end_ns) == (1_000_000_000, 12_000_000_000)


def test_a_refused_first_request_does_not_end_the_first_wave(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    refused = row([], slot=0, sent_s=0.0, end_s=0.001, outcome=Outcome.HTTP_ERROR)
    rest = [row([(float(i + 1), 1)], slot=0, sent_s=i + 0.001) for i in range(12)]
    window = measured_window(spec_of(ClosedLoop(1)), recording_of([refused, *rest]).records)
    assert window.rule == "steady_state"
    assert window.start_ns == 1_000_000_000


def test_a_failed_request_belongs_to_the_window_by_its_end(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    rows = [row([(float(i + 1), 1)], sent_s=float(i)) for i in range(12)]
    rows[5] = row([], sent_s=5.0, end_s=6.0, outcome=Outcome.TIMEOUT)
    records = recording_of(rows).records
    window = measured_window(spec_of(ClosedLoop(1)), records)
    assert window.rule == "steady_state"
    assert window.requests_of(records).tolist() == [False, *[True] * 10, False]


@pytest.mark.parametrize(("slots", "waves"), [(16, 2), (16, 1), (8, 4)])
def test_too_short_a_loop_is_measured_whole(
    lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf, slots: int, waves: int
) -> None:
    """Two waves leave nothing between the first and the drain; and of 16 callers 8 never got a request."""
    records = recording_of(lockstep(slots, waves)).records
    window = measured_window(spec_of(ClosedLoop(16)), records)
    assert window.rule == "whole_run"
    assert window.requests_of(records).all()
    assert (window.start_ns, window.end_ns) == (int(records.sent_ns.min()), int(records.arrival_ns.max()))


def test_fewer_requests_than_slots_are_no_steady_state(
    lockstep: Rows, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    """Of two and a half waves only eight requests of sixteen slots lie between the first wave and the drain."""
    ragged = lockstep(16, 3)[:40]
    assert measured_window(spec_of(ClosedLoop(16)), recording_of(ragged).records).rule == "whole_run"


def test_open_loop_runs_from_the_first_intended_arrival(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rows = [row([(1.5, 1)], due_s=0.25, sent_s=0.3), row([(1.0, 1)], due_s=0.5, sent_s=0.5)]
    window = measured_window(spec_of(OpenLoop(4.0)), recording_of(rows).records)
    assert (window.rule, window.start_ns, window.end_ns) == ("whole_run", 250_000_000, 1_500_000_000)


def test_open_loop_has_an_interval_for_each_of_its_arrivals(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf
) -> None:
    """Five arrivals span 1 s; with the interval that the fifth one opens they take 1.25 s, though all was over at 1.1 s."""
    rows = [row([(0.25 * i + 0.1, 1)], due_s=0.25 * i, sent_s=0.25 * i) for i in range(5)]
    unsent = row([], sent_s=None, slot=-1, outcome=Outcome.DROPPED, due_ns=None)
    window = measured_window(spec_of(OpenLoop(4.0)), recording_of([*rows, unsent]).records)
    assert (window.start_ns, window.end_ns) == (0, 1_250_000_000)


def test_a_wave_runs_from_its_first_send(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rows = [row([(1.5, 1)], due_s=0.0, sent_s=0.2, slot=1), row([(1.0, 1)], due_s=0.0, sent_s=0.1)]
    window = measured_window(spec_of(Wave(2)), recording_of(rows).records)
    assert (window.rule, window.start_ns, window.end_ns) == ("whole_run", 100_000_000, 1_500_000_000)


@pytest.mark.parametrize("outcome", [Outcome.HTTP_ERROR, Outcome.DROPPED])
def test_where_nothing_arrived_there_is_no_window(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf, outcome: Outcome
) -> None:
    sent_s = None if outcome is Outcome.DROPPED else 0.0
    rows = [row([], sent_s=sent_s, end_s=None if sent_s is None else 0.1, slot=-1, outcome=outcome) for _ in range(3)]
    for shape in (ClosedLoop(1), OpenLoop(1.0), Wave(3)):
        window = measured_window(spec_of(shape), recording_of(rows).records)
        assert (window.start_ns, window.end_ns, window.length_s) == (None, None, None)
