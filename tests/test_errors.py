"""The rules that a value breaks, in words."""

from datetime import datetime
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from loadgen.errors import first_problem


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: Annotated[int, Field(ge=1, le=8)] = 1
    share: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.5
    name: Annotated[str, Field(min_length=1, max_length=3, pattern="^[a-z]*$")] = "a"
    code: Annotated[str, Field(min_length=2)] = "ab"
    names: Annotated[list[str], Field(min_length=1)] = Field(default_factory=lambda: ["a"])
    counts: dict[str, list[int]] = Field(default_factory=dict)
    kind: Literal["a", "b"] = "a"
    on: bool = True
    at: datetime = datetime(2026, 1, 31)

    @field_validator("name")
    @classmethod
    def _not_x(cls, value: str) -> str:
        if value == "x":
            raise ValueError("must not be x")
        return value


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": "a"}, "count must be a whole number"),
        ({"count": 0}, "count must be at least 1"),
        ({"share": "a"}, "share must be a number"),
        ({"share": float("nan")}, "share must be a number"),
        ({"share": 0}, "share must be greater than 0"),
        ({"name": ""}, "name must not be empty"),
        ({"name": "x"}, "name must not be x"),
        ({"name": "abcd"}, "name must have at most 3 characters"),
        ({"name": "A"}, "name must match pattern '^[a-z]*$'"),
        ({"code": ""}, "code must have at least 2 characters"),
        ({"names": []}, "names must not be empty"),
        ({"names": "a"}, "names must be a list"),
        ({"counts": {"a": [1, "b"]}}, "counts.a.1 must be a whole number"),
        ({"counts": 1}, "counts must be a mapping of keys to values"),
        ({"kind": "c"}, "kind must be 'a' or 'b'"),
        ({"on": "c"}, "on must be true or false"),
        ({"on": 0.5}, "on must be true or false"),
        ({"on": None}, "on must be true or false"),
        ({"at": "x"}, "at must be a date or time, such as 2026-01-31T12:00:00Z"),
        ({"at": []}, "at must be a date or time, such as 2026-01-31T12:00:00Z"),
        ({"name": 1}, "name must be a text"),
        ({"count": 9}, "count must be at most 8"),
        ({"new": 1}, "new is unknown"),
    ],
)
def test_a_rule_is_told_without_the_words_of_the_library(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Model.model_validate(values)
    assert first_problem(caught.value.errors()) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# Title", "it is no JSON (expected value at line 1 column 1)"),
        ("", "it is no JSON (EOF while parsing a value at line 1 column 0)"),
        ("[]", "it must be a mapping of keys to values"),
        ('{"count": null}', "count must be a whole number"),
    ],
)
def test_a_rule_that_a_whole_text_breaks(text: str, words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        _Model.model_validate_json(text)
    assert first_problem(caught.value.errors()) == words


def test_a_value_that_is_missing() -> None:
    class Needs(BaseModel):
        count: int

    with pytest.raises(ValidationError) as caught:
        Needs.model_validate({})
    assert first_problem(caught.value.errors()) == "count is missing"
