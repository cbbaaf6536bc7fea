"""Which readings are one server's account of a run, and which are not."""

from typing import Any

import pytest

from loadgen.analysis.measured import Measured, measured_of
from loadgen.analysis.server.account import server_account
from loadgen.analysis.server.engine_names import LLAMA_CPP, VLLM
from loadgen.analysis.server.readings import Reading, readings_document
from loadgen.load.shapes import ClosedLoop
from tests.analysis.conftest import make_lockstep, make_recording, make_spec

S = 10**9
TOKENS, FINISHED = VLLM.output_tokens, str(VLLM.finished)


@pytest.fixture
def run() -> Measured:
    """Four callers, ten waves of a second with two tokens each: 40 requests and 80 tokens, ended at 10 s."""
    return measured_of(make_spec(ClosedLoop(4), requests=40), make_recording(make_lockstep(4, 10)).records)


def at(second: float, tokens: float, finished: float, **more: Any) -> Reading:
    values = {TOKENS: tokens, FINISHED: finished}
    return Reading(
        round(second * S), values, counters={f'{name}{{engine="0"}}': n for name, n in values.items()}, **more
    )


def began(second: float, tokens: float, finished: float, start_s: float) -> Reading:
    return at(second, tokens, finished, identity={"process_start_time_seconds": start_s})


ONE = [at(-1, 100, 50), at(5, 140, 70), at(11, 180, 90)]


@pytest.mark.parametrize(
    "readings",
    [
        ONE,
        [at(-1, 100, 50), at(11, 180, 90)],
        [at(-1, 0, 0), at(-0.5, 0, 0, is_check=True), at(11, 80, 40), at(11.1, 80, 40, is_check=True)],
        [at(-1, 0, 0), at(11, 80, 39)],  # one is counted late
        [at(-1, 0, 0), at(11, 800, 400)],  # others used it: another check's affair
        [began(-1, 0, 0, 5.0), began(11, 80, 40, 5.4)],
        [at(-1, 0.3, 50), at(5, 0.3 - 1e-17, 50), at(11, 80.3, 90)],
    ],
    ids=["whole", "two readings", "with checks", "one late", "others too", "a start that is worked out", "rounding"],
)
def test_readings_of_one_process_are_an_account(run: Measured, readings: list[Reading]) -> None:
    document: Any = readings_document(readings, run)
    assert document is not None
    assert document["unknown_because"] is None
    assert server_account(readings, run) is not None


@pytest.mark.parametrize(
    ("readings", "why"),
    [
        ([at(-1, 50000, 5000), at(5, 1040, 120), at(11, 50040, 5020)], "falls between readings"),
        ([at(-1, 1000, 100), at(5, 50040, 5010), at(10, 1040, 120), at(11, 50040, 5020)], "falls between readings"),
        ([at(-1, 1000, 100), at(5, 20, 10), at(11, 60, 30)], "falls between readings"),
        ([at(-1, 1000, 50), at(11, 50000, 20)], "falls between readings"),
        ([at(-1, 1000, 100), at(-0.9, 50, 5, is_check=True), at(11, 1080, 140)], "falls between readings"),
        ([at(-1, 0, 0), at(11, 80, 40), at(11.1, 5, 4, is_check=True)], "falls between readings"),
        ([began(-1, 0, 0, 5.0), began(11, 80, 40, 9.0)], "started at different times"),
        ([began(-1, 0, 0, 5.0), at(5, 20, 20), began(11, 80, 40, 9.0)], "started at different times"),
        ([at(-1, 0, 0), at(11, 40, 20)], "finished 20 requests by its counter, and 40 were answered"),
        ([at(-1, 0, 0), at(8, 60, 30)], "could not be read after the last response"),
    ],
)  # fmt: skip
def test_readings_that_contradict_one_process_are_none(run: Measured, readings: list[Reading], why: str) -> None:
    document: Any = readings_document(readings, run)
    assert document is not None
    assert why in document["unknown_because"]
    assert server_account(readings, run) is None


