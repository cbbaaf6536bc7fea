"""Watches the server during a run: its metrics page, and its GPUs if it is on this host.

What is seen is put on the time axis of the run, whose origin is known only afterwards.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from types import TracebackType
from typing import cast

import numpy as np

from loadgen.analysis.document.server import GpuIdentity
from loadgen.analysis.server.gpu import GpuSeries
from loadgen.analysis.server.readings import Reading
from loadgen.engine.records.record import MISSING
from loadgen.engine.wire.route import Route
from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.gpu.sources import GpuReading
from loadgen.servers.gpu.watch import GpuWatch, WatchedGpu
from loadgen.servers.http_client import Headers
from loadgen.servers.telemetry import Scrape, Telemetry
from loadgen.store.rows import ServerSample


@dataclass(frozen=True, slots=True)
class ServerObservations:
    samples: tuple[ServerSample, ...]
    readings: tuple[Reading, ...]
    gpus: tuple[GpuSeries, ...]
    gpu_source: str | None
    gpus_chosen_by: str | None
    has_page: bool = False  # of metrics, before the run


class ServerMonitor:
    """A context manager around the measured part of a run; `seen` may be called after it."""

    def __init__(self, facts: EndpointFacts, headers: Headers, route: Route):
        self._has_page = facts.has_metrics
        self._telemetry = Telemetry(facts.metrics_url if facts.has_metrics else None, headers, route)
        self._gpus = GpuWatch(None if facts.simulated else facts.base_url)  # a simulator has none
        self._open = ExitStack()
        self._fault: Exception | None = None

    def __enter__(self) -> "ServerMonitor":
        with ExitStack() as opened:
            opened.enter_context(self._gpus)
            opened.enter_context(self._telemetry)
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._open.__exit__(kind, error, trace)
        except Exception as fault:  # the run that was watched is over, and is not to be lost with this
            self._fault = fault

    def seen(self, origin_at: str, model: str) -> ServerObservations:
        """Return all observations, relative to the origin of the run (ISO 8601); of several models on one page, those of `model`.

        Raises what went wrong at the end of watching.
        """
        if self._fault is not None:
            raise self._fault
        origin = datetime.fromisoformat(origin_at)
        scrapes = self._telemetry.readings(origin, model)
        return ServerObservations(
            samples(origin, [scrape for scrape in scrapes if not scrape.is_check]),
            tuple(_reading(origin, scrape) for scrape in scrapes),
            tuple(gpu_series(origin, gpu) for gpu in self._gpus.watched()),
            self._gpus.source,
            self._gpus.chosen_by,
            self._has_page,
        )


def samples(origin: datetime, scrapes: Sequence[Scrape]) -> tuple[ServerSample, ...]:
    """Return the scrapes on the time axis of the run: nanoseconds from t = 0, negative before it."""
    return tuple(
        ServerSample(at_ns=_since(origin, scrape.at), values=scrape.values) for scrape in scrapes if scrape.values
    )


def _reading(origin: datetime, scrape: Scrape) -> Reading:
    told = scrape.told
    return Reading(
        _since(origin, scrape.at),
        told.values,
        unusable=told.unusable,
        counters=told.counters,
        identity=told.identity,
        malformed_lines=told.malformed_lines,
        is_check=scrape.is_check,
    )


def gpu_series(origin: datetime, gpu: WatchedGpu) -> GpuSeries:
    """Return the readings of one GPU as columns on the time axis of the run."""
    columns = {"at_ns": np.array([_since(origin, at) for at, _ in gpu.readings], np.int64)}
    for position, name in enumerate(GpuReading._fields):
        values = [reading[position] for _, reading in gpu.readings]
        columns[name] = np.array([MISSING if value is None else value for value in values], np.int64)
    return GpuSeries(cast(GpuIdentity, asdict(gpu.device)), columns)


def _since(origin: datetime, at: datetime) -> int:
    return round((at - origin).total_seconds() * 1e9)
