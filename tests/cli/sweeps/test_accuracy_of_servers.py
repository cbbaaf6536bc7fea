"""Evaluations next to measurements: one as part of a sweep, made up for by --resume, shown, exported, imported and drawn."""

import csv
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from loadgen.experiments.accuracy.lm_eval import VARIABLE
from tests.cli.conftest import Cli
from tests.experiments.accuracy.fake_lm_eval import FakeLmEval

pytestmark = pytest.mark.loopback


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLmEval:
    folder = tmp_path / "fake"
    folder.mkdir()
    made = FakeLmEval(folder)
    monkeypatch.setenv(VARIABLE, str(made.program))
    return made


def test_a_server_is_evaluated_once_and_found_everywhere(
    cli: Cli, point: tuple[str, ...], fake: FakeLmEval, tmp_path: Path
) -> None:
    said = cli("sweep", *point, "--accuracy", "copy,sort", "--name", "both", "--json")
    assert said.measured, said.err
    rows = said.json["accuracy"]
    assert [(row["task"], row["value"], row["provenance"]) for row in rows] == [
        ("copy", 0.75, "simulated"),
        ("sort", 0.75, "simulated"),
    ]
    assert {row["sweep_id"] for row in rows} == {said.json["sweep_id"]}
    assert said.json["spec"]["accuracy"]["tasks"] == ["copy", "sort"]
    shown = cli("show", "both")
    assert "exact_match" in shown.out
    evaluation = cli("show", rows[0]["evaluation_id"], "--json").json
    assert [row["task"] for row in evaluation["accuracy"]] == ["copy", "sort"]
    assert evaluation["server"]["simulated"] is True
    cli("export", "both", "-o", "both.json")
    assert cli("import", "both.json", "--db", "sqlite:///other.db").code == 0
    assert cli("show", "both", "--db", "sqlite:///other.db", "--json").json["accuracy"] == rows
    header, first, *_ = cli("export", "both", "--format", "csv").out.splitlines()
    columns = next(csv.DictReader([header, first]))
    assert columns["accuracy.sort.exact_match"] == "0.75"
    assert columns["accuracy.sort.exact_match_standard_error"] == "0.25"
    assert cli("plot", "accuracy", "both", "-o", "a.svg").code == 0
    assert "Accuracy against output" in (tmp_path / "a.svg").read_text()
    assert cli("report", "both", "-o", "report.html").code == 0
    assert "<h2>Accuracy</h2>" in (tmp_path / "report.html").read_text()
    (fake.folder / "called.json").unlink()
    assert cli("sweep", *point, "--accuracy", "copy,sort", "--name", "both", "--resume").measured
    assert not (fake.folder / "called.json").exists()  # it is finished


@pytest.mark.parametrize("tasks", ["copy,sort_choice", "nosuch"])
@pytest.mark.parametrize("plan", [(), ("--plan",)])
def test_what_cannot_be_evaluated_is_refused_before_anything_is_sent_or_stored(
    cli: Cli, point: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tasks: str, plan: tuple[str, ...]
) -> None:
    program, python = tmp_path / "lm_eval", tmp_path / "python3"
    program.write_text("#!/bin/sh\n")
    python.write_text("#!/bin/sh\necho '[\"boolq\"]'\n")  # the list of its tasks
    for each in (program, python):
        each.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    said = cli("sweep", *point, "--accuracy", tasks, *plan)
    assert said.code == 2
    sentence = (
        "the tokenizer of 'simulated-moe' is not known here" if "choice" in tasks else "there is no task 'nosuch'"
    )
    assert sentence in said.err
    assert "in the sweep's file: accuracy: {tasks" in said.err or tasks == "nosuch"
    assert not list(tmp_path.glob("loadgen.db*"))


def test_a_plan_says_on_what_the_server_is_evaluated(cli: Cli, point: tuple[str, ...], fake: FakeLmEval) -> None:
    said = cli("sweep", *point, "--accuracy", "copy,sort", "--plan")
    assert "The server is evaluated once (copy, sort), which is not in these times." in " ".join(said.out.split())
    assert cli("sweep", *point, "--accuracy", "copy", "--plan", "--json").json["accuracy_tasks"] == ["copy"]
    assert "evaluated" not in cli("sweep", *point, "--plan").out


