"""The part of a group of sweeps that is one sweep's turn: all of its repeats, or those that this start of the server is for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadgen.load.spec import RunSpec
from loadgen.spec.sweep_spec import SweepSpec


@dataclass(frozen=True, slots=True)
class Turn:
    """`terms` go to the record of the sweep; `hold` claims the sweep of an id for as long as the group lasts; `repeats` None: all."""

    group_id: str
    terms: dict[str, Any]
    hold: Callable[[str], None]
    repeats: frozenset[int] | None = None

    def has(self, run: RunSpec, spec: SweepSpec) -> bool:
        """Whether this run of the sweep is to happen now."""
        return self.repeats is None or run.seed - spec.seed in self.repeats
