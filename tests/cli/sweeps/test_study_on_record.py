"""`loadgen study run` and `plan` of a study whose points another study has on record: they are named, and not measured again."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from loadgen.servers.launcher.stop import stop
from loadgen.servers.prediction.fitted import SERVER_NAME
from loadgen.store.repository import Store
from tests.cli.conftest import Cli
from tests.cli.sweeps.own_servers import FAKE_PROFILE, QUICK_PROFILE, write_failing_vllm, write_profiles, write_study

pytestmark = pytest.mark.loopback

FIRST = """
title: First
question: Does it run?
servers: [{profile: a}, {profile: b}]
loads: [{wave: [1, 2], lengths: [8]}]
"""
SAME = """
title: The same points
question: What do they look like over another axis?
points_of: first
"""
WIDER = """
title: More loads on one of the servers
question: And longer ones?
servers: [{profile: a}]
loads: [{wave: [1, 2], lengths: [8, 16]}]
"""


@pytest.fixture(autouse=True)
def studies(tmp_path: Path) -> Iterator[None]:
    """Three studies over the profiles `a` and `b` in the working directory."""
    write_profiles(tmp_path, QUICK_PROFILE)
    for name, text in (("first", FIRST), ("same", SAME), ("wider", WIDER)):
        write_study(tmp_path, name, text)
    yield
    stop()


def measured(group: str) -> list[tuple[str, int]]:
    """Name and runs of each sweep of a study on record, the oldest first."""
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        return [(each.name, each.runs) for each in store.sweeps()[::-1] if each.name.startswith(f"{group}: ")]


def record(cli: Cli, *only: str) -> Any:
    """Measure the study `first`, and leave it on record with all runs valid, whatever this machine did. Return the document."""
    said = cli("study", "run", "first", *only)
    assert said.measured, said.err
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        group = store.sweeps()[0].group_id
    exported = cli("export", str(group), "--format", "json").json
    for path in Path().glob("loadgen.db*"):
        path.unlink()
    for sweep in exported["sweeps"]:
        for run in sweep["runs"]:
            run["verdict"] = {"status": "valid", "findings": []}
    Path("first.json").write_text(json.dumps(exported))
    assert cli("import", "first.json").code == 0
    return exported


def test_points_of_another_study_are_not_measured_again_unless_asked(cli: Cli) -> None:
    record(cli)
    plan = " ".join(cli("study", "plan", "same").out.split())
    assert (
        "4 of 4 points are on record, by first: `loadgen study run same` measures nothing; with --again, all." in plan
    )
    said = cli("study", "run", "same")
    assert (said.code, said.out) == (0, "")
    assert "4 of 4 points are on record, by first: nothing is left to measure (--again measures all)" in said.err
    assert cli("study", "run", "same", "--json").json == {"schema_version": 1, "group_id": None, "sweeps": []}
    assert measured("same") == []
    again = cli("study", "run", "same", "--again")
    assert again.measured, again.err
    assert measured("same") == [("same: a", 2), ("same: b", 2)]


def test_only_what_is_missing_is_measured(cli: Cli) -> None:
    record(cli)
    plan = cli("study", "plan", "wider", "--json").json
    assert (plan["points_on_record"], plan["on_record_by"], plan["runs_on_record"]) == (2, ["first"], 2)
    assert [point["runs_on_record"] for point in plan["servers"][0]["points"]] == [1, 1, 0, 0]
    said = cli("study", "run", "wider")
    assert said.measured, said.err
    assert "2 of 4 points are on record, by first; 2 runs left to measure (--again measures all)" in said.err
    assert measured("wider") == [("wider: a", 2)]


def test_more_repeats_are_those_that_no_other_study_has(cli: Cli) -> None:
    record(cli, "--only", "profile=a")
    said = cli("study", "run", "same", "--repeats", "2", "--only", "profile=a")
    assert said.measured, said.err
    assert "0 of 2 points are on record, by first; 2 runs left to measure" in said.err
    with Store.open("sqlite:///loadgen.db", read_only=True) as store:
        (sweep,) = (each for each in store.sweeps() if each.name == "same: a")
        assert [run["spec"]["seed"] for run in store.runs(sweep.sweep_id)] == [1, 1]


def test_a_server_that_lacked_memory_is_not_started_again_by_another_study(cli: Cli, tmp_path: Path) -> None:
    write_failing_vllm(tmp_path / "vllm", "torch.OutOfMemoryError: CUDA out of memory.")
    profile = write_profiles(tmp_path, FAKE_PROFILE, ["b"]) / "b.yaml"
    assert "b did not start" in cli("study", "run", "first", "--only", "profile=b").err
    said = cli("study", "run", "same", "--only", "profile=b")
    assert (said.code, said.out) == (0, "")
    assert "2 of 2 points are on record, by first: nothing is left to measure" in said.err
    profile.write_text(f"{profile.read_text()}arguments: {{max-model-len: 64}}\n")
    assert "b did not start" in cli("study", "run", "same", "--only", "profile=b").err


def test_a_study_is_measured_again_when_it_is_run_again(cli: Cli) -> None:
    for _ in range(2):
        said = cli("study", "run", "first", "--only", "profile=a")
        assert said.measured, said.err
    assert measured("first") == [("first: a", 2), ("first: a", 2)]


def on_another_server(sweep: Any) -> None:
    for run in sweep["runs"]:
        run["server"]["launch"]["arguments"]["gap-s"] = 0.002
    sweep["server"]["launch"]["arguments"]["gap-s"] = 0.002


def on_other_hardware(sweep: Any) -> None:
    for each in (sweep, *sweep["runs"]):
        each["environment"]["cpu_model"] = "another processor"


def by_a_prediction(sweep: Any) -> None:
    for each in (sweep, *sweep["runs"]):
        each["server"]["name"] = SERVER_NAME


def invalid(sweep: Any) -> None:
    for run in sweep["runs"]:
        run["verdict"]["status"] = "invalid"


def cut_short(sweep: Any) -> None:
    for run in sweep["runs"]:
        run["interrupted"] = True


def for_no_study(sweep: Any) -> None:
    sweep["spec"]["tag"] = ["mine"]


def test_what_counts_as_on_record(cli: Cli) -> None:
    measured = record(cli, "--only", "profile=a")
    changes = (on_another_server, on_other_hardware, by_a_prediction, invalid, cut_short, for_no_study)
    plan = ("study", "plan", "same", "--only", "profile=a", "--json")
    assert cli(*plan).json["points_on_record"] == 2
    for change in changes:
        document = deepcopy(measured)
        change(document["sweeps"][0])
        path = Path(f"{change.__name__}.json")
        path.write_text(json.dumps(document))
        db = ("--db", f"sqlite:///{change.__name__}.db")
        assert cli("import", str(path), *db).code == 0
        assert cli(*plan, *db).json["points_on_record"] == 0, change.__name__
