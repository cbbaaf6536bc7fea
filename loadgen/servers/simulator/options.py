"""What a simulated server is asked to be. Pure data, checked when it is made."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from loadgen.errors import UsageError, listed
from loadgen.load.rate_limits import RateLimits

Provider = Literal["cerebras"]
"""Whose API it has, in place of vLLM's: paths, fields, errors, limits and what it tells."""

Tells = Literal["token_ids", "usage", "final", "nothing"]
"""Up to which means a server tells its tokens where it is asked to: the ids of each chunk and all below; the running usage and
the final one; the final usage alone; nothing at all."""


Precision = Literal["bf16", "fp8", "int4"]
"""Of the weights of a model on `hardware`."""

_MAX_DURATION_S = 86_400.0  # a day
_DURATIONS = ("ttft_s", "gap_s", "ttft_per_prompt_token_s", "ttft_per_running_s", "gap_per_running_s")
_OF_FORMULAS = (*_DURATIONS, "jitter_ratio", "kv_cache_tokens")


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """The model of service: token k of a request is due `ttft + k * gap` after its start, k from 0.

    A request starts when its last byte arrives, or when one of the `max_running` places is freed. With p prompt tokens
    and r other requests running at its start,

        ttft = ttft_s + ttft_per_prompt_token_s * p + ttft_per_running_s * r
        gap  = gap_s + gap_per_running_s * r

    so that throughput saturates at `1 / gap_per_running_s` tokens per second. `jitter_ratio` delays each first token by up
    to that share of its ttft and each later one by up to that share of its gap; equal seeds draw equal delays.
    More than `requests_per_minute` or `tokens_per_minute` are answered with 429; a minute lasts `minute_s`.
    With a `provider` it is a twin of that one's API: its answers end by themselves after `answer_tokens` on average, drawn
    evenly from half to one and a half times that, or where their request says; and it wants the key that the environment
    variable `api_key_env` holds.
    With `hardware` the times are those of `model` on `tp` such accelerators, by the scheduler and the roofline that predict
    studies; then `max_running` is the engine's max-num-seqs.
    `faults` are names of `faults.FAULTS`, as `NAME` or `NAME:every=K`; the server checks them when it starts.
    Raises `UsageError` for a value outside its range.
    """

    host: str = "127.0.0.1"
    port: int = 0  # 0: any free port
    model: str = "simulated-moe"
    ttft_s: float = 0.05
    gap_s: float = 0.01
    ttft_per_prompt_token_s: float = 0.0
    ttft_per_running_s: float = 0.0
    gap_per_running_s: float = 0.0
    jitter_ratio: float = 0.0
    seed: int = 0
    max_running: int | None = None  # None: no queue
    requests_per_minute: int | None = None  # None: no such limit
    tokens_per_minute: int | None = None
    minute_s: float = 60.0  # shorter in tests, which cannot wait for a whole one
    max_model_len: int = 32768
    kv_cache_tokens: int = 1_048_576  # what counts as a full cache in /metrics
    tells: Tells = "token_ids"
    provider: Provider | None = None
    api_key_env: str | None = None
    answer_tokens: int | None = None  # None: as many as are asked
    hardware: str | None = None  # None: times by the formulas above
    tp: int = 1
    precision: Precision = "bf16"
    faults: tuple[str, ...] = ()
    truth_requests: int = 100_000  # how many of the last requests /truth remembers

    def __post_init__(self) -> None:
        for name in _DURATIONS:
            value = getattr(self, name)
            if not 0 <= value <= _MAX_DURATION_S:
                raise UsageError(
                    f"{name} is {value:g}; give a number of seconds that is not negative, up to {_MAX_DURATION_S:,.0f}"
                )
        if not 0 <= self.jitter_ratio <= 1:
            raise UsageError(f"jitter_ratio is {self.jitter_ratio:g}; give a number from 0 to 1")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port is {self.port}; give a number from 1 to 65535, or 0 for any free port")
        if self.tells not in get_args(Tells):
            raise UsageError(f"tells is '{self.tells}'; {listed(get_args(Tells))}")
        if self.provider not in (None, *get_args(Provider)):
            raise UsageError(f"provider is '{self.provider}'; {listed(get_args(Provider))}")
        for name in ("api_key_env", "answer_tokens"):
            if self.provider is None and getattr(self, name) is not None:
                raise UsageError(f"{name} needs a provider, such as cerebras: vLLM's own server has nothing like it")
        self._check_hardware()
        if not self.model:
            raise UsageError("the model has no name; give one, such as simulated-moe")
        for name, least in (("max_model_len", 2), ("kv_cache_tokens", 1), ("truth_requests", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}; give at least {least}")
        for name in ("max_running", "requests_per_minute", "tokens_per_minute", "answer_tokens"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise UsageError(f"{name} is {limit}; give at least 1, or leave it out for no limit")

    def _check_hardware(self) -> None:
        if self.precision not in get_args(Precision):
            raise UsageError(f"precision is '{self.precision}'; {listed(get_args(Precision))}")
        if self.tp < 1:
            raise UsageError(f"tp is {self.tp}; give at least 1")
        defaults = {each.name: each.default for each in fields(self)}
        if self.hardware is None:
            for name in ("tp", "precision"):
                if getattr(self, name) != defaults[name]:
                    raise UsageError(f"{name} needs hardware, such as h100: without it no model is simulated")
            return
        for name in _OF_FORMULAS:
            if getattr(self, name) != defaults[name]:
                raise UsageError(f"{name} and hardware exclude each other: the hardware says how long tokens take")
        if self.provider is not None:
            raise UsageError("provider and hardware exclude each other: a provider does not tell its hardware")

    @property
    def rate_limits(self) -> RateLimits:
        """What its clients may send, all of them together."""
        return RateLimits(self.requests_per_minute, self.tokens_per_minute, self.minute_s)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "SimulatorOptions":
        """The inverse of `to_json`."""
        given = json.loads(text)
        return cls(**given | {"faults": tuple(given["faults"])})
