"""A sweep over real sockets as others see it while it runs: the row of its progress."""

from typing import Any

import pytest

from loadgen.experiments import live
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.store.repository import Store
from loadgen.store.sweep_progress import SweepsProgress
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback


def test_rate_and_time_to_the_first_token_are_there_while_it_runs(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    put = SweepsProgress.put
    seen: list[Any] = []

    def look(self: SweepsProgress, sweep_id: str, document: Any) -> None:
        put(self, sweep_id, document)
        seen.append(self.of([sweep_id])[sweep_id].document)

    monkeypatch.setattr(SweepsProgress, "put", look)
    monkeypatch.setattr(live, "PERIOD_S", 0.05)
    with SimulatorProcess(SimulatorOptions(ttft_s=0.2, gap_s=0.01)) as simulator:
        where = ("--url", simulator.url, "--model", "simulated-moe", "--input-tokens", "8", "--output-tokens", "8")
        assert cli("run", *where, "--concurrency", "2", "--duration-s", "3").measured
    runs = [document["run"] for document in seen if document["run"] and document["run"]["ttft_s"]]
    assert runs
    assert all(run["ttft_s"]["p50"] >= 0.19 for run in runs)  # and not the head's, which comes at once
    measuring = [run for run in runs if run["phase"] == "measuring" and run["requests_per_s"]]
    assert measuring
    assert measuring[-1]["requests"]["ended"] > 0
    assert 0 < measuring[-1]["requests_per_s"] < 12
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        assert SweepsProgress(store).of([store.sweeps()[0].sweep_id]) == {}
