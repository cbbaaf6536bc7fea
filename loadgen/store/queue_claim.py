"""The row that names the one service which works on the jobs of a database.

A row and not a lock: it holds wherever the database itself can be written, however its path or URL is spelled, and it names
its owner. Whether an owner is alive is told by its renewals alone, so the clocks of two machines are never compared.
"""

import os
import platform
import secrets
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from loadgen.errors import StoreError, UsageError
from loadgen.servers.launcher.processes import boot_id, is_alive, process
from loadgen.store import plain, tables
from loadgen.store.repository import INSERT, Store
from loadgen.store.rows import QueueClaimRow, QueueOwner

RENEWED_EVERY_S = 2.0
ENDS_AFTER_S = 30.0
"""How long a claim lasts that is not renewed."""

_ONLY = 1  # the number of the only row


class ClaimLostError(StoreError):
    """Another service works on the jobs now."""


def this_process() -> QueueOwner:
    """This process as an owner, of an id that no other has."""
    found = process(os.getpid())
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return QueueOwner(
        owner_id=secrets.token_hex(8),
        host_name=plain.printable(platform.node()),
        process_id=os.getpid(),
        process_started=0 if found is None else found.started,
        process_namespace=namespace,
        boot_id=boot_id(),
    )


def has_ended(owner: QueueOwner) -> bool:
    """Whether that process is known to have ended; False also where this process could not see it."""
    here = this_process()
    can_see = owner.boot_id == here.boot_id != "" and owner.process_namespace == here.process_namespace != ""
    return can_see and not is_alive(owner.process_id, owner.process_started)


def check(session: Session, owner: QueueOwner) -> None:
    """Raise `ClaimLostError` if another one owns the queue. It stays so until the transaction ends."""
    claim = _stored(session)
    if claim is not None and claim.owner.owner_id != owner.owner_id:
        raise ClaimLostError(
            f"this service no longer works on its jobs: {described(claim.owner)} took them over at {claim.claimed_at}; "
            "end this one, or end both and start one again"
        )


def described(owner: QueueOwner) -> str:
    return f"process {owner.process_id} on {plain.printable(owner.host_name)}"


class QueueClaim:
    """The row, as `owner` takes, renews and deletes it. Each method is one transaction and raises `StoreError`."""

    def __init__(self, store: Store, owner: QueueOwner) -> None:
        self._store = store
        self._owner = owner

    def found(self) -> QueueClaimRow | None:
        """The claim as it stands; None if there is none."""
        with self._store._read() as session:
            return _stored(session, lock=False)

    def take(self, instead_of: QueueClaimRow | None) -> bool:
        """Take it if it still is as in `instead_of`. Does not wait for another writer, who may be renewing it.

        Raises `UsageError` for a database file that may have two logs.
        """
        if self._store.path is not None:
            _check_one_name(self._store.path)
        with self._store._hasty() as session:
            if _stored(session) != instead_of:
                return False
            if instead_of is not None:
                session.execute(delete(tables.QueueClaimTable))
            return self._add(session)

    def renew(self) -> None:
        """Say that the owner is alive. Raises `ClaimLostError` if another one owns the queue."""
        with self._store._write() as session:
            check(session, self._owner)
            claim = session.get(tables.QueueClaimTable, _ONLY)
            if claim is None:  # in a database that was restored from a copy
                self._add(session)
            else:
                claim.heartbeat_at = _now(session)

    def release(self) -> None:
        with self._store._write() as session:
            session.execute(
                delete(tables.QueueClaimTable).where(tables.QueueClaimTable.owner_id == self._owner.owner_id)
            )

    def _add(self, session: Session) -> bool:
        now = _now(session)
        values = {"claim_number": _ONLY, **asdict(self._owner), "claimed_at": now, "heartbeat_at": now}
        add = INSERT[session.get_bind().dialect.name](tables.QueueClaimTable).values(**values)
        return bool(session.scalar(add.on_conflict_do_nothing().returning(tables.QueueClaimTable.claim_number)))


def _check_one_name(path: Path) -> None:
    """Raise `UsageError` if others may reach the database by a name with another log next to it, which they would not share."""
    resolved = path.resolve()
    try:
        names = resolved.stat().st_nlink
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except OSError:  # no Linux, or no database, as the next step reports
        return
    if names > 1:
        raise UsageError(
            f"the database {path} has {names} names (hard links), each of which would get a log of its own from SQLite: delete "
            "the other names, or pass another --db"
        )
    if any(mount.split(" ")[4] == str(resolved).replace(" ", "\\040") for mount in mounts):
        raise UsageError(
            f"the database {path} is mounted as a single file, without SQLite's log next to it: mount its folder instead"
        )


def _stored(session: Session, *, lock: bool = True) -> QueueClaimRow | None:
    query = select(tables.QueueClaimTable)
    row = session.scalar(query.with_for_update() if lock else query)  # SQLite's writers have the whole database anyway
    if row is None:
        return None
    owner = QueueOwner(**{name: getattr(row, name) for name in QueueOwner.__dataclass_fields__})
    return QueueClaimRow(owner, row.claimed_at, row.heartbeat_at)


def _now(session: Session) -> str:
    """By the clock of the database's server, where it has one."""
    if session.get_bind().dialect.name != "postgresql":
        return datetime.now(UTC).isoformat()
    now = session.scalar(select(func.clock_timestamp()))
    assert isinstance(now, datetime)
    return now.astimezone(UTC).isoformat()
