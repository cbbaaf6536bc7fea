"""One figure of a run: what it is called, where the run document has it and, of the METRICS, how it is made from records."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray

STATISTICS = ("p50", "p90", "p95", "p99", "mean", "min", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure of a run. Those with a `compute` are made from records, the others from what else the run document holds."""

    key: str  # its name everywhere
    label: str  # for people
    unit: str  # s, ratio (0 to 1), or as it is shown
    formula: str
    kind: Literal["distribution", "scalar"] = "scalar"
    better: Literal["lower", "higher"] | None = None  # None: neither is
    path: str = ""  # where the run document has it, if not at `key`; dots go down into objects
    compute: Callable[[Measured], FloatArray | float | None] | None = None
    """The scalar of these records; of a distribution their samples, so that samples may be asked for piece by piece."""
    derive: Callable[[RunDocument, str], float | None] | None = None
    """Its value in a run document, of a distribution the statistic, for a figure that follows from others."""
    is_drawn: bool = True  # charts and comparisons offer it; else only tables have it

    @property
    def is_distribution(self) -> bool:
        """Whether it has statistics; else it is one number a run."""
        return self.kind == "distribution"

    def name(self, statistic: str) -> str:
        """Its label with the statistic, where it has one: `TTFT p99`."""
        return f"{self.label} {statistic}" if self.is_distribution else self.label

    def computed(self, measured: Measured) -> FloatArray | float | None:
        """Return what `compute` makes of these records; None for a figure that is not made from records."""
        return None if self.compute is None else self.compute(measured)

    def samples(self, measured: Measured) -> FloatArray:
        """Those of a distribution; none of a scalar."""
        value = self.computed(measured)
        return value if isinstance(value, np.ndarray) else np.empty(0)

    def of(self, document: Mapping[str, object]) -> Any:
        """This figure's entry in a run document or summary: a distribution, a number, or None."""
        return look_up(document, self.path or self.key)

    def read(self, document: RunDocument, statistic: str = "p50") -> float | None:
        """Its value in a run document; of a distribution the statistic. None where the run does not have it, never 0."""
        if self.derive is not None:
            return self.derive(document, statistic)
        entry = self.of(document)
        if self.is_distribution:
            entry = entry.get(statistic) if isinstance(entry, dict) else None
        return entry if isinstance(entry, int | float) else None

    def reader(self, statistic: str = "p50") -> Callable[[RunDocument], float | None]:
        """Return the function that reads this statistic of it from a run document."""
        return lambda document: self.read(document, statistic)


def look_up(document: Mapping[str, object], path: str) -> Any:
    """Return the value at a dotted path of a document; None when any part of the path is absent."""
    found: Any = document
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None  # a run of an earlier version may not have it
    return found
