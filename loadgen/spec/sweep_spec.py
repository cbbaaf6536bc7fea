"""What a sweep is asked to do, from flags or a file, and the runs that this comes to.

Imports `load`, `inputs`, `servers` (the spelling of a URL), `errors` and the keys beside it. One model for both edges: a key of the file is a flag with
underscores. Nothing here contacts a server.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from loadgen.engine.capture.sample import MAX_REPLIES
from loadgen.errors import UsageError
from loadgen.inputs.origin import Origin
from loadgen.load.dataset import Dataset, read_dataset
from loadgen.load.spec import (
    Arrivals,
    ClosedLoop,
    Endpoint,
    LoadShape,
    OpenLoop,
    Ramp,
    RampStrategy,
    RunSpec,
    Wave,
    canonical_hash,
)
from loadgen.load.trace import Trace, read_trace
from loadgen.servers.client import Headers
from loadgen.servers.server_url import endpoint_named, normalise_url, redacted_url
from loadgen.spec.bounds import BOUNDS, check_bounds
from loadgen.spec.price_keys import PriceKeys, check_price
from loadgen.spec.rate_limit_keys import RateLimitKeys, check_fits_the_minute, check_rate_limits
from loadgen.spec.route_keys import RouteKeys, check_route
from loadgen.spec.session_keys import SessionKeys, check_sessions, requests_of_sessions
from loadgen.spec.size import check_planned
from loadgen.spec.spelling import as_list, as_pairs
from loadgen.spec.tag_keys import TagKeys
from loadgen.spec.workload_keys import Whole, WorkloadKeys, check_workload

SIMULATOR = "simulator"  # the word which stands for the embedded simulator where a URL is asked
SIMULATOR_MODEL = "simulated-moe"
SLO_METRICS = ("ttft_s", "tpot_s", "e2e_latency_s")

_MOST_WARMUP_OPEN_LOOP = 64
_OUR_HEADERS = ("content-length", "transfer-encoding", "connection", "x-request-id")  # framing, and the id of a request
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _unless_auto(value: object) -> object:
    return None if value == "auto" else value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WholeList = Annotated[list[Whole] | None, BeforeValidator(as_list)]
PositiveList = Annotated[list[Positive] | None, BeforeValidator(as_list)]


class SweepSpec(WorkloadKeys, RateLimitKeys, SessionKeys, RouteKeys, PriceKeys, TagKeys):
    """A grid of load points over one server. Lengths in tokens, durations in seconds, rates in requests per second."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = None
    url: Annotated[str, Field(description="say where the server is, or --url simulator to try loadgen out")]
    model: str = ""  # the only one that the server lists
    endpoint: Endpoint = "completions"
    concurrency: WholeList = None
    rate: PositiveList = None
    wave: WholeList = None
    arrivals: Literal["constant", "poisson", "gamma"] | None = None
    burstiness: Positive | None = None
    ramp_to: Positive | None = None
    ramp_strategy: RampStrategy = "linear"
    max_in_flight: Whole | None = None
    trace: str | None = None
    time_scale: PositiveList = None
    requests: Whole | None = None
    duration_s: Positive | None = None
    input_tokens: WholeList = None
    output_tokens: WholeList = None
    warmup_requests: Annotated[int, Field(ge=0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    repeats: Whole = 1
    workers: Annotated[Whole | None, BeforeValidator(_unless_auto)] = None  # None: as many as the load needs
    request_timeout_s: Positive = 600.0
    max_reply_bytes: Annotated[int, Field(ge=1024)] | None = None
    api_key_env: str | None = None
    tokenizer: Annotated[str, Field(min_length=1)] | None = None
    keep_replies: Annotated[int, Field(ge=0, le=MAX_REPLIES)] = 0  # of each run, with their text
    header: Annotated[dict[str, str], BeforeValidator(as_pairs), Field(repr=False, default_factory=dict)]
    slo: Annotated[dict[str, Positive], BeforeValidator(as_pairs), Field(default_factory=dict)]

    @property
    def is_simulated(self) -> bool:
        """Whether the embedded simulator is to be started for it."""
        return self.url == SIMULATOR

    @property
    def arrival_process(self) -> Arrivals:
        """The process of a rate: as asked, else gamma where a burstiness is given."""
        return self.arrivals or ("poisson" if self.burstiness is None else "gamma")

    def to_json(self) -> dict[str, Any]:
        """The spec for the record: of headers the names alone, since their values may be secrets; what an open loop needs, for an open loop only."""
        unused = self.unused_keys | (set() if self.ramp_to is not None else {"ramp_strategy"})
        unused |= {key for key in ("price", "tag", "keep_replies") if not getattr(self, key)}
        document = self.model_dump(exclude={"header"} | unused, exclude_none=True)
        if self.rate is not None:
            document["arrivals"] = self.arrival_process
        document["url"] = redacted_url(self.url)
        return document | {"header_names": sorted(name.lower() for name in self.header)}

    def secret_headers(self, environ: Mapping[str, str]) -> Headers:
        """The headers to send, key included. Raises UsageError when the named variable is not set."""
        headers = tuple(self.header.items())
        if self.api_key_env is None:
            return headers
        key = environ.get(self.api_key_env, "").strip()
        if not key:
            raise UsageError(
                f"the environment variable {self.api_key_env}, named by --api-key-env, is not set; export it with the key"
            )
        if not key.isascii() or not key.isprintable():
            raise UsageError(f"the environment variable {self.api_key_env} does not hold a key that a header can carry")
        return (*headers, ("Authorization", f"Bearer {key}"))


def make_spec(values: Mapping[str, object], origin: Origin) -> SweepSpec:
    """A checked SweepSpec. `values` by key, as given; `origin` knows where each came from, for the messages.

    Raises UsageError, one sentence, for whatever cannot be carried out.
    """
    values = dict(values)
    for key, value in values.items():
        if isinstance(value, bool) and key != "insecure":  # which would pass for 1 or 0
            raise UsageError(f"{origin.name(key)} must not be {str(value).lower()}")
    if values.get("url") == SIMULATOR:
        values.setdefault("model", SIMULATOR_MODEL)
    if "endpoint" not in values and isinstance(values.get("url"), str):
        named = endpoint_named(str(values["url"]))
        values |= {} if named is None else {"endpoint": named}
    spec = origin.validated(SweepSpec, values)
    _check(spec, origin)
    if spec.is_simulated:
        return spec
    return spec.model_copy(update={"url": normalise_url(spec.url)})


@dataclass(frozen=True, slots=True)
class _Load:
    """One load point: its shape, how much of it, and how long its prompts and answers are (of a trace: on average)."""

    shape: LoadShape
    requests: int | None
    duration_s: float | None
    input_tokens: int | None
    output_tokens: int


def resolve(spec: SweepSpec, dataset: Dataset | None = None) -> list[RunSpec]:
    """Every run in the order in which they are to happen: repeats outside, so that a drift of the server meets all points.

    Repeat k of any point has seed `seed + k`, so that all points and all servers see the same arrivals. `dataset` is the one
    that the spec names, where it has been read.
    Raises UsageError for a run without a request, for one that is too large to prepare, and for a trace that cannot be read.
    """
    dataset = dataset or read_dataset_of(spec)
    points = [
        RunSpec(
            url=redacted_url(spec.url),
            model=spec.model,
            shape=load.shape,
            input_tokens=load.input_tokens,
            output_tokens=load.output_tokens,
            endpoint=spec.endpoint,
            requests=load.requests,
            duration_s=load.duration_s,
            warmup_requests=spec.warmup_requests,
            request_timeout_s=spec.request_timeout_s,
            max_reply_bytes=spec.max_reply_bytes,
            workers=spec.workers,
            header_names=tuple(sorted(name.lower() for name in spec.header)),
            api_key_env=spec.api_key_env,
            slo=tuple(sorted(spec.slo.items())),
            tokenizer=spec.tokenizer,
            workload=replace(spec.workload_of(dataset), sessions=spec.sessions),
            requests_per_minute=spec.requests_per_minute,
            tokens_per_minute=spec.tokens_per_minute,
        )
        for load in (_grid(spec) if spec.trace is None else _replays(spec, read_trace(Path(spec.trace))))
    ]
    runs = [replace(point, seed=spec.seed + repeat) for repeat in range(spec.repeats) for point in points]
    for run in runs:
        check_planned(run)
        check_fits_the_minute(run)
    return runs


def read_dataset_of(spec: SweepSpec) -> Dataset | None:
    """The dataset that the spec names. Raises UsageError."""
    return None if spec.dataset is None else read_dataset(Path(spec.dataset), spec.endpoint)


def grid_hash(runs: Iterable[RunSpec]) -> str:
    """The hash by which a sweep is recognised when it is resumed: over every resolved run, in order."""
    return canonical_hash([run.to_json() for run in runs])


def warmup_requests(run: RunSpec) -> int:
    """How many requests warm a run up: as asked, else one wave of its own concurrency (a second's worth in the open loop)."""
    if run.warmup_requests is not None:
        return run.warmup_requests
    match run.shape:
        case OpenLoop():
            return max(1, min(_MOST_WARMUP_OPEN_LOOP, round(run.shape.mean_rate_per_s)))
        case _:
            return run.concurrency or 1


def _grid(spec: SweepSpec) -> list[_Load]:
    """Every combination of lengths and loads."""
    shapes: list[LoadShape] = [
        *(ClosedLoop(concurrency) for concurrency in spec.concurrency or ()),
        *(_open_loop(spec, rate) for rate in spec.rate or ()),
        *(Wave(size) for size in spec.wave or ()),
    ]
    assert spec.output_tokens is not None
    return [
        _Load(shape, _requests(spec, shape), spec.duration_s, input_tokens, output_tokens)
        for input_tokens, output_tokens, shape in product(spec.input_tokens or (None,), spec.output_tokens, shapes)
    ]


def _replays(spec: SweepSpec, trace: Trace) -> list[_Load]:
    """The trace at each time scale. A duration is counted out in requests here, since the trace says when each is due."""
    if spec.requests is not None and spec.requests > len(trace):
        raise UsageError(
            f"--requests is {spec.requests:,}, and the trace {trace.name} has {len(trace):,}; leave it out"
        )
    loads = []
    for time_scale in spec.time_scale or (1.0,):
        requests = spec.requests or len(trace)
        if spec.duration_s is not None:
            requests = trace.requests_within(time_scale, spec.duration_s)
        prompt_tokens, output_tokens = (
            max(1, round(float(tokens[:requests].mean()))) for tokens in (trace.prompt_tokens, trace.output_tokens)
        )
        shape = replace(trace.replay(time_scale, requests), max_in_flight=spec.max_in_flight)
        loads.append(_Load(shape, requests, None, prompt_tokens, output_tokens))
    return loads


def _open_loop(spec: SweepSpec, rate_per_s: float) -> OpenLoop:
    """The open loop that begins at `rate_per_s`. A ramp lasts as long as the run, or until all its requests have arrived."""
    arrivals = spec.arrival_process
    if spec.ramp_to is None:
        return OpenLoop(rate_per_s, arrivals, spec.burstiness, max_in_flight=spec.max_in_flight)
    over_s = spec.duration_s
    if over_s is None:
        mean_per_s = Ramp(spec.ramp_to, 1.0, spec.ramp_strategy).mean_rate_per_s(rate_per_s)
        over_s = (spec.requests or _requests_of_open_loop(mean_per_s)) / mean_per_s
    ramp = Ramp(spec.ramp_to, over_s, spec.ramp_strategy)
    return OpenLoop(rate_per_s, arrivals, spec.burstiness, ramp, max_in_flight=spec.max_in_flight)


def _requests_of_open_loop(rate_per_s: float) -> int:
    return max(32, round(30 * rate_per_s))


def _requests(spec: SweepSpec, shape: LoadShape) -> int | None:
    """Requests of one point: as asked, else enough for a steady state of eight rounds, or for half a minute of arrivals."""
    if spec.requests is not None or spec.duration_s is not None:
        return spec.requests
    match shape:
        case ClosedLoop(concurrency=concurrency) if spec.sessions is not None:
            return requests_of_sessions(spec.sessions, concurrency)
        case ClosedLoop(concurrency=concurrency):
            return max(32, 8 * concurrency)
        case OpenLoop():
            return _requests_of_open_loop(shape.mean_rate_per_s)
        case Wave():
            return None


def _check(spec: SweepSpec, origin: Origin) -> None:
    """Combinations that no single value shows to be wrong."""
    name = origin.name
    check_bounds({key: getattr(spec, key) for key in BOUNDS}, origin)
    loads = [key for key in ("concurrency", "rate", "wave", "trace") if getattr(spec, key) is not None]
    if not loads:
        raise UsageError("no load is given: say --concurrency N, --rate R, --wave N or --trace FILE")
    if len(loads) > 1:
        raise UsageError(f"{name(loads[0])} and {name(loads[1])} exclude each other; give one of them")
    if spec.trace is not None:
        for key in ("input_tokens", "output_tokens", "range_ratio", "prefix_tokens", "dataset"):
            if key in spec.model_fields_set:
                raise UsageError(f"{name(key)} does not go with {name('trace')}, which has the length of each request")
    for key in ("input_tokens", "output_tokens"):
        if (
            spec.trace is None
            and getattr(spec, key) is None
            and not (key == "input_tokens" and spec.dataset is not None)
        ):
            raise UsageError(f"{name(key)} is missing; say how many tokens, for example --{key.replace('_', '-')} 128")
    if spec.requests is not None and spec.duration_s is not None:
        raise UsageError(f"{name('requests')} and {name('duration_s')} exclude each other; give one of them")
    if spec.wave is not None:
        for key in ("requests", "duration_s"):
            if getattr(spec, key) is not None:
                raise UsageError(f"{name(key)} does not go with {name('wave')}: a wave is exactly its size in requests")
    _check_arrivals(spec, origin, loads[0])
    if spec.concurrency is not None and spec.requests is not None and spec.requests < max(spec.concurrency):
        most = max(spec.concurrency)
        raise UsageError(
            f"{name('requests')} is {spec.requests}, fewer than a concurrency of {most}, which would never be reached; "
            f"ask for {most} or more, or leave it out"
        )
    if spec.concurrency is not None and spec.duration_s is not None and spec.warmup_requests == 0:
        raise UsageError(
            f"{name('duration_s')} needs a warm-up, which tells how many requests to prepare; leave {name('warmup_requests')} out"
        )
    callers = min([*(spec.concurrency or ()), *(spec.wave or ())], default=None)
    if spec.workers is not None and callers is not None and spec.workers > callers:
        raise UsageError(
            f"{name('workers')} is {spec.workers}, more than {callers} callers can be dealt out to; "
            f"ask for {callers} at most, or leave it out"
        )
    for metric in spec.slo:
        if metric not in SLO_METRICS:
            raise UsageError(
                f"{name('slo')} names '{metric}', which has no limit; choose from {', '.join(SLO_METRICS)}"
            )
    check_workload(spec, origin)
    check_rate_limits(spec, origin)
    check_sessions(spec, origin)
    check_route(spec, origin)
    check_price(spec, origin)
    _check_headers(spec, origin)
    for key in ("url", "model"):
        if key in spec.model_fields_set and not getattr(spec, key).strip():
            raise UsageError(f"{name(key)} is empty")


def _check_arrivals(spec: SweepSpec, origin: Origin, load: str) -> None:
    """The flags that say how the requests of a rate arrive."""
    name = origin.name
    for key in ("arrivals", "burstiness", "ramp_to", "ramp_strategy"):
        if spec.rate is None and key in spec.model_fields_set:
            raise UsageError(f"{name(key)} needs --rate; requests of {name(load)} have no arrival process")
    if spec.max_in_flight is not None and load not in ("rate", "trace"):
        raise UsageError(
            f"{name('max_in_flight')} needs --rate or --trace: {name(load)} says by itself how many requests are in flight"
        )
    if spec.max_in_flight is not None and spec.workers is not None and spec.workers > spec.max_in_flight:
        raise UsageError(
            f"{name('workers')} is {spec.workers}, more than {name('max_in_flight')} {spec.max_in_flight} can be dealt out to; "
            f"ask for {spec.max_in_flight} at most, or leave it out"
        )
    if spec.trace is None and spec.time_scale is not None:
        raise UsageError(f"{name('time_scale')} needs --trace FILE, whose offsets it multiplies")
    if spec.arrivals == "gamma" and spec.burstiness is None:
        raise UsageError(f"{name('arrivals')} gamma needs --burstiness: 1 is poisson, below 1 is burstier")
    if spec.burstiness is not None and spec.arrivals not in (None, "gamma"):
        raise UsageError(f"{name('burstiness')} needs --arrivals gamma, not {spec.arrivals}")
    if spec.ramp_to is None and "ramp_strategy" in spec.model_fields_set:
        raise UsageError(f"{name('ramp_strategy')} needs --ramp-to R, the rate at the end of the ramp")
    if spec.ramp_to is not None and spec.ramp_to in (spec.rate or ()):
        raise UsageError(f"{name('ramp_to')} is {spec.ramp_to:g}, the rate at the start; give another, or leave it out")


def _check_headers(spec: SweepSpec, origin: Origin) -> None:
    """Headers that can be sent, and a key that is named and not given. No value of either is repeated in a message."""
    name = origin.name("header")
    seen: set[str] = set()
    for header, value in spec.header.items():
        if not _HEADER_NAME.fullmatch(header):  # which may be `Authorization: Bearer KEY`, so it is not repeated
            raise UsageError(f"{name} has no legal name before its '='; write it like X-Team=blue")
        if not value.isascii() or not value.isprintable():
            raise UsageError(f"the value of {name} {header} holds characters that a header cannot carry")
        if header.lower() in _OUR_HEADERS:
            raise UsageError(f"{name} {header} is refused: loadgen sets it for each request by itself; leave it out")
        if header.lower() in seen:
            raise UsageError(f"{name} gives {header} twice; give it once")
        seen.add(header.lower())
    if spec.api_key_env is None:
        return
    if not _VARIABLE_NAME.fullmatch(spec.api_key_env):
        raise UsageError(
            f"{origin.name('api_key_env')} takes the name of an environment variable, not the key itself: "
            "export the key and give the variable's name"
        )
    if "authorization" in seen:
        raise UsageError(
            f"{name} Authorization and {origin.name('api_key_env')} exclude each other, since both make that header; "
            "give one of them"
        )
