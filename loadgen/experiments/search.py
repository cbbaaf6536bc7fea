"""The highest load that meets an SLO: which run to make next, by what came of those before. Sends nothing.

Doubling from the low end until a load does not meet the SLO, then bisection between the
highest that did and the lowest that did not; then both are repeated until the interval over their runs decides.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass
from typing import Literal, cast

from loadgen.analysis.document.run import FindingDocument, RunDocument
from loadgen.analysis.document.sweep import (
    SearchAnswer,
    SearchDocument,
    SearchedLoad,
    SearchEnd,
    SearchProbe,
    SearchTermsDocument,
)
from loadgen.analysis.stats import mean_interval
from loadgen.errors import UsageError
from loadgen.load.spec import RunSpec
from loadgen.spec.runs import resolve
from loadgen.spec.sweep_spec import SweepSpec

RunOf = Callable[[float, int], RunSpec]  # of a load and the number of its repeat, from 0

# What makes a run invalid because the server failed requests: an answer of its own. The second follows from the first alone.
_MAX_RUNS = 10_000
_OVERLOADED = {"no_ok_requests", "errors"}
_FOLLOWS = {"concurrency_not_reached"}


@dataclass(frozen=True, slots=True)
class SearchTerms:
    """What is looked for, and how closely. Loads are callers, or requests per second. Raises UsageError."""

    low: float
    high: float
    goodput_ratio: float = 0.99  # this share of a run's requests must meet every limit
    tolerance_ratio: float = 0.05  # how far apart the two loads of the edge may be, as a share of the lower
    repeats: int = 3  # the most runs of one load
    max_runs: int = 20

    def __post_init__(self) -> None:
        if self.low >= self.high:
            raise UsageError(f"the search goes from {self.low:g} to {self.high:g}; write the lower load first")
        for flag, ratio in (("--goodput-ratio", self.goodput_ratio), ("--tolerance-ratio", self.tolerance_ratio)):
            if not 0 < ratio <= 1:
                raise UsageError(f"{flag} must be above 0 and at most 1, not {ratio:g}")
        for flag, count in (("--repeats", self.repeats), ("--max-runs", self.max_runs)):
            if not 1 <= count <= _MAX_RUNS:
                raise UsageError(f"{flag} must be at least 1 and at most {_MAX_RUNS:,}, not {count:,}")

    def to_json(self) -> SearchTermsDocument:
        """The `terms` of a search."""
        return cast(SearchTermsDocument, asdict(self))


@dataclass(slots=True)
class TriedLoad:
    """The runs of one load: the share of requests within the SLO of each, and whether the server failed so many that a run is invalid."""

    load: float
    ratios: list[float]
    overloaded: bool = False

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean share over the runs, within 0..1; None under two runs."""
        found = mean_interval(self.ratios)
        return None if found is None else (max(0.0, found[0]), min(1.0, found[1]))

    def answer(self, goodput_ratio: float) -> SearchAnswer:
        """By the interval where there is one; a single run speaks for itself."""
        if self.overloaded:
            return "missed"
        low, high = self.interval or (self.ratios[0], self.ratios[0])
        if low >= goodput_ratio:
            return "met"
        return "missed" if high < goodput_ratio else "cant_tell"

    def to_json(self, goodput_ratio: float) -> SearchedLoad:
        """One entry of a search's `loads`."""
        return {
            "load": self.load,
            "answer": self.answer(goodput_ratio),
            "goodput_ratio": sum(self.ratios) / len(self.ratios),
            "interval": None if self.interval is None else [*self.interval],
            "runs": len(self.ratios),
            "overloaded": self.overloaded,
        }


def met_by(document: RunDocument, goodput_ratio: float) -> bool | None:
    """Whether one run alone met the SLO for that share of its requests; None if it decides nothing."""
    invalid = _invalid_findings(document)
    if invalid.keys() & _OVERLOADED:
        return False
    ratio = document.get("goodput_ratio")
    return None if invalid or ratio is None else bool(ratio >= goodput_ratio)


def _invalid_findings(document: RunDocument) -> dict[str, FindingDocument]:
    return {each["code"]: each for each in document["verdict"]["findings"] if each.get("severity") == "invalid"}


