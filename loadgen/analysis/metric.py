"""One figure of a run: what it is called, from what it is made, and how. Imports its own room."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a run. `compute` gives the samples of a distribution, or the scalar; None: not to be had from this run."""

    key: str  # where the run document has it; dots go down into objects
    label: str  # for people
    unit: Literal["s", "tokens", "tokens/s", "requests/s", "ratio"]
    kind: Literal["distribution", "scalar"]
    better: Literal["lower", "higher"] | None  # None: neither is
    formula: str
    window: str  # which requests, arrivals or moments it is made from
    doc: str  # what it tells, in a sentence
    compute: Callable[[Measured], FloatArray | float | None]

    def of(self, document: dict[str, Any]) -> Any:
        """This metric's entry in a run document or summary: a distribution, a number, or None."""
        entry: Any = document
        for part in self.key.split("."):
            if entry is None:
                return None
            entry = entry.get(part)  # a run of an earlier version may not have it
        return entry
