"""The documents of stored runs, made again from what the runs recorded, are what they were; a new run has the same keys."""

import math
from collections.abc import Iterator
from typing import Any

import pytest

from loadgen.store.repository import Store
from tests.golden import stored
from tests.golden.remade import remade

RECORDED = stored.recorded()
_LEFT_OUT = {  # known before the run was sent, or from outside of it
    *("schema_version", "run_id", "sweep_id", "repeat", "started_at", "elapsed_s", "simulated", "server_died"),
    *("spec", "server", "environment"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store.open(stored.database(tmp_path_factory.mktemp("golden")), read_only=True) as opened:
        yield opened


def test_runs_of_every_kind_are_recorded(store: Store) -> None:
    runs = [store.run(run_id) for run_id in RECORDED]
    assert len(runs) > 30
    assert {run["spec"]["shape"]["kind"] for run in runs} >= {"closed_loop", "open_loop", "wave"}
    assert {run["verdict"]["status"] for run in runs} == {"valid", "doubtful", "invalid"}
    for part in ("by_turn", "cost", "rate_limits", "gpu", "server_account", "replies", "provider_time"):
        assert any(run[part] for run in runs), part


@pytest.mark.parametrize("run_id", RECORDED)
def test_a_document_is_made_as_it_was(store: Store, run_id: str) -> None:
    document = store.run(run_id)
    made = remade(store, run_id, RECORDED[run_id])
    assert differences(store.outline(run_id), made.pop("outline"), "outline") == []
    before = {key: value for key, value in document.items() if key not in _LEFT_OUT}
    assert differences(before, made) == []


def differences(before: Any, now: Any, place: str = "") -> list[str]:
    """Where the two JSON values differ: in a key, a type or a value; floats by more than rounding."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = [f"{place}: keys {list(before)} != {list(now)}"] if set(before) != set(now) else []
        return keys + [
            each for key in before if key in now for each in differences(before[key], now[key], f"{place}.{key}")
        ]
    if isinstance(before, list) and isinstance(now, list | tuple) and len(before) == len(now):
        return [each for i in range(len(before)) for each in differences(before[i], now[i], f"{place}[{i}]")]
    if isinstance(before, float) and isinstance(now, float):
        return [] if math.isclose(before, now, rel_tol=1e-9, abs_tol=1e-12) else [f"{place}: {before} != {now}"]
    return [] if type(before) is type(now) and before == now else [f"{place}: {before!r} != {now!r}"]
