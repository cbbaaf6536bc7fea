"""A server's own counters, gauges and histograms of time, read from its Prometheus page before, through and after a run.

Imports only `engine`'s route and its neighbour `endpoint`. Runs in the parent, never in the measuring process. A page is only fetched while a run goes on
and parsed after it: building the page keeps the server's own event loop from sending tokens for milliseconds (a vLLM page is
60 kB), so that no more of its time is asked for than `LARGEST_SHARE`. No failure here ever costs a run: a page that cannot be had
or read gives no figures.
"""

import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from loadgen.engine.route import DIRECT, Route
from loadgen.servers.endpoint import Headers, open_client

# A stall of s every I seconds touches a share of s/I of all gaps between tokens, and of all first tokens, whatever their length:
# at 0.2 % a p99 stays what it is. docs/method.md tells what a page costs.
LARGEST_SHARE = 0.002
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = (
    1.0,
    5.0,
)  # a run of some seconds wants several readings; Prometheus asks no less often
_LONGEST_READING_S = 5.0  # a page that does not end by then must not hold up the run
_PREFIXES = ("vllm:", "sglang:", "llamacpp:")
_HISTOGRAM_ENDING = "_seconds"  # of the histograms those of time are kept
_KEPT_LABELS = ("le", "position")  # over all other labels values are summed
_RATIO_ENDINGS = ("_perc", "_ratio", "_rate", "_usage")  # such as vllm:kv_cache_usage_perc


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading: when (UTC), and its values by series, as `parse` names them."""

    at: datetime
    values: dict[str, float]


def parse(page: str) -> dict[str, float]:
    """Counters (under their name with `_total`), gauges and histograms of time of the families that engines call their own.

    They are summed over engines and all other labels but two: a bucket stays apart by its bound, as `NAME_bucket{le="0.04"}`, and
    accepted drafts by their position, as `NAME{position="0"}`. A gauge that is a share of something is averaged, since two
    engines at 0.6 are not at 1.2. `_created` stamps are left out. A page that is no Prometheus text gives what could be read of it.
    """
    values: dict[str, list[float]] = {}
    # The parser fails in many ways on text that is none of its own (ValueError, KeyError, IndexError, …).
    with suppress(Exception):
        for family in text_string_to_metric_families(page):
            is_time = family.type == "histogram" and family.name.endswith(_HISTOGRAM_ENDING)
            if not family.name.startswith(_PREFIXES) or not (is_time or family.type in ("counter", "gauge")):
                continue
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    values.setdefault(_series(sample.name, sample.labels), []).append(float(sample.value))
    return {
        name: sum(each) / len(each) if name.endswith(_RATIO_ENDINGS) else sum(each) for name, each in values.items()
    }


def _series(name: str, labels: dict[str, str]) -> str:
    kept = ",".join(f'{label}="{labels[label]}"' for label in _KEPT_LABELS if label in labels)
    return f"{name}{{{kept}}}" if kept else name


def scrape(metrics_url: str, headers: Headers = (), timeout_s: float = 5.0) -> dict[str, float]:
    """One reading now; empty when the server has no such page or does not answer."""
    with open_client(headers, timeout_s) as client:
        page = _fetch(client, metrics_url)
    return {} if page is None else parse(page)


class Telemetry:
    """A thread that fetches the page through a run: at the start, every `interval_s`, and at the end.

    A context manager; `scrapes()` after it has closed.
    """

    def __init__(self, metrics_url: str | None, headers: Headers = (), route: Route = DIRECT):
        self._url = metrics_url
        self._headers = headers
        self._route = route
        self._pages: list[tuple[datetime, bytes]] = []  # compressed: an hour of them would be 100 MB
        self._quickest_s = LONGEST_INTERVAL_S
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

    @property
    def interval_s(self) -> float:
        """How long it waits between two readings: by the quickest so far, which has the least of the network in it."""
        return min(LONGEST_INTERVAL_S, max(SHORTEST_INTERVAL_S, self._quickest_s / LARGEST_SHARE))

    def scrapes(self, origin: datetime | None = None) -> Sequence[Scrape]:
        """All readings in order, parsed now.

        Buckets are in the last reading up to `origin` (t = 0; without it the first of all) and in the very last, between which a
        run's own distributions lie; in between they would be most of what is stored.
        """
        before = 0
        if origin is not None:
            before = max((number for number, (at, _) in enumerate(self._pages) if at <= origin), default=0)
        whole = (before, len(self._pages) - 1)
        return [
            Scrape(at, parse(page if number in whole else _without_buckets(page)))
            for number, (at, page) in self._numbered_pages()
        ]

    def _numbered_pages(self) -> Iterator[tuple[int, tuple[datetime, str]]]:
        for number, (at, packed) in enumerate(self._pages):
            yield number, (at, zlib.decompress(packed).decode())

    def _watch(self) -> None:
        while not self._ended.wait(self.interval_s):
            self._read()

    def _read(self) -> None:
        """A page, told as of the middle of its reading: nobody knows when within it the server looked at its counters."""
        assert self._url is not None
        at, began_s = datetime.now(UTC), time.monotonic()
        page = _fetch(self._client, self._url)
        if page is not None:
            took_s = time.monotonic() - began_s
            self._quickest_s = min(self._quickest_s, took_s)
            self._pages.append((at + timedelta(seconds=took_s / 2), zlib.compress(page.encode(errors="replace"), 1)))


def _without_buckets(page: str) -> str:
    """The page without its buckets, which are nine tenths of what there is to parse."""
    return "\n".join(line for line in page.split("\n") if "_bucket{" not in line)


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
