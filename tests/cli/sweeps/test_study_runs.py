"""`loadgen study run`: one start for each server, part of a study, the rest of it later, a server that does not start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.experiments.accuracy.lm_eval import VARIABLE
from loadgen.servers.launcher.stop import stop
from loadgen.servers.simulator import SimulatorOptions, SimulatorProcess
from loadgen.store.repository import Store
from loadgen.study.measured import measured_points
from loadgen.study.points import points_of
from loadgen.study.study_file import read_study
from loadgen.study.variants import variants_of
from tests.cli.conftest import Cli
from tests.cli.sweeps.on_record import sweeps
from tests.cli.sweeps.own_servers import FAKE_PROFILE, QUICK_PROFILE, write_failing_vllm, write_profiles, write_study
from tests.experiments.accuracy.fake_lm_eval import FakeLmEval
from tests.servers.launcher.launches import free_port

pytestmark = pytest.mark.loopback

STUDY = """
title: Mine
question: Does it run?
servers: [{profile: a}, {profile: b}]
loads:
  - {wave: [1, 2], lengths: [8]}
  - {concurrency: 2, lengths: [8], requests: 8}
"""


@pytest.fixture(autouse=True)
def study(tmp_path: Path) -> Iterator[Path]:
    """The study `mine` over the profiles `a` and `b` in the working directory."""
    write_profiles(tmp_path, QUICK_PROFILE)
    yield write_study(tmp_path, "mine", STUDY)
    stop()


def test_each_server_is_started_once_and_a_part_can_be_completed(cli: Cli) -> None:
    part = cli("study", "run", "mine", "--only", "profile=a", "--only", "batch=1")
    assert part.measured, part.err
    assert part.err.count("answers at") == 1
    assert [(each.name, each.runs, each.planned_runs) for each in sweeps()] == [("mine: a", 1, 2)]
    rest = cli("study", "run", "mine", "--resume")
    assert rest.measured, rest.err
    assert rest.err.count("answers at") == 2
    assert [(each.name, each.runs, each.status) for each in sweeps()] == [
        ("mine: a", 2, "finished"),
        ("mine: a", 1, "finished"),
        ("mine: b", 2, "finished"),
        ("mine: b", 1, "finished"),
    ]
    assert len({each.group_id for each in sweeps()}) == 1
    again = cli("study", "run", "mine", "--resume")
    assert again.measured, again.err
    assert "answers at" not in again.err
    assert len(sweeps()) == 4


def test_a_server_that_does_not_start_costs_its_own_points_alone(cli: Cli, tmp_path: Path) -> None:
    write_failing_vllm(tmp_path / "vllm", "torch.OutOfMemoryError: CUDA out of memory.")
    write_profiles(tmp_path, FAKE_PROFILE, ["a"])
    said = cli("study", "run", "mine", "--json")
    assert said.measured, said.err
    assert [(each.name, each.runs, each.start_failure is None) for each in sweeps()] == [
        ("mine: a", 0, False),
        ("mine: b", 2, True),
        ("mine: b", 1, True),
    ]
    assert said.err.count("a: ") + said.err.count("a ") >= 1
    assert len(said.json["sweeps"]) == 3


def test_a_machine_that_can_start_none_of_the_servers_is_told_so_before_anything_is_on_record(
    cli: Cli, tmp_path: Path
) -> None:
    write_profiles(tmp_path, FAKE_PROFILE.replace("./vllm", "./no-vllm").replace("fake", "fake-NAME"))
    said = cli("study", "run", "mine")
    assert said.code == 5
    assert "none of these servers can be started here: a needs vllm, and there is no program './no-vllm'" in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert sweeps() == []


def test_a_url_where_nothing_answers_is_told_as_by_run_with_nothing_on_record(cli: Cli) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    said = cli("study", "run", "mine", "--only", "profile=a", "--url", url)
    single = cli("run", "--url", url, "--model", "m", *"--concurrency 1 --input-tokens 8 --output-tokens 4".split())
    assert said.err == single.err == f"loadgen: nothing answers at {url}: connection refused; is the server running?\n"
    assert said.code == single.code == 5
    assert (said.out, sweeps()) == ("", [])


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "The model `simulated-a` does not exist"),
        ("/elsewhere", "/elsewhere/v1/models: HTTP 404; check the path in --url"),
    ],
)
def test_a_url_that_does_not_serve_the_model_leaves_nothing_on_record(cli: Cli, path: str, sentence: str) -> None:
    with SimulatorProcess(SimulatorOptions(model="another")) as server:
        said = cli("study", "run", "mine", "--only", "profile=a", "--url", server.url + path)
    assert said.code == 2
    assert sentence in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert (said.out, sweeps()) == ("", [])


def test_a_url_that_answers_no_more_adds_nothing_to_the_study_on_record(cli: Cli) -> None:
    with SimulatorProcess(SimulatorOptions(model="simulated-a", ttft_s=0.005, gap_s=0.001)) as server:
        words = ("study", "run", "mine", "--only", "profile=a", "--url", server.url)
        part = cli(*words, "--only", "batch=1")
        assert part.measured, part.err
        stop()
    rest = cli(*words, "--resume")
    assert rest.code == 5
    assert rest.err.count(f"nothing answers at {server.url}: connection refused") == 1
    assert [(each.name, each.runs, each.start_failure) for each in sweeps()] == [("mine: a", 1, None)]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("mine", "--only", "batch=3"), "no point of the study has batch 3; known values: 1, 2"),
        (("mine", "--only", "sise=3"), "unknown coordinate 'sise' in --only"),
        (
            ("fig10", "--scale", "tiny", "--only", "profile=mixtral-fp8"),
            "mixtral-fp8 cannot be started: as a tiny model it is",
        ),
        (("mine", "--scale", "small"), "--scale must be full or tiny, not small"),
        (
            ("mine", "--scale", "tiny"),
            "no server of the study mine can be started: there is no tiny model for simulated-a",
        ),
        (("fig06", "--scale", "tiny", "--weights", "dummy"), "--scale tiny and --weights exclude each other"),
        (("mine", "--only", "batch"), "--only 'batch' is not KEY=VALUE"),
        (("mine", "--weights", "fake"), "--weights must be real or dummy, not fake"),
        (
            ("fig06", "--models", "nowhere"),
            "there is no folder nowhere/deepseek-v2-lite; put the model there, or a link",
        ),
        (("mine", "--repeats", "0"), "--repeats must be at least 1, not 0"),
        (("mine", "--url", "http://127.0.0.1:9"), "--url is one server, and mine has 2: say with --only which it is"),
        (("mine", "--url", "http://127.0.0.1:9", "--only", "profile=c"), "no point of the study has profile c"),
        (("table1",), "the study table1 is arithmetic and needs no server"),
        (("fig15", "--only", "profile=molmoe-1b"), "molmoe-1b cannot be started: no server has MolmoE's experts"),
    ],
)
def test_bad_input_is_one_sentence(cli: Cli, words: tuple[str, ...], sentence: str) -> None:
    said = cli("study", "run", *words)
    assert said.code == 2
    assert sentence in said.err
    assert len(said.err.strip().splitlines()) == 1


def test_a_server_that_runs_already_is_measured_as_a_variant(
    cli: Cli, simulator: SimulatorProcess, study: Path
) -> None:
    profile = study.parents[1] / "server_profiles/a.yaml"
    profile.write_text(profile.read_text().replace("simulated-a", "simulated-moe"))
    said = cli("study", "run", "mine", "--url", simulator.url, "--only", "profile=a")
    assert said.measured, said.err
    assert [each.runs for each in sweeps()] == [2, 1]
    file = read_study("mine")
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        runs = [run for each in store.sweeps() for run in store.runs(each.sweep_id)]
    found = measured_points(points_of(file, variants_of(file)), runs)
    assert {(point.coordinates["profile"], point.coordinates["batch"]) for point in found} == {("a", 1), ("a", 2)}


def test_list_and_show(cli: Cli) -> None:
    listed = cli("study", "list", "--json").json["studies"]
    assert {"mine", "fig06", "table1"} <= {row["name"] for row in listed}
    shown = cli("study", "show", "fig05")
    assert "deepseek-v2-lite with num_experts_per_tok 32" in shown.out
    assert cli("study", "show", "fig05", "--json").json["place"] == "Figure 5, §4.2"


def test_each_server_is_evaluated_once_and_a_report_draws_it(
    cli: Cli, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.write_text(STUDY + "accuracy: {tasks: [copy], limit: 4}\npanels: [{title: Right, y: accuracy, x: model}]\n")
    monkeypatch.setenv(VARIABLE, "nowhere")
    without = cli("study", "run", "mine")
    assert (without.code, "LOADGEN_LM_EVAL is nowhere" in without.err) == (2, True)
    assert "answers at" not in without.err
    (tmp_path / "fake").mkdir()
    monkeypatch.setenv(VARIABLE, str(FakeLmEval(tmp_path / "fake").program))
    said = cli("study", "run", "mine")
    assert said.measured, said.err
    assert said.err.count("copy exact_match: 0.750") == 2
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        found = [(each.name, [row.sweep_id == each.sweep_id for row in each.accuracy]) for each in store.sweeps()[::-1]]
    assert found == [("mine: a", [True]), ("mine: a", [False]), ("mine: b", [True]), ("mine: b", [False])]
    assert cli("study", "report", "mine", "-o", "mine.html").code == 0
    page = (tmp_path / "mine.html").read_text()
    assert "Accuracy, %" in page
    assert "75.0" in page
