"""`loadgen sweep` on servers that loadgen starts: the one that is running, one profile, several of them; ends of every kind."""

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fastapi.testclient import TestClient

from loadgen.servers.launcher.state import read_state, running_server
from loadgen.servers.launcher.stop import stop
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from loadgen.web.app import create_app
from tests.cli.conftest import Cli
from tests.cli.sweeps.on_record import count_of_runs, sweeps
from tests.cli.sweeps.own_servers import (
    FAKE_PROFILE,
    QUICK_PROFILE,
    members_of,
    nothing_is_left,
    write_failing_vllm,
    write_profiles,
    write_vllm,
)
from tests.forked_programs import ForkedProgram
from tests.servers.launcher.launches import free_port, state_in, wait_for

pytestmark = pytest.mark.loopback

Start = Callable[..., ForkedProgram]

GRID = "sweep: {concurrency: [1, 2], input_tokens: 8, output_tokens: 8, requests: 8}\n"
SIMULATED = QUICK_PROFILE.replace("NAME", "moe") + GRID
LONG = ("--requests", "40", "--output-tokens", "30", "--concurrency", "2", "--repeats", "3")
BROKEN = FAKE_PROFILE + GRID
OUT_OF_MEMORY = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79 GiB"
)
# Whether a small run on a busy machine is valid is not the question here.
MEASURED = (0, 3)


@pytest.fixture(autouse=True)
def profiles(tmp_path: Path) -> Iterator[Path]:
    """Profiles `a` and `b` in the working directory; whatever a test leaves running ends with it."""
    yield write_profiles(tmp_path, SIMULATED)
    stop()


def breaks(profiles: Path, name: str, said: str) -> None:
    """A profile whose server says something and dies."""
    write_failing_vllm(profiles.parent / "vllm", said)
    write_profiles(profiles.parent, BROKEN, [name])


def runs_of(sweep: SweepRow) -> list[dict[str, Any]]:
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        return store.runs(sweep.sweep_id)


def wait_for_runs(count: int, command: ForkedProgram) -> None:
    def are_there() -> bool:
        assert command.poll() is None, command.communicate()
        return count_of_runs() >= count

    wait_for(are_there, limit_s=60)


def test_without_arguments_the_running_server_is_measured_over_its_grid(cli: Cli) -> None:
    cli("serve", "up", "a")
    said = cli("sweep")
    assert said.code in MEASURED, said.err
    (sweep,) = sweeps()
    runs = runs_of(sweep)
    assert [run["spec"]["shape"]["concurrency"] for run in runs] == [1, 2]
    assert sweep.spec["profile"] == "a"
    assert "overrides" not in sweep.spec
    for server in (sweep.server, runs[0]["server"]):
        assert server["profile"] == "a"
        assert server["launch"]["arguments"] == {"ttft-s": 0.005, "gap-s": 0.001}
        assert server["launch"]["argv"][1:4] == ["-m", "loadgen.cli", "simulate"]
    running = running_server()
    assert running is not None, "what `serve up` started lives on"
    assert "server    a, answered after" in cli("show", runs[0]["run_id"]).out
    assert " · a · 2 runs" in cli("show", "latest").out


def test_flags_go_before_the_grid_of_the_running_server(cli: Cli) -> None:
    cli("serve", "up", "a", "--argument", "gap-s=0.002")
    said = cli("sweep", "--rate", "40", "--requests", "8", "--output-tokens", "4,6", "--name", "mine", "--json")
    assert said.code in MEASURED, said.err
    assert [run["spec"]["shape"]["kind"] for run in said.json["runs"]] == ["open_loop"] * 2
    assert [run["spec"]["output_tokens"] for run in said.json["runs"]] == [4, 6]
    assert said.json["spec"]["overrides"] == {"arguments": {"gap-s": 0.002}}
    assert said.json["name"] == "mine"


def test_a_run_and_a_search_take_the_running_server_and_not_its_grid(cli: Cli) -> None:
    cli("serve", "up", "a")
    point = ("--input-tokens", "8", "--output-tokens", "4", "--requests", "8")
    run = cli("run", "--concurrency", "1", *point, "--json")
    assert run.code in MEASURED, run.err
    assert run.json["server"]["profile"] == "a"
    assert "--input-tokens is missing" in cli("run", "--concurrency", "1").err
    search = cli("search", "--concurrency", "1:2", "--slo", "ttft_s=5", *point, "--repeats", "1", "--json")
    assert search.json["spec"]["profile"] == "a"


