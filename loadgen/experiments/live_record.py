"""Keeps on record how a sweep stands while it runs, for whoever watches from elsewhere.

It must cost the sweep nothing: a thread of its own writes the one row, about once a second, waits for no lock and leaves it at
that when the database is busy, full or gone. Whatever goes wrong here, the sweep goes on.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from loadgen.experiments.events import Event, OnEvent, RunProgressed, SweepStarted
from loadgen.experiments.live import LiveState
from loadgen.store.progress import SweepsProgress
from loadgen.store.repository import Store

PERIOD_S = 1.0
_GOODBYE_S = 2.0  # the longest that a sweep's end waits for a disk that does not answer


@contextmanager
def on_record(store: Store, on_event: OnEvent, sweep_id: str | None = None) -> Iterator[OnEvent]:
    """What is to hear the events of a sweep in place of `on_event`, which it tells them first. What `on_event` raises is raised at the end.

    `sweep_id` is that of a sweep which is gone on with; a new one names itself.
    """
    rows = SweepsProgress(store)
    state = LiveState()
    writer = _Writer(rows.put, rows.remove)
    writer.sweep_id = sweep_id
    noted_at_s = -PERIOD_S
    fault: Exception | None = None

    def hear(event: Event) -> None:
        nonlocal noted_at_s, fault
        try:
            on_event(event)
        except OSError:  # whoever watched is gone, such as a terminal that was closed
            pass
        except Exception as error:  # it must not cost a run that is being measured
            fault = fault or error
        with suppress(Exception):  # of whatever kind: a fault of ours here is none of the measurement
            state.hear(event)
            if isinstance(event, SweepStarted):
                writer.sweep_id = event.sweep_id
            if not isinstance(event, RunProgressed) or time.monotonic() - noted_at_s >= PERIOD_S / 2:
                noted_at_s = time.monotonic()
                writer.latest = state.document()

    writer.start()
    try:
        yield hear
    finally:
        writer.end()
    if fault is not None:
        raise fault


class _Writer(threading.Thread):
    """Writes `latest` over the row of `sweep_id`, and removes the row at the end."""

    def __init__(self, put: Callable[[str, dict[str, Any]], None], remove: Callable[[str], None]) -> None:
        super().__init__(name="sweep progress", daemon=True)
        self._put, self._remove = put, remove
        self._ended = threading.Event()
        self.sweep_id: str | None = None
        self.latest: dict[str, Any] | None = None

    def run(self) -> None:
        written: dict[str, Any] | None = None
        while not self._ended.wait(PERIOD_S):
            document = self.latest
            if document is not None and document is not written and self.sweep_id is not None:
                with suppress(Exception):
                    self._put(self.sweep_id, document)
                    written = document
        if self.sweep_id is not None:
            with suppress(Exception):  # a row that stays is known to be old: its sweep is not running
                self._remove(self.sweep_id)

    def end(self) -> None:
        """Stop writing."""
        self._ended.set()
        self.join(_GOODBYE_S)
