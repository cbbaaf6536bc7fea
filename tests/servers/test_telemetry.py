"""A server's counters and gauges: what is read of its page, and when."""

import pytest

from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.telemetry import Telemetry, parse, scrape

PAGE = """\
# HELP python_info x
# TYPE python_info gauge
python_info 1.0
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="m"} 70.0
# TYPE vllm:generation_tokens_created gauge
vllm:generation_tokens_created{engine="0",model_name="m"} 1.79e+09
# TYPE vllm:ttft_seconds histogram
vllm:ttft_seconds_bucket{le="0.1"} 2.0
vllm:ttft_seconds_bucket{le="+Inf"} 2.0
vllm:ttft_seconds_sum 0.1
vllm:ttft_seconds_count 2.0
"""


def test_counters_and_gauges_are_summed_over_labels_and_nothing_else_is_kept() -> None:
    assert parse(PAGE) == {"vllm:num_requests_running": 7.0, "vllm:generation_tokens_total": 70.0}


@pytest.mark.parametrize("page", ["", "<html>no</html>", "{"])
def test_a_page_that_is_no_exposition_gives_nothing(page: str) -> None:
    assert parse(page) == {}


def test_without_a_page_there_are_no_scrapes() -> None:
    with Telemetry(None) as telemetry:
        pass
    assert telemetry.scrapes() == []


@pytest.mark.loopback
def test_a_run_has_a_reading_before_and_after() -> None:
    with SimulatorProcess(SimulatorOptions()) as simulator:
        with Telemetry(f"{simulator.url}/metrics") as telemetry:
            pass
        before, after = telemetry.scrapes()
        now = scrape(f"{simulator.url}/metrics")
    assert before.at < after.at
    assert before.values["vllm:generation_tokens_total"] == 0
    assert now == after.values


@pytest.mark.loopback
def test_a_server_without_the_page_gives_nothing() -> None:
    with SimulatorProcess(SimulatorOptions()) as simulator:
        gone = f"{simulator.url}/metrics"
        assert scrape(f"{simulator.url}/nothing") == {}
    assert scrape(gone) == {}
