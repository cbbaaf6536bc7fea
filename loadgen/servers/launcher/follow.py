"""A log as it grows."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

_LOOK_AGAIN_S = 0.2


def follow(log: Path, is_over: Callable[[], bool]) -> Iterator[bytes]:
    """What the log holds, then what is added, until `is_over`; what was written before that is given to its end."""
    with log.open("rb") as file:
        while True:
            over = is_over()
            while piece := file.read(65536):
                yield piece
            if over:
                return
            time.sleep(_LOOK_AGAIN_S)
