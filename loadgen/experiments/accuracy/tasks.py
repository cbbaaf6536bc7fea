"""The tasks that can be asked for, by name: loadgen's own, those of lm-eval, and groups of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from loadgen.errors import UsageError
from loadgen.load.image_questions import IMAGE_TASKS
from loadgen.load.tasks import TASKS

Kind = Literal["generation", "choice", "image", "foreign"]
"""How a task is evaluated: one of loadgen's by its reply, by the likelihood of each choice, or by its reply to an image; or as lm-eval
has it."""

CHOICE = "_choice"
"""Behind the name of one of loadgen's tasks: the same examples as multiple choice."""

PAPER = ("arc_challenge", "arc_easy", "boolq", "hellaswag", "mmlu", "openbookqa", "rte", "winogrande")
"""The tasks of the paper's Figure 17, under lm-eval's names. They need a network."""

GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "built-in": tuple(TASKS),
        "built-in-choice": tuple(name + CHOICE for name in TASKS),
        "images": tuple(IMAGE_TASKS),
        "paper": PAPER,
    }
)


@dataclass(frozen=True, slots=True)
class AskedTask:
    """A task by the name that it was asked for under."""

    name: str
    kind: Kind

    @property
    def base(self) -> str:
        """The name of the examples: `copy` for `copy_choice`."""
        return self.name.removesuffix(CHOICE) if self.kind == "choice" else self.name

    @property
    def is_built_in(self) -> bool:
        """Whether its examples are made by loadgen, so that it needs no network."""
        return self.kind != "foreign"

    @property
    def may_need_log_likelihoods(self) -> bool:
        """Whether it may ask for the log-likelihood of a prompt's tokens; of a foreign task only lm-eval knows."""
        return self.kind in ("choice", "foreign")


def asked_tasks(names: Sequence[str]) -> tuple[AskedTask, ...]:
    """Return the tasks of these names and groups, each once, in order. Raises UsageError if there is none."""
    single = [name for given in names for name in GROUPS.get(given, (given,))]
    found = tuple(AskedTask(name, _kind(name)) for name in dict.fromkeys(single) if name)
    if not found:
        raise UsageError(f"no task is named; known here are {', '.join(built_in_names())}, and every task of lm-eval")
    return found


def built_in_names() -> tuple[str, ...]:
    """The groups and loadgen's own tasks."""
    return (*GROUPS, *(name for group in ("built-in", "built-in-choice", "images") for name in GROUPS[group]))


def _kind(name: str) -> Kind:
    if name in TASKS:
        return "generation"
    if name in IMAGE_TASKS:
        return "image"
    return "choice" if name.endswith(CHOICE) and name.removesuffix(CHOICE) in TASKS else "foreign"
