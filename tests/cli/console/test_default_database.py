"""Which database a command uses, what it says of it, and by what names a result is found."""

import json
import os
from pathlib import Path

import pytest

from loadgen.cli.console.terminal import DEFAULT_DB, default_db
from loadgen.load.shapes import ClosedLoop
from loadgen.store.repository import Store
from tests.cli.conftest import Cli
from tests.report.documents import fill, specs, sweep_row

A, B, GROUP = "s261123-100000-aaaa", "s261123-110000-bbbb", "g261123-100000-0001"


def put(path: str, sweep_id: str, name: str, repeats: int = 3) -> None:
    planned = specs([ClosedLoop(4)], repeats=repeats)
    fill(Path(path), sweep_row(sweep_id, planned, name, simulated=True), planned)


@pytest.fixture
def inner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, two below the home directory."""
    folder = tmp_path / "project" / "inner"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((), None),
        (("project/inner",), None),  # the working directory's own is named without its path
        (("project",), "project"),
        (("",), ""),  # the home directory's
        (("project", ""), "project"),
        (("project/inner", "project"), None),
    ],
)
def test_the_nearest_database_upwards_is_used(
    files: tuple[str, ...], found: str | None, tmp_path: Path, inner: Path
) -> None:
    for folder in files:
        (tmp_path / folder / "loadgen.db").touch()
    expected = DEFAULT_DB if found is None else f"sqlite:///{tmp_path / found / 'loadgen.db'}"
    assert default_db() == expected


def test_the_search_ends_at_the_home_directory(tmp_path: Path, inner: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loadgen.db").touch()
    monkeypatch.setenv("HOME", str(inner.parent))
    assert default_db() == DEFAULT_DB
    monkeypatch.setenv("HOME", str(inner))
    assert default_db() == DEFAULT_DB
    monkeypatch.setenv("HOME", "/nowhere")
    assert default_db() == f"sqlite:///{tmp_path / 'loadgen.db'}"


def test_a_directory_of_that_name_is_no_database(tmp_path: Path, inner: Path) -> None:
    (tmp_path / "loadgen.db").mkdir()
    assert default_db() == DEFAULT_DB


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_that_somebody_put_into_a_shared_directory_is_passed_over(tmp_path: Path, inner: Path) -> None:
    planted = tmp_path / "project" / "loadgen.db"
    planted.touch()
    os.chown(planted, 12345, 12345)
    planted.parent.chmod(0o777)
    assert default_db() == DEFAULT_DB
    planted.parent.chmod(0o755)
    assert default_db() == f"sqlite:///{planted}"


def test_commands_read_and_write_the_one_upwards(cli: Cli, inner: Path, tmp_path: Path, point: tuple[str, ...]) -> None:
    put(str(tmp_path / "loadgen.db"), A, "above")
    assert A in cli("list").out
    said = cli("run", *point)
    assert said.measured, said.err
    assert f"database {tmp_path / 'loadgen.db'}" in said.err.splitlines()[0]
    assert "new database" not in said.err
    assert "--db" not in said.err
    assert not (inner / "loadgen.db").exists()


def test_flag_and_variable_win(cli: Cli, inner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(str(tmp_path / "loadgen.db"), A, "above")
    put(str(inner / "other.db"), B, "other")
    assert B in cli("list", "--db", "sqlite:///other.db").out
    monkeypatch.setenv("LOADGEN_DB", "sqlite:///other.db")
    assert B in cli("list").out


def test_a_new_database_is_announced_once(cli: Cli, tmp_path: Path, point: tuple[str, ...]) -> None:
    first = cli("run", *point)
    assert f"new database {tmp_path / 'loadgen.db'}" in first.err
    assert "database" not in cli("run", *point).err.replace("dashboard", "")


@pytest.mark.parametrize(
    "command",
    [("show", "s999"), ("show", "r999"), ("show", "g999"), ("show", "nobody"), ("export", "s999"), ("report", "s999")],
)
def test_not_found_names_the_database(cli: Cli, tmp_path: Path, command: tuple[str, ...]) -> None:
    put("loadgen.db", A, "a")
    said = cli(*command)
    assert said.code == 2
    (line,) = said.err.splitlines()
    assert str(tmp_path / "loadgen.db") in line


def test_no_sweep_at_all_names_it_too(cli: Cli, tmp_path: Path) -> None:
    Store.open("sqlite:///loadgen.db").close()
    assert str(tmp_path / "loadgen.db") in cli("show", "latest").err


@pytest.mark.parametrize(
    "name", ["baseline", "smoke", "run 7", "vendor/model-x", "g-is-no-group", "r2d2", "ünï", "s261123"]
)
def test_a_unique_name_is_an_id(cli: Cli, name: str) -> None:
    put("loadgen.db", A, name)
    put("loadgen.db", B, "another")
    assert A in cli("show", name).out
    assert cli("export", name).json["sweep_id"] == A


def test_every_command_takes_a_name(cli: Cli) -> None:
    put("loadgen.db", A, "vendor/model-x")
    put("loadgen.db", B, "another")
    assert cli("compare", "vendor/model-x", "another", "--json").json["a"]["id"] == A
    assert cli("report", "vendor/model-x", "-o", "x.html").code == 0
    assert cli("plot", "ttft-cdf", "vendor/model-x", "-o", "x.svg").code == 0


def test_a_name_of_two_sweeps_is_refused_with_both(cli: Cli) -> None:
    for sweep_id in (A, B):
        put("loadgen.db", sweep_id, "twice")
    said = cli("show", "twice")
    assert said.code == 2
    assert A in said.err
    assert B in said.err


def test_latest_is_never_a_name_and_an_exact_id_wins(cli: Cli) -> None:
    put("loadgen.db", A, "latest")
    put("loadgen.db", B, A)  # named like the other's id
    assert cli("export", "latest").json["sweep_id"] == B
    assert cli("export", A).json["sweep_id"] == A


def test_files_are_compared_in_place(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("loadgen.db", A, "a")
    put("loadgen.db", B, "b")
    for sweep_id, file in ((A, "base.json"), (B, "next.json")):
        document = cli("export", sweep_id).json
        for run in document["runs"]:
            run["server_died"] = False
        Path(file).write_text(json.dumps(document))
    for first, second in (("base.json", "latest"), ("base.json", "b"), (A, "next.json"), ("./base.json", "next.json")):
        found = cli("compare", first, second, "--json")
        assert found.code == 0, found.err
        assert (found.json["a"]["id"], found.json["b"]["id"]) == (A, B)
    Path("loadgen.db").unlink()
    assert cli("compare", "base.json", "next.json", "--fail-if-worse").code == 0
    assert not Path("loadgen.db").exists()
    Path("broken.json").write_text("{")
    for words in (
        ("broken.json", "next.json"),
        ("missing.json", "next.json"),
        ("base.json",),
        ("base.json", "base.json"),
    ):
        said = cli("compare", *words)
        assert said.code == 2
        assert len(said.err.splitlines()) == 1