def test_another_sweep_on_the_same_server_has_the_results_too(
    cli: Cli, point: tuple[str, ...], fake: FakeLmEval
) -> None:
    url = point[point.index("--url") + 1]
    alone = cli("accuracy", "--url", url, "--tasks", "copy", "--limit", "4", "--json")
    assert alone.code == 0, alone.err
    assert alone.json["accuracy"][0]["sweep_id"] is None
    assert cli("run", *point, "--json").measured
    found = cli("show", "latest", "--json").json["accuracy"]
    assert [row["evaluation_id"] for row in found] == [alone.json["evaluation_id"]]


def test_an_evaluation_is_shown_by_its_id_and_a_sweep_by_a_name_that_looks_like_one(
    cli: Cli, point: tuple[str, ...], fake: FakeLmEval
) -> None:
    url = point[point.index("--url") + 1]
    for _ in range(2):
        assert cli("accuracy", "--url", url, "--tasks", "copy", "--limit", "4").code == 0
    assert "several evaluations in the database" in cli("show", f"a{datetime.now(UTC):%y%m%d}").err
    assert "no evaluation" in cli("show", "a000000").err
    assert cli("run", *point, "--name", "a000000").measured
    assert "SIMULATED" in cli("show", "a000000").out


def test_an_evaluation_that_fails_costs_no_run_and_is_made_up_for(
    cli: Cli, point: tuple[str, ...], fake: FakeLmEval
) -> None:
    (fake.folder / "does").write_text("fails ValueError: no such thing")
    said = cli("sweep", *point, "--accuracy", "copy", "--name", "late")
    assert (said.code, "lm-eval failed (ValueError: no such thing)" in said.err) == (2, True)
    kept = cli("show", "late", "--json").json
    assert (kept["status"], len(kept["runs"]), "accuracy" in kept) == ("failed", 1, False)
    (fake.folder / "does").write_text("ok")
    resumed = cli("sweep", *point, "--accuracy", "copy", "--name", "late", "--resume", "--json")
    assert resumed.measured, resumed.err
    assert resumed.json["status"] == "finished"
    assert [run["run_id"] for run in resumed.json["runs"]] == [run["run_id"] for run in kept["runs"]]
    assert len(resumed.json["accuracy"]) == 1


def test_an_interrupt_while_a_server_is_evaluated_keeps_the_runs(
    cli: Cli, start: Callable[..., "subprocess.Popen[str]"], point: tuple[str, ...], fake: FakeLmEval
) -> None:
    (fake.folder / "does").write_text("hangs")
    sweep = start("sweep", *point, "--accuracy", "copy", "--name", "cut")
    deadline_s = time.monotonic() + 60
    while not (fake.folder / "child").exists() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    sweep.send_signal(signal.SIGINT)
    _, said = sweep.communicate(timeout=30)
    assert sweep.returncode == 130, said
    child = int((fake.folder / "child").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
    cut = cli("show", "cut", "--json").json
    assert (cut["status"], len(cut["runs"])) == ("interrupted", 1)
    (fake.folder / "does").write_text("ok")
    resumed = cli("sweep", *point, "--accuracy", "copy", "--name", "cut", "--resume", "--json")
    assert resumed.measured, resumed.err
    assert (resumed.json["status"], len(resumed.json["accuracy"])) == ("finished", 1)


def test_before_the_load_means_before_the_first_run(
    cli: Cli, point: tuple[str, ...], fake: FakeLmEval, tmp_path: Path
) -> None:
    spec = tmp_path / "sweep.yaml"
    spec.write_text("accuracy: {tasks: [copy], when: before, limit: 4}\n")
    said = cli("sweep", str(spec), *point, "--json")
    assert said.measured, said.err
    assert said.json["accuracy"][0]["measured_at"] < said.json["runs"][0]["started_at"]
    spec.write_text("accuracy: {task: [copy]}\n")
    wrong = cli("sweep", str(spec), *point)
    assert (wrong.code, "did you mean 'accuracy.tasks'" in wrong.err or "'accuracy.task'" in wrong.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--profile", "tiny-mixtral", "--url", "http://127.0.0.1:9"), "--url and --profile exclude each other"),
        (("--argument", "a=1", "--url", "http://127.0.0.1:9"), "name it with --profile"),
        ((), "no server is running"),
        (("--limit", "0"), "--limit must be at least 1"),
        (("--url", "http://127.0.0.1:9", "--model", "m"), "nothing answers"),
    ],
)
def test_what_cannot_be_evaluated_is_one_sentence_and_leaves_nothing(
    cli: Cli, fake: FakeLmEval, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    said = cli("accuracy", "--tasks", "copy", *arguments)
    assert said.code in (2, 5)
    assert sentence in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "fake" / "called.json").exists()
