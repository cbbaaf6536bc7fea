"""The outline of a stored run: as it was stored with it, or made now of its requests for a run that an older loadgen stored."""

from dataclasses import fields
from typing import Any

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.measured import measure
from loadgen.analysis.outline.outline import outline
from loadgen.load.spec import RunSpec
from loadgen.store.repository import Store

Outline = dict[str, Any]
_SPEC_FIELDS = frozenset(field.name for field in fields(RunSpec))


def outline_of(store: Store, run: RunDocument) -> Outline | None:
    """The outline of a run, by its document; None where it was imported without one, since its requests stayed elsewhere."""
    stored = store.outline(run["run_id"])
    if stored is not None or run.get("imported"):
        return stored
    spec = RunSpec.from_json({key: value for key, value in run["spec"].items() if key in _SPEC_FIELDS})
    return outline(measure(spec, store.records(run["run_id"])), run)
