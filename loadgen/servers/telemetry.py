"""A server's own counters, gauges and histograms of time, read from its Prometheus page before, through and after a run.

Runs in the parent, never in the measuring process. A page is only fetched while a run goes on
and parsed after it: building the page keeps the server's own event loop from sending tokens for milliseconds (a vLLM page is
60 kB), so that no more of its time is asked for than `MAX_SHARE`. No failure here ever costs a run: a page that cannot be had
or read gives no figures.
"""

import re
import threading
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx2

from loadgen.engine.wire.route import DIRECT, Route
from loadgen.servers import exposition
from loadgen.servers.http_client import Headers, open_client

# A stall of s every I seconds touches a share of s/I of all gaps between tokens, and of all first tokens, whatever their length:
# at 0.2 % a p99 stays what it is. docs/method.md tells what a page costs.
MAX_SHARE = 0.002
# A run of some seconds wants several readings; Prometheus asks no less often.
MIN_INTERVAL_S, MAX_INTERVAL_S = 1.0, 5.0
_MAX_READING_S = 5.0  # a page that does not end by then must not hold up the run
_MAX_PAGE_BYTES = 2**25  # an engine's page has some ten thousand; what goes on beyond that is no page of metrics
# A page that comes as quickly as this is read twice more around a run, and asked for again when it fails.
_QUICK_S = 0.2
_CHECKS, _TRIES, _PAUSE_S = 2, 3, 0.2
_KEPT_LINE = re.compile(
    rf"^\ufeff?[ \t]*(?:#[ \t]*TYPE[ \t]+)?(?:{'|'.join((*exposition.PREFIXES, exposition.START_TIME))}).*$",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading: when (UTC), and what it said, as `exposition.summed` names it.

    A check is a reading right after another, of use only to see whether the same process answers.
    """

    at: datetime
    told: exposition.Values
    is_check: bool = False

    @property
    def values(self) -> dict[str, float]:
        """The series that it has, without those of which there is no usable number."""
        return self.told.values


@dataclass(frozen=True, slots=True)
class _Page:
    at: datetime
    packed: bytes  # compressed, the lines of interest alone: an hour of whole pages would be 100 MB
    ended: bool  # its last line was whole
    is_check: bool


def parse(page: str) -> dict[str, float]:
    """Counters, gauges and histograms of time of the families that engines call their own: see `exposition`."""
    return exposition.summed(exposition.read(page)).values


def scrape(metrics_url: str) -> dict[str, float]:
    """One reading now; empty when the server has no such page or does not answer."""
    with open_client((), _MAX_READING_S) as client:
        page = _fetch(client, metrics_url)
    return {} if page is None else parse(page)


class Telemetry:
    """A thread that fetches the page through a run: at the start, every `interval_s`, and at the end.

    A context manager; `readings()` after it has closed.
    """

    def __init__(self, metrics_url: str | None, headers: Headers = (), route: Route = DIRECT):
        self._url = metrics_url
        self._headers = headers
        self._route = route
        self._pages: list[_Page] = []
        self._quickest_s = MAX_INTERVAL_S
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Telemetry":
        if self._url is not None:
            self._client = open_client(self._headers, 5.0, self._route)
            if self._read() and self._quickest_s < _QUICK_S:
                self._check()
            self._thread = threading.Thread(target=self._watch, name="telemetry", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            if error is None:
                self._read_last()
            self._client.close()

    @property
    def interval_s(self) -> float:
        """How long it waits between two readings: by the quickest so far, which has the least of the network in it."""
        return min(MAX_INTERVAL_S, max(MIN_INTERVAL_S, self._quickest_s / MAX_SHARE))

    def readings(self, origin: datetime | None = None, model: str | None = None) -> Sequence[Scrape]:
        """All readings in order, parsed now, of `model` where the page tells several apart.

        Buckets are in the last reading up to `origin` (t = 0; without it the first of all) and in the very last, between which a
        run's own distributions lie; in between they would be most of what is stored. A page that was cut off is left out.
        """
        ends = any(page.ended for page in self._pages)  # else it is the server's habit not to end its last line
        whole = [page for page in self._pages if page.ended or not ends]
        mains = [number for number, page in enumerate(whole) if not page.is_check]
        first = max((number for number in mains if origin is not None and whole[number].at <= origin), default=0)
        with_buckets = (first, mains[-1] if mains else 0)
        read = []
        for number, page in enumerate(whole):
            text = zlib.decompress(page.packed).decode()
            read.append(exposition.read(text if number in with_buckets else _without_buckets(text)))
        stale = exposition.stale_gauges(read)
        told = [exposition.summed(each, model, stale) for each in read]
        return [Scrape(page.at, values, page.is_check) for page, values in zip(whole, told, strict=True)]

    def _watch(self) -> None:
        while not self._ended.wait(self.interval_s):
            self._read()

    def _check(self) -> None:
        """Look again, first over a new connection: what balances load may hand each connection, or each request, to another server."""
        assert self._url is not None
        with open_client(self._headers, _MAX_READING_S, self._route) as another:
            self._read(another, is_check=True)
        for _ in range(_CHECKS - 1):
            self._read(is_check=True)

    def _read_last(self) -> None:
        """The reading that ends the account; a page that fails at once is asked for again."""
        for again in range(_TRIES):
            if again:
                time.sleep(_PAUSE_S)
            began_s = time.monotonic()
            if self._read():
                if self._quickest_s < _QUICK_S:
                    self._check()
                return
            if not self._pages or time.monotonic() - began_s > _QUICK_S:
                return

    def _read(self, client: httpx2.Client | None = None, *, is_check: bool = False) -> bool:
        """A page, told as of the middle of its reading: nobody knows when within it the server looked at its counters."""
        assert self._url is not None
        at, began_s = datetime.now(UTC), time.monotonic()
        page = _fetch(client or self._client, self._url)
        if page is None:
            return False
        took_s = time.monotonic() - began_s
        if not is_check:
            self._quickest_s = min(self._quickest_s, took_s)
        kept = [] if exposition.is_markup(page) else _KEPT_LINE.findall(page)
        packed = zlib.compress("\n".join(kept).encode(errors="replace"), 1)
        ended = page.endswith("\n") or page.rstrip().endswith("# EOF")
        self._pages.append(_Page(at + timedelta(seconds=took_s / 2), packed, ended, is_check))
        return True


def _without_buckets(page: str) -> str:
    """The page without its buckets, which are nine tenths of what there is to parse."""
    return "\n".join(line for line in page.split("\n") if "_bucket{" not in line)


def _fetch(client: httpx2.Client, url: str) -> str | None:
    deadline_s = time.monotonic() + _MAX_READING_S
    parts: list[bytes] = []
    size = 0
    try:
        with client.stream("GET", url) as answer:
            for part in answer.iter_bytes():
                parts.append(part)
                size += len(part)
                if time.monotonic() > deadline_s or size > _MAX_PAGE_BYTES:
                    return None
            return b"".join(parts).decode(errors="replace") if answer.status_code == 200 else None
    except Exception:  # not only of the network: a body may be wrongly compressed
        return None
