"""How far the client's stamps are from the truth, where the truth is known: the figures of `loadgen doctor` and of the bench.

Moments are nanoseconds on one monotonic clock; figures are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from loadgen.analysis.stats import distribution
from loadgen.engine.records.record import Int64, Outcome, Records

# Tokens that the server wrote closer together than this were as good as joined by itself.
APART_NS = 100_000


@dataclass(frozen=True, slots=True)
class Sighting:
    """One request as one side saw it: when it was sent (client) or arrived (server), and its contents in order."""

    begun_ns: int
    content_ns: Int64


@dataclass(frozen=True, slots=True)
class ClientError:
    """The client's error over the requests that both sides saw whole. None where there are too few samples for a percentile."""

    requests: int
    ttft_error_p50_s: float | None  # of |seen − true| by request
    ttft_error_p99_s: float | None
    gap_p99_error_s: float | None  # p99 of the gaps seen minus p99 of the gaps sent
    joined_ratio: float | None  # contents seen at one moment that the server had sent apart/all contents


@dataclass(frozen=True, slots=True)
class Promise:
    """The largest errors allowed, field by field those of ClientError."""

    ttft_error_p50_s: float
    ttft_error_p99_s: float
    gap_p99_error_s: float
    joined_ratio: float


# What the engine promises at any number of streams; `make bench` holds it to the same.
PROMISE = Promise(ttft_error_p50_s=0.05e-3, ttft_error_p99_s=0.2e-3, gap_p99_error_s=0.5e-3, joined_ratio=0.01)

_NAMES = {
    "ttft_error_p50_s": "median TTFT error",
    "ttft_error_p99_s": "TTFT error p99",
    "gap_p99_error_s": "gap p99 error",
}


def sightings(records: Records) -> dict[int, Sighting]:
    """What the client saw of its ok requests, by their place in the schedule."""
    begin = records.arrival_start
    return {
        int(records.index[row]): Sighting(int(records.sent_ns[row]), records.arrival_ns[begin[row] : begin[row + 1]])
        for row in np.flatnonzero(records.outcome == Outcome.OK).tolist()
    }


def client_error(seen: Mapping[int, Sighting], truth: Mapping[int, Sighting]) -> ClientError:
    """The error of what the client saw against the truth, request by request under the same number."""
    whole = [number for number in seen if number in truth and _same_contents(seen[number], truth[number])]
    pairs = [(seen[number], truth[number]) for number in whole]
    if not pairs:
        return ClientError(0, None, None, None, None)
    errors_ns = np.array([abs(_ttft_ns(ours) - _ttft_ns(theirs)) for ours, theirs in pairs])
    gaps_ns = np.concatenate([np.diff(ours.content_ns) for ours, _ in pairs])
    true_gaps_ns = np.concatenate([np.diff(theirs.content_ns) for _, theirs in pairs])
    contents = sum(len(ours.content_ns) for ours, _ in pairs)
    joined = int(np.count_nonzero((gaps_ns == 0) & (true_gaps_ns > APART_NS)))
    ttft_error = distribution(errors_ns / 1e9)
    gap_p99_s, true_gap_p99_s = (distribution(each / 1e9)["p99"] for each in (gaps_ns, true_gaps_ns))
    return ClientError(
        requests=len(pairs),
        ttft_error_p50_s=ttft_error["p50"],
        ttft_error_p99_s=ttft_error["p99"],
        gap_p99_error_s=None if gap_p99_s is None or true_gap_p99_s is None else gap_p99_s - true_gap_p99_s,
        joined_ratio=joined / contents,
    )


def broken_promises(error: ClientError) -> list[str]:
    """Each figure of `error` that is worse than PROMISE, in a few words."""
    if not error.requests:
        return ["no answer was whole"]
    broken = []
    for field, name in _NAMES.items():
        value, limit = getattr(error, field), getattr(PROMISE, field)
        if value is not None and abs(value) > limit:
            broken.append(f"{name} {value * 1e3:.3g} ms, promised {limit * 1e3:g} ms")
    if error.joined_ratio is not None and error.joined_ratio > PROMISE.joined_ratio:
        broken.append(f"{error.joined_ratio:.1%} of the contents joined, promised {PROMISE.joined_ratio:.0%}")
    return broken


def _same_contents(seen: Sighting, truth: Sighting) -> bool:
    return len(seen.content_ns) == len(truth.content_ns) > 0


def _ttft_ns(sighting: Sighting) -> int:
    return int(sighting.content_ns[0]) - sighting.begun_ns
