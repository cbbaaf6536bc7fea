"""Figures as people read them: milliseconds, thousands separated, a dash where there is no figure.

Every function takes None and answers a dash: a missing figure is never shown as 0.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeGuard

from loadgen.analysis.document import leaves

MISSING_FIGURE = "–"


ANSWERS = {"better": "better", "worse": "worse", "cant_tell": "inconclusive"}
"""What a comparison says, in words."""


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number, which a bool is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: float | None, digits: int = 3) -> str:
    """`value` to `digits` significant digits, never in scientific notation: 0.213, 28.0, 12,345. Integers stay whole."""
    if value is None:
        return MISSING_FIGURE
    if value == 0:
        return "0"
    if isinstance(value, int) or abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    text = f"{value:#.{digits}g}".removesuffix(".")
    return text if "e" not in text else f"{value:.6f}".rstrip("0").rstrip(".") or "0"


def setting(value: float) -> str:
    """A number that somebody chose, as short as it was written: 16, 0.5, 1,024."""
    return f"{value:,g}" if abs(value) < 1e5 else f"{value:,.0f}"


def milliseconds(value_s: float | None) -> str:
    """Seconds as milliseconds, without the unit."""
    return number(None if value_s is None else value_s * 1000)


def percent(ratio: float | None) -> str:
    """A ratio of 0..1 as per cent, with the sign."""
    return MISSING_FIGURE if ratio is None else f"{number(ratio * 100)} %"


def figure(value: float | None, unit: str) -> str:
    """`value` as a table shows it: durations in milliseconds, ratios in per cent, all else as it is."""
    match unit:
        case "s":
            return milliseconds(value)
        case "ratio":
            return percent(value)
        case _:
            return number(value)


def cell(value: float | None, unit: str) -> str:
    """`value` under a heading that has its `shown_unit`: `figure` without the sign of per cent."""
    return figure(value, unit).removesuffix(" %")


def shown_unit(unit: str) -> str:
    """The unit which `figure` writes its values in."""
    return {"s": "ms", "ratio": "%"}.get(unit, unit)


def shown_factor(unit: str) -> float:
    """By what a figure is multiplied for its `shown_unit`."""
    return {"s": 1000.0, "ratio": 100.0}.get(unit, 1.0)


def seconds(value_s: float | None) -> str:
    """A long duration: 48 s, 3 min 12 s, 2 min, 2 h 5 min."""
    if value_s is None:
        return MISSING_FIGURE
    if value_s < 60:
        return f"{number(value_s)} s"
    minutes, rest_s = divmod(round(value_s), 60)
    if minutes < 60:
        return f"{minutes} min {rest_s} s" if rest_s else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def dollars(value_usd: float | None) -> str:
    """US dollars: $0.0123, $4.50, $1,234."""
    if value_usd is None:
        return MISSING_FIGURE
    return f"${value_usd:,.2f}" if 1 <= value_usd < 1000 else f"${number(value_usd)}"


def size(value_bytes: float | None) -> str:
    """Bytes with a binary prefix: 512 MiB."""
    if value_bytes is None:
        return MISSING_FIGURE
    amount = float(value_bytes)
    for prefix in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{number(amount)} {prefix}"
        amount /= 1024
    return f"{number(amount)} TiB"


def utc(at: str | None) -> datetime | None:
    """An ISO 8601 time, in UTC where it names no zone; None for anything else."""
    try:
        parsed = None if at is None else datetime.fromisoformat(at)
    except ValueError:
        return None
    return parsed if parsed is None else parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def timestamp(at: str | None) -> str:
    """An ISO 8601 moment as `2026-11-23 15:29:01 UTC`; anything else as it came."""
    if not at:
        return MISSING_FIGURE
    parsed = utc(at)
    return at if parsed is None else f"{parsed:%Y-%m-%d %H:%M:%S} UTC"


def ago(at: str | None, now: datetime | None) -> str:
    """How long before `now` the ISO 8601 moment was, in one unit: `3 min ago`. Without a `now`, the moment itself."""
    if not at or now is None:
        return timestamp(at)
    parsed = utc(at)
    if parsed is None:
        return at
    elapsed_s = (now - parsed).total_seconds()
    if elapsed_s < 10:
        return "just now"
    for limit_s, unit_s, name in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h")):
        if elapsed_s < limit_s:
            return f"{elapsed_s // unit_s:.0f} {name} ago"
    days = int(elapsed_s // 86400)
    return "yesterday" if days == 1 else f"{days} days ago"


def sentence(message: str) -> str:
    """A message, which begins in lower case and has no full stop, as a sentence of a page."""
    return f"{message[:1].upper()}{message[1:]}{'' if message.endswith(('.', '?')) else '.'}"


def plural(count: int, noun: str) -> str:
    """`1 run`, `12 runs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def ordinal(count: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`."""
    last = 0 if count % 100 in (11, 12, 13) else count % 10
    return f"{count:,}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(last, 'th') }"


def flat(document: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """A nested document as (dotted key, text) pairs in its own order, for tables of facts; empty parts are left out."""
    return tuple((key, _fact(value)) for key, value in leaves(document))


def _fact(value: object) -> str:
    match value:
        case None:
            return MISSING_FIGURE
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value)) or MISSING_FIGURE
        case float():
            return f"{value:g}"
        case _:
            return str(value)