def test_the_plan_of_the_running_server_sends_nothing(cli: Cli) -> None:
    cli("serve", "up", "a")
    assert len(cli("sweep", "--plan", "--json").json["runs"]) == 2
    assert not Path("loadgen.db").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "--concurrency", "1", "--input-tokens", "8", "--output-tokens", "8"), "no server is running"),
        (("sweep", "--resume"), "no server is running"),
        (("sweep", "--profile", "a", "--url", "http://x"), "--url and --profile exclude each other"),
        (("sweep", "--profile", "aa"), "there is no server profile 'aa'"),
        (("sweep", "--profile", "a,a"), "--profile lists a twice"),
        (("sweep", "--profile", "a,b", "--interleave"), "--interleave needs --repeats of 2 or more"),
        (("sweep", "--url", "simulator", "--interleave"), "--interleave needs --profile"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(cli: Cli, arguments: tuple[str, ...], sentence: str) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"loadgen: {sentence}")


def test_a_server_killed_in_a_sweep_is_started_again_to_finish_it(cli: Cli, start: Start, tmp_path: Path) -> None:
    cli("serve", "up", "a", "--argument", "gap-s=0.003")
    members = members_of(tmp_path)
    command = start("sweep", *LONG)
    wait_for_runs(1, command)
    server = state_in(tmp_path / "state").server
    assert server is not None
    psutil.Process(server).kill()
    _, said = command.communicate(timeout=60)
    assert command.returncode == 5
    last = said.splitlines()[-1]
    assert last.startswith("loadgen: a was killed by SIGKILL")
    assert "--resume, which starts it again; its log: " in last
    (sweep,) = sweeps()
    assert sweep.status == "failed"
    assert 1 <= sweep.runs < 3
    wait_for(lambda: nothing_is_left(tmp_path, members))

    other = cli("sweep", "--resume", *LONG[:-1], "5")
    assert other.code == 2, "another grid has nothing to go on with, and no server to begin on"
    went_on = cli("sweep", "--resume", *LONG)
    assert went_on.code in MEASURED, went_on.err
    assert "a with gap-s 0.003 answers at" in went_on.err
    (sweep,) = sweeps()
    assert (sweep.status, sweep.runs) == ("finished", 3)
    started = {run["server"]["launch"]["started_at"] for run in runs_of(sweep)}
    assert len(started) == 2
    assert {str(run["server"]["launch"]["argv"]) for run in runs_of(sweep)} == {str(sweep.server["launch"]["argv"])}
    assert running_server() is None, "what --resume started, it ended"

    again = cli("sweep", "--resume", *LONG)
    assert again.code in MEASURED
    assert "nothing to resume" in again.err
    assert running_server() is None


def test_a_sweep_does_not_go_on_upon_another_server(cli: Cli, start: Start, tmp_path: Path) -> None:
    cli("serve", "up", "a")
    command = start("sweep", *LONG)
    wait_for_runs(1, command)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    cli("serve", "down")
    cli("serve", "up", "b")
    refused = cli("sweep", "--resume", *LONG)
    assert refused.code == 2
    assert re.search(r"the sweep s\S+ began on a, and b is running: end it with `loadgen serve down`", refused.err)
    cli("serve", "down")
    profile = tmp_path / "server_profiles" / "a.yaml"
    profile.write_text(profile.read_text().replace("gap-s: 0.001", "gap-s: 0.002"))
    changed = cli("sweep", "--resume", *LONG)
    assert changed.code == 2
    assert "began on a started in another way (0.001 in place of 0.002)" in changed.err
    assert running_server() is None


def test_a_sweep_on_a_profile_starts_and_ends_its_server(cli: Cli, tmp_path: Path) -> None:
    said = cli("sweep", "--profile", "a", "--requests", "4")
    assert said.code in MEASURED, said.err
    assert "a: starting" in said.err
    assert "a answers at http://127.0.0.1:" in said.err
    (sweep,) = sweeps()
    assert (sweep.status, sweep.group_id, sweep.spec["profile"]) == ("finished", None, "a")
    assert nothing_is_left(tmp_path, [])


