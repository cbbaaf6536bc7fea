"""What a user sees of a provider's limits: kept, met, or in the way."""

import csv
import io

import pytest

from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback

LOAD = ("--concurrency", "2", "--requests", "16", "--input-tokens", "8", "--output-tokens", "4")


def limited(requests_per_minute: int, minute_s: float) -> SimulatorProcess:
    """A quick server with a limit."""
    return SimulatorProcess(
        SimulatorOptions(ttft_s=0.005, gap_s=0.001, requests_per_minute=requests_per_minute, minute_s=minute_s)
    )


def test_waits_that_the_server_asks_for_are_told_and_kept(cli: Cli) -> None:
    with limited(6, minute_s=1.0) as simulator:
        said = cli("run", "--url", simulator.url, "--model", "simulated-moe", *LOAD, "--json")
    document = said.json
    facts = document["rate_limits"]
    assert facts["refused_requests"] == document["outcomes"]["http_error"] > 0
    assert facts["held_requests"] > 0
    assert document["limit_wait_s"]["max"] > 0.5
    assert document["client"]["send_delay_s"]["max"] < document["limit_wait_s"]["max"]
    codes = {finding["code"] for finding in document["verdict"]["findings"]}
    assert {"errors", "held_by_limit"} <= codes
    rows = list(csv.DictReader(io.StringIO(cli("export", "latest", "--format", "csv", "--requests").out)))
    assert sum(int(row["limit_wait_ns"]) > 0 for row in rows) == facts["held_requests"]
    shown = cli("show", document["run_id"]).out
    assert f"{facts['refused_requests']} answered 429" in shown
    assert "Limit wait" in shown


def test_a_limit_that_is_in_nobodys_way_holds_nothing_back(cli: Cli, point: tuple[str, ...]) -> None:
    said = cli("run", *point, "--requests-per-minute", "1000", "--tokens-per-minute", "100000", "--json")
    assert said.measured
    assert (said.json["spec"]["requests_per_minute"], said.json["spec"]["tokens_per_minute"]) == (1000, 100000)
    assert said.json["rate_limits"]["held_requests"] == said.json["limit_wait_s"]["max"] == 0
    assert "held_by_limit" not in {finding["code"] for finding in said.json["verdict"]["findings"]}


def test_the_warm_up_counts_and_the_end_of_the_time_drops_what_waits(cli: Cli, simulator: SimulatorProcess) -> None:
    server = ("--url", simulator.url, "--model", "simulated-moe", "--input-tokens", "8", "--output-tokens", "4")
    load = ("--rate", "20", "--arrivals", "constant", "--duration-s", "0.6", "--warmup-requests", "2")
    said = cli("run", *server, *load, "--requests-per-minute", "6", "--json")
    outcomes = said.json["outcomes"]
    assert said.code == 3
    assert outcomes["ok"] == 6 - 2 - 1, "the server was asked once what it can tell, and twice to warm up"
    assert outcomes["dropped"] == outcomes["planned"] - 3
    (finding,) = [each for each in said.json["verdict"]["findings"] if each["code"] == "dropped"]
    assert "a limit held them back until the time was up" in finding["message"]


def test_a_day_is_not_waited_for_and_what_was_measured_is_kept(cli: Cli) -> None:
    with limited(7, minute_s=86_400.0) as simulator:
        said = cli("run", "--url", simulator.url, "--model", "simulated-moe", *LOAD)
    assert said.code == 5
    assert "run 1 of 1 was cut short: the server answered 429 and asks, by Retry-After, for no further" in said.err
    assert "The run was stopped when 4 of 16 requests had ended ok" in " ".join(said.out.split())
    assert "The user" not in said.out
    assert "Traceback" not in said.err


def test_a_server_that_refuses_the_warm_up_for_a_day_is_named(cli: Cli) -> None:
    with limited(2, minute_s=86_400.0) as simulator:
        said = cli("run", "--url", simulator.url, "--model", "simulated-moe", *LOAD)
    assert said.code == 5
    assert "stopped while warming up: the server answered 429" in said.err


def test_a_limit_and_several_workers_are_a_matter_of_usage(cli: Cli, point: tuple[str, ...]) -> None:
    said = cli("run", *point, "--requests-per-minute", "60", "--workers", "2")
    assert said.code == 2
    assert "--requests-per-minute can be kept by one measuring process alone" in said.err


def test_a_plan_counts_the_wait_for_a_limit(cli: Cli) -> None:
    server = ("--url", "http://127.0.0.1:9", "--model", "m", "--warmup-requests", "0", "--plan")
    grid = ("--concurrency", "2", "--requests", "90", "--input-tokens", "8", "--output-tokens", "4", "--repeats", "2")
    planned = cli("sweep", *server, *grid, "--requests-per-minute", "60", "--json").json
    assert [run["limit_wait_s"] for run in planned["runs"]] == [60, 60]  # 180 requests go out in three bursts
    assert planned["estimated_s"] is None
    shown = " ".join(cli("sweep", *server, *grid, "--requests-per-minute", "60").out.split())
    assert "over 2 min, since limits per minute hold requests back; how much longer" in shown
