"""Runs that another client measured, as pages and tables tell it."""

from loadgen.analysis.document.run import RunDocument
from loadgen.report.format import MISSING_FIGURE, flat
from loadgen.report.points import Table
from loadgen.store.rows import SweepRow

# As the other clients name them.
_FOREIGN_STATISTICS = ("count", "mean", "avg", "min", "median", "p50", "p90", "p95", "p99", "max")


def foreign_name(tool: str | None, version: str | None) -> str:
    """The other client that measured, with its version where that is known; empty for what loadgen measured."""
    return " ".join(filter(None, (tool, version)))


def foreign_tool(run: RunDocument) -> str:
    """The other client that measured a run; empty for what loadgen measured."""
    foreign = run.get("foreign")
    return foreign_name(foreign["tool"], foreign["version"]) if foreign else ""


def foreign_table(run: RunDocument) -> Table | None:
    """The other client's figures in its own words and units: a row each, with a column for each statistic; None where it is ours."""
    foreign = run.get("foreign")
    if foreign is None or not foreign["figures"]:
        return None
    grouped: dict[str, dict[str, str]] = {}
    for key, text in flat(foreign["figures"]):
        group, _, name = key.rpartition(".")
        single = not group
        grouped.setdefault(key if single else group, {})["" if single else name] = text
    common = [name for name in _FOREIGN_STATISTICS if sum(name in each for each in grouped.values()) > 1]
    rows = []
    for group, values in grouped.items():
        if any(name in common for name in values):
            rows.append((group, values.get("unit", ""), *(values.get(name, MISSING_FIGURE) for name in common)))
        else:
            rows += [
                (f"{group}.{name}" if name else group, text, *("" for _ in common)) for name, text in values.items()
            ]
    return Table(("figure", "unit or value", *common), tuple(rows))


def foreign_client(sweep: SweepRow) -> str:
    """The other client that measured a sweep; empty for what loadgen measured."""
    mark = sweep.imported
    return "" if mark is None else foreign_name(mark.tool, mark.tool_version)
