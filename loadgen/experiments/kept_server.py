"""A server that outlives one sweep, for the next one on the same variant."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from loadgen.servers.launcher.state import ServerState


class KeptServer:
    """A server that several sweeps on one variant use in turn. It is stopped with the block, or when `stop` is called."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._server: ServerState | None = None

    def __enter__(self) -> "KeptServer":
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def started(self, start_it: Callable[[], AbstractContextManager[ServerState]]) -> ServerState:
        """Return the server, started now unless it is there already. Raises what starting it raises."""
        if self._server is None:
            self._server = self._stack.enter_context(start_it())
        return self._server

    def stop(self) -> None:
        """Stop the server, if there is one."""
        self._server = None
        self._stack.close()
