"""A server whose state is lost is found by its mark; logs of starts do not pile up; secrets do not stay in them."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.servers.launcher.place import KEPT_LOGS, new_log, state_file, write_private
from loadgen.servers.launcher.processes import strays
from loadgen.servers.launcher.start import start
from loadgen.servers.launcher.stop import stop
from tests.servers.launcher.launches import fake_launch, grandchild_of, is_gone, state_in


@pytest.mark.loopback
@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"profile": "x"}', "\x00\xff"])
def test_a_lost_or_garbled_state_does_not_hide_the_server(tmp_path: Path, text: str | None) -> None:
    launch = fake_launch("grandchild")
    start(launch, say=lambda stage: None, folder=tmp_path)
    state = state_in(tmp_path)
    grandchild = grandchild_of(state)
    state_file(tmp_path).unlink()
    if text is not None:
        state_file(tmp_path).write_text(text)
    with pytest.raises(UsageError, match=r"not on record.*serve down"):
        start(launch, say=lambda stage: None, folder=tmp_path)
    assert strays(tmp_path / "other") == []
    stopped = stop(tmp_path)
    assert (stopped.profile, stopped.strays >= 3) == (None, True)
    assert [is_gone(pid) for pid in (state.supervisor, state.server or 0, grandchild)] == [True] * 3
    assert stop(tmp_path).strays == 0


@pytest.mark.loopback
def test_what_an_engine_tells_of_its_secrets_at_its_start_is_overwritten(tmp_path: Path) -> None:
    launch = fake_launch()
    tells = "import os, runpy, sys; print(os.environ['DB_PASS'], sys.argv, flush=True); runpy.run_path(sys.argv[0], run_name='__main__')"
    words = (sys.executable, "-c", f"import sys; sys.argv = sys.argv[1:]; {tells}", *launch.argv[1:])
    launch = replace(
        launch, argv=(*words, "--api-key", "s3cret-one", "s3cret-two"), environment={"DB_PASS": "s3cret-pw"}
    )
    started = start(launch, say=lambda stage: None, folder=tmp_path)
    try:
        assert started.server.log is not None
        log = started.server.log.read_text()
        assert "*********" in log
        assert not any("s3cret" in path.read_text() for path in (started.server.log, state_file(tmp_path)))
    finally:
        stop(tmp_path)


def test_only_the_newest_logs_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT_LOGS + 5):
        os.utime(new_log(tmp_path, f"p{number}"), (number, number))
    newest = new_log(tmp_path, "newest")
    kept = {path.name.partition("-")[0] for path in (tmp_path / "logs").iterdir()}
    assert newest.exists()
    assert len(kept) == KEPT_LOGS
    assert {"p5", "p0"}.isdisjoint(kept)


def test_a_private_file_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    path.write_text("older")
    write_private(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
