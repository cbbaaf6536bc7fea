"""Documents made storable: whatever a figure turned out to be, the run is kept, and what had to be left out is named.

A number that is not finite, or a value that JSON does not have, becomes null.
"""

from collections.abc import Iterable
from typing import Any

from loadgen.analysis.verdict import Finding, with_finding
from loadgen.store import plain

NOT_STORABLE = "figure_not_finite"
_MAX_NAMED = 5


def guarded(document: dict[str, Any], left_out: Iterable[str] = ()) -> dict[str, Any]:
    """A run document that any database takes, with a finding that names each figure left out, here or `left_out` before."""
    clean: dict[str, Any]
    clean, places = plain.storable(document)
    places = [*places, *left_out]
    if not places:
        return clean
    named = ", ".join(places[:_MAX_NAMED]) + (
        f" and {len(places) - _MAX_NAMED} more" if len(places) > _MAX_NAMED else ""
    )
    finding = Finding(
        NOT_STORABLE,
        "doubtful",
        f"Not a finite number, and therefore unknown: {named}.",
        "this is a fault in loadgen or in what the server reports: look at the stored requests before using these figures",
        badness=float(len(places)),
    )
    return clean | {"verdict": with_finding(clean["verdict"], finding)}
