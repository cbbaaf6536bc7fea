"""The parts of a run document, made one by one: a fault in one of them costs that part alone, and a finding names it."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from loadgen.analysis.document.run import FindingDocument
from loadgen.analysis.verdict import some_of

NOT_MADE = "figures_not_made"
_MAX_NAMED = 5
_MAX_CHARACTERS = 200

Part = TypeVar("Part")


class Stages:
    """Makes parts by name. A part that cannot be made is what was given for that case, unless `raises`."""

    def __init__(self, *, raises: bool = False) -> None:
        self._raises = raises
        self._parts_of: dict[str, list[str]] = {}  # by the fault, in the order in which they were met

    def make(self, name: str, make: Callable[[], Part], otherwise: Part) -> Part:
        """What `make` returns, or `otherwise` when it fails."""
        try:
            return make()
        except Exception as error:  # of whatever kind: the run was measured, and this is not to cost it
            if self._raises:
                raise
            self._parts_of.setdefault(_fault_sentence(error), []).append(name)
            return otherwise

    @property
    def finding(self) -> FindingDocument | None:
        """What could not be made and why; None when all could."""
        if not self._parts_of:
            return None
        faults = [f"{some_of(parts, _MAX_NAMED)} ({fault})" for fault, parts in self._parts_of.items()]
        return {
            "code": NOT_MADE,
            "severity": "doubtful",
            "message": f"Unknown because of a fault in loadgen: {some_of(faults, _MAX_NAMED, '; ')}.",
            "hint": "report this sentence as a bug; the requests are stored, so that the other figures stand",
            "badness": float(sum(map(len, self._parts_of.values()))),
        }


STRICT = Stages(raises=True)
"""For those who want to see the fault: it keeps nothing."""


def _fault_sentence(error: Exception) -> str:
    """The fault and the line that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f", {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    said = " ".join(str(error).split())[:_MAX_CHARACTERS]
    return f"{type(error).__name__}{': ' if said else ''}{said}{place}"
