"""The outline of a run: each value counted once, extremes kept, the same in pieces as in one, and small."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analysis.measured import measured_of
from loadgen.analysis.outline import distribution as outline_distribution
from loadgen.analysis.outline.distribution import EXACT, distribution_outline, thin
from loadgen.analysis.outline.over_time import STEPS
from loadgen.analysis.outline.requests import REQUESTS
from loadgen.analysis.outline.run_outline import OUTLINED, outline
from loadgen.analysis.stats import distribution
from loadgen.engine.records import record_parts
from loadgen.engine.records.record import Outcome, Records
from loadgen.engine.records.record_parts import joined
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from tests.analysis.conftest import make_lockstep, make_recording, make_row, make_spec
from tests.analysis.summaries import summarise
from tests.memory import peak_bytes

SHAPES = [ClosedLoop(50), OpenLoop(1000.0), Wave(50)]


def lockstep() -> Records:
    return make_recording(make_lockstep(50, 20)).records


def figures_of(spec: RunSpec, records: Records) -> Any:
    return summarise(spec, replace(make_recording(make_lockstep(2, 2)), records=records))


@given(st.lists(st.floats(0, 100), min_size=1, max_size=500), st.integers(2, 50))
def test_thinning_keeps_the_extremes_and_the_limit(values: list[float], limit: int) -> None:
    ordered = np.sort(np.array(values))
    kept = thin(ordered, limit)
    assert len(kept) <= max(limit, 2)
    assert (kept[0], kept[-1]) == (ordered[0], ordered[-1])
    assert set(kept) <= set(ordered)


@given(st.lists(st.lists(st.floats(0, 1e4), max_size=50), min_size=1, max_size=6))
def test_each_value_is_counted_once_and_quantiles_rise_from_the_least_to_the_greatest(parts: list[list[float]]) -> None:
    arrays = [np.array(part) for part in parts]
    whole = np.concatenate(arrays)
    found = distribution_outline(lambda: arrays, None)
    if not len(whole):
        assert found is None
        return
    assert found is not None
    assert (found["n"], sum(found["counts"])) == (len(whole), len(whole))
    shares, values_s = zip(*found["quantiles"], strict=True)
    assert (shares[0], values_s[0], shares[-1], values_s[-1]) == (0.0, whole.min(), 1.0, whole.max())
    assert list(shares) == sorted(shares)
    assert list(values_s) == sorted(values_s)


def test_quantiles_of_many_values_are_within_a_hundredth_of_exact_ones() -> None:
    values = np.random.default_rng(1).lognormal(-3, 1.2, 4 * EXACT)
    found = distribution_outline(lambda: np.array_split(values, 7), None)
    assert found is not None
    for share, value_s in found["quantiles"]:
        if share > 1 - 100 / len(values) and share < 1:
            continue  # where single values lie far apart
        assert value_s == pytest.approx(float(np.quantile(values, share)), rel=0.01)
    assert found["quantiles"][-2][0] > 0.99999


def test_the_tail_is_every_value_over_the_highest_percentile_or_an_even_pick_with_the_longest() -> None:
    values = np.linspace(0.001, 1, 2_000)
    found = distribution_outline(lambda: [values], distribution(values))
    assert found is not None
    assert (found["tail_from"], found["tail_n"]) == ("p99", 20)
    assert found["tail_s"] == values[-20:].tolist()
    many = np.concatenate([values] * 30)
    picked = distribution_outline(lambda: [many], distribution(many))
    assert picked is not None
    assert (picked["tail_n"], len(picked["tail_s"]), max(picked["tail_s"])) == (600, 300, 1.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_in_pieces_it_is_what_it_is_in_one(monkeypatch: pytest.MonkeyPatch, shape: LoadShape) -> None:
    records = joined([lockstep()] * 30)
    records.index[:] = np.arange(len(records))
    records.outcome[::97] = Outcome.HTTP_ERROR
    spec = make_spec(shape)
    figures = figures_of(spec, records)
    whole = outline(measured_of(spec, records), figures)
    monkeypatch.setattr(record_parts, "_ROWS_AT_ONCE", 171)
    assert outline(measured_of(spec, records), figures) == whole
    assert len(json.dumps(whole)) < 200_000
    assert len(whole["requests"]["index"]) <= REQUESTS
    assert whole["requests"]["sent"] == len(records)


def run_of(records: Records, shape: LoadShape) -> Any:
    spec = make_spec(shape)
    return outline(measured_of(spec, records), figures_of(spec, records))


def test_its_course_counts_every_token_end_and_failure() -> None:
    records = joined([lockstep()] * 3)
    records.outcome[5] = Outcome.TIMEOUT
    found = run_of(records, ClosedLoop(50))["over_time"]
    assert len(found["output_tokens"]) <= STEPS
    assert sum(found["output_tokens"]) == records.arrival_tokens.sum()
    assert sum(found["completed"]) == len(records) - 1
    assert sum(found["failed"]) == 1
    assert all(
        low <= mean <= high
        for low, mean, high in zip(found["in_flight_min"], found["in_flight_mean"], found["in_flight_max"], strict=True)
    )
    assert found["in_flight_min"][-1] == 0


def test_no_more_are_in_flight_than_there_are_callers_however_fast_they_follow_each_other() -> None:
    rows = [
        make_row(index=8 * turn + slot, slot=slot, start_s=turn * 0.01, sent_s=turn * 0.01, end_s=turn * 0.01 + 0.0099)
        for turn in range(5_000)
        for slot in range(8)
    ]
    found = run_of(Records.from_rows(rows), ClosedLoop(8))["over_time"]
    assert max(found["in_flight_max"]) == 8


def test_a_run_in_which_nothing_was_sent_has_no_course() -> None:
    rows = [make_row(outcome=Outcome.DROPPED, sent_s=None, end_s=None, start_s=None)]
    found = run_of(Records.from_rows(rows), OpenLoop(1.0))
    assert found["over_time"] is None
    assert found["distributions"] == {}


@pytest.mark.parametrize("shape", SHAPES)
def test_it_takes_the_same_memory_however_long_the_run(monkeypatch: pytest.MonkeyPatch, shape: LoadShape) -> None:
    monkeypatch.setattr(record_parts, "_ROWS_AT_ONCE", 1000)
    monkeypatch.setattr(outline_distribution, "EXACT", 1000)
    spec, once = make_spec(shape), lockstep()

    def bytes_for(times: int) -> int:
        records = joined([once] * times)
        figures = figures_of(spec, records)
        return peak_bytes(lambda: outline(measured_of(spec, records), figures))

    bytes_for(2)
    few, many = 5, 25  # thousands of requests, 157 bytes each; the tail is a hundredth of the values
    assert (bytes_for(many) - bytes_for(few)) / (1000 * (many - few)) < 8


def test_every_metric_it_outlines_is_there() -> None:
    found = run_of(joined([lockstep()] * 3), ClosedLoop(50))
    assert list(found["distributions"]) == list(OUTLINED)
