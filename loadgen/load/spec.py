"""One load point, resolved: everything that a run needs to know, and the hash by which it is recognised again.

Pure data. A `RunSpec` never holds a secret: an API key is named by its environment variable, and of headers only the names are kept.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from loadgen.load.content import FILE_NOTES, PLAIN, Workload, notes_of_skipped
from loadgen.load.rate_limits import RateLimits

Endpoint = Literal["completions", "chat"]
Arrivals = Literal["constant", "poisson", "gamma", "trace"]
RampStrategy = Literal["linear", "exponential"]


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """`concurrency` callers; each sends its next request when its last one has ended."""

    concurrency: int
    kind: Literal["closed_loop"] = "closed_loop"


@dataclass(frozen=True, slots=True)
class Ramp:
    """A rate that goes to `to_per_s` in `over_s` seconds: by the same amount each second, or by the same factor."""

    to_per_s: float
    over_s: float
    strategy: RampStrategy = "linear"

    def mean_rate_per_s(self, start_per_s: float) -> float:
        """The mean rate over the ramp that begins at `start_per_s`."""
        if self.strategy == "linear":
            return (start_per_s + self.to_per_s) / 2
        return (self.to_per_s - start_per_s) / math.log(self.to_per_s / start_per_s)


@dataclass(frozen=True, slots=True)
class TraceSource:
    """Which trace is replayed: the name of its file, the hash of its content, and the factor on all its offsets.

    `skipped_rows` asked for nothing, the first of them for the reason in `first_skipped`.
    """

    name: str
    hash: str
    time_scale: float
    skipped_rows: int = 0
    first_skipped: str | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file was not used, a sentence each."""
        return notes_of_skipped(self.name, self.skipped_rows, self.first_skipped)


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """Requests arrive at `rate_per_s` on average, whatever the server does; with a `ramp`, the rate begins there.

    `burstiness` is the shape of gamma arrivals, and None for the other processes; `trace` is there for a replay alone.
    A request due while `max_in_flight` are in flight is dropped; None: there is no such limit.
    """

    rate_per_s: float
    arrivals: Arrivals = "poisson"
    burstiness: float | None = None
    ramp: Ramp | None = None
    trace: TraceSource | None = None
    max_in_flight: int | None = None
    kind: Literal["open_loop"] = "open_loop"

    @property
    def mean_rate_per_s(self) -> float:
        """Arrivals per second over the whole, on average."""
        return self.rate_per_s if self.ramp is None else self.ramp.mean_rate_per_s(self.rate_per_s)

    @property
    def peak_rate_per_s(self) -> float:
        """The highest rate that is asked at any time."""
        return self.rate_per_s if self.ramp is None else max(self.rate_per_s, self.ramp.to_per_s)

    @property
    def label(self) -> str:
        """`4 requests/s poisson`, `2 requests/s gamma (burstiness 0.5)`, `1 to 20 requests/s poisson (linear ramp)`."""
        if self.trace is not None:
            scale = "" if self.trace.time_scale == 1 else f" × {self.trace.time_scale:g}"
            return f"trace {self.trace.name}{scale}, {self.rate_per_s:.4g} requests/s{self._at_most}"
        rate = f"{self.rate_per_s:g}" if self.ramp is None else f"{self.rate_per_s:g} to {self.ramp.to_per_s:g}"
        more = [] if self.burstiness is None else [f"burstiness {self.burstiness:g}"]
        more += [] if self.ramp is None else [f"{self.ramp.strategy} ramp"]
        return f"{rate} requests/s {self.arrivals}" + (f" ({', '.join(more)})" if more else "") + self._at_most

    @property
    def _at_most(self) -> str:
        return "" if self.max_in_flight is None else f", at most {self.max_in_flight} in flight"


@dataclass(frozen=True, slots=True)
class Wave:
    """Exactly `size` requests at once and no more: the batch of the MoE-Inference-Bench paper."""

    size: int
    kind: Literal["wave"] = "wave"


