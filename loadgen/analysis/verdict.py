"""What a check can say, what all of them say together, and what several runs' verdicts have in common.

Invariants: a verdict is as bad as its worst finding, and a note leaves it valid.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from loadgen.analysis.document.run import FindingDocument, JudgedSummary, RunDocument, Severity, Status, VerdictDocument
from loadgen.load.spec import RunSpec

Known = TypeVar("Known")

WORST_FIRST: tuple[Severity, ...] = ("invalid", "doubtful", "note")

_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?")  # not the 99 of p99


@dataclass(frozen=True, slots=True)
class Observation:
    """What one check saw: how bad it is (None: within the thresholds), the sentence with the figures, and what to do about it.

    `badness` is the figure that was judged, turned so that more is worse: it ranks the findings of one code over runs.
    """

    severity: Severity | None
    message: str
    hint: str
    badness: float = 0.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on a figure makes a run doubtful, and from where on invalid; None where it never does."""

    doubtful: float | None = None
    invalid: float | None = None

    def below(self, value: float) -> Severity | None:
        """The severity of a figure that should not fall below the limits."""
        if self.invalid is not None and value < self.invalid:
            return "invalid"
        return "doubtful" if self.doubtful is not None and value < self.doubtful else None

    def above(self, value: float) -> Severity | None:
        """The severity of a figure that should not rise above the limits."""
        if self.invalid is not None and value > self.invalid:
            return "invalid"
        return "doubtful" if self.doubtful is not None and value > self.doubtful else None


def some_of(names: Sequence[str], most: int, separator: str = ", ") -> str:
    """The first `most` of the names, and how many more there are."""
    more = len(names) - most
    return separator.join(names[:most]) + (f" and {more} more" if more > 0 else "")


def and_of(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def is_invalid(run: RunDocument) -> bool:
    return run["verdict"]["status"] == "invalid"


def usable_runs(runs: Sequence[RunDocument]) -> list[RunDocument]:
    """Return the runs that are not invalid."""
    return [run for run in runs if not is_invalid(run)]


def made(figure: Known | None) -> Known:
    """Return the figure that a check needs. Raise ValueError if it could not be made: the verdict then names the check."""
    if figure is None:
        raise ValueError("a figure of it is unknown")
    return figure


@dataclass(frozen=True, slots=True)
class Check:
    """One entry of the closed list of checks: the test, whose name is the finding's code, and its limits."""

    test: Callable[[RunSpec, JudgedSummary, Thresholds], Observation | None]
    thresholds: Thresholds = Thresholds()

    @property
    def code(self) -> str:
        return self.test.__name__


def verdict_of(findings: Iterable[FindingDocument], at_best: Status = "valid") -> VerdictDocument:
    """The verdict that these findings make, worst first: as bad as the worst of them; a note leaves it as it is `at_best`."""
    ordered = sorted(findings, key=lambda finding: WORST_FIRST.index(_severity(finding)))
    worst = _severity(ordered[0]) if ordered else "note"
    return {"status": at_best if worst == "note" else worst, "findings": ordered}


def with_finding(verdict: VerdictDocument, finding: FindingDocument) -> VerdictDocument:
    """The verdict with one more finding, and as bad as the worst of them."""
    return {**verdict, **verdict_of([*verdict["findings"], finding], at_best=verdict["status"])}


@dataclass(frozen=True, slots=True)
class MergedFinding:
    """One kind of finding over several runs, in the words of the worst of them."""

    code: str
    severity: Severity
    message: str
    hint: str  # of those that ask for the same thing, the one that asks for most, so that it is enough for every run
    runs: int  # how many have it
    of: int  # how many there are
    alike: bool  # all that have it say the same

    @property
    def extent(self) -> str:
        """Whose finding it is: `all 8 runs`, `3 of 8 runs`, `worst of 8 runs`, `worst of 3, of 8 runs`; empty for one run alone."""
        if self.of == 1:
            return ""
        if self.alike:
            return f"all {self.of:,} runs" if self.runs == self.of else f"{self.runs:,} of {self.of:,} runs"
        return f"worst of {self.of:,} runs" if self.runs == self.of else f"worst of {self.runs:,}, of {self.of:,} runs"


def merge_findings(verdicts: Sequence[VerdictDocument]) -> list[MergedFinding]:
    """The findings of the verdicts (as in run documents), each code once: worst first, else in the order in which they came."""
    by_code: dict[str, list[FindingDocument]] = {}
    for verdict in verdicts:
        for finding in verdict["findings"]:
            by_code.setdefault(finding["code"], []).append(finding)
    merged = [_merge(code, found, len(verdicts)) for code, found in by_code.items()]
    return sorted(merged, key=lambda finding: WORST_FIRST.index(finding.severity))


def _merge(code: str, found: Sequence[FindingDocument], of: int) -> MergedFinding:
    worst = min(found, key=lambda each: (WORST_FIRST.index(_severity(each)), -each.get("badness", 0.0)))
    asked = _numbers_apart(worst.get("hint") or "")[0]
    hints = [hint for each in found if _numbers_apart(hint := each.get("hint") or "")[0] == asked]
    return MergedFinding(
        code=code,
        severity=_severity(worst),
        message=worst["message"],
        hint=max(hints, key=lambda hint: _numbers_apart(hint)[1]),
        runs=len(found),
        of=of,
        alike=len({each["message"] for each in found}) == 1,
    )


def _severity(finding: FindingDocument) -> Severity:
    return finding.get("severity", "doubtful")


def _numbers_apart(text: str) -> tuple[str, list[float]]:
    """The text without its numbers, and the numbers; those that belong to a name, as in p99, stay."""
    numbers = [float(found.replace(",", "")) for found in _NUMBER.findall(text)]
    return _NUMBER.sub("#", text), numbers
