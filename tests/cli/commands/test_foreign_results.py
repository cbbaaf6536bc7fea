"""Results of other clients: imported, listed, shown, compared and exported, with what they do not tell left out."""

import json
import shutil
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loadgen.cli.app import main
from loadgen.web.app import create_app
from tests.cli.conftest import Cli

DATA = Path(__file__).resolve().parents[2] / "importers" / "data"
FILES = sorted(path.name for path in DATA.glob("*.json"))


@pytest.fixture(scope="module", params=FILES)
def imported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of another client, and the database that it was imported into."""
    folder = tmp_path_factory.mktemp("imported")
    shutil.copy(DATA / request.param, folder)
    with chdir(folder):
        assert main(("import", request.param, "--db", "sqlite:///loadgen.db")) == 0
    return folder


@pytest.fixture
def sweep(imported: Path, cli: Cli, tmp_path: Path) -> dict[str, Any]:
    """The one sweep of the database in the working directory."""
    shutil.copytree(imported, tmp_path, dirs_exist_ok=True)
    document: dict[str, Any] = cli("show", "latest", "--json").json
    return document


def test_it_is_shown_as_anothers(cli: Cli, sweep: dict[str, Any]) -> None:
    assert " FOREIGN" in cli("list").out
    tool = sweep["imported"]["tool"]
    for id in (sweep["sweep_id"], sweep["runs"][0]["run_id"]):
        said = cli("show", id)
        assert said.code == 0
        assert " FOREIGN " in said.out
        assert f"measured by {tool}" in said.out
        assert "None" not in said.out
        assert "nan" not in said.out


def test_pages_show_it_without_requests(sweep: dict[str, Any]) -> None:
    run = sweep["runs"][0]
    with TestClient(create_app("sqlite:///loadgen.db")) as browser:
        for path in ("/", f"/compare?in={sweep['sweep_id']}", f"/sweeps/{sweep['sweep_id']}", f"/runs/{run['run_id']}"):
            page = browser.get(path)
            assert page.status_code == 200
            assert "FOREIGN</span>" in page.text
            assert ">None<" not in page.text
        text = browser.get(f"/runs/{run['run_id']}").text
        assert "In the words of " in text
        assert "foreign_client" in text
        assert browser.get(f"/runs/{run['run_id']}.json").json()["foreign"] == run["foreign"]


def test_it_goes_around(cli: Cli, sweep: dict[str, Any]) -> None:
    elsewhere = ("--db", "sqlite:///elsewhere.db")
    cli("export", "latest", "--format", "json", "-o", "out.json")
    assert cli("import", "out.json", *elsewhere).code == 0
    there = cli("show", "latest", "--json", *elsewhere).json
    assert (there["imported"]["tool"], there["imported"]["file"]) == (sweep["imported"]["tool"], "out.json")
    assert [run["foreign"] for run in there["runs"]] == [run["foreign"] for run in sweep["runs"]]
    assert " FOREIGN" in cli("list", *elsewhere).out
    table = cli("export", "latest", "--format", "csv").out
    assert "foreign.tool" in table
    assert cli("export", "latest", "--requests").code == 2


def test_importing_it_twice_changes_nothing(cli: Cli, sweep: dict[str, Any]) -> None:
    file = sweep["imported"]["file"]
    assert cli("import", file).out.startswith("already there: ")
    assert len(cli("list", "--json").json["sweeps"]) == 1


def test_two_clients_are_compared(cli: Cli, tmp_path: Path) -> None:
    told = json.loads((DATA / "vllm-bench-detailed.json").read_text())
    Path("one.json").write_text(json.dumps(told))
    Path("two.json").write_text(json.dumps(told | {"date": "20261126-220000"}))
    assert cli("import", "one.json", "two.json").code == 0
    ids = [each["sweep_id"] for each in cli("list", "--json").json["sweeps"]]
    said = cli("compare", *ids, "--json")
    assert said.code == 0
    assert {figure["answer"] for point in said.json["points"] for figure in point["figures"]} == {"cant_tell"}
    assert " FOREIGN " in cli("compare", *ids).out


def test_a_simulator_that_its_file_does_not_name(cli: Cli) -> None:
    file = str(DATA / "inference-perf-stage.json")
    assert "SIMULATED" not in cli("import", file).out
    assert "SIMULATED" in cli("import", file, "--simulated", "--db", "sqlite:///other.db").out


def test_a_foreign_run_has_no_records_to_write_as_vllm_bench(cli: Cli, sweep: dict[str, Any]) -> None:
    said = cli("export", "latest", "--format", "vllm-bench")
    assert said.code == 2
    assert "has no requests" in said.err


@pytest.mark.loopback
def test_a_sweep_goes_out_as_vllm_bench_and_does_not_come_back(cli: Cli, point: tuple[str, ...]) -> None:
    assert cli("sweep", *point, "--concurrency", "1,2").measured
    plain = [json.loads(line) for line in cli("export", "latest", "--format", "vllm-bench").out.splitlines()]
    assert [result["max_concurrency"] for result in plain] == [1, 2]
    assert all(result["simulated"] and result["completed"] == result["num_prompts"] for result in plain)
    assert cli("export", "latest", "--format", "vllm-bench", "--requests", "-o", "out.json").code == 0
    assert all("itls" in json.loads(line) for line in Path("out.json").read_text().splitlines())
    said = cli("import", "out.json")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "export it as json" in said.err
