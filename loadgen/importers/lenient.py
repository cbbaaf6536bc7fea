"""Another client's document as a model, with a note on each figure that could not be read."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, StrictFloat, StrictInt, ValidationError

from loadgen.importers.file import where
from loadgen.load.file_rows import number_of

Json = dict[str, Any]
"""An object of another client's JSON."""
Number = StrictInt | StrictFloat
Model = TypeVar("Model", bound=BaseModel)

_MAX_REPAIRS = 1000


class LenientPart(BaseModel):
    """An object in the document: its types as they are, without conversion; keys that are not known are let through."""

    model_config = ConfigDict(strict=True)


def object_of(value: Any) -> Json:
    """Return the value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def read_leniently(model: type[Model], document: Any) -> tuple[Model, list[str]]:
    """`document` as `model`. A number that is written as a word is taken; what else does not fit is null, with a note.

    Changes `document` accordingly. Raises the ValidationError of what must be there and cannot be read.
    """
    notes: list[str] = []
    seen: list[tuple[tuple[int | str, ...], ValidationError]] = []
    for _ in range(_MAX_REPAIRS):
        try:
            return model.model_validate(document), notes
        except ValidationError as error:
            place = error.errors(include_url=False)[0]["loc"]
            seen.append((place, error))
            if not _repair(document, place, notes):
                break
    place = seen[-1][0]
    raise next(error for inner, error in seen if inner[: len(place)] == place)  # what first went wrong there


def _repair(document: Any, steps: tuple[int | str, ...], notes: list[str]) -> bool:
    """Mend the innermost value on the way to `steps` that is not null already; False when there is none."""
    way: list[tuple[Any, int | str]] = []
    here: Any = document
    for step in steps:
        if (isinstance(here, dict) and step in here) or (
            isinstance(here, list) and isinstance(step, int) and step < len(here)
        ):
            way.append((here, step))
        else:
            break
        holder_of: Any = here
        here = holder_of[step]
    while way and way[-1][0][way[-1][1]] is None:
        way.pop()
    if not way:
        return False
    holder, key = way[-1]
    value = holder[key]
    number = number_of(value) if isinstance(value, str | float) else None
    if number is not None and (isinstance(value, str) or number == int(number)):
        holder[key] = int(number) if number == int(number) else number
        return True
    holder[key] = None
    notes.append(f"{where(tuple(key for _, key in way))} could not be read and is left out")
    return True
