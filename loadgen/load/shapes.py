"""Load shapes: who sends when. Each shape answers everything that the rest of loadgen asks about it. Pure data.

A new shape is a class here with the type of its JSON, in `SHAPES` and `ShapeDocument`, and a key in `spec.sweep_spec`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, NotRequired, Self

from typing_extensions import TypedDict

from loadgen.load.arrivals import ArrivalProcess, Int64, Ramp, RampDocument, TraceDocument, TraceSource
from loadgen.load.workload import FILE_NOTES

_MIN_REQUESTS = 32  # of a run by default
_ROUNDS = 8  # by default, of a closed loop: enough for a steady state
_CONVERSATIONS_PER_CALLER = 4  # by default; the first and the last lie outside of the steady state
_ARRIVALS_S = 30  # by default, of an open loop
_MIN_OPEN_LOOP_CONNECTIONS = 16
_CONNECTIONS_S = 2  # seconds of arrivals for which an open loop connects in advance
_MAX_OPEN_LOOP_WARMUP = 64


class LoadShape(ABC):
    """A load shape. `callers`, `batch_size` and the like are None for shapes that do not have them.

    Loads of one kind are compared by one number, the field named by `value_key`: concurrency, wave size or requests per second.
    """

    __slots__ = ()

    kind: ClassVar[str]
    value_key: ClassVar[str]
    axis_label: ClassVar[str]  # of the number, with its unit
    column_label: ClassVar[str]  # the same, as short as a table needs it

    latency_start: ClassVar[Literal["due", "sent"]]
    """Whether latencies start when a request is due, however late it was sent (no coordinated omission), or when it was
    sent. Due times are set in advance for the former; for the latter a request is due when its caller is free."""

    has_steady_state: ClassVar[bool] = False
    """Whether each caller sends one request after another, so that a run has a steady state between its start and its end."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The load in a few words for a person: `concurrency 16`, `4 requests/s poisson`, `wave of 64`."""

    @property
    def callers(self) -> int | None:
        """How many callers send, each over its own connection; None if requests do not wait for a caller."""
        return None

    @property
    def batch_size(self) -> int | None:
        """How many requests are sent at once and no more; None unless the shape is one batch."""
        return None

    @property
    def process(self) -> ArrivalProcess | None:
        """When requests arrive by themselves."""
        return None

    @property
    def offered_per_s(self) -> float | None:
        """The rate of arrivals, at which a ramp begins."""
        return None

    @property
    def mean_rate_per_s(self) -> float | None:
        """Arrivals per second over the whole, on average."""
        return None

    @property
    def peak_rate_per_s(self) -> float | None:
        return None

    @property
    def max_in_flight(self) -> int | None:
        """A request due while that many are in flight is dropped."""
        return None

    @property
    def trace(self) -> TraceSource | None:
        return None

    @property
    @abstractmethod
    def default_warmup_requests(self) -> int:
        """How many requests warm a run up if nothing else is asked."""

    @abstractmethod
    def default_requests(self, turns: int = 1) -> int | None:
        """How many requests a run has if nothing else is asked, as conversations of `turns`; None if the shape says so itself."""

    @abstractmethod
    def planned_requests(self, requests: int | None, duration_s: float | None, seed: int) -> int | None:
        """How many requests a run of `requests`, or for `duration_s`, sends; None if that depends on the server."""

    def is_unplanned(self, duration_s: float | None) -> bool:
        """Whether the number of requests is found out by running."""
        return False

    def offsets_ns(self, requests: int, seed: int) -> Int64 | None:
        """When each request is due, int64 nanoseconds from t = 0; None if requests wait for a free caller instead."""
        return None

    @abstractmethod
    def connections(self, requests: int | None = None) -> int:
        """Connections opened before t = 0; never more than `requests`, if their number is known."""

    @abstractmethod
    def max_workers(self, requests: int, turns: int = 1) -> int:
        """The most workers among which the load can be divided; conversations of `turns` requests stay whole."""

    @abstractmethod
    def lanes(self, workers: int) -> int:
        """How many lanes the conversations of a schedule are dealt out to in turn; each lane belongs to one worker."""

    @abstractmethod
    def share(self, worker: int, workers: int) -> Self:
        """The part of the load that `worker` of `workers` carries."""

    def to_json(self) -> dict[str, Any]:
        """The shape as plain JSON values, its `kind` among them; what is None is left out."""
        document = {key: value for key, value in asdict(self).items() if value is not None}  # type: ignore[call-overload]
        return document | {"kind": self.kind}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`. Raises TypeError for a key that this version does not know: the load would be another."""
        return cls(**{key: value for key, value in document.items() if key != "kind"})


class _CallerShape(LoadShape):
    """A shape of callers, each with its own connection and its own part of the requests."""

    __slots__ = ()

    latency_start = "sent"

    @property
    @abstractmethod
    def callers(self) -> int: ...

    @property
    def default_warmup_requests(self) -> int:
        return self.callers

    def connections(self, requests: int | None = None) -> int:
        return self.callers if requests is None else min(self.callers, requests)

    def max_workers(self, requests: int, turns: int = 1) -> int:
        """Each worker needs a caller with a conversation."""
        return min(self.callers, requests // turns)

    def lanes(self, workers: int) -> int:
        """One for each caller, so that a worker with more callers has more requests."""
        return self.callers

    def share(self, worker: int, workers: int) -> Self:
        """Callers are dealt out in turn."""
        part: Self = replace(self, **{self.value_key: len(range(worker, self.callers, workers))})  # type: ignore[type-var]
        return part


class ClosedLoopShape(TypedDict):
    """Closed loop: N callers, each sending its next request when the previous one completes."""

    kind: Literal["closed_loop"]
    concurrency: int  # callers


@dataclass(frozen=True, slots=True)
class ClosedLoop(_CallerShape):
    """`concurrency` callers; each sends its next request when its last one has ended."""

    concurrency: int

    kind = "closed_loop"
    value_key = "concurrency"
    axis_label = "Concurrency"
    column_label = "conc."
    has_steady_state = True

    @property
    def callers(self) -> int:
        return self.concurrency

    @property
    def label(self) -> str:
        return f"concurrency {self.concurrency}"

    def default_requests(self, turns: int = 1) -> int:
        """Eight rounds, or four conversations a caller, and at least 32 requests."""
        if turns > 1:
            return turns * max(-(-_MIN_REQUESTS // turns), _CONVERSATIONS_PER_CALLER * self.concurrency)
        return max(_MIN_REQUESTS, _ROUNDS * self.concurrency)

    def planned_requests(self, requests: int | None, duration_s: float | None, seed: int) -> int | None:
        return requests

    def is_unplanned(self, duration_s: float | None) -> bool:
        return duration_s is not None


class WaveShape(TypedDict):
    """One batch: all requests at once, and no more."""

    kind: Literal["wave"]
    size: int  # requests


@dataclass(frozen=True, slots=True)
class Wave(_CallerShape):
    """Exactly `size` requests at once and no more: the batch of the MoE-Inference-Bench paper."""

    size: int

    kind = "wave"
    value_key = "size"
    axis_label = "Wave size (requests)"
    column_label = "wave"

    @property
    def callers(self) -> int:
        return self.size

    @property
    def batch_size(self) -> int:
        return self.size

    @property
    def label(self) -> str:
        return f"wave of {self.size}"

    def default_requests(self, turns: int = 1) -> None:
        """Its size says it."""

    def planned_requests(self, requests: int | None, duration_s: float | None, seed: int) -> int:
        return self.size


class OpenLoopShape(TypedDict):
    """Open loop: requests arrive at a rate, whatever the server does."""

    kind: Literal["open_loop"]
    rate_per_s: float  # requests per second, on average; with a ramp, at its start
    arrivals: str  # poisson, constant, gamma or trace
    burstiness: NotRequired[float | None]  # shape of gamma arrivals
    ramp: NotRequired[RampDocument | None]
    trace: NotRequired[TraceDocument | None]
    max_in_flight: NotRequired[int | None]  # a request that is due while that many are in flight is dropped


@dataclass(frozen=True, slots=True)
class OpenLoop(ArrivalProcess, LoadShape):
    """Requests arrive as the process says, whatever the server does; `trace` is there for a replay alone.

    A request due while `max_in_flight` are in flight is dropped; None: there is no such limit.
    """

    trace: TraceSource | None = None
    max_in_flight: int | None = None

    kind = "open_loop"
    value_key = "rate_per_s"
    axis_label = "Offered rate (requests/s)"
    column_label = "rate/s"
    latency_start = "due"

    @property
    def process(self) -> ArrivalProcess:
        return self

    @property
    def offered_per_s(self) -> float:
        return self.rate_per_s

    @property
    def label(self) -> str:
        """`4 requests/s poisson`, `2 requests/s gamma (burstiness 0.5)`, `1 to 20 requests/s poisson (linear ramp)`."""
        at_most = "" if self.max_in_flight is None else f", at most {self.max_in_flight} in flight"
        if self.trace is not None:
            scale = "" if self.trace.time_scale == 1 else f" × {self.trace.time_scale:g}"
            return f"trace {self.trace.name}{scale}, {self.rate_per_s:.4g} requests/s{at_most}"
        rate = f"{self.rate_per_s:g}" if self.ramp is None else f"{self.rate_per_s:g} to {self.ramp.to_per_s:g}"
        more = [] if self.burstiness is None else [f"burstiness {self.burstiness:g}"]
        more += [] if self.ramp is None else [f"{self.ramp.strategy} ramp"]
        return f"{rate} requests/s {self.arrivals}" + (f" ({', '.join(more)})" if more else "") + at_most

    @property
    def default_warmup_requests(self) -> int:
        """A second's worth."""
        return max(1, min(_MAX_OPEN_LOOP_WARMUP, round(self.mean_rate_per_s)))

    def default_requests(self, turns: int = 1) -> int:
        """Half a minute of arrivals, and at least 32 requests."""
        return max(_MIN_REQUESTS, round(_ARRIVALS_S * self.mean_rate_per_s))

    def planned_requests(self, requests: int | None, duration_s: float | None, seed: int) -> int | None:
        return requests if duration_s is None else self.requests_within(duration_s, seed)

    def connections(self, requests: int | None = None) -> int:
        """Two seconds of arrivals, or as many as may be in flight. A connection beyond them is opened when it is needed,
        and that is recorded."""
        wanted = max(_MIN_OPEN_LOOP_CONNECTIONS, round(_CONNECTIONS_S * self.rate_per_s))
        wanted = wanted if self.max_in_flight is None else min(wanted, self.max_in_flight)
        return wanted if requests is None else min(wanted, requests)

    def max_workers(self, requests: int, turns: int = 1) -> int:
        """Each worker needs a request and a place among those in flight."""
        return max(1, requests if self.max_in_flight is None else min(self.max_in_flight, requests))

    def lanes(self, workers: int) -> int:
        """Arrivals are dealt out in turn."""
        return workers

    def share(self, worker: int, workers: int) -> Self:
        """An equal part of the rate."""
        ramp = None if self.ramp is None else replace(self.ramp, to_per_s=self.ramp.to_per_s / workers)
        places = None if self.max_in_flight is None else len(range(worker, self.max_in_flight, workers))
        return replace(self, rate_per_s=self.rate_per_s / workers, ramp=ramp, max_in_flight=places)

    def to_json(self) -> dict[str, Any]:
        """As the others; of a trace's notes only those that there are."""
        document = LoadShape.to_json(self)
        if self.trace is not None:
            trace = document["trace"]
            document["trace"] = {key: value for key, value in trace.items() if value or key not in FILE_NOTES}
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        known = {key: value for key, value in document.items() if key != "kind"}
        parts = {"ramp": Ramp, "trace": TraceSource}
        return cls(**known | {key: part(**known[key]) for key, part in parts.items() if key in known})


ShapeDocument = ClosedLoopShape | WaveShape | OpenLoopShape
"""The JSON of a load shape, told apart by its `kind`."""

SHAPES: dict[str, type[LoadShape]] = {shape.kind: shape for shape in (ClosedLoop, OpenLoop, Wave)}
"""Every load shape by its `kind`."""


def shape_class(document: Mapping[str, Any]) -> type[LoadShape]:
    """The class of the shape that `to_json` wrote. Raises KeyError for a kind that this version does not know."""
    kind = document["kind"]
    if kind not in SHAPES:
        raise KeyError(f"a load shape of kind {kind!r} is not one that this version knows")
    return SHAPES[kind]


def shape_from_json(document: Mapping[str, Any]) -> LoadShape:
    """The shape that `to_json` wrote. Raises KeyError for a kind that this version does not know."""
    return shape_class(document).from_json(document)


def value_in_json(document: Mapping[str, Any]) -> float:
    """The number that `value_key` names, of the shape that `to_json` wrote. Raises KeyError for a kind that this version does not know."""
    value: float = document[shape_class(document).value_key]
    return value
