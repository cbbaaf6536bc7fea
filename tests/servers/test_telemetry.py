"""A server's counters and gauges: what is read of its page, and when."""

import gzip
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from loadgen.analysis.server.engine_names import VLLM
from loadgen.servers import telemetry
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.servers.telemetry import Scrape, Telemetry, parse, scrape
from tests.servers.http_server import QuietHandler, listening

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
vllm:ttft_seconds_bucket{engine="0",le="0.1"} 2.0
vllm:ttft_seconds_bucket{engine="0",le="+Inf"} 3.0
vllm:ttft_seconds_sum{engine="0"} 0.1
vllm:ttft_seconds_count{engine="0"} 3.0
vllm:ttft_seconds_bucket{engine="1",le="0.1"} 4.0
vllm:ttft_seconds_bucket{engine="1",le="+Inf"} 4.0
vllm:ttft_seconds_sum{engine="1"} 0.2
vllm:ttft_seconds_count{engine="1"} 4.0
# TYPE vllm:prompt_tokens histogram
vllm:prompt_tokens_bucket{le="+Inf"} 2.0
# TYPE vllm:accepted_per_pos_total counter
vllm:accepted_per_pos_total{engine="0",position="0"} 5.0
vllm:accepted_per_pos_total{engine="0",position="1"} 3.0
vllm:accepted_per_pos_total{engine="1",position="1"} 1.0
# TYPE sglang:token_usage gauge
sglang:token_usage{model_name="m"} 0.25
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing 2
"""


def readings_but_checks(watched: Telemetry, origin: datetime | None = None) -> list[Scrape]:
    return [scrape for scrape in watched.readings(origin) if not scrape.is_check]


def test_series_are_summed_over_labels_but_for_bounds_and_positions_and_nothing_else_is_kept() -> None:
    assert parse(PAGE) == pytest.approx(
        {
            "vllm:num_requests_running": 7.0,
            "vllm:generation_tokens_total": 70.0,
            'vllm:ttft_seconds_bucket{le="0.1"}': 6.0,
            'vllm:ttft_seconds_bucket{le="+Inf"}': 7.0,
            "vllm:ttft_seconds_sum": 0.3,
            "vllm:ttft_seconds_count": 7.0,
            'vllm:accepted_per_pos_total{position="0"}': 5.0,
            'vllm:accepted_per_pos_total{position="1"}': 4.0,
            "sglang:token_usage": 0.25,
            "llamacpp:requests_processing": 2.0,
        }
    )


@pytest.mark.parametrize("page", ["", "<html>no</html>", "{"])
def test_a_page_that_is_no_exposition_gives_nothing(page: str) -> None:
    assert parse(page) == {}


def test_a_gauge_that_is_a_share_is_averaged_over_engines() -> None:
    page = "".join(
        f"# TYPE vllm:{name} gauge\n" + "".join(f'vllm:{name}{{engine="{n}"}} {0.2 + n / 5}\n' for n in (0, 1))
        for name in ("kv_cache_usage_perc", "gpu_prefix_cache_hit_rate", "num_requests_running")
    )
    assert parse(page) == pytest.approx(
        {
            "vllm:kv_cache_usage_perc": 0.3,
            "vllm:gpu_prefix_cache_hit_rate": 0.3,
            "vllm:num_requests_running": 0.6,
        }
    )


class Unreadable(QuietHandler):
    """Answers that no client can read: not what their encoding says, or without an end."""

    def do_GET(self) -> None:
        self.send_response(200)
        if self.path == "/endless":
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"# \n")
                    time.sleep(0.02)
        self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(b"this is no gzip")


@pytest.fixture
def unreadable() -> Iterator[str]:
    """The URL of a server of such answers."""
    with listening(Unreadable) as url:
        yield url


@pytest.mark.loopback
def test_a_page_that_cannot_be_decoded_is_no_failure_of_the_run(unreadable: str) -> None:
    with Telemetry(f"{unreadable}/metrics") as readings:
        pass
    assert readings_but_checks(readings) == []


@pytest.mark.loopback
def test_a_page_without_an_end_is_given_up(unreadable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_MAX_READING_S", 0.1)
    with Telemetry(f"{unreadable}/endless") as readings:
        pass
    assert readings_but_checks(readings) == []


SMALL = b"# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total 70\n"
BIG = SMALL + b"".join(b'other_total{a="%d"} %d\n' % (number, number) for number in range(50_000))
ASKED = {"vllm:generation_tokens_total": 70.0}
GZIP = {"Content-Encoding": "gzip"}


@pytest.mark.loopback
@pytest.mark.parametrize(
    ("status", "headers", "body", "values"),
    [
        (200, {}, SMALL, ASKED),
        (200, {"Content-Type": "application/json"}, SMALL, ASKED),
        (200, {"Content-Type": "text/html"}, SMALL, ASKED),
        (200, GZIP, gzip.compress(SMALL, mtime=0), ASKED),
        (200, GZIP, gzip.compress(BIG, mtime=0), ASKED),
        (200, {"Content-Encoding": "deflate"}, zlib.compress(SMALL), ASKED),
        (200, GZIP, SMALL, None),
        (200, {}, gzip.compress(SMALL, mtime=0), {}),
        (200, {}, BIG, ASKED),
        (200, {}, SMALL.replace(b"\n", b"\r\n"), ASKED),
        (200, {}, SMALL.rstrip(), ASKED),
        (200, {}, SMALL.replace(b"70", b"70 1796025764000"), ASKED),
        (200, {}, SMALL.replace(b"70", b'70 # {trace_id="a} #"} 0.02 1.79e9') + b"# EOF\n", ASKED),
        (200, {}, SMALL + SMALL, ASKED),
        (200, {}, SMALL + SMALL.replace(b"70", b"71"), {}),
        (200, {}, SMALL.decode().encode("utf-16"), {}),
        (200, {}, bytes(range(256)) * 9, {}),
        (200, {}, b"<!doctype html>\n" + SMALL, {}),
        (200, {}, b"", {}),
        (204, {}, b"", None),
        (302, {"Location": "/elsewhere"}, SMALL, None),
        (401, {}, SMALL, None),
        (503, {}, SMALL, None),
        (200, {"Content-Length": "100000"}, SMALL, None),
    ],
)
def test_a_page_gives_what_it_says_or_nothing(
    status: int, headers: dict[str, str], body: bytes, values: dict[str, float] | None
) -> None:
    class Page(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

    with listening(Page) as url, Telemetry(f"{url}/metrics") as readings:
        pass
    found = [reading.values for reading in readings_but_checks(readings)]
    assert found == ([] if values is None else [values, values])


def test_without_a_page_there_are_no_scrapes() -> None:
    with Telemetry(None) as readings:
        pass
    assert readings_but_checks(readings) == []


@pytest.mark.loopback
def test_a_run_has_a_reading_before_and_after() -> None:
    with SimulatorProcess(SimulatorOptions()) as simulator:
        with Telemetry(f"{simulator.url}/metrics") as readings:
            pass
        before, after = readings_but_checks(readings)
        now = scrape(f"{simulator.url}/metrics")
    assert before.at < after.at
    assert before.values["vllm:generation_tokens_total"] == 0
    assert now == after.values


@pytest.mark.loopback
def test_buckets_are_kept_of_the_readings_around_the_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "MIN_INTERVAL_S", 0.02)
    monkeypatch.setattr(telemetry, "MAX_SHARE", 1.0)
    with SimulatorProcess(SimulatorOptions()) as simulator, Telemetry(f"{simulator.url}/metrics") as readings:
        time.sleep(0.3)
        origin = datetime.now(UTC)
        time.sleep(0.3)
    scrapes = readings_but_checks(readings, origin)
    with_buckets = [scrape for scrape in scrapes if any("_bucket{" in name for name in scrape.values)]
    assert len(scrapes) > 5
    assert with_buckets == [[scrape for scrape in scrapes if scrape.at <= origin][-1], scrapes[-1]]
    assert all("vllm:time_to_first_token_seconds_sum" in scrape.values for scrape in scrapes)


@pytest.mark.parametrize(("took_s", "interval_s"), [(0.0001, 1.0), (0.004, 2.0), (0.2, 5.0)])
def test_the_server_is_asked_for_no_more_of_its_time_than_a_share(took_s: float, interval_s: float) -> None:
    readings = Telemetry("http://127.0.0.1:1/metrics")
    readings._quickest_s = took_s
    assert readings.interval_s == pytest.approx(interval_s)


@pytest.mark.loopback
def test_the_simulators_page_has_every_name_of_vllm() -> None:
    with SimulatorProcess(SimulatorOptions()) as simulator:
        values = scrape(f"{simulator.url}/metrics")
    names = VLLM
    told = [names.output_tokens, names.prompt_tokens, names.running, names.waiting, names.kv_cache_usage]
    told += [name for name in (names.finished, names.prefix_queries, names.prefix_hits, names.preemptions) if name]
    assert [name for name in told if name not in values] == []
    assert [name for name in names.times.values() if f'{name}_bucket{{le="+Inf"}}' not in values] == []


@pytest.mark.loopback
def test_a_server_without_the_page_gives_nothing() -> None:
    with SimulatorProcess(SimulatorOptions()) as simulator:
        gone = f"{simulator.url}/metrics"
        assert scrape(f"{simulator.url}/nothing") == {}
    assert scrape(gone) == {}
