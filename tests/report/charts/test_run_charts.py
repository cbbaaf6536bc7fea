"""A run's charts: every value in a bar, the extremes among the drawn, whole callers on their lines."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.analysis.document.run import WindowDocument
from loadgen.analysis.measured import measured_of
from loadgen.analysis.outline.distribution import TAIL_VALUES, distribution_outline
from loadgen.analysis.outline.requests import REQUESTS, requests_outline
from loadgen.analysis.stats import Distribution, FloatArray, distribution
from loadgen.engine.records.record import MISSING, Outcome, Records
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.report.charts.chart import Chart
from loadgen.report.charts.histograms import distribution_chart
from loadgen.report.charts.plots import run_page_charts
from loadgen.report.charts.timeline import timeline_chart, timeline_rows
from loadgen.report.run_selection import OneRun
from tests.report.documents import Document, measured_run, outlined, recording, specs


def chart_of(key: str, title: str, values: FloatArray, figures: Distribution) -> Chart:
    return distribution_chart(key, title, distribution_outline(lambda: [values], figures), figures)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=300))
def test_every_value_is_in_exactly_one_bar(values: list[float]) -> None:
    chart = chart_of("ttft_s", "TTFT", np.array(values), distribution(np.array(values)))
    assert chart.spec is not None
    assert sum(bar["values"] for bar in chart.spec["data"]["values"]) == len(values)


def test_an_imported_run_has_a_sentence_in_place_of_its_charts() -> None:
    document, _ = measured_run(specs([ClosedLoop(2)], (32,), 4, requests_per_slot=2)[0], "s1")
    charts, timeline, over_time = run_page_charts(OneRun(document))
    assert (charts, timeline.spec, over_time) == ((), None, None)
    assert "an imported result has no requests" in timeline.caption


def test_without_a_value_there_is_nothing_to_draw_and_a_reason() -> None:
    chart = chart_of("tpot_s", "TPOT", np.empty(0), distribution(np.empty(0)))
    assert chart.spec is None
    assert chart.caption


def test_the_tail_is_thinned_and_its_longest_value_stays() -> None:
    values = np.concatenate([np.full(100_000, 0.01), np.linspace(0.5, 0.9, 900), [7.0]])
    chart = chart_of("token_gap_s", "Token gap", values, {**distribution(values), "p99": 0.01})
    assert chart.spec is not None
    tail = [row["value_s"] for row in chart.spec["layer"][-1]["data"]["values"]]
    assert len(tail) == TAIL_VALUES
    assert max(tail) == 7.0
    assert f"{len(tail)} of 901" in chart.caption


def test_values_of_zero_on_a_logarithmic_axis_are_counted_and_said() -> None:
    values = np.concatenate([np.zeros(5), np.geomspace(0.001, 10, 100)])
    chart = chart_of("token_gap_s", "Token gap", values, distribution(values))
    assert chart.spec is not None
    assert chart.spec["layer"][0]["encoding"]["x"]["scale"]["type"] == "log"
    assert "5 under 1.00 ms are in the first bar" in chart.caption
    assert sum(bar["values"] for bar in chart.spec["data"]["values"]) == 105


def test_the_distributions_are_those_of_the_documents_own_figures() -> None:
    (spec,) = specs([ClosedLoop(4)], (32,), 8)
    document, records = measured_run(spec, "s1")
    charts, timeline, over_time = run_page_charts(OneRun(document, outlined(document, records)))
    assert over_time is not None
    assert over_time.spec is not None
    assert len(over_time.spec["vconcat"]) == 2  # nothing was read of its server
    assert [chart.key for chart in charts] == ["ttft_s", "token_gap_s", "tpot_s", "e2e_latency_s"]
    for chart in charts:
        assert chart.spec is not None
        assert sum(bar["values"] for bar in chart.spec["data"]["values"]) == document[chart.key]["n"]
    document["tokens_per_chunk"] |= {"max": 3}
    assert [chart.key for chart in run_page_charts(OneRun(document, outlined(document, records)))[0]][1:3] == [
        "chunk_gap_s",
        "token_gap_s",
    ]
    document["token_gap_s"] |= {"p50": None}
    assert [chart.key for chart in run_page_charts(OneRun(document, outlined(document, records)))[0]][1:3] == [
        "chunk_gap_s",
        "tpot_s",
    ]
    assert "one line for each caller" in timeline.caption


def requests_of(spec: RunSpec, records: Records) -> Document:
    return requests_outline(measured_of(spec, records))


def test_an_answered_request_waits_then_is_answered_and_a_failure_has_one_bar() -> None:
    (spec,) = specs([ClosedLoop(2)], (32,), 8)
    records = recording(spec, failures=0.3).records
    bars = timeline_rows(requests_of(spec, records), by_slot=True)
    for request in range(len(records)):
        phases = [bar["phase"] for bar in bars if bar["request"] == request]
        ok = records.outcome[request] == Outcome.OK
        assert phases == (["to first token", "first to last token"] if ok else ["http error"])
    assert {bar["lane"] for bar in bars} == {0, 1}


def test_what_held_a_request_back_and_what_the_server_told_are_bars_of_their_own() -> None:
    (spec,) = specs([OpenLoop(20.0)], (32,), 8)
    requests = requests_of(spec, recording(spec).records)
    begin_ns, first_ns = requests["start_ns"][1], requests["first_content_ns"][1]
    requests["sent_ns"][1] = begin_ns + 3_000_000
    requests["server_queue_s"][1] = 0.002
    requests["server_queue_s"][2] = 1e6  # longer than it took: the server's clock is its own
    bars = timeline_rows(requests, by_slot=False)
    told = [(bar["phase"], round(bar["to_s"] - bar["from_s"], 6)) for bar in bars if bar["request"] == 1]
    assert told[:3] == [
        ("held back", 0.003),
        ("in the server's queue", 0.002),
        ("prefill", round(first_ns / 1e9 - begin_ns / 1e9 - 0.005, 6)),
    ]
    assert told[3][0] == "first to last token"
    assert all(bar["to_s"] >= bar["from_s"] for bar in bars)
    chart = timeline_chart(requests, None, by_slot=False)
    assert "how long each lay in its queue" in chart.caption


def test_the_wait_for_a_limit_is_drawn_before_the_sending_in_a_closed_loop() -> None:
    (spec,) = specs([ClosedLoop(2)], (32,), 8)
    requests = requests_of(spec, recording(spec).records)
    requests["limit_wait_ns"][4] = 500_000_000
    held = [bar for bar in timeline_rows(requests, by_slot=True) if bar["phase"] == "held back"]
    assert [(bar["request"], round(bar["to_s"] - bar["from_s"], 6)) for bar in held] == [(requests["index"][4], 0.5)]


@pytest.mark.parametrize("by_slot", [True, False])
def test_bars_on_one_line_never_overlap(by_slot: bool) -> None:
    shape = ClosedLoop(4) if by_slot else OpenLoop(30.0)
    (spec,) = specs([shape], (32,), 8)
    records = recording(spec).records
    bars = timeline_rows(requests_of(spec, records), by_slot)
    for lane in {bar["lane"] for bar in bars}:
        edges = [edge for bar in bars if bar["lane"] == lane for edge in (bar["from_s"], bar["to_s"])]
        assert edges == sorted(edges)


def test_a_wave_has_a_line_for_each_request() -> None:
    (spec,) = specs([Wave(6)], (32,), 8)
    records = recording(spec).records
    assert len({bar["lane"] for bar in timeline_rows(requests_of(spec, records), by_slot=False)}) == 6


def many(shape: ClosedLoop | OpenLoop, requests: int) -> tuple[RunSpec, Records]:
    (spec,) = specs([shape], (32,), 2)
    spec = replace(spec, requests=requests)
    return spec, recording(spec, failures=0.01).records


def test_of_a_long_open_loop_all_failures_and_the_slowest_are_drawn() -> None:
    spec, records = many(OpenLoop(400.0), 3 * REQUESTS)
    chart = timeline_chart(requests_of(spec, records), None, by_slot=False)
    assert chart.spec is not None
    drawn = {bar["request"] for bar in chart.spec["data"]["values"]}
    assert len(drawn) <= REQUESTS
    assert set(records.index[records.outcome != Outcome.OK].tolist()) <= drawn
    assert int(records.index[np.argmax(records.end_ns - records.start_ns)]) in drawn
    assert f"{3 * REQUESTS - len(drawn):,} more are not drawn" in chart.caption


def test_of_a_long_closed_loop_whole_callers_are_drawn() -> None:
    spec, records = many(ClosedLoop(30), 2 * REQUESTS)
    chart = timeline_chart(requests_of(spec, records), None, by_slot=True)
    assert chart.spec is not None
    drawn = {bar["request"] for bar in chart.spec["data"]["values"]}
    assert len(drawn) <= REQUESTS
    slots = {int(records.slot[request]) for request in drawn}
    whole = set(records.index[np.isin(records.slot, list(slots))].tolist())
    assert len(whole - drawn) < max(np.bincount(records.slot))  # at most the last caller's end is cut


def test_requests_that_were_never_sent_are_counted_in_words() -> None:
    (spec,) = specs([ClosedLoop(2)], (32,), 4)
    records = recording(spec).records
    records.start_ns[-3:] = MISSING
    records.outcome[-3:] = Outcome.DROPPED
    window: WindowDocument = {"rule": "steady_state", "start_s": 0.1, "end_s": 0.5, "requests": 4}
    chart = timeline_chart(requests_of(spec, records), window, by_slot=True)
    assert "3 requests were never sent." in chart.caption
    assert "measured window" in chart.caption
