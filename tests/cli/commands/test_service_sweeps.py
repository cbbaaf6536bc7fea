"""`loadgen sweep --service`: measured over there, shown here, with the exit code that it would have had here."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from tests.cli.conftest import Cli
from tests.forked_programs import ForkedProgram
from tests.service.started import TOKEN, serving

pytestmark = pytest.mark.loopback

GRID = ("--concurrency", "1,2", "--input-tokens", "8", "--output-tokens", "8", "--requests", "8")


@pytest.fixture(scope="module")
def failing() -> Iterator[SimulatorProcess]:
    """A server whose every stream breaks off, so that every run is invalid."""
    with SimulatorProcess(SimulatorOptions(ttft_s=0.005, gap_s=0.001, faults=("error-event",))) as process:
        yield process


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, simulator: SimulatorProcess, failing: SimulatorProcess
) -> Iterator[str]:
    """The address of a service that may measure both simulators, and a server that is not there."""
    db = f"sqlite:///{tmp_path_factory.mktemp('service')}/there.db"
    with serving(db, simulator.url, failing.url, "127.0.0.1:9") as (_, address):
        yield f"{address}/"


@pytest.fixture
def at_service(service: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setenv("LOADGEN_TOKEN", TOKEN)
    return ("--service", service)


@pytest.fixture
def on(simulator: SimulatorProcess) -> tuple[str, ...]:
    return ("--url", simulator.url, "--model", "simulated-moe", *GRID)


def test_a_sweep_is_shown_as_if_it_were_measured_here(
    cli: Cli, at_service: tuple[str, ...], on: tuple[str, ...], tmp_path: Path
) -> None:
    said = cli("sweep", *at_service, *on, "--name", "over there", "--slo", "ttft_s=0.5")
    assert said.measured, said.err
    assert "SIMULATED" in said.out
    assert re.search(r"^sweep s\S+: 2 runs$", said.err, re.MULTILINE)
    assert len(re.findall(r"^[12]/2 ", said.err, re.MULTILINE)) == 2
    saved = re.search(r"saved over there as (s\S+); look closer at (\S+)", said.err)
    assert saved is not None
    assert httpx2.get(saved[2]).status_code == 200
    assert list(tmp_path.glob("*.db")) == []  # nothing is stored here
    here = cli("sweep", *on, "--name", "over there", "--slo", "ttft_s=0.5")
    heads = [[line.split() for line in text.splitlines() if " conc. " in line] for text in (said.out, here.out)]
    assert heads[0] == heads[1] != []


def test_json_is_the_document_of_the_sweep(cli: Cli, at_service: tuple[str, ...], on: tuple[str, ...]) -> None:
    said = cli("sweep", *at_service, *on, "--json", "-q")
    assert said.measured
    assert said.err == ""
    found = httpx2.get(f"{at_service[1]}api/v1/sweeps/{said.json['sweep_id']}").json()
    assert said.json == found
    assert len(found["runs"]) == 2


def test_the_keys_of_a_file_are_sent_too(cli: Cli, at_service: tuple[str, ...], on: tuple[str, ...]) -> None:
    keys = {"url": on[1], "model": on[3], "concurrency": "[1]", "input_tokens": 8, "output_tokens": 8, "requests": 4}
    Path("it.yaml").write_text("".join(f"{key}: {value}\n" for key, value in keys.items()))
    said = cli("sweep", "it.yaml", *at_service, "--json", "--requests", "5")
    assert said.measured, said.err
    assert said.json["runs"][0]["outcomes"]["planned"] == 5


def test_invalid_runs_end_with_3(cli: Cli, at_service: tuple[str, ...], failing: SimulatorProcess) -> None:
    said = cli("sweep", *at_service, "--url", failing.url, "--model", "simulated-moe", *GRID, "--warmup-requests", "0")
    assert said.code == 3, said.err
    assert "invalid" in said.out


def test_a_server_that_does_not_answer_ends_with_5_and_its_sentence(cli: Cli, at_service: tuple[str, ...]) -> None:
    said = cli("sweep", *at_service, "--url", "http://127.0.0.1:9", "--model", "m", *GRID)
    assert said.code == 5
    assert "nothing answers at http://127.0.0.1:9" in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--url", "http://127.0.0.1:10", "--model", "m"), "not on this service's list"),
        (("--url", "simulator", "--rate", "3"), "--concurrency and --rate exclude each other"),
        (("--url", "simulator", "--trace", "t.csv"), "--trace does not go with --service"),
        (("--url", "simulator", "--header", "X-Key=secret-1234"), "--header does not go with --service"),
        (("--profile", "tiny-mixtral"), "--profile does not go with --service"),
        ((), "--service needs --url"),
    ],
)
def test_what_is_refused_is_one_sentence(
    cli: Cli, at_service: tuple[str, ...], flags: tuple[str, ...], sentence: str
) -> None:
    said = cli("sweep", *at_service, *flags, *GRID)
    assert (said.code, said.out, said.err.count("\n")) == (2, "", 1)
    assert sentence in said.err
    assert "secret-1234" not in said.err


def test_a_token_that_is_missing_or_wrong_is_said_by_its_variable(
    cli: Cli, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for held, sentence in (("", "OTHER is not set"), ("wrong-token-1234567", "OTHER holds another")):
        monkeypatch.setenv("OTHER", held)
        said = cli("sweep", "--service", service, "--service-token-env", "OTHER", "--url", "simulator", *GRID)
        assert said.code == 2
        assert sentence in said.err
        assert "wrong-token" not in said.err


def test_what_is_no_service_is_said(cli: Cli, at_service: tuple[str, ...], simulator: SimulatorProcess) -> None:
    for url, code in ((simulator.url, 2), ("http://127.0.0.1:9", 5), ("bench:8080", 2), ("http://u:p@bench", 2)):
        said = cli("sweep", "--service", url, "--url", "simulator", *GRID)
        assert (said.code, said.err.count("\n")) == (code, 1)


def test_a_plan_sends_nothing(cli: Cli, at_service: tuple[str, ...]) -> None:
    before = httpx2.get(f"{at_service[1]}api/v1/jobs").json()
    assert cli("sweep", *at_service, "--url", "simulator", *GRID, "--plan").code == 0
    assert httpx2.get(f"{at_service[1]}api/v1/jobs").json() == before


def test_an_interrupt_cancels_the_job_and_resume_goes_on_with_it(
    start: Callable[..., ForkedProgram], cli: Cli, at_service: tuple[str, ...], on: tuple[str, ...]
) -> None:
    flags = (*at_service, *on[:4], "--concurrency", "1,2,3", *GRID[2:6], "--requests", "200", "--seed", "7")
    process = start("sweep", *flags)
    assert process.stderr is not None
    for line in process.stderr:  # until the first run is saved
        if line.startswith("1/3 "):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "cancelling the job" in err
    assert "ended early: cancelled" in err
    resumed = cli("sweep", *flags, "--resume")
    assert resumed.measured, resumed.err
    assert re.search(r"sweep s\S+: 3 runs, [12] of them finished before", resumed.err)
    again = cli("sweep", *flags, "--resume")
    assert again.measured
    assert "nothing to resume" in again.err
    assert again.out == resumed.out


def test_the_job_outlives_who_sent_it(
    start: Callable[..., ForkedProgram], at_service: tuple[str, ...], on: tuple[str, ...]
) -> None:
    process = start("sweep", *at_service, *on, "--seed", "9", "--name", "left alone")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("job j")
    process.kill()
    deadline_s = time.monotonic() + 60
    while True:
        newest = httpx2.get(f"{at_service[1]}api/v1/jobs?limit=1").json()["jobs"][0]
        assert newest["name"] == "left alone"
        if newest["ended_at"] is not None:
            break
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    assert (newest["status"], newest["exit_code"]) == ("finished", 0)
