"""Becoming the one service of a queue: an owner that is alive is left alone, one that is not is replaced in a stated time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from loadgen.errors import UsageError
from loadgen.service import ownership
from loadgen.store.failures import UnavailableError
from loadgen.store.queue_claim import ENDS_AFTER_S, RENEWED_EVERY_S, ClaimLostError, QueueClaim, this_process
from loadgen.store.repository import Store
from loadgen.store.rows import QueueClaimRow

ELSEWHERE = replace(this_process(), host_name="bench-2", process_id=7, boot_id="another")


class Time:
    """A clock that moves when somebody waits, and what happens meanwhile."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.each_s: Callable[[float], None] = lambda now_s: None

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        self.each_s(self.now_s)


@pytest.fixture
def store(db_url: str) -> Iterator[Store]:
    with Store.open(db_url) as opened:
        yield opened


def take(store: Store, time: Time, notes: list[str] | None = None) -> QueueClaim:
    claim = QueueClaim(store, this_process())
    note = (notes if notes is not None else []).append
    ownership.take(claim, store.place, note, clock=time.clock, sleep=time.sleep)
    return claim


def test_a_free_queue_is_taken_at_once(store: Store) -> None:
    time = Time()
    take(store, time).release()
    take(store, time)
    assert time.now_s == 0


def test_an_owner_of_this_machine_that_ended_is_replaced_at_once(store: Store) -> None:
    time = Time()
    gone = replace(this_process(), process_started=1)  # its number is another's now
    QueueClaim(store, gone).take(None)
    take(store, time)
    assert time.now_s == 0


def test_an_owner_that_is_alive_is_named(store: Store) -> None:
    time, notes = Time(), list[str]()
    other = QueueClaim(store, ELSEWHERE)
    other.take(None)
    time.each_s = lambda now_s: other.renew() if now_s >= RENEWED_EVERY_S else None
    with pytest.raises(
        UsageError, match=r"another service .*: process 7 on bench-2, since .* UTC, last seen at .* UTC; end it"
    ):
        take(store, time, notes)
    assert time.now_s <= 2 * RENEWED_EVERY_S
    assert len(notes) == 1
    assert "waiting for a sign of life, 30 s at most" in notes[0]


def test_one_that_is_silent_is_replaced_when_its_claim_ends(store: Store) -> None:
    """However far its clock is from ours: only what happens while we watch counts."""
    time = Time()
    QueueClaim(store, ELSEWHERE).take(None)
    claim = take(store, time)
    assert ENDS_AFTER_S <= time.now_s <= ENDS_AFTER_S + 1
    with pytest.raises(ClaimLostError):
        QueueClaim(store, ELSEWHERE).renew()
    claim.renew()


@pytest.mark.parametrize("at_s", [1.0, 15.0, ENDS_AFTER_S - 0.5])
def test_one_sign_of_life_at_any_time_is_enough(store: Store, at_s: float) -> None:
    time = Time()
    other = QueueClaim(store, ELSEWHERE)
    other.take(None)
    time.each_s = lambda now_s: other.renew() if now_s == at_s else None
    with pytest.raises(UsageError, match="another service"):
        take(store, time)


def test_one_that_ends_in_order_meanwhile_is_replaced(store: Store) -> None:
    time = Time()
    other = QueueClaim(store, ELSEWHERE)
    other.take(None)
    time.each_s = lambda now_s: other.release() if now_s == 1 else None
    take(store, time)
    assert time.now_s == 1


def test_of_two_that_wait_for_a_silent_one_the_second_is_refused(store: Store) -> None:
    time, quicker = Time(), QueueClaim(store, replace(ELSEWHERE, owner_id="quicker", process_id=8))
    QueueClaim(store, ELSEWHERE).take(None)

    def at(now_s: float) -> None:
        if now_s == ENDS_AFTER_S:
            assert quicker.take(quicker.found())

    time.each_s = at
    with pytest.raises(UsageError, match="process 8 on bench-2"):
        take(store, time)


def test_behind_a_writer_the_owner_gets_its_time_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be waiting for the same lock, and be about to renew its claim."""
    time = Time()
    QueueClaim(store, ELSEWHERE).take(None)
    real = QueueClaim.take

    def locked_once(self: QueueClaim, instead_of: QueueClaimRow | None) -> bool:
        monkeypatch.setattr(QueueClaim, "take", real)
        raise UnavailableError("locked")

    monkeypatch.setattr(QueueClaim, "take", locked_once)
    take(store, time)
    assert 2 * ENDS_AFTER_S <= time.now_s <= 2 * ENDS_AFTER_S + 1


def test_a_database_that_stays_locked_is_the_failure(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(self: QueueClaim, instead_of: QueueClaimRow | None) -> bool:
        raise UnavailableError("locked")

    monkeypatch.setattr(QueueClaim, "take", locked)
    time = Time()
    with pytest.raises(UnavailableError):
        take(store, time)
    assert time.now_s <= 301


def test_its_end_gives_the_queue_back(store: Store) -> None:
    claim = take(store, Time())

    @contextmanager
    def opened() -> Iterator[Store]:
        yield store

    with ownership.Ownership(claim._owner, opened, on_lost=lambda lost: None):
        assert claim.found() is not None
    assert claim.found() is None
