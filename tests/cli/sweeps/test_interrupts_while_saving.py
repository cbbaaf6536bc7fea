"""A run that has come back from the worker is saved, however often the user presses Ctrl-C meanwhile."""

import signal
from typing import Any

import pytest

from loadgen.experiments import run_document as experiment
from loadgen.store.repository import Store
from tests.cli.conftest import Cli

pytestmark = pytest.mark.loopback


@pytest.mark.parametrize(("number", "times"), [(signal.SIGINT, 1), (signal.SIGINT, 3), (signal.SIGTERM, 2)])
@pytest.mark.parametrize("step", ["summarise", "add_run"])
def test_the_run_is_saved_first(
    cli: Cli, point: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, number: int, times: int, step: str
) -> None:
    owner: Any = experiment if step == "summarise" else Store
    original = getattr(owner, step)

    def interrupted(*arguments: Any, **named: Any) -> Any:
        for _ in range(times):
            signal.raise_signal(number)
        return original(*arguments, **named)

    monkeypatch.setattr(owner, step, interrupted)
    said = cli("sweep", *point, "--repeats", "2", "--json")
    assert said.code == 130
    assert "saving the run first" in said.err
    assert [run["outcomes"]["ok"] for run in said.json["runs"]] == [8]
    (sweep,) = cli("list", "--json").json["sweeps"]
    assert (sweep["status"], sweep["runs"]) == ("interrupted", 1)
