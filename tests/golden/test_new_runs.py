"""A run measured now has the document of the stored run that was asked for the same: its keys, their types, and all but times."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadgen.cli.app import main
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.store.repository import Store
from tests.golden import stored
from tests.golden.test_documents import differences

pytestmark = pytest.mark.loopback

_LENGTHS = ("--input-tokens", "8", "--output-tokens", "6")
_RUNS = {
    "closed": ("--concurrency", "4", "--requests", "24", "--seed", "2", "--slo", "ttft_s=0.02,tpot_s=0.005"),
    "conversations": ("--concurrency", "4", "--turns", "3", "--think-time-s", "0.02", "--requests", "24"),
    "waves": ("--wave", "16"),
}
_SAME = (  # parts that no clock decides
    *("schema_version", "simulated", "method_version", "interrupted", "outcomes", "failures", "finish_reasons"),
    *("cut_at_length_requests", "limit_wait_s", "provider_time", "tokens", "rate_limits", "lengths", "cost"),
    *("replies", "prefix_cache_reset", "server_died"),
)
_OF_ATTEMPT = {"url", "hash", "point_hash", "schedule_hash"}
_NUMBER = (int, float)


@pytest.mark.parametrize("name", _RUNS)
def test_a_new_run_is_as_the_stored_one(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with Store.open(stored.database(tmp_path), read_only=True) as store:
        sweep = next(each for each in store.sweeps() if each.name == name)
        before = store.runs(sweep.sweep_id)[-1]
    chat = ("--endpoint", "chat") if before["spec"]["endpoint"] == "chat" else ()
    with SimulatorProcess(SimulatorOptions(ttft_s=0.005, gap_s=0.001, max_model_len=4096)) as server:
        at = ("--url", server.url, "--model", "simulated-moe")
        db = f"sqlite:///{tmp_path}/new.db"
        assert main(["run", *at, *_RUNS[name], *_LENGTHS, *chat, "--json", "--db", db]) in (0, 3)
    now = json.loads(capfd.readouterr().out)
    assert now.pop("sweep")["sweep_id"] == now["sweep_id"]
    for package in ("prometheus-client", "uvloop"):  # which loadgen does not need any more
        del before["environment"]["packages"][package]
    assert shapes_apart(before, now) == []
    for part in _SAME:
        assert differences(before[part], now[part], part) == []
    specs = [{key: each["spec"][key] for key in each["spec"] if key not in _OF_ATTEMPT} for each in (before, now)]
    assert differences(specs[0], specs[1], "spec") == []


def shapes_apart(before: Any, now: Any, place: str = "") -> list[str]:
    """Where the keys or the types of two JSON values differ; a figure may be missing in either, and lists be of any length."""
    if isinstance(before, dict) and isinstance(now, dict):
        if list(before) != list(now):
            return [f"{place}: {list(before)} != {list(now)}"]
        return [each for key in before for each in shapes_apart(before[key], now[key], f"{place}.{key}")]
    if isinstance(before, list) and isinstance(now, list):
        return [each for a, b in zip(before, now, strict=False) for each in shapes_apart(a, b, f"{place}[]")]
    are_numbers = isinstance(before, _NUMBER) and isinstance(now, _NUMBER)
    if before is None or now is None or are_numbers or type(before) is type(now):
        return []
    return [f"{place}: {before!r} != {now!r}"]
