"""loadgen's own JSON: from a sweep's or a run's document to what the store takes, and what the document has to hold for that.

Other clients' results come here too, once `foreign.py` has made such a document of them. The types of `analysis.document` are read
strictly, with what types cannot say. Keys that a later version added are let through untouched. Texts are held to what a terminal
shows in one line, but for those that the types call free text.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, cast, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict, is_typeddict

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import EnvironmentDocument, GpuAccount, ServerAccount
from loadgen.analysis.document.spec import SpecDocument
from loadgen.analysis.document.sweep import SearchDocument, SweepDocument
from loadgen.errors import UsageError, broken_rule
from loadgen.importers.file import shown, where
from loadgen.importers.lenient import Json
from loadgen.load.shapes import SHAPES, ShapeDocument
from loadgen.load.spec import RunSpec
from loadgen.store import plain
from loadgen.store.rows import AccuracyRow, SweepRow

SCHEMA_VERSION = 1
_EXPECTED = "expected is what `loadgen export ID --format json` writes"
_OTHERS = "a result of vllm bench serve, GuideLLM, AIPerf, genai-perf or inference-perf"
# Counted or made by the database that a file came from, and made anew by the one that it goes to.
_OF_THE_DATABASE = ("imported", "valid", "doubtful", "invalid")

_SWEEP_KEYS = {field.name for field in fields(SweepRow)} - {*_OF_THE_DATABASE, "runs"}
_ACCURACY_KEYS = tuple(field.name for field in fields(AccuracyRow))
_SPEC_FIELDS = frozenset(field.name for field in fields(RunSpec))

_ID = re.compile(r"[sr][0-9a-z-]{2,60}")
_MAX_LINE_CHARACTERS = 1000
# What an account of a named engine has always had.
_ACCOUNT_KEYS = (
    *("output_tokens", "client_output_tokens", "output_tokens_per_s", "client_output_tokens_per_s"),
    *("prefix_cache_hit_ratio", "preemptions", "running_requests", "waiting_requests", "kv_cache_usage_ratio"),
    *("speculation", "times", "client_times"),
)


def measured(document: Any) -> tuple[SweepRow, list[RunDocument]]:
    """The sweep in a file's document, and the documents of its runs, hashes and all as they are.

    Raises UsageError with what is wrong, to be read after the file's name.
    """
    whole = _whole(document)
    _check_version(whole)
    try:
        _sweep_type().validate_python(whole, strict=True)
    except ValidationError as error:
        raise UsageError(first(error, _EXPECTED)) from None
    # Names that would steer a terminal were refused above; a server's own words, such as in failures, are kept readable.
    sweep: SweepDocument = plain.printable(whole)
    runs = [
        cast(RunDocument, {key: value for key, value in run.items() if key not in _OF_THE_DATABASE})
        for run in sweep["runs"]
    ]
    _check_belonging(sweep, runs)
    told = {name: value for name, value in sweep.items() if name in _SWEEP_KEYS}
    return SweepRow(**told | {"search": _search(sweep), "accuracy": _accuracy(sweep)}), runs  # type: ignore[arg-type]


def _accuracy(sweep: SweepDocument) -> tuple[AccuracyRow, ...]:
    """The results of evaluations, without keys of a later version."""
    found: list[Json] = cast(list[Json], sweep.get("accuracy", []))
    return tuple(AccuracyRow(**{name: each[name] for name in _ACCURACY_KEYS}) for each in found)


def _search(sweep: SweepDocument) -> SearchDocument | None:
    """What a search found; an earlier loadgen wrote it without the limits, which stand in the spec."""
    found = sweep.get("search")
    if found is None:
        return None
    return cast(SearchDocument, {"slo": sweep["spec"].get("slo", {}), "probes": [], **found})


def sweeps_of_group(document: Any) -> list[Any] | None:
    """The sweeps of a group's document that have a result: runs, or the reason why their server did not start. None: no group."""
    if not isinstance(document, dict) or "group_id" not in document or not isinstance(document.get("sweeps"), list):
        return None
    return [
        each
        for each in document["sweeps"]
        if not isinstance(each, dict) or each.get("runs") or each.get("start_failure")
    ]


def _whole(document: Any) -> Json:
    """The sweep's document; of a run that came alone, with its sweep's facts beside it."""
    if isinstance(document, dict) and "schema_version" in document:
        if "sweep_id" in document and isinstance(document.get("runs"), list):
            return document
        if "run_id" in document and "runs" not in document:
            return _of_one_run(document)
        if "group_id" in document and "sweeps" in document:
            raise UsageError("is a group of sweeps; name a file with one sweep")
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
    if not runs and not sweep.get("start_failure"):
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
        for name, times in Counter(names).most_common(1):
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
    return f"has something else at {place}: it {broken_rule(found)}"