LoadShape = ClosedLoop | OpenLoop | Wave


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run. Lengths are in tokens, `duration_s` and `request_timeout_s` in seconds.

    Exactly one of `requests` and `duration_s` is set, except for a wave, whose size is its number of requests.
    `slo` maps a per-request metric (`ttft_s`, `tpot_s`, `e2e_latency_s`) to the limit which it must not exceed.
    """

    url: str
    model: str
    shape: LoadShape
    input_tokens: int | None  # None: as long as the prompts of the dataset are
    output_tokens: int
    endpoint: Endpoint = "completions"
    requests: int | None = None
    duration_s: float | None = None
    warmup_requests: int | None = None  # None: one wave of the run's own concurrency
    seed: int = 0
    request_timeout_s: float = 600.0
    workers: int | None = None  # measuring processes; None: as many as the load needs
    header_names: tuple[str, ...] = ()
    api_key_env: str | None = None
    slo: tuple[tuple[str, float], ...] = ()
    tokenizer: str | None = None  # counts tokens where the server does not
    workload: Workload = PLAIN
    requests_per_minute: int | None = None  # what the provider lets its client send
    tokens_per_minute: int | None = None
    max_reply_bytes: int | None = None  # None: what the lengths asked may need

    def to_json(self) -> dict[str, Any]:
        """The spec as plain JSON values, one key per field; `shape` is an object with its `kind`.

        `workload` is there only where it is more than independent prompts, and a limit only where there is one, so that the
        hashes of plain runs stay what they were.
        """
        document = asdict(self)
        document["shape"] = {key: value for key, value in document["shape"].items() if value is not None}
        if "trace" in document["shape"]:
            trace = document["shape"]["trace"]
            document["shape"]["trace"] = {key: value for key, value in trace.items() if value or key not in FILE_NOTES}
        del document["workload"]
        for key in ("requests_per_minute", "tokens_per_minute", "max_reply_bytes"):
            if document[key] is None:
                del document[key]
        if workload := self.workload.to_json():
            document["workload"] = workload
        document["header_names"] = list(self.header_names)
        document["slo"] = dict(self.slo)
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "RunSpec":
        """The inverse of `to_json`."""
        fields = dict(document)
        shape = dict(fields.pop("shape"))
        kind = shape.pop("kind")
        if "ramp" in shape:
            shape["ramp"] = Ramp(**shape["ramp"])
        if "trace" in shape:
            shape["trace"] = TraceSource(**shape["trace"])
        shapes: dict[str, type[ClosedLoop] | type[OpenLoop] | type[Wave]] = {
            "closed_loop": ClosedLoop,
            "open_loop": OpenLoop,
            "wave": Wave,
        }
        fields["shape"] = shapes[kind](**shape)
        fields["header_names"] = tuple(fields["header_names"])
        fields["slo"] = tuple(fields["slo"].items())
        fields["workload"] = Workload.from_json(fields.get("workload", {}))
        return cls(**fields)

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name this spec: equal specs, seed included, have equal hashes."""
        document = self.to_json()
        for source in (document["shape"].get("trace"), document.get("workload", {}).get("dataset")):
            for key in FILE_NOTES if source else ():
                source.pop(key, None)
        return canonical_hash(document)

    @property
    def file_notes(self) -> tuple[str, ...]:
        """What of its dataset or trace was not used, a sentence each."""
        trace = self.shape.trace if isinstance(self.shape, OpenLoop) else None
        sources = (self.workload.dataset, trace)
        return tuple(note for source in sources if source is not None for note in source.notes)

    @property
    def point(self) -> "RunSpec":
        """The load point without its repeat: the same spec with seed 0. Repeats of one point share it."""
        return replace(self, seed=0)

    @property
    def rate_limits(self) -> RateLimits:
        """What the provider lets its client send."""
        return RateLimits(self.requests_per_minute, self.tokens_per_minute)

    @property
    def concurrency(self) -> int | None:
        """How many requests are asked to be in flight at once; None for the open loop, where it is an outcome."""
        match self.shape:
            case ClosedLoop(concurrency=concurrency):
                return concurrency
            case Wave(size=size):
                return size
            case OpenLoop():
                return None

    @property
    def load_label(self) -> str:
        """The load in a few words for a person: `concurrency 16`, `4 requests/s poisson`, `wave of 64`; its limits, if any."""
        limits = f", {label}" if (label := self.rate_limits.label) else ""
        match self.shape:
            case ClosedLoop(concurrency=concurrency):
                return f"concurrency {concurrency}{limits}"
            case Wave(size=size):
                return f"wave of {size}{limits}"
            case OpenLoop():
                return f"{self.shape.label}{limits}"


def canonical_hash(document: object) -> str:
    """16 hexadecimal digits over the canonical JSON (sorted keys, no white space) of `document`."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
