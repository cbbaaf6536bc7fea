"""The least and the most that a key of a spec may be: beyond it a value is a mistake, and is refused before anything is sent.

What types already refuse (negative counts, NaN, infinity) is not repeated here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loadgen.errors import UsageError
from loadgen.inputs import Origin


@dataclass(frozen=True, slots=True)
class KeyBounds:
    """Both ends of what a key may be, and the unit that they are in."""

    least: float
    most: float
    unit: str

    def __str__(self) -> str:
        return f"{self.least:,.12g} to {self.most:,.12g} {self.unit}"


_WEEK_S = 604_800.0
_MAX_TOKENS = 100_000_000
_RATE = KeyBounds(0.0001, 10_000_000, "requests per second")
_TOKENS = KeyBounds(1, _MAX_TOKENS, "tokens")

BOUNDS: Mapping[str, KeyBounds] = {
    "concurrency": KeyBounds(1, 1_000_000, "callers"),
    "wave": KeyBounds(1, 1_000_000, "requests"),
    "rate": _RATE,
    "ramp_to": _RATE,
    "burstiness": KeyBounds(0.001, 1_000_000, "(a shape, without unit)"),
    "time_scale": KeyBounds(0.000001, 1_000_000, "(a factor)"),
    "max_in_flight": KeyBounds(1, 10_000_000, "requests"),
    "requests_per_minute": KeyBounds(1, 1_000_000_000, "requests"),
    "tokens_per_minute": KeyBounds(1, 1_000_000_000_000, "tokens"),
    "requests": KeyBounds(1, 1_000_000_000, "requests"),
    "duration_s": KeyBounds(0.001, _WEEK_S, "seconds"),
    "lengths": _TOKENS,
    "input_tokens": _TOKENS,
    "output_tokens": _TOKENS,
    "prefix_tokens": _TOKENS,
    "prefix_groups": KeyBounds(1, 1_000_000, "beginnings"),
    "images_per_request": KeyBounds(1, 1_000, "images"),
    "turns": KeyBounds(1, 10_000, "turns"),
    "think_time_s": KeyBounds(0, 86_400, "seconds"),
    "warmup_requests": KeyBounds(0, 1_000_000, "requests"),
    "repeats": KeyBounds(1, 10_000, "repeats"),
    "workers": KeyBounds(1, 1_024, "processes"),
    "request_timeout_s": KeyBounds(0.001, _WEEK_S, "seconds"),
    "max_reply_bytes": KeyBounds(1_024, 1_099_511_627_776, "bytes"),
    "slo": KeyBounds(0.000001, _WEEK_S, "seconds"),
    "price": KeyBounds(0, 1_000_000, "dollars, or GPUs"),
}


def check_bounds(given: Mapping[str, object], origin: Origin) -> None:
    """Refuse the first value of `given` that is beyond the bounds of its key. Raises UsageError."""
    for key, bounds in BOUNDS.items():
        for name, value in _values(given[key]):
            if not bounds.least <= value <= bounds.most:
                inner = f" {name}" if name else ""
                raise UsageError(f"{origin.name(key)}{inner} is {_shown(value)}; give {bounds}")


def _shown(value: float) -> str:
    if not (isinstance(value, int) and abs(value) > 10**30):  # which may be no float at all
        return f"{value:,.12g}"
    try:
        return f"a number of {len(str(value))} digits"
    except ValueError:  # of more digits than Python writes out
        return "a number of thousands of digits"


def _values(given: object) -> Iterator[tuple[str, float]]:
    """The numbers of a value, a list or a mapping, with the name of each in a mapping."""
    if isinstance(given, Mapping):
        yield from ((str(name), value) for name, value in given.items())
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _values(value)
    elif isinstance(given, int | float):
        yield "", given
