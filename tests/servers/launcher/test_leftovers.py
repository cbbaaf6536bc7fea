"""A server whose state is lost is found by its mark; logs of starts do not pile up; secrets do not stay in them."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from loadgen.errors import UsageError
from loadgen.servers.launcher.processes import strays
from loadgen.servers.launcher.start import start
from loadgen.servers.launcher.state import KEPT_LOGS, new_log, read_state, state_file, unrecorded, write_private
from loadgen.servers.launcher.stop import stop
from tests.servers.launcher.launches import fake_launch, grandchild_of, is_gone, state_in, wait_for


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
    for pid in (state.supervisor, state.server or 0, grandchild):
        wait_for(partial(is_gone, pid))
    assert stop(tmp_path).strays == 0


def _replace(**fields: object) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        document = {**json.loads(file.read_text()), **fields}
        file.unlink()
        file.write_text(json.dumps(document))

    return change


def _instead(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(file: Path) -> None:
        file.unlink()
        make(file)

    return change


ENDED = {"how": "asked", "at": "2026-01-01T00:00:00+00:00", "exit_code": None, "signal": None}
STATES = {
    "nested too deeply": _instead(lambda file: file.write_text("[" * 100_000)),
    "a number": _instead(lambda file: file.write_text("7")),
    "UTF-16": _instead(lambda file: file.write_bytes("{}".encode("utf-16"))),
    "a folder": _instead(lambda file: file.mkdir()),
    "a FIFO": _instead(os.mkfifo),
    "a device that never ends": _instead(lambda file: file.symlink_to("/dev/zero")),
    "a link to nowhere": _instead(lambda file: file.symlink_to("/nowhere/server.json")),
    "somebody else's server": _replace(supervisor=0, supervisor_started=0),
    "a server that ended": _replace(phase="ended", ended=ENDED, mark="0" * 32, supervisor=4194304),
    "another start of the machine": _replace(boot="another"),
    "a field of a later release": _replace(replicas=2),
    "text for a number": _replace(supervisor="12"),
    "no number": _replace(supervisor=None),
    "a number below 0": _replace(supervisor=-1),
    "true for a number": _replace(server=True),
    "text for seconds": _replace(grace_s="long"),
    "seconds that never end": _replace(grace_s=1e300),
    "text for a command": _replace(cleanup="true"),
    "a number for a path": _replace(log=5),
    "no facts": _replace(facts=None),
    "an address that is none": _replace(url="http://x\x1b]0;t"),
}


@pytest.mark.loopback
def test_the_server_is_found_and_ended_whatever_is_on_record(tmp_path: Path) -> None:
    """One server is enough: what is on record is changed, looked at and put back."""
    launch = fake_launch("grandchild")
    start(launch, say=lambda stage: None, folder=tmp_path)
    file, kept = state_file(tmp_path), state_file(tmp_path).read_bytes()
    found = {}
    for name, change in STATES.items():
        change(file)
        state = read_state(tmp_path)
        found[name] = len(unrecorded(tmp_path, state)) >= 3
        with pytest.raises(UsageError, match=r"not on record.*serve down"):
            start(launch, say=lambda stage: None, folder=tmp_path)
        shutil.rmtree(file) if file.is_dir() else file.unlink()
        file.write_bytes(kept)
    assert found == dict.fromkeys(STATES, True)
    assert unrecorded(tmp_path, read_state(tmp_path)) == []
    state = state_in(tmp_path)
    STATES["somebody else's server"](file)
    stopped = stop(tmp_path)
    assert (stopped.was_external, stopped.strays >= 3) == (True, True)
    assert [is_gone(pid) for pid in (state.supervisor, state.server or 0)] == [True, True]


@pytest.mark.loopback
def test_the_state_folder_may_be_spelled_in_another_way_or_gone(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"st\xffte")
    (tmp_path / "link").symlink_to(folder)
    start(fake_launch(), say=lambda stage: None, folder=tmp_path / "x" / ".." / folder.name)
    state = state_in(folder)
    shutil.rmtree(folder)
    assert strays(tmp_path / "link") == strays(folder) != []
    assert strays(tmp_path) == []
    os.kill(state.supervisor, signal.SIGKILL)
    assert stop(tmp_path / "link").strays >= 1
    assert is_gone(state.server or 0)


@pytest.mark.loopback
def test_a_process_that_hides_its_environment_is_found_by_its_session(tmp_path: Path) -> None:
    start(fake_launch("hidden-child"), say=lambda stage: None, folder=tmp_path)
    state = state_in(tmp_path)
    state_file(tmp_path).unlink()
    hidden = grandchild_of(state)
    os.kill(state.supervisor, signal.SIGKILL)
    wait_for(lambda: is_gone(state.supervisor))
    assert hidden in {one.pid for one in strays(tmp_path)}
    stop(tmp_path)
    assert is_gone(hidden)


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
        path = Path(started.server.log)
        log = path.read_text()
        assert "*********" in log
        assert not any("s3cret" in each.read_text() for each in (path, state_file(tmp_path)))
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


def test_folders_and_links_next_to_the_logs_do_not_push_logs_out(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    for number in range(KEPT_LOGS + 10):
        (logs / f"folder-{number}.log").mkdir(parents=True)
    older = [new_log(tmp_path, f"p{number}") for number in range(5)]
    assert new_log(tmp_path, "newest").exists()
    assert all(path.exists() for path in older)
    target = tmp_path / "target"
    target.write_text("kept")
    for number in range(KEPT_LOGS + 10):
        (logs / f"link-{number}.log").symlink_to(target)
    new_log(tmp_path, "last")
    assert len([path for path in logs.iterdir() if not path.is_dir() or path.is_symlink()]) == KEPT_LOGS
    assert target.read_text() == "kept"


def _fifo_lock(folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "starting.lock")
    (folder / "logs").touch()


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda folder: folder.touch(), id="a file"),
        pytest.param(lambda folder: folder.symlink_to("/nowhere/state"), id="a link to nowhere"),
        pytest.param(lambda folder: (folder / "server.json").mkdir(parents=True), id="server.json is a folder"),
        pytest.param(lambda folder: (folder / "starting.lock").mkdir(parents=True), id="the lock is a folder"),
        pytest.param(lambda folder: folder.mkdir() or (folder / "logs").touch(), id="logs is a file"),
        pytest.param(lambda folder: folder.mkdir() or (folder / "logs").symlink_to("/nowhere"), id="logs is a link"),
        pytest.param(_fifo_lock, id="the lock is a FIFO and logs is a file"),
    ],
)
def test_a_state_folder_that_cannot_be_used_is_named(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    folder = tmp_path / "state"
    spoil(folder)
    with pytest.raises(UsageError, match=rf"the state folder {folder} cannot be used: .*LOADGEN_STATE_DIR"):
        start(fake_launch(), say=lambda stage: None, folder=folder)
    assert stop(folder).strays == 0


def test_a_private_file_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    path.write_text("older")
    write_private(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
