"""What the runs of a sweep share, and what a measured run consists of."""

from dataclasses import dataclass
from typing import cast

from loadgen.analysis.document.run import DoctorNote, RunDocument
from loadgen.analysis.document.server import ServerDocument
from loadgen.analysis.figures.cost import Price
from loadgen.analysis.outline.run_outline import Outline
from loadgen.analysis.server.gpu import GpuSeries
from loadgen.engine.records.record import Records
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.load.dataset import Dataset
from loadgen.load.length_fit import LengthFit
from loadgen.load.trace import Trace
from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.http_client import Headers
from loadgen.servers.launcher.running import RunningServer
from loadgen.store.rows import ServerSample


@dataclass(frozen=True, slots=True)
class SweepContext:
    """What the runs of one sweep share: the server as it was found, and what their requests and documents are made from."""

    sweep_id: str
    facts: EndpointFacts
    headers: Headers = ()
    route: Route = DIRECT
    launched: RunningServer | None = None  # None: loadgen did not start the server
    dataset: Dataset | None = None
    trace: Trace | None = None
    length_fit: LengthFit | None = None  # makes texts of a stated length where the server has no /tokenize
    price: Price | None = None
    doctor: DoctorNote | None = None  # the last result of `loadgen doctor` on this host, as runs keep it
    keep_replies: int = 0  # replies of each run that are kept with their text

    def server(self, model: str) -> ServerDocument:
        """The run document's `server`."""
        return server_document(self.facts, model, self.launched)


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run as it is stored."""

    document: RunDocument
    records: Records
    outline: Outline | None
    samples: tuple[ServerSample, ...]
    gpus: tuple[GpuSeries, ...]
    failure: str | None  # why the client cut it short
    refusal: str | None  # why the server cut it short


def server_document(facts: EndpointFacts, model: str, launched: RunningServer | None) -> ServerDocument:
    """What a server says of itself, and how it was started where that was loadgen's doing."""
    return cast(ServerDocument, facts.to_json(model) | ({} if launched is None else launched.to_json()))
