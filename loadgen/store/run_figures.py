"""What lists show of runs without their documents, which are long: figures from a narrow table, and counts by verdict.

The figures are copied from the run document when it is stored. A figure that is missing, or is no finite number, is NULL.
"""

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from loadgen.analysis.server.served_gpus import served_gpus
from loadgen.store import plain, tables
from loadgen.store.rows import RunFigures

STATUSES = ("valid", "doubtful", "invalid")
_OF_RUN = ("sweep_id", "point_hash", "verdict_status", "interrupted", "shape_kind", "input_tokens", "output_tokens")
_COPIED = ("load_label", "output_tokens_per_s", "ttft_p50_s", "e2e_latency_p50_s", "gpu_count", "gpu_names")


def read_figures(document: Any) -> dict[str, object]:
    """The columns of a run document, but for its number. Takes any JSON value: a damaged document has no figure."""
    run: Any = document if isinstance(document, dict) else {}
    label = _inside(run, "spec", "load_label")
    count, names = served_gpus(run)
    return {
        "load_label": plain.text(label) if isinstance(label, str) else None,
        "output_tokens_per_s": _number(run.get("output_tokens_per_s")),
        "ttft_p50_s": _number(_inside(run, "ttft_s", "p50")),
        "e2e_latency_p50_s": _number(_inside(run, "e2e_latency_s", "p50")),
        "gpu_count": count,
        "gpu_names": None if names is None else [plain.text(name) for name in names],
    }


def stored_figures(session: Session, *conditions: Any) -> list[RunFigures]:
    """The runs that the conditions let through, in the order they ran."""
    columns = [
        *(getattr(tables.RunTable, name) for name in _OF_RUN),
        *(getattr(tables.RunFiguresTable, name) for name in _COPIED),
    ]
    query = select(*columns).select_from(tables.RunTable).outerjoin(tables.RunFiguresTable).where(*conditions)
    return [RunFigures(*row) for row in session.execute(query.order_by(tables.RunTable.run_number))]


def run_counts(*conditions: Any) -> Any:
    """A select of `sweep_id`, `runs`, `cut_short` and one column for each verdict; the conditions select whole sweeps."""
    status = tables.RunTable.verdict_status
    counts = select(
        tables.RunTable.sweep_id,
        func.count().label("runs"),
        func.sum(case((tables.RunTable.interrupted, 1), else_=0)).label("cut_short"),
        *(func.sum(case((status == word, 1), else_=0)).label(word) for word in STATUSES),
    )
    latest = counts.where(*conditions, tables.RunTable.run_number.in_(latest_attempts(*conditions)))
    return latest.group_by(tables.RunTable.sweep_id)


def latest_attempts(*conditions: Any) -> Any:
    """The run numbers of the last attempt at each planned run of each sweep that the conditions select."""
    latest = select(func.max(tables.RunTable.run_number)).where(*conditions)
    return latest.group_by(tables.RunTable.sweep_id, tables.RunTable.spec_hash)


def _inside(run: Mapping[str, Any], part: str, key: str) -> Any:
    found = run.get(part)
    return found.get(key) if isinstance(found, dict) else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None
