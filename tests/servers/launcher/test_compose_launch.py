"""A server in a container, with a `docker` that only notes what it is asked and stands in for the container."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.servers.launcher.failure import FailureKind, StartFailure
from loadgen.servers.launcher.launch import Launch
from loadgen.servers.launcher.start import start
from loadgen.servers.launcher.stop import stop
from loadgen.servers.launcher.variant import launch_of
from loadgen.servers.profiles.schema import ServerProfile
from tests.servers.launcher.launches import FAKE, free_port, is_gone, state_in, write_program

pytestmark = pytest.mark.loopback

DOCKER = """#!/bin/sh
echo "$@" >> {calls}
case " $* " in
    *" up "*) exec {python} {fake} serve fake --port "$LOADGEN_VLLM_PORT" --served-model-name fake ;;
    *) echo removed ;;
esac
"""
NO_COMPOSE = "#!/bin/sh\necho 'docker: unknown command: docker compose' >&2\nexit 1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    state = tmp_path / "state"
    monkeypatch.setenv("LOADGEN_STATE_DIR", str(state))
    yield state
    stop()


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """Put this `docker` first on PATH; where it notes its calls."""
    calls = tmp_path / "calls"
    programs = tmp_path / "bin"
    programs.mkdir()
    write_program(programs / "docker", text.format(calls=calls, python=sys.executable, fake=FAKE))
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return calls


def launch() -> Launch:
    return launch_of(
        ServerProfile(name="boxed", description="x", model="fake", launcher="compose", port=free_port(), needs=None)
    )


def quietly(stage: str) -> None:
    pass


def test_a_container_is_started_seen_and_removed(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(tmp_path, monkeypatch, DOCKER)
    started = start(launch(), say=quietly)
    assert started.server.facts["container_argv"][:3] == ["vllm", "serve", "fake"]
    (call,) = calls.read_text().splitlines()
    override = folder / "compose-boxed.json"
    assert call.startswith("compose -f ")
    assert call.endswith(
        f"compose.yaml -f {override} up --no-deps --no-color --no-log-prefix --exit-code-from vllm vllm"
    )
    assert override.is_file()
    members = state_in(folder).family()
    assert stop().profile == "boxed"
    assert all(is_gone(one.pid) for one in members)
    assert calls.read_text().splitlines()[1].endswith("rm --stop --force vllm")
    assert "removed" in Path(started.server.log or "").read_text()


def test_a_container_is_removed_also_without_its_supervisor(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = install(tmp_path, monkeypatch, DOCKER)
    start(launch(), say=quietly)
    os.kill(state_in(folder).supervisor, 9)
    assert stop().profile == "boxed"
    assert calls.read_text().splitlines()[1].endswith("rm --stop --force vllm")


def test_docker_without_compose_is_told(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, NO_COMPOSE)
    with pytest.raises(StartFailure, match="boxed did not start: Docker lacks its compose plugin") as failed:
        start(launch(), say=quietly)
    assert failed.value.kind == FailureKind.NO_ENGINE