def test_a_sweep_on_a_profile_takes_its_running_server_and_leaves_it(cli: Cli) -> None:
    cli("serve", "up", "a")
    assert cli("sweep", "--profile", "a").code in MEASURED
    assert running_server() is not None
    refused = cli("sweep", "--profile", "b")
    assert refused.code == 2
    assert "a is running at" in refused.err
    assert "`loadgen serve down`" in cli("sweep", "--profile", "a,b").err


def test_a_profile_by_its_path_is_found_again(cli: Cli, tmp_path: Path) -> None:
    elsewhere = tmp_path / "mine.yaml"
    elsewhere.write_text(SIMULATED + f"port: {free_port()}\n")
    cli("serve", "up", "./mine.yaml")
    assert cli("sweep").code in MEASURED
    assert sweeps()[0].spec["profile_source"] == str(elsewhere)


def test_several_profiles_are_one_group(cli: Cli, tmp_path: Path) -> None:
    said = cli("sweep", "--profile", "a,b", "--repeats", "2")
    assert said.code in MEASURED, said.err
    first, second = sweeps()
    assert first.group_id == second.group_id
    assert (first.name, second.name) == ("a", "b")
    assert [run["spec"]["seed"] for run in runs_of(first)] == [run["spec"]["seed"] for run in runs_of(second)]
    assert {len({run["server"]["launch"]["started_at"] for run in runs_of(each)}) for each in (first, second)} == {1}
    assert nothing_is_left(tmp_path, [])
    group = first.group_id
    assert group is not None
    shown = cli("show", group)
    assert shown.out.index(first.sweep_id) < shown.out.index(second.sweep_id)
    assert [each["name"] for each in cli("show", "g", "--json").json["sweeps"]] == ["a", "b"]
    assert cli("list").out.count(f"of {group}") == 2
    assert f"one of {group}" in cli("show", second.sweep_id).err
    compared = cli("compare", group, "--json").json["comparisons"]
    assert [(each["a"]["id"], each["b"]["id"]) for each in compared] == [(first.sweep_id, second.sweep_id)]
    assert cli("report", group, "-o", "page.html").code == 0
    page = Path("page.html").read_text()
    assert f'<a href="#{second.sweep_id}">b</a>' in page
    assert len(cli("export", group, "--format", "csv").out.splitlines()) == 1 + 8
    cli("export", first.sweep_id, "-o", "first.json")
    imported = cli("import", "first.json", "--db", "sqlite:///other.db")
    assert imported.code == 0, imported.err
    assert cli("show", group, "--json", "--db", "sqlite:///other.db").json["sweeps"][0]["server"] == first.server
    cli("export", group, "-o", "group.json")
    assert cli("import", "group.json", "--db", "sqlite:///third.db").code == 0
    both = cli("show", group, "--json", "--db", "sqlite:///third.db").json["sweeps"]
    assert [each["sweep_id"] for each in both] == [first.sweep_id, second.sweep_id]
    assert "is a group of sweeps; name a file with one sweep" in cli("compare", "group.json", first.sweep_id).err
    with TestClient(create_app("sqlite:///loadgen.db")) as client:
        assert f'<a href="/sweeps/{second.sweep_id}">b</a>' in client.get(f"/sweeps/{first.sweep_id}").text


def test_interleaved_repeats_are_each_on_a_server_started_anew(cli: Cli, tmp_path: Path) -> None:
    said = cli("sweep", "--profile", "a,b", "--interleave", "--repeats", "2", "--concurrency", "1")
    assert said.code in MEASURED, said.err
    assert re.findall(r"^([ab]) answers", said.err, re.MULTILINE) == ["a", "b", "a", "b"]
    for sweep in sweeps():
        assert (sweep.status, sweep.runs, sweep.planned_runs) == ("finished", 2, 2)
        assert len({run["server"]["launch"]["started_at"] for run in runs_of(sweep)}) == 2
    assert nothing_is_left(tmp_path, [])