def _line(value: str) -> str:
    if plain.unprintable(value) is not None:
        raise ValueError("must have no control characters")
    return value


def _words(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _id(value: str) -> str:
    if _ID.fullmatch(value) is None:
        raise ValueError("must be an id like s261123-152901-4f2a")
    return value


def _timestamp(value: str) -> str:
    try:
        timestamp = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a moment like 2026-11-23T15:29:01+00:00") from None
    if not 2000 <= timestamp.year < 3000:
        raise ValueError("must be a moment of this millennium")
    return value


def _readable_spec(given: Any) -> Any:
    """Let through what our own reader of specs can read, labels included."""
    if isinstance(given, Mapping) and "shape" in given:
        try:
            spec = RunSpec.from_json({key: value for key, value in given.items() if key in _SPEC_FIELDS})
            _ = spec.load_label, spec.workload.label
        except (TypeError, ValueError, KeyError, AttributeError):
            raise ValueError("must be a spec that this loadgen knows") from None
    return given


def _numbers_of_bytes(given: Any) -> Any:
    for key, value in given.items() if isinstance(given, Mapping) else ():
        is_count = isinstance(value, int | float) or value is None
        if key.endswith("_bytes") and not is_count:
            raise ValueError(f"must have a number or null for {key}")
    return given


def _whole_outcomes(given: Any) -> Any:
    outcomes = given.get("outcomes") if isinstance(given, Mapping) else None
    if isinstance(outcomes, Mapping) and not {"planned", "ok"} <= outcomes.keys():
        raise ValueError("must have planned and ok among its outcomes")
    return given


def _whole_account(given: Any) -> Any:
    """Let through an account of an engine that has its figures; an earlier version named no engine, and had fewer."""
    if isinstance(given, Mapping) and given.get("engine"):
        lacking = [key for key in _ACCOUNT_KEYS if key not in given]
        if lacking:
            raise ValueError(f"must have {min(lacking)}")
    return given


def _some_devices(given: Any) -> Any:
    if isinstance(given, Mapping) and given.get("devices") == []:
        raise ValueError("must have a device")
    return given


_CHECKS: dict[object, Callable[[Any], Any]] = {
    SpecDocument: _readable_spec,
    EnvironmentDocument: _numbers_of_bytes,
    RunDocument: _whole_outcomes,
    ServerAccount: _whole_account,
    GpuAccount: _some_devices,
}
_TEXTS: dict[str, Any] = {
    "words": Annotated[object, AfterValidator(_words)],  # lone surrogates and all
    "id": Annotated[str, AfterValidator(_id)],
    "timestamp": Annotated[str, AfterValidator(_timestamp)],
}
_LINE = Annotated[str, Field(max_length=_MAX_LINE_CHARACTERS), AfterValidator(_line)]


@cache
def _sweep_type() -> TypeAdapter[Any]:
    return TypeAdapter(_checked(SweepDocument))


def _checked(kind: Any) -> Any:
    """Return the type `kind` of the document, with the checks of its texts and objects for pydantic."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind is str:
        return _LINE
    if kind == ShapeDocument:
        return Annotated[Union[tuple(map(_checked, parts))], Field(discriminator="kind")]  # noqa: UP007  # built of parts
    if is_typeddict(kind):
        return _checked_object(kind)
    if origin is Annotated:
        base, mark = parts
        return Annotated[_checked(base), Field(min_length=2, max_length=2)] if mark == "two" else _TEXTS[mark]
    if origin is NotRequired:
        return NotRequired[_checked(parts[0])]
    if origin in (Union, UnionType):
        return Union[tuple(map(_checked, parts))]  # noqa: UP007  # built of parts
    if origin is list:
        return list[_checked(parts[0])]  # type: ignore[misc]  # built of a part
    if origin is dict:
        return dict[str, _checked(parts[1])]  # type: ignore[misc]  # built of a part
    if kind in (int, float, bool, object, NoneType) or origin is Literal:
        return kind
    raise TypeError(f"{kind} has no rule here")


@cache
def _checked_object(kind: Any) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    keys = {
        key: _checked(hint)
        if key in kind.__required_keys__ or get_origin(hint) is NotRequired
        else NotRequired[_checked(hint)]
        for key, hint in hints.items()
    }
    made = cast(Any, TypedDict)(kind.__name__, keys)
    return made if kind not in _CHECKS else Annotated[made, BeforeValidator(_CHECKS[kind])]
