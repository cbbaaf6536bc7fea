"""loadgen's own JSON: from a sweep's or a run's document to what the store takes.

Other clients' results come here too, once `foreign.py` has made such a document of them.
"""

from collections import Counter
from typing import Any, cast

from pydantic import ValidationError

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.sweep import SearchDocument, SweepDocument
from loadgen.errors import UsageError
from loadgen.importers import contract
from loadgen.importers.file import shown, where
from loadgen.importers.lenient import Json
from loadgen.load.shapes import SHAPES
from loadgen.store import plain
from loadgen.store.rows import SweepRow

SCHEMA_VERSION = 1
_EXPECTED = "expected is what `loadgen export ID --format json` writes"
_OTHERS = "a result of vllm bench serve, GuideLLM, AIPerf, genai-perf or inference-perf"
# Counted or made by the database that a file came from, and made anew by the one that it goes to.
_OF_THE_DATABASE = ("imported", "valid", "doubtful", "invalid")


def measured(document: Any) -> tuple[SweepRow, list[RunDocument]]:
    """The sweep in a file's document, and the documents of its runs, hashes and all as they are.

    Raises UsageError with what is wrong, to be read after the file's name.
    """
    whole = _whole(document)
    _check_version(whole)
    try:
        checked = contract.checked(whole)
    except ValidationError as error:
        raise UsageError(first(error, _EXPECTED)) from None
    # Names that would steer a terminal were refused above; a server's own words, such as in failures, are kept readable.
    sweep: SweepDocument = plain.printable(checked)
    runs = [
        cast(RunDocument, {key: value for key, value in run.items() if key not in _OF_THE_DATABASE})
        for run in sweep["runs"]
    ]
    _check_belonging(sweep, runs)
    row = SweepRow(
        sweep_id=sweep["sweep_id"],
        name=sweep["name"],
        spec=sweep["spec"],
        spec_hash=sweep["spec_hash"],
        planned_runs=sweep["planned_runs"],
        status=sweep["status"],
        simulated=sweep["simulated"],
        created_at=sweep["created_at"],
        environment=sweep["environment"],
        server=sweep["server"],
        group_id=sweep.get("group_id"),
        search=_search(sweep),
    )
    return row, runs


def _search(sweep: SweepDocument) -> SearchDocument | None:
    """What a search found; an earlier loadgen wrote it without the limits, which stand in the spec."""
    found = sweep.get("search")
    if found is None:
        return None
    return cast(SearchDocument, {"slo": sweep["spec"].get("slo", {}), "probes": [], **found})


def _whole(document: Any) -> Json:
    """The sweep's document; of a run that came alone, with its sweep's facts beside it."""
    if isinstance(document, dict) and "schema_version" in document:
        if "sweep_id" in document and isinstance(document.get("runs"), list):
            return document
        if "run_id" in document and "runs" not in document:
            return _of_one_run(document)
        if "group_id" in document and "sweeps" in document:
            raise UsageError("is a group of sweeps: export and import each of its sweeps")
    raise UsageError(f"is JSON, but no result of loadgen: {_EXPECTED}, or {_OTHERS}")


def _of_one_run(document: Json) -> Json:
    sweep = document.get("sweep")
    if not isinstance(sweep, dict):
        raise UsageError("is a run without its sweep, as loadgen once wrote it: export it again")
    if sweep.get("planned_runs") != 1:
        raise UsageError(
            f"is one run of the sweep {shown(sweep.get('sweep_id')):.80}: export and import the sweep, whole"
        )
    run = {key: value for key, value in document.items() if key != "sweep"}
    return {"schema_version": document.get("schema_version"), **sweep, "runs": [run]}


def _check_version(sweep: Json) -> None:
    version = sweep.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise UsageError(f"has schema_version {version} and this loadgen reads {SCHEMA_VERSION}: upgrade loadgen")


def _check_belonging(sweep: SweepDocument, runs: list[RunDocument]) -> None:
    """Whether the parts are of one whole which has ended. Raises UsageError."""
    sweep_id = sweep["sweep_id"]
    if sweep["status"] == "running":
        raise UsageError(f"was written while the sweep {sweep_id} was running: export it again when it has ended")
    if not runs:
        raise UsageError(f"has no run: the sweep {sweep_id} ended before its first one did")
    for run in runs:
        if run["sweep_id"] != sweep_id:
            raise UsageError(f"has the run {run['run_id']} of another sweep: {run['sweep_id']}, not {sweep_id}")
        marks = (sweep["simulated"], run["simulated"], run["server"].get("simulated", run["simulated"]))
        if len(set(marks)) > 1:
            raise UsageError(f"calls its sweep or the run {run['run_id']} simulated in one place and not in another")
    for what, names in (
        ("run_id", [run["run_id"] for run in runs]),
        ("spec.hash", [run["spec"]["hash"] for run in runs]),
    ):
        name, times = Counter(names).most_common(1)[0]
        if times > 1:
            raise UsageError(f"has {times} runs with the {what} {name}: each has its own")


def measured_by(document: Any) -> tuple[str | None, str | None]:
    """Which other client measured it, and its version, by a document that `measured` took; None: loadgen did."""
    mark: Any = document.get("imported") or (document.get("sweep") or {}).get("imported") or {}
    return mark.get("tool"), mark.get("tool_version")


def first(error: ValidationError, expected: str) -> str:
    """The first thing that is wrong, as what a sentence says after the file's name; `expected` is what should be there."""
    found = error.errors(include_url=False)[0]
    tried = (*SHAPES, "int", "float")  # pydantic names the kind of value that it looked for
    place = where(tuple(part for part in found["loc"] if part not in tried))
    if found["type"] == "missing":
        return f"lacks {place}: {expected}"
    said = found["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return f"has something else at {place}: it {said[:1].lower()}{said[1:]}"
