"""What a check can say, and what all of them say together.

Imports nothing of the project but load. Invariants: a verdict is as bad as its worst finding, and a note leaves it valid.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from loadgen.load.spec import RunSpec

Severity = Literal["note", "doubtful", "invalid"]
Status = Literal["valid", "doubtful", "invalid"]
Summary = dict[str, Any]  # what `summary.summarise` returns


@dataclass(frozen=True, slots=True)
class Observation:
    """What one check saw: how bad it is, the sentence with the figures, and what to do about it."""

    severity: Severity
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Limits:
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


@dataclass(frozen=True, slots=True)
class Check:
    """One entry of the closed list of checks: its name, its limits with their reason, and the test itself."""

    code: str
    limits: Limits
    compares: str  # what the limits are compared with, and which way
    reason: str  # why these limits; says so where no measurement stands behind them
    test: Callable[[RunSpec, Summary, Limits], Observation | None]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found in one run."""

    code: str
    severity: Severity
    message: str
    hint: str

    def to_json(self) -> dict[str, str]:
        """One entry of `findings` in the run document."""
        return {"code": self.code, "severity": self.severity, "message": self.message, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class Verdict:
    """May the figures of a run be believed? Findings come worst first."""

    status: Status
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """The `verdict` of the run document."""
        return {"status": self.status, "findings": [finding.to_json() for finding in self.findings]}