def test_a_matrix_is_every_profile_with_every_argument(cli: Cli) -> None:
    Path("spec.yaml").write_text(
        "matrix: {profile: [a, b], arguments: {gap-s: [0.001, 0.002], jitter-ratio: 0.1}}\nconcurrency: 1\n"
    )
    plan = cli("sweep", "spec.yaml", "--plan", "--json")
    assert [each["label"] for each in plan.json["sweeps"]] == [
        f"{name} with gap-s {gap}, jitter-ratio 0.1" for name in "ab" for gap in ("0.001", "0.002")
    ]
    assert plan.json["starts"] == 4
    Path("spec.yaml").write_text("matrix: {profile: a, arguments: {gap-s: [0.001, 0.004]}}\nconcurrency: 1\n")
    said = cli("sweep", "spec.yaml", "--json")
    assert said.code in MEASURED, said.err
    gaps = [each["runs"][0]["server"]["launch"]["arguments"]["gap-s"] for each in said.json["sweeps"]]
    assert gaps == [0.001, 0.004]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("matrix: {profile: a, arguments: {port: [1, 2]}}", "'matrix.arguments.port' in spec.yaml line 1 is a key"),
        ("matrix: {profiles: a}", "unknown key 'matrix.profiles' in spec.yaml line 1; did you mean 'profile'?"),
        ("profiles: a", "unknown key 'profiles' in spec.yaml line 1; did you mean 'profile'?"),
        ("profile: a\nurl: http://x", "'url' in spec.yaml line 2 and 'profile' in spec.yaml line 1 exclude each other"),
        ("profile: [a, 3]", "'profile' in spec.yaml line 1 "),
    ],
)
def test_a_wrong_file_is_named_with_its_line(cli: Cli, text: str, sentence: str) -> None:
    Path("spec.yaml").write_text(text + "\n")
    said = cli("sweep", "spec.yaml")
    assert said.code == 2
    assert said.err.startswith(f"loadgen: {sentence}")


def test_out_of_memory_is_a_result_and_the_rest_goes_on(cli: Cli, profiles: Path) -> None:
    breaks(profiles, "large", OUT_OF_MEMORY)
    said = cli("sweep", "--profile", "large,a", "--concurrency", "1")
    assert said.code in MEASURED, said.err
    large, measured = sweeps()
    assert (large.status, large.runs) == ("finished", 0)
    assert large.start_failure is not None
    assert large.start_failure["kind"] == "out_of_gpu_memory"
    assert OUT_OF_MEMORY in Path(large.start_failure["log"]).read_text()
    assert (measured.status, measured.runs) == ("finished", 1)
    assert "out of GPU memory: large did not start" in said.out
    assert "loadgen: large did not start" in said.err
    assert "out of GPU memory" in cli("list").out
    assert "out of GPU memory: large did not start" in cli("show", large.sweep_id).out
    with TestClient(create_app("sqlite:///loadgen.db")) as client:
        assert "The server did not start: large did not start" in client.get(f"/sweeps/{large.sweep_id}").text
        assert "out of GPU memory" in client.get("/").text
    again = cli("sweep", "--profile", "large,a", "--concurrency", "1", "--resume")
    assert again.code in MEASURED
    assert again.err.count("nothing to resume") == 1
    assert "comparing takes two" in cli("compare", "g").err
    alone = cli("sweep", "--profile", "large")
    assert alone.code == 5, "nothing was measured at all"
    assert sweeps()[-1].start_failure is not None


def test_a_variant_that_cannot_be_carried_out_is_told_before_the_first_start(cli: Cli, profiles: Path) -> None:
    (profiles / "never.yaml").write_text("extends: a\ndescription: not served\nunservable: nobody has code for it\n")
    said = cli("sweep", "--profile", "a,never")
    assert said.code == 2
    assert "'never' cannot be served: nobody has code for it" in said.err
    assert not Path("loadgen.db").exists()


