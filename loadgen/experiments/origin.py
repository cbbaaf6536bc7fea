"""Where each value of a spec came from (a flag, or a line of a file), so that a message can name it as the user wrote it.

Imports only `errors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from loadgen.errors import UsageError

_MAY_BE_SECRET = ("header", "url", "api_key_env")  # whose values are not repeated in a message

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Origin:
    """The file that keys came from, if any, and the line of each; every other key came from a flag."""

    path: Path | None = None
    lines: Mapping[str, int] = field(default_factory=dict)

    def name(self, key: str) -> str:
        """`--input-tokens`, or `'input_tokens' in sweep.yaml line 3`."""
        if key in self.lines and self.path is not None:
            return f"'{key}' in {self.path.name} line {self.lines[key]}"
        return f"--{key.replace('_', '-')}"

    def validated(self, model: type[Model], values: Mapping[str, object]) -> Model:
        """`values` as `model`, or a UsageError of one sentence about the first thing that is wrong."""
        try:
            return model.model_validate(values)
        except ValidationError as failure:
            errors = failure.errors(include_url=False)
        # A misspelt key explains a missing one, so it is told first.
        error = next((each for each in errors if each["type"] == "extra_forbidden"), errors[0])
        key = str(error["loc"][0]) if error["loc"] else ""
        match error["type"]:
            case "extra_forbidden":
                known = sorted(
                    model.model_fields, key=lambda field: field not in model.__annotations__
                )  # inherited last
                raise UsageError(self._unknown(key, known))
            case "missing":
                raise UsageError(f"{self.name(key)} is missing; {model.model_fields[key].description}")
            case "value_error":
                raise UsageError(f"{self.name(key)} {error['msg'].removeprefix('Value error, ')}")
        shown = "" if key in _MAY_BE_SECRET else f", not {error['input']}"
        raise UsageError(f"{self.name(key)} {_problem(error['type'], error['msg'])}{shown}")

    def _unknown(self, key: str, known: list[str]) -> str:
        if key not in self.lines or self.path is None:
            return f"no such option: {self.name(key)}"
        near = get_close_matches(key.replace("-", "_"), known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else f"; the keys are {', '.join(known)}"
        return f"unknown key '{key}' in {self.path.name} line {self.lines[key]}{hint}"


def _problem(kind: str, message: str) -> str:
    """pydantic's finding as the end of our sentence."""
    if kind.startswith("int"):
        return "must be a whole number"
    if kind.startswith("float") or kind == "finite_number":
        return "must be a number"
    return message.replace("Input should be", "must be", 1).replace("greater than or equal to", "at least")
