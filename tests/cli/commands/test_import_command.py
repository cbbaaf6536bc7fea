"""A sweep that is exported here and imported into another database, and all that is shown of it there."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from loadgen.cli.app import main
from loadgen.servers.simulator import SimulatorProcess
from loadgen.web.app import create_app
from tests.cli.conftest import Cli, Said

pytestmark = pytest.mark.loopback

ELSEWHERE = ("--db", "sqlite:///elsewhere.db")


def without_mark(document: dict[str, Any]) -> dict[str, Any]:
    runs = [{key: value for key, value in run.items() if key != "imported"} for run in document["runs"]]
    return {**document, "imported": None, "runs": runs}


@pytest.fixture(scope="module")
def measured(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database of one sweep, and its export `evening.json`."""
    folder = tmp_path_factory.mktemp("measured")
    quietly = ("-q", "--db", f"sqlite:///{folder}/loadgen.db")
    server = ("--url", simulator.url, "--model", "simulated-moe", "--concurrency", "1,2", "--requests", "8")
    main(("sweep", *server, "--input-tokens", "8", "--output-tokens", "8", "--name", "evening", *quietly))
    main(("export", "latest", "--format", "json", "-o", f"{folder}/evening.json", *quietly))
    return folder


@pytest.fixture
def sweep(measured: Path, tmp_path: Path) -> dict[str, Any]:
    """The sweep's document; it is on record in the working directory, beside its export."""
    for name in ("loadgen.db", "evening.json"):
        shutil.copy(measured / name, tmp_path)
    document: dict[str, Any] = json.loads((tmp_path / "evening.json").read_text())
    return document


@pytest.fixture
def imported(cli: Cli, sweep: dict[str, Any]) -> Said:
    return cli("import", "evening.json", *ELSEWHERE)


def test_a_round_trip_changes_nothing_but_the_mark(cli: Cli, sweep: dict[str, Any], imported: Said) -> None:
    sweep_id = sweep["sweep_id"]
    assert imported.out == f"imported {sweep_id} (evening SIMULATED, 2 runs) from evening.json\n"
    assert (imported.code, imported.err) == (0, f"new database {Path.cwd() / 'elsewhere.db'}\n")
    there = cli("show", "latest", "--json", *ELSEWHERE).json
    mark = there["imported"]
    assert (mark["file"], len(mark["sha256"])) == ("evening.json", 64)
    assert [run["imported"] for run in there["runs"]] == [mark, mark]
    assert without_mark(there) == sweep
    assert cli("export", sweep_id, "--format", "json", *ELSEWHERE).json == there
    listed = cli("list", "--json", *ELSEWHERE).json["sweeps"][0]
    assert listed.items() >= {"imported": mark, "simulated": True, "runs": 2}.items()


def test_what_show_writes_is_the_same(cli: Cli, sweep: dict[str, Any]) -> None:
    Path("own.json").write_text(cli("show", "latest", "--json").out)
    assert cli("import", "own.json", *ELSEWHERE).code == 0
    assert without_mark(cli("show", "latest", "--json", *ELSEWHERE).json) == sweep
    assert cli("import", "evening.json", *ELSEWHERE).out.startswith("already there: ")


def test_a_run_brings_its_sweep_along(cli: Cli, point: tuple[str, ...]) -> None:
    said = cli("run", *point, "--name", "one", "--json")
    Path("run.json").write_text(said.out)
    assert cli("import", "run.json", *ELSEWHERE).code == 0
    assert without_mark(cli("show", "latest", "--json", *ELSEWHERE).json) == cli("show", "latest", "--json").json
    assert cli("export", said.json["run_id"], "--format", "json").json == said.json


def test_it_is_marked_wherever_it_is_shown(cli: Cli, sweep: dict[str, Any], imported: Said) -> None:
    run_id = sweep["runs"][0]["run_id"]
    assert "evening SIMULATED IMPORTED" in cli("list", *ELSEWHERE).out
    for id in ("latest", run_id):
        shown = cli("show", id, *ELSEWHERE).out
        assert "SIMULATED   IMPORTED" in shown
        assert "from evening.json, 20" in shown
    assert "imported.sha256" in cli("export", "latest", "--format", "csv", *ELSEWHERE).out
    cli("report", "latest", run_id, "-o", "page.html", *ELSEWHERE)
    page = Path("page.html").read_text()
    assert page.count("IMPORTED</span>") == 2
    assert "Not drawn: an imported result has no requests" in page
    assert "IMPORTED" not in cli("list").out + cli("show", "latest").out


