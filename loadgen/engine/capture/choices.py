"""The choices of a reply as its chunks come: which chunk is of which choice, and whether each has ended. Pure."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

GIVEN_UP = ("abort", "error")  # finish reasons by which a server says that it did not finish
_GOES_ON = ("null", "none")  # a finish reason of servers that write no JSON null


class Choices:
    """`finished` has the finish_reason of each choice by its index, None for one that goes on.

    `content_indices` are those of the chunks with content, in order; `ends` is whether a finish_reason came with the last
    content or after it.
    """

    def __init__(self) -> None:
        self.finished: dict[int, str | None] = {}
        self.content_indices: list[int] = []
        self.last_reason: str | None = None
        self.ends = False

    def take(self, index: int, finish_reason: object, *, carries: bool) -> None:
        """Note a chunk, which `carries` content or not. Content after a finish_reason takes it back."""
        if carries:
            self.content_indices.append(index)
            self.ends = False
        if not goes_on(finish_reason):
            self.finished[index] = self.last_reason = str(finish_reason)
            self.ends = True
        elif carries or index not in self.finished:
            self.finished[index] = None

    @property
    def reasons(self) -> list[str]:
        """The finish_reason of each choice that has one, by index."""
        return [reason for _, reason in sorted(self.finished.items()) if reason is not None]

    @property
    def given_up(self) -> str | None:
        """The finish_reason by which the server says that it did not finish a choice."""
        return next((reason for reason in self.reasons if reason in GIVEN_UP), None)

    @property
    def are_numbered_chunks(self) -> bool:
        """Whether these are the numbered chunks of one reply: no two with content share an index, and not every index ends."""
        if len(self.finished) < 2 or any(later <= earlier for earlier, later in pairwise(self.content_indices)):
            return False
        reasons = self.reasons
        return len(self.finished) > 2 if len(reasons) == len(self.finished) else self.ends or not reasons


def only_index(choice: Mapping[str, Any]) -> int:
    """The `index` of a choice where one was asked: 0 in place of what is no index."""
    index = choice.get("index")
    return index if isinstance(index, int) and index >= 0 else 0


def goes_on(finish_reason: object) -> bool:
    """Whether a chunk's finish_reason says that its choice goes on."""
    return not finish_reason or str(finish_reason).lower() in _GOES_ON
