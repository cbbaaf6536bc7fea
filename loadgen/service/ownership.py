"""One service works on the queue of a database: how it becomes the one, stays it, and notices that it no longer is.

A claim is taken over when its owner's process has ended, or when it was not renewed for as long as
claims last while this process watched. Renewals come from a thread, and go on until the last job is saved.
"""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress

from loadgen.errors import LoadgenError, UsageError
from loadgen.report.format import timestamp
from loadgen.store.failures import UnavailableError
from loadgen.store.queue_claim import ENDS_AFTER_S, RENEWED_EVERY_S, ClaimLostError, QueueClaim, described, has_ended
from loadgen.store.repository import Store
from loadgen.store.rows import QueueClaimRow, QueueOwner

_LOOK_AGAIN_S = 0.25
_MAX_WATCH_S = 300.0  # of a database that other programs keep locked


def take(
    claim: QueueClaim,
    place: str,
    note: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Become the owner. Raises `UsageError` if another service shows that it is alive, and `StoreError`."""
    begun_s = since_s = clock()
    watched: QueueClaimRow | None = None
    while True:
        found = claim.found()
        is_silent = found == watched and clock() - since_s >= ENDS_AFTER_S
        if found is None or is_silent or has_ended(found.owner):
            try:
                if claim.take(found):
                    return
            except UnavailableError:  # another writer, behind whom the owner may be waiting too
                if clock() - begun_s > _MAX_WATCH_S:
                    raise
                since_s = clock()
        elif watched is None:
            watched, since_s = found, clock()
            note(
                f"{described(found.owner)} works on the jobs in {place} since {timestamp(found.claimed_at)}, or was ended without "
                f"notice: waiting for a sign of life, {ENDS_AFTER_S:.0f} s at most"
            )
        elif found != watched:
            raise UsageError(
                f"another service already works on the jobs in {place}: {described(found.owner)}, since "
                f"{timestamp(found.claimed_at)}, last seen at {timestamp(found.heartbeat_at)}; end it (its claim ends with it, or "
                f"{ENDS_AFTER_S:.0f} s after it was last seen), or pass another --db"
            )
        sleep(_LOOK_AGAIN_S)


class Ownership:
    """Renews a claim that was taken, until it is closed or lost.

    `opened` opens the database; `on_lost` is called in this object's own thread once another service has the queue.
    """

    def __init__(
        self,
        owner: QueueOwner,
        opened: Callable[[], AbstractContextManager[Store]],
        on_lost: Callable[[ClaimLostError], None],
    ) -> None:
        self._owner = owner
        self._opened = opened
        self._on_lost = on_lost
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="claim", daemon=True)

    def __enter__(self) -> "Ownership":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(ENDS_AFTER_S)
        with suppress(LoadgenError), self._opened() as store:  # if it cannot be given back, it ends by itself
            QueueClaim(store, self._owner).release()

    def _renew(self) -> None:
        while not self._closing.is_set():
            with suppress(LoadgenError):  # whoever next works on a job names it
                if self._renewed_until_closed():
                    return
            self._closing.wait(RENEWED_EVERY_S)

    def _renewed_until_closed(self) -> bool:
        """Renew over one connection. Returns whether there is nothing more to do. Raises LoadgenError if the database fails."""
        with self._opened() as store:
            claim = QueueClaim(store, self._owner)
            while not self._closing.wait(RENEWED_EVERY_S):
                try:
                    claim.renew()
                except ClaimLostError as lost:
                    sys.stderr.write(f"loadgen: {lost}\n")
                    self._on_lost(lost)
                    return True
        return True
