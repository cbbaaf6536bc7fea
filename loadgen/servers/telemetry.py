"""A server's own counters and gauges, read from its Prometheus page before, through and after a run.

Imports only `engine`'s route and its neighbour `endpoint`. Runs in the parent, never in the measuring process. A page is only fetched while a run goes on
and parsed after it: building the page takes the server's own event loop milliseconds (a vLLM page is 60 kB), so it is
asked for no more often than Prometheus itself usually would. No failure here ever costs a run: a page that cannot be had
or read gives no figures.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from loadgen.engine.route import DIRECT, Route
from loadgen.servers.endpoint import Headers, open_client

SCRAPE_INTERVAL_S = 5.0
_LONGEST_READING_S = 5.0  # a page that does not end by then must not hold up the run
_PREFIX = "vllm:"
_SUMMED_HISTOGRAMS = (
    "vllm:time_to_first_token_seconds",
)  # of these the sum and the count are kept, from which a mean is made
_RATIO_ENDINGS = ("_perc", "_ratio", "_rate")  # such as vllm:kv_cache_usage_perc


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading: when (UTC), and each counter and gauge over all its labels."""

    at: datetime
    values: dict[str, float]


def parse(page: str) -> dict[str, float]:
    """Counters (under their name with `_total`) and gauges of the server's own family, over all engines and other labels.

    They are summed; a gauge that is a share of something is averaged, since two engines at 0.6 are not at 1.2. Histograms
    are left out but for the sum and count of the server's own TTFT, and so are the `_created` stamps. A page that is no Prometheus text gives what could be read of it.
    """
    values: dict[str, list[float]] = {}
    # The parser fails in many ways on text that is none of its own (ValueError, KeyError, IndexError, …).
    with suppress(Exception):
        for family in text_string_to_metric_families(page):
            kept = family.type in ("counter", "gauge") or family.name in _SUMMED_HISTOGRAMS
            if not family.name.startswith(_PREFIX) or not kept:
                continue
            for sample in family.samples:
                if not sample.name.endswith(("_created", "_bucket")):
                    values.setdefault(sample.name, []).append(float(sample.value))
    return {
        name: sum(each) / len(each) if name.endswith(_RATIO_ENDINGS) else sum(each) for name, each in values.items()
    }


def scrape(metrics_url: str, headers: Headers = (), timeout_s: float = 5.0) -> dict[str, float]:
    """One reading now; empty when the server has no such page or does not answer."""
    with open_client(headers, timeout_s) as client:
        page = _fetch(client, metrics_url)
    return {} if page is None else parse(page)


class Telemetry:
    """A thread that fetches the page through a run: at the start, every `SCRAPE_INTERVAL_S`, and at the end.

    A context manager; `scrapes()` after it has closed.
    """

    def __init__(self, metrics_url: str | None, headers: Headers = (), route: Route = DIRECT):
        self._url = metrics_url
        self._headers = headers
        self._route = route
        self._pages: list[tuple[datetime, str]] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Telemetry":
        if self._url is not None:
            self._client = open_client(self._headers, 5.0, self._route)
            self._read()
            self._thread = threading.Thread(target=self._watch, name="telemetry", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            if error is None:
                self._read()
            self._client.close()

    def scrapes(self) -> Sequence[Scrape]:
        """All readings in order, parsed now."""
        return [Scrape(at, parse(page)) for at, page in self._pages]

    def _watch(self) -> None:
        while not self._ended.wait(SCRAPE_INTERVAL_S):
            self._read()

    def _read(self) -> None:
        assert self._url is not None
        at = datetime.now(UTC)
        page = _fetch(self._client, self._url)
        if page is not None:
            self._pages.append((at, page))


def _fetch(client: httpx2.Client, url: str) -> str | None:
    deadline_s = time.monotonic() + _LONGEST_READING_S
    parts: list[str] = []
    try:
        with client.stream("GET", url) as answer:
            for part in answer.iter_text():
                parts.append(part)
                if time.monotonic() > deadline_s:
                    return None
            return "".join(parts) if answer.status_code == 200 else None
    except Exception:  # not only of the network: a body may be wrongly compressed or in no charset there is
        return None
