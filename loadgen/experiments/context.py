"""What stays the same through a sweep, and what a run is when it has been measured."""

from dataclasses import dataclass
from typing import Any

from loadgen.analysis.figures.cost import Price
from loadgen.analysis.server.gpu import GpuSeries
from loadgen.engine.records.record import Records
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.engine.workers import Workers
from loadgen.experiments.events import OnEvent
from loadgen.experiments.stop import Stop
from loadgen.load.dataset import Dataset
from loadgen.load.length_fit import LengthFit
from loadgen.load.trace import Trace
from loadgen.servers.endpoint import EndpointFacts, Headers
from loadgen.servers.launcher.running import RunningServer
from loadgen.store.rows import ServerSample


@dataclass(frozen=True, slots=True)
class SweepContext:
    """What stays the same through a sweep."""

    sweep_id: str
    facts: EndpointFacts
    headers: Headers
    workers: Workers
    stop: Stop
    on_event: OnEvent
    dataset: Dataset | None = None
    doctor: dict[str, Any] | None = None  # what the doctor last found on this host, as runs keep it
    trace: Trace | None = None
    route: Route = DIRECT
    price: Price | None = None
    launched: RunningServer | None = None  # where loadgen has started the server
    length_fit: LengthFit | None = None  # by which texts are made where the server has no /tokenize
    keep_replies: int = 0  # of each run, with their text

    def server(self, model: str) -> dict[str, Any]:
        """The run document's `server`."""
        return server_document(self.facts, model, self.launched)


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run as it goes to the store."""

    document: Any
    records: Records
    outline: dict[str, Any] | None
    samples: tuple[ServerSample, ...]
    gpus: tuple[GpuSeries, ...]
    failure: str | None  # what ended it before its end, where that was the client
    refusal: str | None  # the same, where that was the server


def server_document(facts: EndpointFacts, model: str, launched: RunningServer | None) -> dict[str, Any]:
    """What a server says of itself, and how it was started where that was loadgen's doing."""
    return facts.to_json(model) | ({} if launched is None else launched.to_json())
