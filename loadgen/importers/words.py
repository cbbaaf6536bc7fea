"""The kinds of value that a sweep's JSON is made of."""

import re
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictFloat, StrictInt

from loadgen.store import plain

_ID = re.compile(r"[sr][0-9a-z-]{2,60}")


def _line(value: str) -> str:
    if plain.unprintable(value) is not None:
        raise ValueError("must have no control characters")
    return value


def _moment(value: str) -> str:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a moment like 2026-11-23T15:29:01+00:00") from None
    if not 2000 <= moment.year < 3000:
        raise ValueError("must be a moment of this millennium")
    return value


def _id(value: str) -> str:
    if _ID.fullmatch(value) is None:
        raise ValueError("must be an id like s261123-152901-4f2a")
    return value


def _text(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


Text = Annotated[object, AfterValidator(_text)]  # may quote a server, lone surrogates and all
Line = Annotated[str, Field(max_length=1000), AfterValidator(_line)]  # stands among others in one line of a terminal
Moment = Annotated[str, AfterValidator(_moment)]
Id = Annotated[str, AfterValidator(_id)]
Number = StrictInt | StrictFloat


class Part(BaseModel):
    """An object in the document: its types as they are, without conversion; keys that are not known are let through."""

    model_config = ConfigDict(strict=True)


class Distribution(Part):
    """A figure over many requests, tokens or chunks; a percentile that was refused is null."""

    n: int | None  # null where another client measured and did not write it down
    mean: Number | None
    min: Number | None
    p50: Number | None
    p90: Number | None
    p95: Number | None
    p99: Number | None
    max: Number | None