def test_any_other_failed_start_is_exit_code_5_and_tried_again(cli: Cli, profiles: Path) -> None:
    breaks(profiles, "wrong", "ValueError: the moon is in the wrong phase")
    flags = ("sweep", "--profile", "a,wrong,b", "--concurrency", "1")
    said = cli(*flags)
    assert said.code == 5
    assert said.err.splitlines()[-3].startswith(
        "loadgen: wrong did not start: ValueError: the moon is in the wrong phase; its log: "
    )
    assert [(sweep.name, sweep.status) for sweep in sweeps()] == [
        ("a", "finished"),
        ("wrong", "failed"),
        ("b", "finished"),
    ]
    healed = f'#!/bin/sh\n[ "$1" = --version ] && echo 0.32.0 && exit\nshift 2; exec {sys.executable} -m loadgen.cli simulate --model fake "$@"\n'
    (profiles.parent / "vllm").write_text(healed)
    went_on = cli(*flags, "--resume")
    assert went_on.code in MEASURED, went_on.err
    assert re.findall(r"^(\w+) answers", went_on.err, re.MULTILINE) == ["wrong"]
    assert [each["name"] for each in cli("show", "g", "--json").json["sweeps"]] == ["a", "wrong", "b"]
    assert len({sweep.group_id for sweep in sweeps()}) == 1


@pytest.mark.parametrize(
    ("number", "interleave"),
    [(signal.SIGINT, ()), (signal.SIGTERM, ("--interleave",)), (signal.SIGKILL, ("--interleave",))],
)
def test_an_interrupted_group_leaves_no_server_and_goes_on(
    cli: Cli, start: Start, tmp_path: Path, number: signal.Signals, interleave: tuple[str, ...]
) -> None:
    flags = ("sweep", "--profile", "a,b", *LONG[:-1], "2", *interleave)
    command = start(*flags)
    wait_for_runs(1, command)
    members = members_of(tmp_path)
    command.send_signal(number)
    command.communicate(timeout=60)
    assert command.returncode == (130 if number != signal.SIGKILL else -signal.SIGKILL)
    wait_for(lambda: nothing_is_left(tmp_path, members))
    assert {sweep.status for sweep in sweeps()} == {"stopped" if number == signal.SIGKILL else "interrupted"}
    before = sum(sweep.runs for sweep in sweeps())
    went_on = cli(*flags, "--resume")
    assert went_on.code in MEASURED, went_on.err
    assert [(sweep.status, sweep.runs) for sweep in sweeps()] == [("finished", 2)] * 2
    assert before >= 1
    assert nothing_is_left(tmp_path, [])


def test_an_interrupt_while_a_server_starts_leaves_nothing(start: Start, profiles: Path, tmp_path: Path) -> None:
    write_vllm(tmp_path / "vllm", f"exec {sys.executable} -c 'import time; time.sleep(600)'")
    write_profiles(tmp_path, BROKEN, ["slow"])
    command = start("sweep", "--profile", "slow,a")

    def runs() -> bool:
        state = read_state(tmp_path / "state")
        return state is not None and state.server is not None

    wait_for(runs)
    time.sleep(0.2)
    members = members_of(tmp_path)
    command.send_signal(signal.SIGINT)
    _, said = command.communicate(timeout=30)
    assert command.returncode == 130
    assert "interrupted while the server of slow was starting" in said
    assert nothing_is_left(tmp_path, members)


def test_the_plan_has_starts_gpu_hours_and_cost(cli: Cli, profiles: Path) -> None:
    timed = BROKEN.replace("needs: {gpus: 0}", "needs: {gpus: 2, gpu_memory_gb: 80}\nprice: {usd_per_gpu_hour: 3}")
    tokens = "\nprice: {usd_per_million_input_tokens: 1, usd_per_million_output_tokens: 2}\n"
    (profiles / "paid.yaml").write_text(SIMULATED + tokens)
    assert cli("sweep", "--profile", "paid", "--plan", "--json").json["estimated_usd"] == pytest.approx(
        (8 * 2 + 3) * 8 * 3e-6
    )
    (profiles / "timed.yaml").write_text(timed.replace("requests: 8", "duration_s: 900"))
    unknown = cli("sweep", "--profile", "timed,a", "--plan", "--json").json
    assert (unknown["starts"], unknown["estimated_s"], unknown["gpu_hours"]) == (2, None, None)
    assert not Path("loadgen.db").exists()
    cli("sweep", "--profile", "a")
    known = cli("sweep", "--profile", "a", "--interleave", "--repeats", "3", "--plan", "--json").json
    assert known["starts"] == 3
    assert known["estimated_s"] > 0
    assert known["gpu_hours"] == 0
    table = cli("sweep", "--profile", "timed,a", "--interleave", "--repeats", "2", "--plan").out
    assert "4 starts; 8 runs" in table
    assert "Nothing was started or sent." in table
