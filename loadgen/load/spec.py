"""One load point, resolved: everything that a run needs to know, and the hash by which it is recognised again.

Pure data. A `RunSpec` never holds a secret: an API key is named by its environment variable, and of headers only the names are kept.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from loadgen.load.rate_limits import RateLimits
from loadgen.load.shapes import LoadShape, shape_from_json
from loadgen.load.workload import FILE_NOTES, PLAIN, Workload

Endpoint = Literal["completions", "chat"]


# Fields that a spec without them does not name in JSON.
_LEFT_OUT = ("workload", "requests_per_minute", "tokens_per_minute", "max_reply_bytes")


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
        document = asdict(self) | {
            "shape": self.shape.to_json(),
            "header_names": list(self.header_names),
            "slo": dict(self.slo),
            "workload": self.workload.to_json() or None,
        }
        return {key: value for key, value in document.items() if value is not None or key not in _LEFT_OUT}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "RunSpec":
        """The inverse of `to_json`."""
        others = dict(document)
        return cls(
            shape=shape_from_json(others.pop("shape")),
            header_names=tuple(others.pop("header_names")),
            slo=tuple(others.pop("slo").items()),
            workload=Workload.from_json(others.pop("workload", {})),
            **others,
        )

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that name this spec: equal specs, seed included, have equal hashes."""
        document = self.to_json()
        for holder, name in (("shape", "trace"), ("workload", "dataset")):
            source = document.get(holder, {}).get(name)
            for key in FILE_NOTES if source else ():
                source.pop(key, None)
        return canonical_hash(document)

    @property
    def file_notes(self) -> tuple[str, ...]:
        """What of its dataset or trace was not used, a sentence each."""
        sources = (self.workload.dataset, self.shape.trace)
        return tuple(note for source in sources if source is not None for note in source.notes)

    @property
    def point(self) -> "RunSpec":
        """The load point without its repeat: the same spec with seed 0. Repeats of one point share it."""
        return replace(self, seed=0)

    @property
    def rate_limits(self) -> RateLimits:
        return RateLimits(self.requests_per_minute, self.tokens_per_minute)

    @property
    def concurrency(self) -> int | None:
        """How many requests are asked to be in flight at once; None for the open loop, where it is an outcome."""
        return self.shape.callers

    def planned_requests(self) -> int | None:
        """How many requests the spec asks for; None for a closed loop bounded by its duration, which depends on the server."""
        return self.shape.planned_requests(self.requests, self.duration_s, self.seed)

    @property
    def load_label(self) -> str:
        """The load in a few words for a person: `concurrency 16`, `4 requests/s poisson`, `wave of 64`; its limits, if any."""
        return self.shape.label + (f", {label}" if (label := self.rate_limits.label) else "")


def canonical_hash(document: object) -> str:
    """16 hexadecimal digits over the canonical JSON (sorted keys, no white space) of `document`."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