@pytest.mark.parametrize(
    ("readings", "has_page", "is_told"),
    [
        ([], True, True),
        ([], False, False),
        ([at(5, 20, 10), at(11, 80, 40)], True, True),
        ([at(-1, 0, 0)], True, True),
        ([Reading(-S, {}), Reading(11 * S, {})], True, False),  # a page of something else
        ([Reading(-S, {"other:requests": 1.0}), Reading(11 * S, {"other:requests": 9.0})], True, False),
    ],
    ids=["never read", "no page", "not before", "not after", "another page", "another engine"],
)
def test_a_page_that_was_there_and_could_not_be_read_is_told(
    run: Measured, readings: list[Reading], has_page: bool, is_told: bool
) -> None:
    document: Any = readings_document(readings, run, has_page)
    assert (document is not None and "could not be read" in document["unknown_because"]) is is_told
    assert server_account(readings, run) is None


def test_one_engine_of_several_that_falls_is_seen_under_a_sum_that_rises(run: Measured) -> None:
    readings = [
        Reading(-S, {TOKENS: 110.0}, counters={f'{TOKENS}{{e="0"}}': 100.0, f'{TOKENS}{{e="1"}}': 10.0}),
        Reading(11 * S, {TOKENS: 190.0}, counters={f'{TOKENS}{{e="0"}}': 180.0, f'{TOKENS}{{e="1"}}': 9.0}),
    ]
    assert server_account(readings, run) is None


def test_where_requests_are_not_counted_tokens_are(run: Measured) -> None:
    half = [Reading(at_ns, {LLAMA_CPP.output_tokens: tokens}) for at_ns, tokens in ((-S, 0.0), (11 * S, 40.0))]
    document: Any = readings_document(half, run)
    assert document is not None
    assert document["unknown_because"] is not None
    assert "made 40 output tokens by its counter, and 80 came" in document["unknown_because"]


def test_a_figure_that_cannot_be_used_is_unknown_and_named_and_the_others_are_not(run: Measured) -> None:
    kv, preemptions = VLLM.kv_cache_usage, VLLM.preemptions
    assert preemptions is not None
    readings = [
        at(-1, 0, 0, unusable=frozenset({preemptions})),
        Reading(3 * S, {TOKENS: 20.0, kv: 0.5}, malformed_lines=2),
        Reading(5 * S, {TOKENS: 30.0}, unusable=frozenset({kv, "vllm:of_no_use"})),
        at(11, 80, 40),
    ]
    account = server_account(readings, run)
    assert account is not None
    assert (account["output_tokens"], account["preemptions"], account["kv_cache_usage_ratio"]) == (80, None, None)
    assert readings_document(readings, run) == {
        "readings": 4,
        "malformed_lines": 2,
        "unusable": sorted([kv, preemptions]),
        "unknown_because": None,
    }


def test_a_share_over_one_and_a_hit_ratio_over_one_are_none(run: Measured) -> None:
    kv, hits, queries = VLLM.kv_cache_usage, VLLM.prefix_hits, VLLM.prefix_queries
    assert hits is not None
    assert queries is not None
    end = at(11, 80, 40)
    readings = [
        at(-1, 0, 0),
        Reading(5 * S, {TOKENS: 30.0, kv: 65.0}),
        Reading(end.at_ns, {**end.values, hits: 9.0, queries: 8.0}, counters=end.counters),
    ]
    account = server_account(readings, run)
    assert account is not None
    assert (account["kv_cache_usage_ratio"], account["prefix_cache_hit_ratio"]) == (None, None)


def test_a_counter_of_which_a_part_is_gone_at_the_end_is_unknown(run: Measured) -> None:
    begin, end = at(-1, 0, 0), at(11, 80, 40)
    gone = Reading(
        begin.at_ns, {**begin.values, "vllm:num_preemptions_total": 3.0}, counters={"vllm:num_preemptions_total": 3.0}
    )
    account = server_account([gone, Reading(end.at_ns, {**end.values, "vllm:num_preemptions_total": 5.0})], run)
    assert account is not None
    assert account["preemptions"] is None


def test_a_histogram_without_its_sum_keeps_its_buckets(run: Measured) -> None:
    name = VLLM.times["ttft_s"]
    end = at(11, 80, 40)
    buckets = {f'{name}_bucket{{le="0.5"}}': 30.0, f'{name}_bucket{{le="+Inf"}}': 40.0}
    account = server_account([at(-1, 0, 0), Reading(end.at_ns, {**end.values, **buckets})], run)
    assert account is not None
    assert (account["first_tokens"], account["ttft_mean_s"]) == (40, None)
