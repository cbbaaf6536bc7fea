"""A study that is killed, interrupted or loses a server: nothing is left running, and `--resume` measures what is missing, once."""

import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from loadgen.servers.launcher.state import read_state
from loadgen.servers.launcher.stop import stop
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from tests.cli.conftest import Cli
from tests.cli.sweeps.on_record import count_of_finished_sweeps, count_of_runs, sweeps
from tests.cli.sweeps.own_servers import (
    FAKE_PROFILE,
    members_of,
    nothing_is_left,
    write_profiles,
    write_study,
    write_vllm,
)
from tests.forked_programs import ForkedProgram
from tests.servers.launcher.launches import state_in, wait_for

pytestmark = pytest.mark.loopback

Start = Callable[..., ForkedProgram]

# It answers only once the file `ready` is there; until then its start hangs.
PROGRAM = """shift 2
while [ -e "$PWD/hang" ]; do sleep 0.1; done
exec {python} -m loadgen.cli simulate --model fake --ttft-s 0.02 --gap-s 0.004 "$@"
"""
STUDY = """
title: Mine
question: Does it go on?
servers: [{profile: a}, {profile: b}]
loads:
  - {wave: [1, 2], lengths: [16]}
  - {concurrency: 2, lengths: [16], requests: 8}
"""
WAVES = 2
PLANNED = 2 * (WAVES + 1)


@pytest.fixture(autouse=True)
def study(tmp_path: Path) -> Iterator[Path]:
    """The study `mine` over two servers; whatever a test leaves running ends with it."""
    write_profiles(tmp_path, FAKE_PROFILE)
    write_vllm(tmp_path / "vllm", PROGRAM.format(python=sys.executable))
    yield write_study(tmp_path, "mine", STUDY)
    stop()


def runs() -> Counter[tuple[str, str]]:
    """How often each run is on record, by its server and the hash of its spec."""
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        return Counter((row.name, run["spec"]["hash"]) for row in store.sweeps() for run in store.runs(row.sweep_id))


def attempts() -> int:
    """All runs on record, cut short ones and repeated ones too."""
    return sum(row.runs for row in sweeps())


def is_on_record(count: int) -> Callable[[], bool]:
    return lambda: count_of_runs() >= count


def first_sweep_is_finished() -> bool:
    return count_of_finished_sweeps() >= 1


def server_is_starting(tmp_path: Path) -> bool:
    state = read_state(tmp_path / "state")
    return state is not None and state.server is not None


