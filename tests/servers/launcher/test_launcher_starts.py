"""Starting, finding and ending servers: real processes, none of which may be left."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from loadgen.errors import UsageError
from loadgen.servers.launcher.failure import FailureKind, StartFailure
from loadgen.servers.launcher.start import start
from loadgen.servers.launcher.state import running_server, status_of
from loadgen.servers.launcher.stop import stop
from tests.servers.launcher.launches import (
    fake_launch,
    free_port,
    grandchild_of,
    is_gone,
    simulator_launch,
    state_in,
    wait_for,
    write_program,
)

pytestmark = pytest.mark.loopback

STARTER = """
import sys
from pathlib import Path
from loadgen.servers.launcher.start import start
from tests.servers.launcher.launches import fake_launch
start(fake_launch(*sys.argv[2:]), say=lambda stage: print(stage, flush=True), folder=Path(sys.argv[1]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose server does not outlive the test."""
    yield tmp_path / "state"
    stop(tmp_path / "state")


def quietly(stage: str) -> None:
    pass


def starter(folder: Path, *behaviour: str) -> "subprocess.Popen[bytes]":
    """`start` in a process of its own."""
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", STARTER, str(folder), *behaviour]
    return subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_server_is_started_found_and_ended(folder: Path) -> None:
    launch, stages = simulator_launch(), list[str]()
    started = start(launch, say=stages.append, folder=folder)
    assert not started.was_running
    assert stages[0] == "starting"
    running = running_server(folder)
    assert running == started.server
    assert running is not None
    assert (running.profile, running.url, running.model) == ("sim", launch.url, "simulated-moe")
    assert running.facts["argv"] == list(launch.argv)
    assert running.facts["engine"] == "loadgen simulator"
    assert running.facts["startup_s"] > 0
    members = state_in(folder).family()
    assert len({one.group for one in members}) == 1
    assert stop(folder).profile == "sim"
    assert all(is_gone(one.pid) for one in members)
    assert state_in(folder).family() == []
    assert running_server(folder) is None
    assert stop(folder).profile is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", httpx2.URL(launch.url).port or 0), timeout=1)


def test_the_same_server_is_not_started_twice_and_another_is_refused(folder: Path) -> None:
    launch = fake_launch()
    first = start(launch, say=quietly, folder=folder)
    pid = state_in(folder).server
    again = start(launch, say=quietly, folder=folder)
    assert again.was_running
    assert again.server == first.server
    assert state_in(folder).server == pid
    with pytest.raises(UsageError, match=r"fake is running with other arguments at .*`loadgen serve down`"):
        start(replace(launch, argv=(*launch.argv, "--more")), say=quietly, folder=folder)
    with pytest.raises(UsageError, match=r"^fake is running at .*before you start sim$"):
        start(simulator_launch(), say=quietly, folder=folder)


def test_a_server_that_dies_at_once_is_told_with_its_reason_and_log(folder: Path) -> None:
    with pytest.raises(StartFailure, match="fake did not start: ValueError: the moon is in the wrong phase") as failed:
        start(fake_launch("dies"), say=quietly, folder=folder)
    assert failed.value.kind == FailureKind.DIED
    assert failed.value.log_path is not None
    assert "Starting to load model" in failed.value.log_path.read_text()
    assert str(failed.value).endswith(f"; its log: {failed.value.log_path}")
    assert state_in(folder).family() == []
    assert status_of(state_in(folder)) == "ended"


def test_a_program_that_cannot_be_executed_is_told(folder: Path, tmp_path: Path) -> None:
    program = write_program(tmp_path / "vllm", "#!/no/such/interpreter\n")
    launch = replace(fake_launch(), argv=(str(program), "serve"))
    with pytest.raises(StartFailure, match="No such file") as failed:
        start(launch, say=quietly, folder=folder)
    assert failed.value.kind == FailureKind.NO_ENGINE


def test_a_server_that_never_answers_is_given_up_and_ended(folder: Path) -> None:
    with pytest.raises(
        StartFailure, match=r"did not answer a request within 0\.7 s; it was loading the model"
    ) as failed:
        start(fake_launch("never-listens", timeout_s=0.7), say=quietly, folder=folder)
    assert failed.value.kind == FailureKind.TIMED_OUT
    assert state_in(folder).family() == []


def test_a_health_page_is_not_enough(folder: Path) -> None:
    with pytest.raises(StartFailure, match=r"refuses to be measured: .*404: no such thing") as failed:
        start(fake_launch("refuses"), say=quietly, folder=folder)
    assert failed.value.kind == FailureKind.REFUSED_REQUEST
    with pytest.raises(StartFailure, match=r"within 4 s.*500: EngineCore encountered an issue") as failed:
        start(fake_launch("broken", timeout_s=4), say=quietly, folder=folder)
    assert failed.value.kind == FailureKind.TIMED_OUT
    assert state_in(folder).family() == []


def test_a_server_that_ignores_being_asked_is_killed(folder: Path) -> None:
    start(fake_launch("ignores-term", grace_s=0.3), say=quietly, folder=folder)
    members = state_in(folder).family()
    assert stop(folder).profile == "fake"
    assert all(is_gone(one.pid) for one in members)
    ended = state_in(folder).ended
    assert ended is not None
    assert (ended.how, ended.signal) == ("asked", "SIGKILL")


def test_a_grandchild_in_a_session_of_its_own_ends_with_the_server(folder: Path) -> None:
    start(fake_launch("grandchild"), say=quietly, folder=folder)
    grandchild = grandchild_of(state_in(folder))
    assert grandchild in {one.pid for one in state_in(folder).family()}
    stop(folder)
    assert is_gone(grandchild)


def test_what_a_dead_server_leaves_is_ended_by_its_supervisor(folder: Path) -> None:
    launch = fake_launch("grandchild")
    start(launch, say=quietly, folder=folder)
    state = state_in(folder)
    assert state.server is not None
    os.kill(state.server, signal.SIGKILL)
    wait_for(lambda: status_of(state_in(folder)) == "ended")
    assert is_gone(grandchild_of(state))
    assert running_server(folder) is None
    ended = state_in(folder).ended
    assert ended is not None
    assert ended.sentence == "was killed by SIGKILL; the kernel does so when memory runs out"
    assert stop(folder).profile is None


def test_an_end_by_itself_has_its_exit_code(folder: Path) -> None:
    launch = fake_launch("dies-after")
    start(launch, say=quietly, folder=folder)
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"{launch.url}/die", timeout=5)
    wait_for(lambda: state_in(folder).phase == "ended")
    ended = state_in(folder).ended
    assert ended is not None
    assert ended.sentence == "ended by itself with exit code 4"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_start_that_is_broken_off_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    with starter(folder, "never-listens", "grandchild") as starting:
        wait_for(lambda: "grandchild" in log_of(folder))
        state = state_in(folder)
        assert state.phase == "starting"
        members = state.family()
        assert len(members) >= 3
        starting.send_signal(number)
        starting.communicate(timeout=15)
    wait_for(lambda: state_in(folder).family() == [])
    assert all(is_gone(one.pid) for one in members)
    wait_for(lambda: state_in(folder).phase == "ended")
    assert state_in(folder).ended is not None
    assert state_in(folder).ended.how == "abandoned"  # type: ignore[union-attr]


def test_a_start_is_ended_by_stop_from_another_process(folder: Path) -> None:
    with starter(folder, "never-listens") as starting:
        wait_for(lambda: "Starting to load" in log_of(folder))
        with pytest.raises(UsageError, match="another `loadgen serve` is starting a server"):
            start(fake_launch(), say=quietly, folder=folder)
        assert stop(folder).profile == "fake"
        _, said = starting.communicate(timeout=15)
    assert b"fake was ended before it was ready" in said
    assert state_in(folder).family() == []


def test_a_server_outlives_the_process_that_started_it(folder: Path) -> None:
    with starter(folder) as starting:
        assert starting.wait(15) == 0
    assert status_of(state_in(folder)) == "running"
    assert running_server(folder) is not None
    assert stop(folder).profile == "fake"


def test_a_server_without_its_supervisor_is_found_and_ended(folder: Path) -> None:
    start(fake_launch("grandchild"), say=quietly, folder=folder)
    state = state_in(folder)
    members = state.family()
    os.kill(state.supervisor, signal.SIGKILL)
    wait_for(lambda: is_gone(state.supervisor))
    assert status_of(state) == "running"
    assert running_server(folder) is not None
    assert stop(folder).profile == "fake"
    assert all(is_gone(one.pid) for one in members)
    assert state_in(folder).phase == "ended"


def test_the_rest_of_a_server_that_lost_its_supervisor_and_died_is_found_and_ended(folder: Path) -> None:
    start(fake_launch("grandchild"), say=quietly, folder=folder)
    state = state_in(folder)
    assert state.server is not None
    for pid in (state.supervisor, state.server):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_gone(state.server or 0))
    assert status_of(state) == "broken"
    assert running_server(folder) is None
    with pytest.raises(UsageError, match=r"broken off.*`loadgen serve down`"):
        start(fake_launch(), say=quietly, folder=folder)
    assert stop(folder).profile == "fake"
    assert is_gone(grandchild_of(state))


def test_a_reused_process_id_is_not_taken_for_the_server(folder: Path) -> None:
    start(fake_launch(), say=quietly, folder=folder)
    state = state_in(folder)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as stranger:
        reused = replace(state, supervisor=stranger.pid, server=stranger.pid, mark="another")
        assert reused.family() == []
        assert status_of(reused) == "ended"
        stranger.communicate(b"\n")
    assert replace(state, boot="another start of the machine").family() == []
    assert state.family() != []


def test_a_port_in_use_is_named_with_its_holder(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        with pytest.raises(StartFailure, match=f"port {port} on 127.0.0.1 is in use by this very process") as failed:
            start(fake_launch(port=port), say=quietly, folder=folder)
    assert failed.value.kind == FailureKind.PORT_IN_USE
    assert failed.value.log_path is None


def test_an_external_server_is_looked_at_recorded_and_forgotten(folder: Path, tmp_path: Path) -> None:
    port = free_port()
    launch = replace(fake_launch(port=port), profile_name="theirs", kind="external", argv=())
    with pytest.raises(StartFailure, match="theirs does not answer: nothing answers at"):
        start(launch, say=quietly, folder=folder)
    with pytest.raises(UsageError, match="theirs wants a key: set the environment variable NO_SUCH_KEY"):
        start(replace(launch, api_key_env="NO_SUCH_KEY"), say=quietly, folder=folder)
    elsewhere = tmp_path / "elsewhere"
    start(fake_launch(port=port), say=quietly, folder=elsewhere)
    try:
        started = start(launch, say=quietly, folder=folder)
        assert started.server.facts["kind"] == "external"
        assert started.server.facts["engine_version"] == "0.32.0"
        assert running_server(folder) == started.server
        stopped = stop(folder)
        assert stopped.was_external
        assert running_server(folder) is None
        assert running_server(elsewhere) is not None
    finally:
        stop(elsewhere)


def log_of(folder: Path) -> str:
    return "".join(path.read_text() for path in (folder / "logs").glob("*.log"))