class Search:
    """One search. `runs` yields each run to make and is sent its document; afterwards the rest says what was found."""

    def __init__(self, terms: SearchTerms, run_of: RunOf, *, whole: bool, slo: Mapping[str, float] | None = None):
        """`whole`: loads are whole numbers, as callers are. `slo`: the limits of a request, for the record."""
        self.terms = terms
        self._slo = dict(slo or {})
        self.trouble: str | None = None  # why a run decided nothing, which ended the search
        self._run_of = run_of
        self._whole = whole
        self._tried: dict[float, TriedLoad] = {}
        self._probes: list[SearchProbe] = []

    def ask(self, spec: SweepSpec) -> None:
        """Make the runs of `spec` from now on: the spec that began the search, completed by what its server told."""
        self._run_of = _runs_of(spec)

    def runs(self) -> Generator[RunSpec, RunDocument, None]:
        """Every run in turn; raises UsageError for a load that cannot be prepared."""
        while self.trouble is None and self.made < self.terms.max_runs and (load := self._next()) is not None:
            repeat = len(self._tried[load].ratios) if load in self._tried else 0
            run = self._run_of(load, repeat)
            self._take(load, run, (yield run))

    @property
    def made(self) -> int:
        """How many runs have answered."""
        return sum(len(each.ratios) for each in self._tried.values())

    @property
    def highest_met(self) -> TriedLoad | None:
        """The highest load that met the SLO below any that did not."""
        not_met = self.lowest_not_met
        below = [each for each in self._met if not_met is None or each.load < not_met.load]
        return max(below, key=lambda each: each.load, default=None)

    @property
    def lowest_not_met(self) -> TriedLoad | None:
        """The lowest load that missed the SLO, or of which it cannot be told."""
        return min(
            (each for each in self._tried.values() if each not in self._met), key=lambda each: each.load, default=None
        )

    @property
    def ended(self) -> SearchEnd:
        if self.trouble is not None:
            return "undecided"
        if self._next() is not None:
            return "max_runs" if self.made >= self.terms.max_runs else "interrupted"
        if self.lowest_not_met is None:
            return "all_met"
        return "none_met" if self.highest_met is None else "edge"

    def doubling(self) -> list[float]:
        """The loads that the search goes through while each meets the SLO."""
        loads = [self.terms.low]
        while loads[-1] < self.terms.high:
            loads.append(min(2 * loads[-1], self.terms.high))
        return loads

    def to_json(self, *, running: bool = False) -> SearchDocument:
        """The `search` of the sweep's document: what was found and by which runs; `running` before it has ended."""
        target = self.terms.goodput_ratio
        met, not_met = self.highest_met, self.lowest_not_met
        return {
            "load": "concurrency" if self._whole else "rate_per_s",
            "slo": self._slo,
            "terms": self.terms.to_json(),
            "ended": "running" if running else self.ended,
            "trouble": self.trouble,
            "highest_met": None if met is None else met.to_json(target),
            "lowest_not_met": None if not_met is None else not_met.to_json(target),
            "loads": [self._tried[load].to_json(target) for load in sorted(self._tried)],
            "probes": [*self._probes],
        }

    @property
    def _met(self) -> list[TriedLoad]:
        return [each for each in self._tried.values() if each.answer(self.terms.goodput_ratio) == "met"]

    def _next(self) -> float | None:
        """The load of the next run; None when the edge is known, or lies outside of what was asked."""
        begun = next((each for each in self._tried.values() if len(each.ratios) > 1 and not self._decided(each)), None)
        if begun is not None:  # half repeated is worse than a single run: its interval is too wide to say anything
            return begun.load
        met, not_met = self.highest_met, self.lowest_not_met
        if met is None and not_met is None:
            return self.terms.low
        if met is None or not_met is None:
            only = met or not_met
            assert only is not None
            if met is not None and met.load < self.terms.high:
                return min(2 * met.load, self.terms.high)
            if met is None and only.load > self.terms.low:
                return self.terms.low
            return None if self._decided(only) else only.load
        middle = self._middle(met.load, not_met.load)
        if middle is not None:
            return middle
        return next((each.load for each in (met, not_met) if not self._decided(each)), None)

    def _middle(self, low: float, high: float) -> float | None:
        """A load between the two, of three digits where it may be; None when they are near enough."""
        if high - low <= self.terms.tolerance_ratio * low:
            return None
        middle = float((low + high) // 2) if self._whole else float(f"{(low + high) / 2:.3g}")
        return middle if low < middle < high else None

    def _decided(self, tried: TriedLoad) -> bool:
        runs = len(tried.ratios)
        told = runs > 1 and tried.answer(self.terms.goodput_ratio) != "cant_tell"
        return tried.overloaded or told or runs >= self.terms.repeats

    def _take(self, load: float, run: RunSpec, document: RunDocument) -> None:
        met = met_by(document, self.terms.goodput_ratio)
        answer: Literal["met", "missed"] | None = None if met is None else "met" if met else "missed"
        repeat = len(self._tried[load].ratios) if load in self._tried else 0
        self._probes.append(
            {
                "run_id": document.get("run_id", ""),
                "load": load,
                "repeat": repeat,
                "goodput_ratio": document.get("goodput_ratio"),
                "answer": answer,
            }
        )
        invalid = _invalid_findings(document)
        overloaded = bool(invalid.keys() & _OVERLOADED)
        ratio = document.get("goodput_ratio")
        other = next((each for code, each in invalid.items() if code not in _OVERLOADED | _FOLLOWS), None)
        if other is None and not overloaded:
            other = next(iter(invalid.values()), None)
        if other is not None:
            self.trouble = f"the run at {run.load_label} is invalid, and not because the server failed requests: {other['message']}"
        elif ratio is None and not overloaded:
            self.trouble = (
                f"the run at {run.load_label} cannot be judged by the SLO: its requests, or their tokens, are not known"
            )
        else:
            tried = self._tried.setdefault(load, TriedLoad(load, []))
            tried.ratios.append(0.0 if ratio is None else ratio)
            tried.overloaded |= overloaded


def search_of(spec: SweepSpec, terms: SearchTerms) -> Search:
    """The search over the one load that `spec` has a low and a high end of."""
    return Search(terms, _runs_of(spec), whole=spec.concurrency is not None, slo=spec.slo)


def _runs_of(spec: SweepSpec) -> RunOf:
    whole = spec.concurrency is not None

    def run_of(load: float, repeat: int) -> RunSpec:
        loads = {"concurrency": [round(load)]} if whole else {"rate": [load]}
        (run,) = resolve(spec.model_copy(update={**loads, "seed": spec.seed + repeat}))
        return run

    return run_of