@pytest.mark.parametrize(
    ("number", "when"),
    [
        (signal.SIGKILL, is_on_record(1)),
        (signal.SIGKILL, first_sweep_is_finished),
        (signal.SIGINT, is_on_record(PLANNED // 2 + 1)),
    ],
    ids=["kill -9 in a run", "kill -9 between two sweeps", "Ctrl-C on the second server"],
)
def test_a_study_cut_short_is_completed_by_resume(
    cli: Cli, start: Start, tmp_path: Path, number: signal.Signals, when: Callable[[], bool]
) -> None:
    command = start("study", "run", "mine")
    wait_for(lambda: when() or command.poll() is not None)
    assert command.poll() is None, command.communicate()
    before = members_of(tmp_path)
    command.send_signal(number)
    _, said = command.communicate(timeout=60)
    assert command.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), said
    assert "Traceback" not in said
    wait_for(lambda: nothing_is_left(tmp_path, before))
    kept = attempts()
    assert 1 <= kept < PLANNED

    went_on = cli("study", "run", "mine", "--resume")
    assert went_on.measured, went_on.err
    assert len(runs()) == PLANNED
    assert attempts() <= PLANNED + 1, "only the run that was cut short is repeated"
    assert len({row.group_id for row in sweeps()}) == 1
    assert [row.status for row in sweeps()] == ["finished"] * 4
    assert (
        f" goes on: {kept} of {PLANNED} runs " in went_on.err
        or f" goes on: {kept - 1} of {PLANNED} runs " in went_on.err
    )
    assert "a new one begins" not in went_on.err
    assert f"run 1 of {PLANNED - kept}" in went_on.err or f"run 1 of {PLANNED - kept + 1}" in went_on.err
    again = cli("study", "run", "mine", "--resume")
    assert again.measured, again.err
    assert "answers at" not in again.err
    assert again.err.count("nothing to resume") == 1


def test_a_study_killed_while_a_server_starts(cli: Cli, start: Start, tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    command = start("study", "run", "mine")
    wait_for(lambda: server_is_starting(tmp_path))
    before = members_of(tmp_path)
    command.kill()
    command.communicate(timeout=60)
    wait_for(lambda: nothing_is_left(tmp_path, before))
    assert sweeps() == []
    (tmp_path / "hang").unlink()
    went_on = cli("study", "run", "mine", "--resume")
    assert went_on.measured, went_on.err
    assert "no group of these sweeps is on record: a new one begins" in went_on.err
    assert (attempts(), len(runs())) == (PLANNED, PLANNED)


def test_a_server_that_dies_costs_no_other_server_a_point(cli: Cli, start: Start, tmp_path: Path) -> None:
    command = start("study", "run", "mine")
    wait_for(lambda: count_of_runs() >= 1 or command.poll() is not None)
    server = state_in(tmp_path / "state").server
    assert server is not None
    psutil.Process(server).kill()
    _, said = command.communicate(timeout=120)
    assert command.returncode == 5, said
    assert "--resume, which starts it again" in said
    waves, *others = sweeps()
    assert (waves.name, waves.status) == ("mine: a", "failed")
    assert waves.runs < waves.planned_runs
    assert [(row.name, row.status, row.runs) for row in others] == [
        ("mine: a", "finished", 1),
        ("mine: b", "finished", WAVES),
        ("mine: b", "finished", 1),
    ]
    kept = sum(1 for run in _documents(waves) if not run["server_died"])
    went_on = cli("study", "run", "mine", "--resume")
    assert went_on.measured, went_on.err
    assert went_on.err.count("answers at") == 1
    assert f"server 1 of 2, load 1 of 2, run 1 of {WAVES - kept}" in went_on.err
    assert len(runs()) == PLANNED
    assert [row.status for row in sweeps()] == ["finished"] * 4


def _documents(sweep: SweepRow) -> list[dict[str, object]]:
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        return list(store.runs(sweep.sweep_id))


@pytest.mark.parametrize(
    ("words", "starts_again"),
    [("torch.OutOfMemoryError: CUDA out of memory.", False), ("ValueError: the moon is in the wrong phase", True)],
)
def test_a_failed_start_is_on_record_once_and_tried_again_unless_it_lacked_memory(
    cli: Cli, tmp_path: Path, words: str, starts_again: bool
) -> None:
    write_vllm(tmp_path / "broken", f'echo x >> starts\necho "{words}" >&2\nexit 1')
    profile = tmp_path / "server_profiles/a.yaml"
    working = profile.read_text()
    profile.write_text(working.replace("./vllm", "./broken"))
    first = cli("study", "run", "mine")
    assert first.code in ((5,) if starts_again else (0, 3)), first.err
    assert [(row.name, row.runs, row.start_failure is not None) for row in sweeps()] == [
        ("mine: a", 0, True),
        ("mine: b", WAVES, False),
        ("mine: b", 1, False),
    ]
    again = cli("study", "run", "mine", "--resume")
    assert (tmp_path / "starts").read_text().count("x") == (2 if starts_again else 1)
    assert again.code == first.code
    assert again.err.count("mine: a") + again.err.count("a did not start") >= 1
    profile.write_text(working)
    healed = cli("study", "run", "mine", "--resume")
    assert healed.measured == starts_again or not starts_again
    assert len(runs()) == (PLANNED if starts_again else PLANNED // 2)


def test_a_server_that_lacked_memory_for_one_load_is_not_started_for_another(cli: Cli, tmp_path: Path) -> None:
    program = tmp_path / "vllm"
    program.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo 0.32.0 && exit\necho x >> starts\necho "CUDA out of memory" >&2\nexit 1\n'
    )
    first = cli("study", "run", "mine", "--only", "load=closed_loop", "--only", "profile=a")
    assert first.code == 5, "nothing was measured at all"
    rest = cli("study", "run", "mine", "--resume", "--only", "profile=a")
    assert rest.code == 5
    assert "out of GPU memory" in rest.err
    assert (tmp_path / "starts").read_text().count("x") == 1