def test_the_dashboard_shows_it(cli: Cli, sweep: dict[str, Any], imported: Said) -> None:
    sweep_id, run_id = sweep["sweep_id"], sweep["runs"][0]["run_id"]
    with TestClient(create_app("sqlite:///elsewhere.db")) as browser:
        for path in ("/", f"/sweeps/{sweep_id}", f"/runs/{run_id}"):
            page = browser.get(path)
            assert page.status_code == 200
            assert "IMPORTED" in page.text
            assert "SIMULATED" in page.text
        assert "an imported result has no requests" in browser.get(f"/runs/{run_id}").text
        assert browser.get(f"/runs/{run_id}.json").json()["imported"]["file"] == "evening.json"
        assert browser.get(f"/sweeps/{sweep_id}.json").json()["imported"]["file"] == "evening.json"


def test_it_is_compared_with_what_is_measured_here(
    cli: Cli, sweep: dict[str, Any], imported: Said, point: tuple[str, ...]
) -> None:
    here = cli("sweep", *point, "--concurrency", "1,2", "--json", *ELSEWHERE).json
    found = cli("compare", sweep["sweep_id"], here["sweep_id"], "--anyway", "--json", *ELSEWHERE).json
    assert (found["a"]["imported"]["file"], found["b"]["imported"]) == ("evening.json", None)
    assert found["points"]
    assert "IMPORTED" in cli("compare", sweep["sweep_id"], here["sweep_id"], "--anyway", *ELSEWHERE).out


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_its_requests_stayed_where_it_was_measured(cli: Cli, sweep: dict[str, Any], imported: Said, form: str) -> None:
    said = cli("export", "latest", "--requests", "--format", form, "-o", "out", *ELSEWHERE)
    run_id = sweep["runs"][0]["run_id"]
    assert said.code == 2
    assert said.err == (
        f"loadgen: the run {run_id} was imported from evening.json, and an imported result has no requests: "
        "export it without --requests, or from the database into which it was measured\n"
    )
    assert not Path("out").exists()


def test_importing_twice_and_where_it_was_measured(cli: Cli, sweep: dict[str, Any], imported: Said) -> None:
    for where in (ELSEWHERE, ()):
        said = cli("import", "evening.json", *where, "--json")
        assert said.code == 0
        (told,) = said.json["imported"]
        assert told.items() >= {"sweep_id": sweep["sweep_id"], "runs": 2, "was_there": True}.items()
    assert cli("show", "latest", "--json").json == sweep


def test_a_resume_measures_anew(cli: Cli, simulator: SimulatorProcess, point: tuple[str, ...]) -> None:
    first = cli("sweep", *point, "--json").json
    Path("stopped.json").write_text(json.dumps(first | {"status": "interrupted"}))
    assert cli("import", "stopped.json", *ELSEWHERE).code == 0
    assert cli("sweep", *point, "--plan", "--json", *ELSEWHERE).json["estimated_s"] is None
    simulator.reset_truth()
    again = cli("sweep", *point, "--resume", "--json", *ELSEWHERE).json
    assert again["sweep_id"] != first["sweep_id"]
    assert simulator.truth()["requests"] != []


def test_each_file_stands_for_itself(cli: Cli, sweep: dict[str, Any]) -> None:
    Path("broken.json").write_text("{")
    Path("changed.json").write_text(json.dumps(sweep | {"name": "morning"}))
    said = cli("import", "broken.json", "evening.json", "changed.json", "missing.json", "--json", *ELSEWHERE)
    assert said.code == 2
    assert [each["file"] for each in said.json["imported"]] == ["evening.json"]
    broken, _announced, changed, missing = said.err.splitlines()
    assert broken.startswith("loadgen: broken.json is not JSON: ")
    assert changed.startswith(f"loadgen: changed.json was not imported: the sweep {sweep['sweep_id']} is in ")
    assert missing == "loadgen: cannot read missing.json: no such file or directory"
    assert cli("list", "--json", *ELSEWHERE).json["sweeps"][0]["name"] == "evening"


def test_square_brackets_are_no_markup(cli: Cli, sweep: dict[str, Any]) -> None:
    text = Path("evening.json").read_text()
    for word in ("concurrency 1", "concurrency 2", "evening"):
        text = text.replace(f'"{word}"', f'"{word} [/bold] [red]"')
    Path("[red].json").write_text(text)
    assert cli("import", "[red].json", *ELSEWHERE).code == 0
    for command in (("list",), ("show", "latest"), ("show", sweep["runs"][0]["run_id"])):
        said = cli(*command, *ELSEWHERE)
        assert said.code == 0
        assert "[/bold] [red]" in said.out if command != ("show", "latest") else "[red].json" in said.out


def test_a_file_that_is_refused_makes_no_database(cli: Cli, tmp_path: Path) -> None:
    Path("broken.json").write_text("[]")
    said = cli("import", "broken.json")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("loadgen: broken.json is JSON, but no result of loadgen: ")
    assert said.err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["broken.json"]
