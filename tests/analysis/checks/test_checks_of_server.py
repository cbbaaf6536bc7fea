"""Each check of our figures against the server's, at both sides of its limits."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from loadgen.analysis.checks.validity import judge, thresholds_of
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Workload
from tests.analysis.conftest import ACCOUNT, make_spec

SPEC: RunSpec = make_spec(ClosedLoop(8), requests=2048)


def times(
    ttft_ms: tuple[float, float | None] = (400, 600), gap_ms: tuple[float, float | None] = (400, 600)
) -> dict[str, Any]:
    """What the server's histograms say of the healthy run: one bucket for each percentile."""
    bounds = {"ttft_s": ttft_ms, "step_gap_s": gap_ms}
    return {
        key: {"n": 2048, **{f"p{p}": [low / 1e3, None if high is None else high / 1e3] for p in (50, 90, 95, 99)}}
        for key, (low, high) in bounds.items()
    }


def ours(ttft_ms: float = 500, gap_ms: float = 500, n: int = 2048) -> dict[str, Any]:
    return {
        key: {"n": n, **{f"p{p}": value / 1e3 for p in (50, 90, 95, 99)}}
        for key, value in (("ttft_s", ttft_ms), ("step_gap_s", gap_ms))
    }


def found(healthy: Any, code: str, spec: RunSpec = SPEC, gpu: Any = None, **account: Any) -> Any:
    """The finding of that code on the healthy run, when its server says this; None without it."""
    summary = copy.deepcopy(healthy)
    sent = summary["outcomes"]["planned"]
    known = {"requests_finished": sent, "requests_sent": sent, "first_tokens": sent, "client_first_tokens": sent}
    summary["server_account"] = ACCOUNT | known | account
    summary["gpu"] = gpu
    findings = [finding for finding in judge(spec, summary)["findings"] if finding["code"] == code]
    return findings[0] if findings else None


def severity(*arguments: Any, **account: Any) -> str | None:
    seen = found(*arguments, **account)
    return None if seen is None else seen["severity"]


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [(10_000, None), (10_100, None), (9_899, "doubtful"), (10_101, "doubtful"), (11_001, "invalid"), (0, "invalid")],
)
def test_output_tokens_that_two_sides_count_apart(healthy: Any, theirs: int, expected: str | None) -> None:
    assert severity(healthy, "output_tokens_apart", output_tokens=theirs, client_output_tokens=10_000) == expected


def test_output_tokens_are_not_compared_where_others_or_failures_have_a_share(healthy: Any) -> None:
    counted = {"output_tokens": 20_000, "client_output_tokens": 10_000}
    assert severity(healthy, "output_tokens_apart", **counted, requests_finished=2049) is None
    failed = copy.deepcopy(healthy)
    failed["outcomes"] |= {"ok": 2047, "timeout": 1}
    assert severity(failed, "output_tokens_apart", **counted, requests_finished=2047) is None


def test_three_choices_are_three_of_the_servers_requests(healthy: Any) -> None:
    spec = replace(SPEC, workload=Workload(choices=3))
    counted = {"output_tokens": 20_000, "client_output_tokens": 10_000}
    assert severity(healthy, "output_tokens_apart", spec, **counted, requests_finished=3 * 2048) == "invalid"
    assert severity(healthy, "output_tokens_apart", spec, **counted, requests_finished=2048) is None


@pytest.mark.parametrize(
    ("ttft_ms", "expected"), [(500, None), (399.1, None), (398.9, "doubtful"), (601, None), (779, None), (781, "note")]
)
def test_a_ttft_below_the_servers_bucket_is_impossible_and_above_it_worth_a_note(
    healthy: Any, ttft_ms: float, expected: str | None
) -> None:
    seen = found(healthy, "outside_server_buckets", times=times(), client_times=ours(ttft_ms=ttft_ms))
    assert (None if seen is None else seen["severity"]) == expected
    if seen is not None:
        assert f"between 400 and 600 ms, and ours is {ttft_ms:g} ms" in seen["message"]


