"""A sweep on the simulated twin of a provider: limits kept and not kept, fields, times, real lengths, and what it cost."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from loadgen.load.rate_limits import UNLIMITED, RateLimits
from loadgen.load.spec import RunSpec
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.store.repository import Store
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback

GRID = ("--endpoint", "chat", "--concurrency", "1,2", "--input-tokens", "20", "--output-tokens", "6", "--requests", "8")
PRICE = ("--price", "usd_per_million_input_tokens=0.25,usd_per_million_output_tokens=0.5")


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatorProcess]:
    monkeypatch.setenv("TWIN_KEY", "csk-s3cret")
    options = SimulatorOptions(
        model="twin",
        provider="cerebras",
        api_key_env="TWIN_KEY",
        ttft_s=0.01,
        gap_s=0.002,
        max_running=1,
        answer_tokens=6,
        requests_per_minute=600,
        tokens_per_minute=16_000,
    )
    with SimulatorProcess(options) as process:
        yield process


def server(twin: SimulatorProcess) -> tuple[str, ...]:
    return ("--url", f"{twin.url}/v1", "--model", "twin", "--api-key-env", "TWIN_KEY")


def test_a_sweep_that_keeps_the_limits(cli: Cli, twin: SimulatorProcess) -> None:
    limits = ("--requests-per-minute", "600", "--tokens-per-minute", "16000")
    said = cli("sweep", *server(twin), *GRID, *PRICE, *limits, "--json")
    document = said.json
    assert document["server"]["dialect"] == "cerebras"
    assert document["simulated"] is True
    for run in document["runs"]:
        assert run["outcomes"]["ok"] == run["outcomes"]["planned"] == 8
        assert run["rate_limits"]["refused_requests"] == 0
        lengths = run["lengths"]
        assert lengths["prompt_tokens"]["requests_off"] == 0, "the template's tokens are known from the enquiry"
        assert lengths["output_tokens"]["can_be_asked"] is False
        assert lengths["output_tokens"]["mean"] < 6 == lengths["output_tokens"]["asked"]
        finding = next(each for each in run["verdict"]["findings"] if each["code"] == "output_length_off")
        assert finding["severity"] == "note"
        assert run["tokens"]["output"] == round(lengths["output_tokens"]["mean"] * 8)
        times = run["provider_time"]
        assert times["prompt_s"]["min"] >= 0.01
        assert times["ttft_less_queue_s"]["min"] >= times["prompt_s"]["min"]
        assert 0 <= times["ttft_less_queue_and_prompt_s"]["p50"] < 0.01
        assert times["e2e_less_total_s"]["n"] == times["total_s"]["n"] > 0
        cost = run["cost"]
        paid = 0.25e-6 * cost["input_tokens"] + 0.5e-6 * cost["output_tokens"]
        assert cost["usd"] == pytest.approx(paid)
        assert cost["usd_per_million_output_tokens"] == pytest.approx(paid / cost["output_tokens"] * 1e6)
        assert cost["warmup_usd"] > 0
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        records = store.records(document["runs"][1]["run_id"])
    timings = [timing for timing in records.server_timing if timing is not None]
    assert len(timings) == 8
    assert {"queue_time", "prompt_time", "completion_time", "total_time", "created"} <= set(timings[0])
    assert any(timing["queue_time"] > 0 for timing in timings), "two callers, one place"
    assert {"stop"} <= set(records.finish_reason)
    shown = cli("show", document["runs"][1]["run_id"]).out
    assert "Queue (provider)" in shown
    assert "per million output tokens" in shown
    table = cli("show", "latest").out
    assert "cost: $0.00" in " ".join(table.split())


@pytest.mark.parametrize("limit", ["requests", "tokens"])
def test_limits_that_are_in_the_way_are_kept_without_a_single_429(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """On both sides a minute has a second here: nobody can wait for whole ones."""

    def short(run: RunSpec) -> RateLimits:
        limits = RateLimits(run.requests_per_minute, run.tokens_per_minute, 1.0)
        return limits if limits != RateLimits(minute_s=1.0) else UNLIMITED

    monkeypatch.setattr(RunSpec, "rate_limits", property(short))
    most = 10 if limit == "requests" else 10 * (20 + 6)
    plain = SimulatorOptions(model="twin", provider="cerebras", ttft_s=0.005, gap_s=0.001, minute_s=1.0)
    changes: dict[str, Any] = {f"{limit}_per_minute": most}
    with SimulatorProcess(replace(plain, **changes)) as twin:
        flag = (f"--{limit}-per-minute", str(most))
        said = cli("sweep", "--url", twin.url, "--model", "twin", *GRID, "--requests", "16", *flag, "--json")
    assert [run["outcomes"]["ok"] for run in said.json["runs"]] == [16, 16]
    assert [run["rate_limits"]["refused_requests"] for run in said.json["runs"]] == [0, 0]
    assert sum(run["rate_limits"]["held_requests"] for run in said.json["runs"]) > 0


def test_one_that_does_not_tells_of_each_refusal(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    options = SimulatorOptions(
        model="twin", provider="cerebras", ttft_s=0.005, gap_s=0.001, requests_per_minute=4, minute_s=1.0
    )
    with SimulatorProcess(options) as twin:
        said = cli(
            "sweep", "--url", twin.url, "--model", "twin", *GRID, "--concurrency", "2", "--requests", "16", "--json"
        )
    (run,) = said.json["runs"]
    assert run["rate_limits"]["refused_requests"] == run["outcomes"]["http_error"] > 0
    assert any("Requests per minute limit exceeded" in failure["detail"] for failure in run["failures"])
    assert said.code == 3


def test_what_it_will_cost_is_said_before(cli: Cli) -> None:
    flags = ("--url", "https://api.cerebras.ai/v1", "--model", "m", *GRID, "--warmup-requests", "2", *PRICE, "--plan")
    planned = cli("sweep", *flags, "--json").json
    each = (8 + 2) * (20 * 0.25e-6 + 6 * 0.5e-6)
    assert [run["estimated_usd"] for run in planned["runs"]] == [pytest.approx(each)] * 2
    assert planned["estimated_usd"] == pytest.approx(2 * each)
    assert "at most $0.00016" in " ".join(cli("sweep", *flags).out.split())


def test_gpu_hours_are_estimated_where_the_time_is_known(cli: Cli, point: tuple[str, ...]) -> None:
    hourly = ("--price", "usd_per_gpu_hour=3.6,gpus=2")
    run = cli("run", *point, *hourly, "--json").json
    cost = run["cost"]
    assert cost["usd"] == pytest.approx(run["elapsed_s"] * 0.002)
    assert cost["usd_per_million_output_tokens"] == pytest.approx(0.002 / run["output_tokens_per_s"] * 1e6)
    planned = cli("sweep", *point, *hourly, "--plan", "--json").json
    assert planned["estimated_usd"] == pytest.approx(run["elapsed_s"] * 0.002)
    unknown = cli("sweep", *point, *hourly, "--output-tokens", "9", "--plan", "--json").json
    assert unknown["estimated_usd"] is None


@pytest.mark.parametrize(
    ("price", "problem"),
    [
        ("usd=3", "--price names 'usd', which is no price; known prices: usd_per_million_input_tokens"),
        ("usd_per_gpu_hour=3,usd_per_million_input_tokens=1", "a server is paid by the token or by the hour"),
        ("gpus=2", "--price gives gpus and no usd_per_gpu_hour"),
        ("usd_per_gpu_hour=3,gpus=1.5", "--price gives gpus=1.5; give a whole number from 1 on"),
        ("usd_per_gpu_hour=-3", "--price must be at least 0"),
        ("3", "--price must be given as NAME=VALUE"),
    ],
)
def test_a_price_that_is_none(cli: Cli, point: tuple[str, ...], price: str, problem: str) -> None:
    said = cli("run", *point, "--price", price)
    assert said.code == 2
    assert problem in said.err
