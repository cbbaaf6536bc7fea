"""What is asked of an evaluation: its tasks, and how they are put to the server. The key `accuracy` of a sweep and of a study."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from loadgen.spec.keys import Whole

DEFAULT_SAMPLES = 200
MAX_SAMPLES = 20_000  # of a task


def _names(value: object) -> object:
    """`copy,sort` or a list of names, without repetitions."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple):
        return value
    return list(dict.fromkeys(name.strip() if isinstance(name, str) else name for name in names))


def as_accuracy(value: object) -> object:
    """The names of tasks alone, or a mapping that has more."""
    return {"tasks": value} if isinstance(value, str | list | tuple) else value


class Accuracy(BaseModel):
    """An evaluation. `limit` None: all questions of a foreign task, and `DEFAULT_SAMPLES` of loadgen's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: Annotated[list[Annotated[str, Field(min_length=1)]], BeforeValidator(_names)] = Field(default_factory=list)
    when: Literal["before", "after"] = "after"  # the load
    limit: Annotated[int, Field(ge=1, le=MAX_SAMPLES)] | None = None
    shots: Annotated[int, Field(ge=0, le=100)] | None = None  # None: as the task has it
    chat: bool = False
    tokenizer: Annotated[str, Field(min_length=1)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    concurrency: Whole = 8