@pytest.mark.parametrize(("gap_ms", "expected"), [(500, None), (290, None), (270, "note"), (779, None), (790, "note")])
def test_a_gap_outside_the_servers_bucket_is_worth_a_note(healthy: Any, gap_ms: float, expected: str | None) -> None:
    account = {"times": times(), "client_times": ours(gap_ms=gap_ms)}
    assert severity(healthy, "outside_server_buckets", **account) == expected


def test_nothing_lies_beyond_a_bucket_without_an_end_or_within_what_a_front_end_takes(healthy: Any) -> None:
    for told, client in (
        (times(ttft_ms=(400, None)), ours(ttft_ms=9000)),
        (times(gap_ms=(0, 2)), ours(gap_ms=6.9)),  # 4.9 ms beyond
    ):
        assert severity(healthy, "outside_server_buckets", times=told, client_times=client) is None


def test_percentiles_of_other_requests_or_of_merged_chunks_are_not_compared(healthy: Any) -> None:
    apart = {"times": times(), "client_times": ours(ttft_ms=100)}
    assert severity(healthy, "outside_server_buckets", **apart, first_tokens=2047) is None
    merged = {"times": times(), "client_times": ours(gap_ms=5000, n=1024)}
    assert severity(healthy, "outside_server_buckets", **merged) is None


@pytest.mark.parametrize(
    ("ours_s", "expected"), [(100, None), (109.9, None), (111, "note"), (89, "note"), (0.0, "note")]
)
def test_gaps_whose_sum_is_not_the_servers(healthy: Any, ours_s: float, expected: str | None) -> None:
    limit = thresholds_of("server_gaps_apart").doubtful
    assert limit == 0.1
    account = {"step_gap_total_s": 100.0, "client_chunk_gap_total_s": ours_s}
    assert severity(healthy, "server_gaps_apart", **account) == expected


@pytest.mark.parametrize(("preemptions", "expected"), [(None, None), (0, None), (1, "note"), (9000, "note")])
def test_preemptions_are_told(healthy: Any, preemptions: int | None, expected: str | None) -> None:
    assert severity(healthy, "preempted", preemptions=preemptions) == expected


@pytest.mark.parametrize(
    ("waiting", "shape", "expected"),
    [
        (0.0, ClosedLoop(8), None),
        (0.4, ClosedLoop(8), None),
        (1.0, ClosedLoop(8), "note"),
        (1.0, Wave(8), "note"),
        (9.0, OpenLoop(8.0), None),
    ],
)
def test_a_queue_in_the_server(healthy: Any, waiting: float, shape: Any, expected: str | None) -> None:
    for n, told in ((3, expected), (2, None)):
        account = {
            "running_requests": {"n": n, "mean": 4.0, "max": 5.0},
            "waiting_requests": {"n": n, "mean": waiting, "max": 9.0},
        }
        assert severity(healthy, "queued_at_server", make_spec(shape), **account) == told


def gpu(**throttled: float) -> dict[str, Any]:
    share = {name.replace("_", " "): ratio for name, ratio in throttled.items()}
    return {"devices": [{"index": 0, "throttled_ratio": {}}, {"index": 3, "throttled_ratio": share}]}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, None),
        (gpu(), None),
        (gpu(hardware_thermal_slowdown=0.01), None),
        (gpu(hardware_thermal_slowdown=0.02), "doubtful"),
        (gpu(power_brake=0.5, power_cap=0.9), "doubtful"),
        (gpu(power_cap=0.9), "note"),
    ],
)
def test_a_gpu_that_was_held_down(healthy: Any, told: Any, expected: str | None) -> None:
    seen = found(healthy, "gpu_throttled", gpu=told)
    assert (None if seen is None else seen["severity"]) == expected
    assert seen is None or "GPU 3 was held down" in seen["message"]


def test_a_server_that_tells_nothing_is_not_suspected(healthy: Any) -> None:
    summary = copy.deepcopy(healthy)
    assert (
        judge(SPEC, summary)["findings"]
        == judge(SPEC, summary | {"server_account": dict.fromkeys(ACCOUNT)})["findings"]
    )
