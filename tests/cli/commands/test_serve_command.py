"""`loadgen serve` as it is typed: what it says where, its exit codes, and that nothing is left."""

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from loadgen.servers.launcher.state import running_server
from loadgen.servers.launcher.stop import stop
from tests.cli.conftest import Cli
from tests.cli.sweeps.own_servers import FAKE_PROFILE, write_profiles, write_vllm
from tests.forked_programs import ForkedProgram
from tests.servers.launcher.launches import FAKE, free_port, is_gone, state_in, wait_for

pytestmark = pytest.mark.loopback

SIMULATED = """
description: a quick simulator
launcher: simulator
engine: loadgen simulator
model: simulated-moe
arguments: {ttft-s: 0.005, gap-s: 0.001}
"""
EXTERNAL = """
description: somebody else's
launcher: external
engine: openai
model: simulated-moe
url: URL
"""
FAKE_ENGINE = FAKE_PROFILE.replace("gpus: 0", "gpus: GPUS, gpu_memory_gb: 80")


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of profiles in the working directory, and a state of the test's own whose server ends with it."""
    monkeypatch.setenv("LOADGEN_STATE_DIR", str(tmp_path / "state"))
    yield write_profiles(tmp_path, SIMULATED, ["sim"])
    stop()


@pytest.fixture
def fake_engine(profiles: Path, tmp_path: Path) -> None:
    """The profile `fake`, whose engine behaves as its arguments ask."""
    write_vllm(tmp_path / "vllm", f'exec {sys.executable} {FAKE} "$@"')
    write_profiles(tmp_path, FAKE_ENGINE.replace("GPUS", "0"), ["fake"])
    write_profiles(tmp_path, FAKE_ENGINE.replace("GPUS", "4"), ["fake-tp4"])


def test_up_status_logs_and_down(cli: Cli, tmp_path: Path) -> None:
    up = cli("serve", "up", "sim")
    assert up.code == 0, up.err
    assert re.fullmatch(r"sim answers at http://127\.0\.0\.1:\d+ after \d+ s \(loadgen simulator.*\)\n", up.out)
    assert "sim: starting (0 s)" in up.err
    assert "`loadgen serve down` ends it" in up.err
    members = state_in(tmp_path / "state").family()

    again = cli("serve", "up", "sim")
    assert again.code == 0
    assert "is running already" in again.out
    other = cli("serve", "up", "sim", "--argument", "gap-s=0.5")
    assert other.code == 2
    assert "sim is running with other arguments" in other.err

    status = cli("serve", "status")
    assert status.out.startswith("sim is running at http://127.0.0.1:")
    told = cli("serve", "status", "--json").json
    assert told["status"] == "running"
    assert told["server"]["profile"] == "sim"
    assert set(told["server"]["processes"]) == {one.pid for one in members}
    assert told["server"]["launch"]["arguments"] == {"ttft-s": 0.005, "gap-s": 0.001}
    assert "SIMULATED model 'simulated-moe'" in cli("serve", "logs").out

    down = cli("serve", "down")
    assert (down.code, down.out, down.err) == (0, "", "sim has ended, and nothing of it is left\n")
    assert all(is_gone(one.pid) for one in members)
    assert cli("serve", "down").err == "no server is running\n"
    assert "no server is running; sim was ended" in cli("serve", "status").out
    assert cli("serve", "status", "--json").json["status"] == "ended"


def test_before_the_first_start(cli: Cli) -> None:
    assert cli("serve", "status").out == "no server is running\n"
    assert cli("serve", "status", "--json").json == {"schema_version": 1, "status": "none", "server": None}
    logs = cli("serve", "logs")
    assert (logs.code, logs.out) == (2, "")
    assert "there is no log" in logs.err


def test_quiet_is_quiet(cli: Cli) -> None:
    up = cli("serve", "up", "sim", "-q")
    assert up.err == ""
    assert cli("-q", "serve", "down").err == ""


