"""The server watched through a run: its own account in the document, on the page and on the terminal, and in agreement with ours."""

import pytest

from loadgen.servers import telemetry
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.store.repository import Store
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback

DISAGREEMENTS = {"output_tokens_apart", "outside_server_buckets", "server_gaps_apart", "other_requests"}


def test_the_simulators_account_agrees_with_ours_to_the_token(
    cli: Cli, simulator: SimulatorProcess, point: tuple[str, ...]
) -> None:
    document = cli("run", *point, "--requests", "400", "--output-tokens", "12", "--json").json
    account = document["server_account"]
    assert account["engine"] == "vLLM"
    assert account["output_tokens"] == account["client_output_tokens"] == 400 * 12
    assert account["prompt_tokens"] == document["tokens"]["prompt"]
    assert account["times"]["ttft_s"]["n"] == account["client_times"]["ttft_s"]["n"] == 400
    assert account["times"]["step_gap_s"]["n"] == account["client_times"]["step_gap_s"]["n"] == 400 * 11
    assert account["step_gap_total_s"] == pytest.approx(account["client_chunk_gap_total_s"], rel=0.05)
    assert account["times"]["ttft_s"]["p50"] == [0.005, 0.01]
    assert account["times"]["queue_s"]["mean"] == pytest.approx(0.0, abs=1e-6)
    assert not DISAGREEMENTS & {finding["code"] for finding in document["verdict"]["findings"]}
    assert document["prefix_cache_reset"] is None
    assert document["gpu"] is None
    shown = " ".join(cli("show", document["run_id"]).out.split())
    assert "whole run server (vLLM) client" in shown
    assert "output tokens 4,800 4,800" in shown
    assert "TTFT from send p50, ms 5 to 10" in shown


def test_a_steady_state_is_counted_between_readings_and_its_queue_is_told(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight callers, four of whom find a place: half of all requests wait."""
    monkeypatch.setattr(telemetry, "MIN_INTERVAL_S", 0.2)
    monkeypatch.setattr(telemetry, "MAX_SHARE", 1.0)
    options = SimulatorOptions(ttft_s=0.005, gap_s=0.002, max_running=4)
    with SimulatorProcess(options) as server:
        where = ("--url", server.url, "--model", options.model)
        load = ("--concurrency", "8", "--duration-s", "4", "--input-tokens", "8", "--output-tokens", "16")
        document = cli("run", *where, *load, "--json").json
    account = document["server_account"]
    assert account["readings"] >= 6
    assert account["output_tokens_per_s"] == pytest.approx(account["client_output_tokens_per_s"], rel=0.03)
    assert (
        document["window"]["start_s"] < account["rate_start_s"] < account["rate_end_s"] <= document["window"]["end_s"]
    )
    assert account["running_requests"]["max"] == 4.0
    assert "queued_at_server" in {finding["code"] for finding in document["verdict"]["findings"]}
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        samples = store.samples(document["run_id"])
    assert len(samples) == account["readings"]
    assert samples[0].at_ns < 0 < samples[-1].at_ns
    page = cli("report", document["run_id"], "-o", "report.html")
    assert page.code == 0
