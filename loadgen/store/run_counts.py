"""How many runs a sweep has, by verdict, counting the latest attempt at each."""

from typing import Any

from sqlalchemy import case, func, select

from loadgen.store import tables

STATUSES = ("valid", "doubtful", "invalid")


def run_counts(*conditions: Any) -> Any:
    """A select of `sweep_id`, `runs`, `cut_short` and one column for each verdict; the conditions select whole sweeps."""
    status = tables.Run.verdict_status
    counts = select(
        tables.Run.sweep_id,
        func.count().label("runs"),
        func.sum(case((tables.Run.interrupted, 1), else_=0)).label("cut_short"),
        *(func.sum(case((status == word, 1), else_=0)).label(word) for word in STATUSES),
    )
    latest = counts.where(*conditions, tables.Run.run_number.in_(latest_attempts(*conditions)))
    return latest.group_by(tables.Run.sweep_id)


def latest_attempts(*conditions: Any) -> Any:
    """The run numbers of the last attempt at each planned run of each sweep that the conditions select."""
    latest = select(func.max(tables.Run.run_number)).where(*conditions)
    return latest.group_by(tables.Run.sweep_id, tables.Run.spec_hash)
