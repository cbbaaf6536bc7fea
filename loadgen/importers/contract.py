"""What a sweep's JSON has to hold before it is stored: the types of `analysis.document`, read strictly, and what types cannot say.

Keys that a later version added are let through untouched. Texts are held to what a terminal shows in one line, but for those that the
types call free text.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NotRequired, Union, cast, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict, is_typeddict

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import EnvironmentDocument, GpuAccount, ServerAccount
from loadgen.analysis.document.spec import SpecDocument
from loadgen.analysis.document.sweep import SweepDocument
from loadgen.importers.lenient import Json
from loadgen.load.shapes import ShapeDocument
from loadgen.load.spec import RunSpec
from loadgen.store import plain

SPEC_FIELDS = frozenset(field.name for field in fields(RunSpec))

_ID = re.compile(r"[sr][0-9a-z-]{2,60}")
_MAX_LINE_CHARACTERS = 1000
# What an account of a named engine has always had.
_ACCOUNT_KEYS = (
    *("output_tokens", "client_output_tokens", "output_tokens_per_s", "client_output_tokens_per_s"),
    *("prefix_cache_hit_ratio", "preemptions", "running_requests", "waiting_requests", "kv_cache_usage_ratio"),
    *("speculation", "times", "client_times"),
)


def checked(document: Json) -> SweepDocument:
    """Return `document`, which is a sweep with its runs. Raise pydantic's ValidationError if it is not."""
    _sweep().validate_python(document, strict=True)
    return cast(SweepDocument, document)


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
            spec = RunSpec.from_json({key: value for key, value in given.items() if key in SPEC_FIELDS})
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
def _sweep() -> TypeAdapter[Any]:
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
