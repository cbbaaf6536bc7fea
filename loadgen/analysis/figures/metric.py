"""One figure of a run: what it is called, from what it is made, and how."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a run. `compute` gives the scalar, or None where it is not to be had from this run.

    Of a distribution it gives the samples of the rows that it is given, so that who asks piece by piece has them all.
    """

    key: str  # where the run document has it; dots go down into objects
    label: str  # for people
    unit: Literal["s", "tokens", "tokens/s", "requests/s", "ratio"]
    kind: Literal["distribution", "scalar"]
    better: Literal["lower", "higher"] | None  # None: neither is
    formula: str
    window: str  # which requests, arrivals or moments it is made from
    doc: str  # what it tells, in a sentence
    compute: Callable[[Measured], FloatArray | float | None]

    def samples(self, measured: Measured) -> FloatArray:
        """Those of a distribution; none of a scalar."""
        value = self.compute(measured)
        return value if isinstance(value, np.ndarray) else np.empty(0)

    def of(self, document: dict[str, Any]) -> Any:
        """This metric's entry in a run document or summary: a distribution, a number, or None."""
        entry: Any = document
        for part in self.key.split("."):
            if entry is None:
                return None
            entry = entry.get(part)  # a run of an earlier version may not have it
        return entry
