"""What a sweep is asked to do, from flags or a file. One model for both: a key of the file is a flag with underscores."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from loadgen.engine.capture.sample import MAX_REPLIES
from loadgen.errors import UsageError
from loadgen.load.arrivals import Arrivals, Ramp, RampStrategy
from loadgen.load.shapes import ClosedLoop, LoadShape, OpenLoop, Wave
from loadgen.load.spec import Endpoint
from loadgen.servers.http_client import Headers
from loadgen.servers.server_url import redacted_url
from loadgen.spec import keys
from loadgen.spec.accuracy import Accuracy, as_accuracy

SIMULATOR = "simulator"  # stands for the embedded simulator in place of a URL
SIMULATOR_MODEL = "simulated-moe"
SLO_METRICS = ("ttft_s", "tpot_s", "e2e_latency_s")


def _unless_auto(value: object) -> object:
    return None if value == "auto" else value


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WholeList = Annotated[list[keys.Whole] | None, BeforeValidator(keys.as_list)]
PositiveList = Annotated[list[Positive] | None, BeforeValidator(keys.as_list)]
LengthPairs = Annotated[list[tuple[keys.Whole, keys.Whole]] | None, BeforeValidator(keys.as_lengths)]


@dataclass(frozen=True, slots=True)
class LoadKey:
    """A key that gives the load of a sweep. It excludes `excluded` keys, for the reason `why`."""

    option: str
    has_callers: bool = False  # a request waits for a caller, instead of being due at a time set in advance
    excluded: tuple[str, ...] = ()
    why: str = ""


LOADS: Mapping[str, LoadKey] = {
    "concurrency": LoadKey("--concurrency N", has_callers=True),
    "rate": LoadKey("--rate R"),
    "wave": LoadKey(
        "--wave N",
        has_callers=True,
        excluded=("requests", "duration_s"),
        why="a wave is exactly its size in requests",
    ),
    "trace": LoadKey(
        "--trace FILE",
        excluded=("lengths", "input_tokens", "output_tokens", "range_ratio", "prefix_tokens", "dataset"),
        why="which has the length of each request",
    ),
}
"""The keys of a load, exactly one of which is given; `SweepSpec.shapes` makes the load shapes of all but the trace."""


class SweepSpec(keys.WorkloadKeys, keys.RateLimitKeys, keys.SessionKeys, keys.RouteKeys, keys.PriceKeys, keys.TagKeys):
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
    max_in_flight: keys.Whole | None = None
    trace: str | None = None
    time_scale: PositiveList = None
    requests: keys.Whole | None = None
    duration_s: Positive | None = None
    lengths: LengthPairs = None
    input_tokens: WholeList = None
    output_tokens: WholeList = None
    warmup_requests: Annotated[int, Field(ge=0)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    repeats: keys.Whole = 1
    workers: Annotated[keys.Whole | None, BeforeValidator(_unless_auto)] = None  # None: as many as the load needs
    request_timeout_s: Positive = 600.0
    max_reply_bytes: Annotated[int, Field(ge=1024)] | None = None
    api_key_env: str | None = None
    tokenizer: Annotated[str, Field(min_length=1)] | None = None
    keep_replies: Annotated[int, Field(ge=0, le=MAX_REPLIES)] = 0  # of each run, with their text
    experts: bool = False  # count how often each expert is chosen
    accuracy: Annotated[Accuracy | None, BeforeValidator(as_accuracy)] = None
    header: Annotated[dict[str, str], BeforeValidator(keys.as_pairs), Field(repr=False, default_factory=dict)]
    slo: Annotated[dict[str, Positive], BeforeValidator(keys.as_pairs), Field(default_factory=dict)]

    @property
    def is_simulated(self) -> bool:
        """Whether the embedded simulator is to be started for it."""
        return self.url == SIMULATOR

    @property
    def arrival_process(self) -> Arrivals:
        """The process of a rate: as asked, else gamma where a burstiness is given."""
        return self.arrivals or ("poisson" if self.burstiness is None else "gamma")

    @property
    def length_pairs(self) -> list[tuple[int | None, int]]:
        """(input, output) tokens of each point: the pairs of `lengths`, else every combination. None: a dataset's prompts."""
        if self.lengths is not None:
            return [*self.lengths]
        return list(product(self.input_tokens or (None,), self.output_tokens or ()))

    @property
    def shapes(self) -> list[LoadShape]:
        """The load shapes of the grid, in order; none for a trace, whose shapes follow from the file."""
        return [
            *(ClosedLoop(concurrency) for concurrency in self.concurrency or ()),
            *(self._open_loop(rate_per_s) for rate_per_s in self.rate or ()),
            *(Wave(size) for size in self.wave or ()),
        ]

    def _open_loop(self, rate_per_s: float) -> OpenLoop:
        """The open loop that begins at `rate_per_s`. A ramp lasts as long as the run, or until all its requests have arrived."""
        ramp = None
        if self.ramp_to is not None:
            over_s = self.duration_s
            if over_s is None:
                mean_per_s = Ramp(self.ramp_to, 1.0, self.ramp_strategy).mean_rate_per_s(rate_per_s)
                over_s = (self.requests or OpenLoop(mean_per_s).default_requests()) / mean_per_s
            ramp = Ramp(self.ramp_to, over_s, self.ramp_strategy)
        return OpenLoop(rate_per_s, self.arrival_process, self.burstiness, ramp, max_in_flight=self.max_in_flight)

    def to_json(self) -> dict[str, object]:
        """Return the spec for the record: of headers only the names, since their values may be secrets, and no unused keys."""
        unused = self.unused_keys | (set() if self.ramp_to is not None else {"ramp_strategy"})
        unused |= {key for key in ("price", "tag", "keep_replies", "experts") if not getattr(self, key)}
        document = self.model_dump(exclude={"header"} | unused, exclude_none=True)
        if self.rate is not None:
            document |= {"arrivals": self.arrival_process}
        names = sorted(name.lower() for name in self.header)
        return document | {"url": redacted_url(self.url), "header_names": names}

    def secret_headers(self, environ: Mapping[str, str]) -> Headers:
        """The headers to send, key included. Raises UsageError when the named variable is not set."""
        headers = tuple(self.header.items())
        key = keys.api_key(self.api_key_env, environ)
        if key is None:
            return headers
        if not key.isascii() or not key.isprintable():
            raise UsageError(f"the environment variable {self.api_key_env} does not hold a key that a header can carry")
        return (*headers, ("Authorization", f"Bearer {key}"))
