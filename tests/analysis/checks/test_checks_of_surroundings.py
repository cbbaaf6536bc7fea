"""Each check on the surroundings, at both sides of its limits."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from loadgen.analysis.checks.validity import judge, thresholds_of
from loadgen.load.shapes import ClosedLoop
from loadgen.load.spec import RunSpec
from loadgen.load.workload import SharedPrefix, Workload
from tests.analysis.conftest import ACCOUNT, make_spec

SPEC: RunSpec = make_spec(ClosedLoop(8), requests=2048)


def found(healthy: Any, code: str, account: dict[str, Any] | None = None, **client: Any) -> Any:
    """(severity, message) of that code in the verdict on the healthy run with these changes; None without it."""
    summary = copy.deepcopy(healthy)
    summary["server_account"] = None if account is None else ACCOUNT | account
    summary["client"] |= client
    findings = [finding for finding in judge(SPEC, summary)["findings"] if finding["code"] == code]
    return (findings[0]["severity"], findings[0]["message"]) if findings else None


def severity(*arguments: Any, **client: Any) -> str | None:
    seen = found(*arguments, **client)
    return None if seen is None else seen[0]


@pytest.mark.parametrize(
    ("finished", "expected"), [(999, None), (1000, None), (1010, None), (1011, "doubtful"), (1101, "invalid")]
)
def test_other_requests(healthy: Any, finished: int, expected: str | None) -> None:
    assert severity(healthy, "other_requests", {"requests_finished": finished}) == expected


def test_a_server_without_counters_is_not_suspected(healthy: Any) -> None:
    unknown = dict.fromkeys(ACCOUNT)
    for code in ("other_requests", "prefix_cache_hits", "server_ttft_apart"):
        assert severity(healthy, code, unknown) is None
        assert severity(healthy, code, None) is None


def test_prefix_cache_hits(healthy: Any) -> None:
    thresholds = thresholds_of("prefix_cache_hits")
    assert thresholds.doubtful is not None
    assert thresholds.invalid is not None
    for ratio, expected in (
        (thresholds.doubtful, None),
        (thresholds.doubtful + 0.001, "doubtful"),
        (thresholds.invalid + 0.001, "invalid"),
    ):
        assert severity(healthy, "prefix_cache_hits", {"prefix_cache_hit_ratio": ratio}) == expected


def test_a_prefix_that_the_workload_shares_may_be_cached(healthy: Any) -> None:
    shared = replace(SPEC, input_tokens=100, workload=Workload(prefix=SharedPrefix(50)))
    for ratio, expected in ((0.5, []), (0.6, ["prefix_cache_hits"])):
        summary = copy.deepcopy(healthy)
        summary["server_account"] = ACCOUNT | {"prefix_cache_hit_ratio": ratio}
        codes = [finding["code"] for finding in judge(shared, summary)["findings"]]
        assert [code for code in codes if code == "prefix_cache_hits"] == expected


@pytest.mark.parametrize(
    ("finished", "hit_ratio", "expected"),
    [
        (3000, 2 / 3, set()),
        (3100, 2 / 3, {"other_requests"}),
        (3000, 0.7, {"prefix_cache_hits"}),
    ],
)
def test_each_choice_is_one_of_the_servers_requests(
    healthy: Any, finished: int, hit_ratio: float, expected: set[str]
) -> None:
    """And two of three may find the prompt of the first in its cache."""
    account = ACCOUNT | {"requests_finished": finished, "requests_sent": 1000, "prefix_cache_hit_ratio": hit_ratio}
    spec = replace(SPEC, workload=Workload(choices=3))
    codes = {
        finding["code"] for finding in judge(spec, copy.deepcopy(healthy) | {"server_account": account})["findings"]
    }
    assert codes & {"other_requests", "prefix_cache_hits"} == expected


@pytest.mark.parametrize(
    ("theirs_s", "ours_s", "expected"),
    [(0.071, 0.1, None), (0.069, 0.1, "note"), (0.001, 0.0059, None), (0.2, 0.1, None), (0.0, 0.0, None)],
)
def test_a_ttft_that_the_server_does_not_know_of(
    healthy: Any, theirs_s: float, ours_s: float, expected: str | None
) -> None:
    account = {"ttft_mean_s": theirs_s, "client_ttft_mean_s": ours_s}
    assert severity(healthy, "server_ttft_apart", account) == expected


def test_the_servers_mean_over_other_requests_is_not_compared(healthy: Any) -> None:
    assert severity(healthy, "server_ttft_apart", {"ttft_mean_s": 0.01, "first_tokens": 999}) is None


@pytest.mark.parametrize(
    ("ratio", "priority", "expected"),
    [(0.95, "normal", "doubtful"), (0.45, "normal", None), (0.95, "realtime", None), (None, "normal", None)],
)
def test_a_busy_host_matters_to_a_client_that_waits_for_its_turn(
    healthy: Any, ratio: float | None, priority: str, expected: str | None
) -> None:
    assert severity(healthy, "host_busy", None, host_busy_ratio=ratio, priority=priority) == expected


@pytest.mark.parametrize(("streams", "expected"), [(8, "doubtful"), (9, None)])
def test_what_the_doctor_found_is_held_against_runs_of_as_many_streams(
    healthy: Any, streams: int, expected: str | None
) -> None:
    levels = [{"streams": 1, "broken": []}, {"streams": streams, "broken": ["TTFT error p99 9 ms, promised 0.2 ms"]}]
    seen = found(healthy, "client_error_known", None, doctor={"levels": levels})
    assert (seen and seen[0]) == expected
    assert severity(healthy, "client_error_known", None, doctor=None) is None


@pytest.mark.parametrize("priority", ["normal", "raised", "realtime"])
@pytest.mark.parametrize(
    ("ratio", "others_ratio", "on_host", "expected"),
    [
        (0.97, 0.6, True, "doubtful"),
        (0.51, 0.11, True, "doubtful"),
        (0.97, 0.09, True, None),  # the server's own work
        (0.49, 0.3, True, None),
        (0.97, None, False, None),
    ],
)
def test_a_server_on_a_busy_host_is_not_protected_by_the_clients_priority(
    healthy: Any,
    priority: str,
    ratio: float,
    others_ratio: float | None,
    on_host: bool,
    expected: str | None,
) -> None:
    client = {"host_busy_ratio": ratio, "others_busy_ratio": others_ratio, "server_on_host": on_host}
    if priority == "normal" and ratio > 0.5:
        expected = "doubtful"
    assert severity(healthy, "host_busy", None, priority=priority, **client) == expected
