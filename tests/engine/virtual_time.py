"""An event loop whose clock jumps to the next timer: seconds of waiting pass in no time, and always the same way."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of sleeping until the next timer, moves the clock to it."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time, which starts at 0."""

    def __init__(self) -> None:
        self._virtual = _JumpingSelector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s

    def monotonic_ns(self) -> int:
        """Virtual now, in nanoseconds."""
        return round(self._virtual.now_s * 1e9)


def run_virtually(main: Coroutine[Any, Any, None], loop: VirtualLoop) -> None:
    """Run `main` to its end on `loop`."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main)
