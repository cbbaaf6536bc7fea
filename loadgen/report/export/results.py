"""Results as JSON documents, and as CSV and Parquet tables.

A missing figure is null in JSON and Parquet, empty in CSV, which is safe to open in a spreadsheet.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from types import NoneType
from typing import Any, Literal, cast

from loadgen.analysis.document import leaves
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import ServerDocument
from loadgen.analysis.document.sweep import (
    AccuracyResultDocument,
    EvaluationDocument,
    GroupDocument,
    LoneRunDocument,
    SweepDocument,
    SweepFacts,
)
from loadgen.analysis.experts import EXPERT_FIGURES
from loadgen.analysis.point_findings import point_documents
from loadgen.analysis.utilisation import UTILISATION_FIGURES
from loadgen.engine.records.record import Records
from loadgen.errors import UsageError
from loadgen.report.export.vllm_bench_result import vllm_bench_result
from loadgen.report.format import MISSING_FIGURE
from loadgen.report.run_selection import find
from loadgen.report.words.server_differences import server_differences
from loadgen.store.repository import Store
from loadgen.store.rows import AccuracyRow, Evaluation, SweepRow, sweep_json
from loadgen.study.accuracy import accuracy_differences, newest_results

Format = Literal["json", "csv", "parquet", "vllm-bench"]
Row = dict[str, Any]

REQUEST_COLUMNS = (
    "index",
    "slot",
    "http_status",
    "due_ns",
    "start_ns",
    "sent_ns",
    "first_byte_ns",
    "end_ns",
    "connect_ns",
    "limit_wait_ns",
    "prompt_tokens_asked",
    "output_tokens_asked",
    "prompt_tokens",
    "output_tokens",
    "finish_reason",
    "detail",
)


def export(store: Store, found_id: str, form: Format, requests: bool = False) -> bytes:
    """A sweep, a group of them or a run, by id or unique beginning, as a file's content.

    JSON is the run document, the sweep with its runs, or the group with its sweeps; tables have one row a run, with dotted columns. `requests` asks
    for one row a request instead, with its arrivals' stamps relative to t = 0. Raises `NotFoundError`, and `UsageError`
    for Parquet without pyarrow and for the requests of an imported run.
    `vllm-bench` is one line a run, as `vllm bench serve` appends results to a file, and detailed with `requests`.
    """
    runs, whole = _found(store, found_id)
    if form == "vllm-bench":
        results = (vllm_bench_result(run, _needed_records(store, run), detailed=requests) for run in runs)
        return "".join(json.dumps(result, allow_nan=False) + "\n" for result in results).encode()
    if requests:
        rows = [row for run in runs for row in request_rows(run, _needed_records(store, run))]
        return _write(rows, form, {"schema_version": 1, "requests": rows})
    evaluated = {sweep_id: _accuracy_columns(store.sweep(sweep_id)) for sweep_id in {run["sweep_id"] for run in runs}}
    return _write([run_row(run) | evaluated[run["sweep_id"]] for run in runs], form, whole)


def _found(store: Store, found_id: str) -> tuple[list[RunDocument], GroupDocument | SweepDocument | LoneRunDocument]:
    """The runs that an id names, and all of it as one document."""
    if found_id.startswith("g"):
        sweeps = [(sweep, store.runs(sweep.sweep_id)) for sweep in store.group(found_id)]
        return [run for _, runs in sweeps for run in runs], group_document(sweeps)
    sweep, runs = find(store, found_id)
    if sweep is not None:
        return runs, sweep_document(sweep, runs)
    return runs, run_document(store.sweep(runs[0]["sweep_id"]), runs[0])


def sweep_document(sweep: SweepRow, runs: Sequence[RunDocument]) -> SweepDocument:
    """A sweep as one document: what is known of it, and the documents of its runs in the order in which they ran.

    `runs` holds the documents; the number of them is for the reader to count. `points` has what the repeats of one load point show
    together.
    """
    return {
        "schema_version": 1,
        **_known(sweep),
        "points": point_documents(runs),
        "runs": list(runs),
    }


def run_document(sweep: SweepRow, run: RunDocument) -> LoneRunDocument:
    """A run that goes out alone: its document, with what is known of its sweep under `sweep`."""
    return {**run, "sweep": _known(sweep)}


def evaluation_document(evaluation: Evaluation) -> EvaluationDocument:
    """An evaluation as one document: the server, and each metric of each task."""
    first = evaluation.rows[0]
    return {
        "schema_version": 1,
        "evaluation_id": first.evaluation_id,
        "name": evaluation.name,
        "server": evaluation.server,
        "accuracy": [cast(AccuracyResultDocument, asdict(row)) for row in evaluation.rows],
    }


def comparison_facts(
    servers: Sequence[ServerDocument], evaluated: Sequence[Sequence[AccuracyRow]]
) -> dict[str, object]:
    """What `compare --json` says of A and B besides their figures: how their servers differ, and their accuracy.

    `tasks` has each task that both were asked in the same way, then all of them where there are several. `low` and `high` are the ends
    of 95 % intervals.
    """
    differences = server_differences(servers, ("a", "b"))
    return {
        "server_differences": [
            {"fact": fact, "a": _known_text(a), "b": _known_text(b)}
            for fact, a, b in (() if differences is None else differences.rows)
        ],
        "accuracy": [{**asdict(each), "answer": each.answer} for each in accuracy_differences(*evaluated)],
    }


def _known_text(text: str) -> str | None:
    return None if text == MISSING_FIGURE else text


def _known(sweep: SweepRow) -> SweepFacts:
    known = sweep_json(sweep)
    del known["runs"]
    return cast(SweepFacts, known)


def _needed_records(store: Store, run: RunDocument) -> Records:
    if mark := run.get("imported"):
        raise UsageError(
            f"the run {run['run_id']} was imported from {mark['file']}, and an imported result has no requests: "
            "export it without --requests, or from the database into which it was measured"
        )
    return store.records(run["run_id"])


def group_document(sweeps: Sequence[tuple[SweepRow, Sequence[RunDocument]]]) -> GroupDocument:
    """A group as one document: its sweeps, each with the documents of its runs."""
    return {
        "schema_version": 1,
        "group_id": sweeps[0][0].group_id,
        "sweeps": [sweep_document(sweep, runs) for sweep, runs in sweeps],
    }


def run_row(run: RunDocument) -> Row:
    """A run as one flat row: dotted keys, lists as JSON text, findings as their codes; without the text of replies.

    The figures of utilisation follow where they are known, which the document does not have.
    """
    row: Row = {
        key: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
        for key, value in leaves({key: value for key, value in run.items() if key not in ("replies", "experts")})
    }
    row["verdict.findings"] = ",".join(finding["code"] for finding in run["verdict"]["findings"])
    row |= {
        each.key: value for each in (*UTILISATION_FIGURES, *EXPERT_FIGURES) if (value := each.read(run)) is not None
    }
    return row


def _accuracy_columns(sweep: SweepRow) -> Row:
    """The newest result of each task and metric, `accuracy.copy.exact_match`, with its standard error."""
    columns: Row = {}
    for row in newest_results(sweep.accuracy):
        name = f"accuracy.{row.task}.{row.metric}"
        columns |= {name: row.value, f"{name}_standard_error": row.standard_error}
    return columns


def request_rows(run: RunDocument, records: Records) -> list[Row]:
    """One flat row a request of `run`, in the order of the schedule; its arrivals as lists of nanoseconds, token counts and choices."""
    rows = []
    for number in range(len(records)):
        request = records[number]
        row: Row = {"run_id": run["run_id"], "simulated": run["simulated"]}
        row |= {"outcome": request.outcome.label, "counted_by": request.counted_by.label}
        row |= {name: getattr(request, name) for name in REQUEST_COLUMNS}
        row |= {"arrival_ns": request.arrival_ns.tolist(), "arrival_tokens": request.arrival_tokens.tolist()}
        row["arrival_choice"] = request.arrival_choice.tolist()
        rows.append(row)
    return rows


def _write(rows: list[Row], form: Format, whole: Mapping[str, object]) -> bytes:
    match form:
        case "json":
            return (json.dumps(whole, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode()
        case "csv":
            return csv_text(rows, columns_of(rows)).encode("utf-8", "replace")
        case "parquet":
            return _parquet(rows)
        case "vllm-bench":
            raise AssertionError("made by its own module")


def _parquet(rows: Sequence[Row]) -> bytes:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")  # optional, so never at the top
    except ImportError:
        raise UsageError("Parquet needs the package pyarrow: pip install pyarrow, or export as csv") from None
    columns = {name: _column(pyarrow, [row.get(name) for row in rows]) for name in columns_of(rows)}
    written = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), written)
    return written.getvalue()


def _column(pyarrow: Any, values: list[Any]) -> Any:
    """A column of one type: as the values are, else as float64, else as text (a number in one run and a word in another)."""
    if all(type(value) in (int, float, NoneType) for value in values) and any(type(value) is float for value in values):
        return pyarrow.array([None if value is None else float(value) for value in values], pyarrow.float64())
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError, UnicodeEncodeError):
        return pyarrow.array([_text(value) for value in values], pyarrow.string())


def _text(value: object) -> str | None:
    """The value as its CSV or JSON has it; half a character becomes a question mark."""
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def columns_of(rows: Iterable[Mapping[str, object]]) -> list[str]:
    """All keys, in the order in which they first come."""
    return list(dict.fromkeys(key for row in rows for key in row))


def csv_text(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """The rows as CSV; null is empty, a list its items with spaces between. Texts get a quote before what begins a formula."""
    written = io.StringIO(newline="")
    table = csv.writer(written, lineterminator="\n")
    table.writerow([plain(name) for name in columns])
    for row in rows:
        table.writerow([plain(row.get(name)) for name in columns])
    return written.getvalue()


def plain(value: object) -> object:
    """The value as a cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, list):
        joined = " ".join(map(str, value))
        return f"'{joined}" if value and isinstance(value[0], str) and joined.startswith(_BEGINS_A_FORMULA) else joined
    return f"'{value}" if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA) else value
