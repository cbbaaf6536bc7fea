"""Who holds a sweep, and how a sweep reads that nobody holds any more."""

import platform
import sys
from dataclasses import replace
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.store.claim import claimed, is_abandoned
from loadgen.store.repository import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="claims are known on Linux only")

HERE = {"host": {"name": platform.node()}}
ELSEWHERE = {"host": {"name": "another.example"}}


def test_a_sweep_is_held_once_and_asking_takes_nothing() -> None:
    assert is_abandoned("s-claim-1", HERE)
    with claimed("s-claim-1"):
        assert not is_abandoned("s-claim-1", HERE)
        with pytest.raises(UsageError, match="s-claim-1 is still being measured"), claimed("s-claim-1"):
            pass
    assert is_abandoned("s-claim-1", HERE)


def test_of_another_host_nothing_is_known() -> None:
    assert not is_abandoned("s-claim-2", ELSEWHERE)
    assert not is_abandoned("s-claim-2", {})


def test_a_running_sweep_that_nobody_holds_is_stopped(store: Store, make_sweep: Any) -> None:
    for sweep_id, environment in (("s-here", HERE), ("s-there", ELSEWHERE), ("s-held", HERE)):
        store.add_sweep(replace(make_sweep(sweep_id), environment=environment))
    with claimed("s-held"):
        assert {sweep.sweep_id: sweep.status for sweep in store.sweeps()} == {
            "s-here": "stopped",
            "s-there": "running",
            "s-held": "running",
        }
        assert store.sweep("s-here").status == "stopped"
    store.set_sweep_status("s-here", "finished")
    assert store.sweep("s-here").status == "finished"