@pytest.mark.usefixtures("fake_engine")
def test_a_server_that_does_not_start_is_one_sentence_and_exit_code_5(cli: Cli, tmp_path: Path) -> None:
    failed = cli("serve", "up", "fake", "--argument", "behaviour=dies", "-q")
    assert failed.code == 5
    assert failed.out == ""
    log = state_in(tmp_path / "state").log
    assert failed.err == f"loadgen: fake did not start: ValueError: the moon is in the wrong phase; its log: {log}\n"
    assert "ended by itself with exit code 3" in cli("serve", "status").out


@pytest.mark.usefixtures("fake_engine")
def test_too_few_gpus_are_one_sentence_and_exit_code_5(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    failed = cli("serve", "up", "fake-tp4")
    assert (failed.code, failed.err) == (5, "loadgen: fake-tp4 needs 4 GPUs and found none\n")


def test_an_unknown_profile_is_a_mistake_of_usage(cli: Cli) -> None:
    assert cli("serve", "up", "simm").code == 2


def test_a_port_may_be_chosen(cli: Cli) -> None:
    port = free_port()
    assert f":{port} " in cli("serve", "up", "sim", "--port", str(port)).out
    running = running_server()
    assert running is not None
    assert running.facts["overrides"] == {"port": port}


def test_a_port_in_use_is_exit_code_5(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        failed = cli("serve", "up", "sim", "--port", str(port))
    assert failed.code == 5
    assert f"port {port} on 127.0.0.1 is in use by" in failed.err


def test_somebody_elses_server_is_recorded_and_forgotten(cli: Cli, profiles: Path, tmp_path: Path) -> None:
    port = free_port()
    with subprocess.Popen(
        [*_loadgen(), "simulate", "--port", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as theirs:
        try:
            wait_for(lambda: _listens(port))
            (profiles / "theirs.yaml").write_text(EXTERNAL.replace("URL", f"http://127.0.0.1:{port}"))
            up = cli("serve", "up", "theirs")
            assert up.code == 0, up.err
            assert "theirs is recorded at" in cli("serve", "status").out
            assert cli("serve", "down").err == "theirs is forgotten; it is not ours to end\n"
            assert theirs.poll() is None
            assert cli("serve", "run", "theirs").code == 2
        finally:
            theirs.terminate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_the_server_ends_with_the_command(
    start: Callable[..., ForkedProgram], tmp_path: Path, number: signal.Signals
) -> None:
    command = start("serve", "run", "sim")
    assert command.stdout is not None
    assert "sim answers at" in command.stdout.readline()
    assert command.stderr is not None
    while "SIMULATED model" not in (
        line := command.stderr.readline()
    ):  # the server's log, which is shown a moment later
        assert line, "it ended without showing the server's log"
    members = state_in(tmp_path / "state").family()
    command.send_signal(number)
    command.communicate(timeout=20)
    if number == signal.SIGINT:
        assert command.returncode == 0
    assert len(members) >= 2
    wait_for(lambda: state_in(tmp_path / "state").family() == [])
    assert state_in(tmp_path / "state").phase == "ended"


@pytest.mark.usefixtures("fake_engine")
def test_in_the_foreground_a_death_is_exit_code_5(start: Callable[..., ForkedProgram], tmp_path: Path) -> None:
    command = start("serve", "run", "fake")
    assert command.stdout is not None
    assert "fake answers at" in command.stdout.readline()
    server = state_in(tmp_path / "state").server
    assert server is not None
    psutil.Process(server).kill()
    _, said = command.communicate(timeout=20)
    assert command.returncode == 5
    assert "fake was killed by SIGKILL" in said
    assert "; its log: " in said


def test_a_followed_log_ends_with_the_server(cli: Cli, start: Callable[..., ForkedProgram]) -> None:
    cli("serve", "up", "sim")
    command = start("serve", "logs", "-f")
    time.sleep(0.5)
    assert command.poll() is None
    cli("serve", "down")
    out, _ = command.communicate(timeout=10)
    assert "SIMULATED model" in out
    assert "the server was ended" in out


def _loadgen() -> list[str]:
    return [sys.executable, "-m", "loadgen.cli"]


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
