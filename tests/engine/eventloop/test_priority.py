"""The measuring process asks to be woken first, and gives the privilege back."""

import os

import pytest

from loadgen.engine.eventloop.priority import raised_priority


def test_within_the_block_the_scheduler_prefers_us_and_afterwards_no_more() -> None:
    before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    with raised_priority() as priority:
        if priority == "realtime":
            assert os.sched_getscheduler(0) == os.SCHED_RR
        elif priority == "raised":
            assert os.getpriority(os.PRIO_PROCESS, 0) < before[1]
    assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == before


def test_what_the_system_refuses_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    monkeypatch.setattr(os, "setpriority", refuse)
    with raised_priority() as priority:
        assert priority == "normal"
