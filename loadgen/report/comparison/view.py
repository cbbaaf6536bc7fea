"""What a comparison shows, as its address says it: read from a query, and written as one, so that a link shows the same again.

Names in the address are checked here as far as they can be without the runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from urllib.parse import quote, urlencode

from loadgen.errors import UsageError, hint, listed

STATISTICS = ("p50", "p90", "p95", "p99", "mean")
MAX_CHOSEN = 100  # ids in one address
NO_BASELINE = "none"  # in the address; without the word the first colour is the baseline
_MAX_CHARACTERS = 200  # characters of one value


@dataclass(frozen=True, slots=True)
class Filters:
    """Which sweeps are meant, by what is known of them. Empty: all."""

    q: str = ""  # words in the name or the id
    profile: str = ""
    model: str = ""
    tag: str = ""
    since: str = ""  # a day, inclusive
    until: str = ""  # a day, inclusive

    @property
    def any(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def pairs(self) -> list[tuple[str, str]]:
        """As the address has it."""
        return [(each.name, getattr(self, each.name)) for each in fields(self) if getattr(self, each.name)]


@dataclass(frozen=True, slots=True)
class View:
    """Ids of sweeps, groups and runs, or filters in their place; and how they are drawn. Empty words: as fits the runs."""

    ids: tuple[str, ...] = ()
    filters: Filters = Filters()
    x: str = ""
    y: tuple[str, ...] = ()
    stat: str = "p50"
    color: str = ""
    facet: str = ""
    log: tuple[str, ...] | None = None  # axes with a logarithmic scale; None: where it helps
    baseline: str = ""
    show: str = "value"  # or "ratio", to the baseline
    all: bool = False  # invalid runs too

    def pairs(self) -> list[tuple[str, str]]:
        """As the address has it, without what is as it would be anyway."""
        found = [("in", each) for each in self.ids] + self.filters.pairs()
        found += [(name, getattr(self, name)) for name in ("x", "color", "facet", "baseline") if getattr(self, name)]
        found += [("y", each) for each in self.y]
        if self.stat != "p50":
            found.append(("stat", self.stat))
        if self.log is not None:
            found.append(("log", ",".join(self.log) or "none"))
        if self.show != "value":
            found.append(("show", self.show))
        if self.all:
            found.append(("all", "1"))
        return found

    def query(self) -> str:
        return urlencode(self.pairs(), quote_via=quote, safe=",:")

    def without(self, found_id: str) -> "View":
        return replace(self, ids=tuple(each for each in self.ids if each != found_id))


CHOICES = tuple(each.name for each in fields(View) if each.name not in ("ids", "filters"))
_KNOWN = ("in", *(each.name for each in fields(Filters)), *CHOICES)


def read_filters(query: Mapping[str, Sequence[str]]) -> Filters:
    """The filters of an address. Raises UsageError for a day that is none."""
    values = {each.name: _one(query, each.name) for each in fields(Filters)}
    for name in ("since", "until"):
        try:
            if values[name]:
                date.fromisoformat(values[name])
        except ValueError:
            raise UsageError(f"{name} is '{values[name]}', which is no day: write it as 2026-11-26") from None
    return Filters(**values)


def read_view(query: Mapping[str, Sequence[str]]) -> View:
    """The view of an address; each name with all its values. Raises UsageError in one sentence for a name or value that is none."""
    check_words(query, _KNOWN, "a comparison")
    ids = tuple(dict.fromkeys(_many(query, "in")))
    if len(ids) > MAX_CHOSEN:
        raise UsageError(f"the address names {len(ids)} sweeps or runs; a page holds {MAX_CHOSEN}")
    stat = _one(query, "stat") or "p50"
    check_choice("stat", stat, STATISTICS)
    show = _one(query, "show") or "value"
    check_choice("show", show, ("value", "ratio"))
    log: tuple[str, ...] | None = None
    if "log" in query:
        words = [word for word in _many(query, "log") if word != "none"]
        for word in words:
            check_choice("log", word, ("x", "y", "none"))
        log = tuple(sorted(set(words)))
    return View(
        ids=ids,
        filters=read_filters(query),
        x=_one(query, "x"),
        y=tuple(dict.fromkeys(_many(query, "y"))),
        stat=stat,
        color=_one(query, "color"),
        facet=_one(query, "facet"),
        log=log,
        baseline=_one(query, "baseline"),
        show=show,
        all=_one(query, "all") not in ("", "0"),
    )


def check_words(query: Iterable[str], known: Sequence[str], page: str) -> None:
    """Raises UsageError for a word of an address that such a page does not know."""
    for name in query:
        if name not in known:
            raise UsageError(
                f"the address has a word '{name[:40]}' that {page} does not know; {hint(name, known, kind='words')}"
            )


def check_choice(name: str, value: str, known: Iterable[str]) -> None:
    """Raises UsageError when `value` is none of `known`."""
    names = tuple(known)
    if value not in names:
        otherwise = listed(names[:12])
        raise UsageError(
            f"{name} is '{value[:60]}', which is not among what can be chosen; {hint(value, names, otherwise=otherwise)}"
        )


def _one(query: Mapping[str, Sequence[str]], name: str) -> str:
    values = query.get(name) or [""]
    if len(values) > 1:
        raise UsageError(f"the address says {name} twice; leave one of them out")
    if len(values[0]) > _MAX_CHARACTERS:
        raise UsageError(f"{name} is longer than {_MAX_CHARACTERS} characters")
    return values[0].strip()


def _many(query: Mapping[str, Sequence[str]], name: str) -> list[str]:
    """The values of a name, which may stand several times and hold lists with commas."""
    return [part.strip() for value in query.get(name, ()) for part in value.split(",") if part.strip()]
