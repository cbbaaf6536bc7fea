"""Whether chunks whose `index` counts up are several replies or the numbered chunks of one. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any


def only_index(choice: Mapping[str, Any]) -> int:
    """The `index` of a choice where one was asked: 0 in place of what is no index."""
    index = choice.get("index")
    return index if isinstance(index, int) and index >= 0 else 0


def is_numbered(content_indices: Sequence[int], finished: Mapping[int, str | None], ends: bool) -> bool:
    """Whether the chunks are of one reply and are numbered: no two content chunks share an index, and not every index ends.

    `content_indices` are those of the chunks with content, in order; `finished` has the finish_reason of each index;
    `ends` is whether a finish_reason came with the last content or after it.
    """
    reasons = [reason for reason in finished.values() if reason is not None]
    if len(finished) < 2 or any(later <= earlier for earlier, later in pairwise(content_indices)):
        return False
    return len(finished) > 2 if len(reasons) == len(finished) else ends or not reasons
