"""What is said in a line of the way, the round trip and the cost of a run."""

from typing import Any

import pytest

from loadgen.report.format import dollars
from loadgen.report.words.remote import cost_line, is_far, paid_usd, round_trip_line, round_trip_note, route_line

FAR: Any = {
    "client": {"network_rtt_s": {"n": 2, "p50": 0.0231, "min": 0.0229}, "proxy": False, "tls": "verified"},
    "ttft_from_send_s": {"p50": 0.25},
}
OLD: Any = {"client": {}}
COST: Any = {
    "usd": 0.0123,
    "warmup_usd": 0.001,
    "usd_per_million_output_tokens": 4.5,
    "input_tokens": 1000,
    "output_tokens": 2000,
    "uncounted_requests": 0,
}


@pytest.mark.parametrize(
    ("usd", "text"),
    [(None, "–"), (0.0, "$0"), (0.0123, "$0.0123"), (4.5, "$4.50"), (123.456, "$123.46"), (12345.6, "$12,346")],
)
def test_dollars(usd: float | None, text: str) -> None:
    assert dollars(usd) == text


def test_a_round_trip_beside_its_ttft() -> None:
    assert is_far(FAR)
    assert round_trip_note(FAR) == "network 23.1 ms"
    assert round_trip_line(FAR) == ("p50 23.1 ms, min 22.9 ms to the server's address (2 connections); TTFT p50 250 ms")
    proxied = FAR | {"client": FAR["client"] | {"proxy": True}}
    assert "to the proxy" in round_trip_line(proxied)


def test_a_run_of_an_earlier_version_says_nothing() -> None:
    assert (round_trip_line(OLD), route_line(OLD), cost_line(OLD), round_trip_note(OLD), paid_usd([OLD])) == (
        "–",
        "",
        "",
        "",
        None,
    )


def test_the_way() -> None:
    assert route_line(FAR) == "TLS"
    assert route_line(OLD | {"client": {"proxy": True, "tls": "unverified"}}).endswith(
        "CERTIFICATE NOT VERIFIED (--insecure)"
    )
    assert route_line(OLD | {"client": {"proxy": False, "tls": None}}) == ""


def test_the_cost() -> None:
    run = OLD | {"cost": COST}
    assert cost_line(run) == "$0.0123, warm-up $0.00100; $4.50 per million output tokens (1,000 in, 2,000 out)"
    assert paid_usd([run, run]) == pytest.approx(0.0266)
    assert paid_usd([run, run | {"cost": COST | {"usd": None}}]) is None
    unfinished = run | {"cost": COST | {"uncounted_requests": 2, "input_tokens": None}}
    assert cost_line(unfinished).endswith("output tokens; 2 unfinished requests not counted")
