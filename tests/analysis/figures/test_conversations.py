"""Figures and checks of runs whose callers hold conversations."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from loadgen.analysis.checks.validity import judge
from loadgen.analysis.window import measured_window
from loadgen.engine.records.record import Outcome, RequestRecord
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Sessions, Workload
from tests.analysis.conftest import ACCOUNT, make_recording, make_row, make_spec
from tests.analysis.summaries import summarise


def talk(callers: int, turns: int, **fields: Any) -> RunSpec:
    return make_spec(ClosedLoop(callers), workload=Workload(sessions=Sessions(turns, 2.0)), **fields)


def one_caller(sessions: int, turns: int, *, late_s: float = 0.0, answer_s: float = 1.0) -> list[RequestRecord]:
    """Conversations on end: each answer takes a second, each thought two, and each later turn goes out `late_s` late."""
    rows, free_s = [], 0.0
    for index in range(sessions * turns):
        due_s = free_s + (2.0 if index % turns else 0.0)
        sent_s = due_s + late_s
        free_s = sent_s + answer_s
        rows.append(make_row([(sent_s + answer_s / 2, 1), (free_s, 1)], sent_s=sent_s, due_s=due_s))
    return rows


def codes(spec: RunSpec, summary: Any) -> dict[str, str]:
    summary = copy.deepcopy(summary)
    summary["client"] |= {"doctor": None, "host_busy_ratio": None}
    summary.setdefault("server_account", None)
    return {
        finding["code"]: f"{finding['severity']}: {finding['message']}" for finding in judge(spec, summary)["findings"]
    }


def test_the_steady_state_opens_when_the_first_conversation_is_over() -> None:
    records = make_recording(one_caller(5, 3)).records
    window = measured_window(talk(1, 3), records)
    assert window.rule == "steady_state"
    assert window.start_ns == 7_000_000_000  # three answers and two thoughts
    assert int(window.requests_of(records).sum()) == 11  # all of the other four, but for the answer to the last


def test_a_caller_that_thinks_to_the_end_has_not_run_dry() -> None:
    brief = one_caller(4, 3)[:-1]  # its last thought goes on
    long = [replace(row, slot=1) for row in one_caller(6, 3)]
    rows = [*brief, make_row(slot=-1, sent_s=None, outcome=Outcome.DROPPED), *long]
    window = measured_window(talk(2, 3), make_recording(rows).records)
    last_sent_ns = max(row.sent_ns or 0 for row in long)
    assert window.end_ns == last_sent_ns


def test_who_thinks_takes_a_callers_place() -> None:
    summary = summarise(talk(1, 3), make_recording(one_caller(12, 3)))
    concurrency = summary["concurrency"]
    assert concurrency["mean"] < 0.6
    assert concurrency["mean"] + concurrency["thinking_mean"] == pytest.approx(1.0)
    assert "concurrency_not_reached" not in codes(talk(1, 3), summary)


def test_what_the_client_is_late_by_is_no_thinking() -> None:
    summary = summarise(talk(1, 3), make_recording(one_caller(12, 3, late_s=1.0)))
    concurrency = summary["concurrency"]
    assert concurrency["mean"] + concurrency["thinking_mean"] == pytest.approx(
        7 / 10, abs=0.02
    )  # answers 3 s, thoughts 4 s, late 3 s
    assert codes(talk(1, 3), summary)["concurrency_not_reached"].startswith("invalid")
    assert "conversations were going on" in codes(talk(1, 3), summary)["concurrency_not_reached"]


def test_turns_that_never_were_are_laid_to_the_failure() -> None:
    rows = one_caller(12, 3)
    rows[4] = replace(rows[4], outcome=Outcome.HTTP_ERROR)
    rows[5] = make_row(slot=-1, sent_s=None, outcome=Outcome.DROPPED)
    found = codes(talk(1, 3), summarise(talk(1, 3), make_recording(rows)))
    assert "an earlier turn of their conversation had failed" in found["dropped"]


def test_each_turn_has_its_own_wait_and_prompt() -> None:
    rows = [replace(row, prompt_tokens=10 + 5 * (i % 3)) for i, row in enumerate(one_caller(5, 3))]
    rows[7] = make_row([(22.5, 1), (23.0, 1)], sent_s=20.0, prompt_tokens=-1)
    figures = summarise(talk(1, 3), make_recording(rows))["by_turn"]
    assert [turn["turn"] for turn in figures] == [1, 2, 3]
    assert [turn["requests"] for turn in figures] == [4, 4, 3]  # the first conversation and the last answer lie outside
    assert [turn["prompt_tokens_mean"] for turn in figures] == [10, None, 20]
    assert [turn["ttft_s"]["max"] for turn in figures] == pytest.approx([0.5, 2.5, 0.5])
    assert [turn["ttft_s"]["p50"] for turn in figures] == pytest.approx([0.5, 0.5, 0.5])


def test_requests_that_stand_by_themselves_have_no_turns() -> None:
    assert summarise(make_spec(ClosedLoop(1)), make_recording(one_caller(5, 1)))["by_turn"] is None


@pytest.mark.parametrize(("hit_ratio", "found"), [(0.62, False), (0.75, True)])
def test_a_history_may_be_cached(healthy: dict[str, Any], hit_ratio: float, found: bool) -> None:
    spec = replace(talk(8, 3), input_tokens=10, output_tokens=6)  # 48 of 78 tokens were there before
    summary = copy.deepcopy(healthy) | {"server_account": ACCOUNT | {"prefix_cache_hit_ratio": hit_ratio}}
    assert ("prefix_cache_hits" in codes(spec, summary)) == found
