"""Once drains, twice ends now; an order that was given too early is repeated."""

from typing import cast

from loadgen.engine.workers import Workers
from loadgen.experiments.interrupts import Stop


class Listener:
    """Hears orders as a worker would."""

    def __init__(self) -> None:
        self.orders: list[str] = []

    def drain(self) -> None:
        self.orders.append("drain")

    def stop(self) -> None:
        self.orders.append("stop")


def attached() -> tuple[Stop, Listener]:
    stop, listener = Stop(), Listener()
    stop.attach(cast(Workers, listener))
    return stop, listener


def test_once_drains_and_twice_ends() -> None:
    stop, listener = attached()
    stop.request()
    stop.request()
    stop.request()
    assert listener.orders == ["drain", "stop", "stop"]


def test_an_order_is_repeated_and_none_is_made_up() -> None:
    stop, listener = attached()
    stop.renew()
    assert listener.orders == []
    stop.request()
    stop.renew()
    assert listener.orders == ["drain", "drain"]


def test_nobody_has_asked_at_first() -> None:
    assert not Stop().requested


def test_without_a_worker_the_wish_is_kept() -> None:
    stop = Stop()
    stop.request()
    assert stop.requested
    assert not stop.attached
