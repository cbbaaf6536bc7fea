"""Each mistake: one sentence on stderr, the right exit code, nothing on stdout, and nothing left behind."""

import os
import resource
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from loadgen.cli.console.terminal import Globals
from loadgen.errors import EngineError
from loadgen.servers.simulator import SimulatorProcess
from loadgen.store.repository import Store
from tests.cli.conftest import Cli

POINT = ("--url", "http://127.0.0.1:9", "--model", "m", "--input-tokens", "8", "--output-tokens", "8")

TABLE: list[tuple[tuple[str, ...], int, str]] = [
    (("run", *POINT, "--concurency", "1"), 2, "no such option: --concurency (did you mean --concurrency"),
    (("run", *POINT), 2, "no load is given"),
    (("run", *POINT, "--concurrency", "0"), 2, "--concurrency must be at least 1, not 0"),
    (("run", *POINT, "--concurrency", "1,2"), 2, "--concurrency takes one value here, not 1,2"),
    (("run", *POINT, "--concurrency", "x"), 2, "--concurrency must be a whole number, not x"),
    (("run", *POINT, "--concurrency", "1", "--rate", "2"), 2, "--concurrency and --rate exclude each other"),
    (("run", *POINT, "--concurrency", "1", "--api-key-env", "NO_SUCH_KEY"), 2, "the environment variable NO_SUCH_KEY"),
    (("run", *POINT, "--concurrency", "1"), 5, "nothing answers at http://127.0.0.1:9: connection refused"),
    (("sweep", *POINT, "--concurrency", ""), 2, "--concurrency must list at least one value"),
    (("sweep",), 2, "no server is running; start one with `loadgen serve up PROFILE`"),
    (("sweep", "no-such-file.yaml"), 2, "cannot read the spec file no-such-file.yaml: No such file"),
    (("sweep", *POINT, "--concurrency", "1", "--repeats", "0"), 2, "--repeats must be at least 1, not 0"),
    (("walk",), 2, "no such command 'walk'"),
    (("show",), 2, "missing argument 'ID'"),
    (("show", "latest"), 2, "there is no database"),
    (("list",), 2, "there is no database"),
    (("run", "--url", "simulator", "--accuracy", "copy"), 2, "no such option: --accuracy; 'loadgen sweep' has it"),
    (("export", "latest", "--format", "xml"), 2, "--format must be json, csv, parquet or vllm-bench, not xml"),
    (("dashboard", "--port", "70000"), 2, "invalid value for '--port'"),
    (("simulate", "--ttft-s", "-1"), 2, "ttft_s is -1"),
    (
        ("simulate", "--hardware", "h100"),
        2,
        "the model 'simulated-moe' is not known; with --hardware, --model is one of",
    ),
    (("simulate", "--hardware", "h9", "--model", "mixtral-8x7b"), 2, "there is no accelerator 'h9'"),
    (
        ("simulate", "--hardware", "h100", "--model", "mixtral-8x7b"),
        2,
        "mixtral-8x7b cannot be simulated: on NVIDIA H100",
    ),
    (("simulate", "--tp", "2"), 2, "tp needs hardware"),
    (("simulate", "--gap-s", "soon"), 2, "invalid value for '--gap-s'"),
]


@pytest.mark.parametrize(("arguments", "code", "sentence"), TABLE, ids=[" ".join(row[0][-3:]) for row in TABLE])
def test_one_sentence_and_the_code(
    cli: Cli, tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    said = cli(*arguments)
    assert (said.code, said.out) == (code, "")
    assert said.err.startswith(f"loadgen: {sentence}")
    assert said.err.count("\n") == 1


def test_a_wrong_flag_leaves_no_database(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", *POINT, "--concurrency", "0").code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite:////proc/no/such/loadgen.db", "/proc/no/such"),
        ("sqlite:///.", "directory"),
        ("mysql://h/x", "mysql"),
        ("results", "results"),
    ],
)
@pytest.mark.parametrize("command", ["run", "list"])
def test_a_database_that_cannot_be_used(cli: Cli, url: str, sentence: str, command: str) -> None:
    arguments = ("run", *POINT, "--concurrency", "1") if command == "run" else ("list",)
    said = cli(*arguments, "--db", url)
    assert said.code == 2
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_which_database_is_meant(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "loadgen.db" in cli("list").err
    monkeypatch.setenv("LOADGEN_DB", "sqlite:///env.db")
    assert "env.db" in cli("list").err
    assert "before.db" in cli("--db", "sqlite:///before.db", "list").err
    assert "after.db" in cli("--db", "sqlite:///before.db", "list", "--db", "sqlite:///after.db").err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert cli("run", *POINT, "--concurrency", "1", "--db", f"sqlite:///{closed}/loadgen.db").code == 2


@pytest.mark.parametrize("arguments", [("run", *POINT, "--concurrency", "1"), ("list",), ("show", "latest")])
def test_a_database_of_a_newer_schema(cli: Cli, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    Store.open("sqlite:///loadgen.db").close()
    with sqlite3.connect(tmp_path / "loadgen.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'zzzz'")
    database.close()
    said = cli(*arguments)
    assert said.code == 2
    assert "zzzz" in said.err
    assert "upgrade" in said.err.lower()
    assert said.err.count("\n") == 1


@pytest.mark.loopback
@pytest.mark.parametrize("command", ["dashboard", "simulate"])
def test_a_port_in_use(cli: Cli, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = cli(command, "--port", str(port))
    assert said.code == 2
    assert str(port) in said.err
    assert said.err.count("\n") == 1


@pytest.mark.loopback
def test_a_path_that_serves_nothing_leaves_no_sweep(cli: Cli, point: tuple[str, ...]) -> None:
    wrong = f"{point[1]}/foo/bar"
    said = cli("run", "--url", wrong, *point[2:])
    assert (said.code, said.out) == (2, "")
    assert said.err == f"loadgen: nothing OpenAI-compatible at {wrong}/v1/models: HTTP 404; check the path in --url\n"
    assert not Path("loadgen.db").exists()


@pytest.mark.loopback
def test_latest_is_a_sweep_with_runs(cli: Cli, point: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    good = cli("run", *point, "--json").json["sweep_id"]

    def fails(*_: object, **__: object) -> None:
        raise EngineError("no run today")

    with monkeypatch.context() as broken:
        broken.setattr("loadgen.experiments.sweep.measure", fails)
        assert cli("run", *point).code == 1
    newest, older = cli("list", "--json").json["sweeps"]
    assert (newest["runs"], older["sweep_id"]) == (0, good)
    assert cli("show", "latest", "--json").json["sweep_id"] == good


def test_help_and_version_need_nothing(cli: Cli) -> None:
    assert cli("--version").out.startswith("loadgen 0.")
    said = cli("--help")
    assert said.code == 0
    assert "0 no run invalid" in said.out  # a doubtful one does not fail the command
    assert all(command in said.out for command in ("run", "sweep", "list", "show", "export", "report"))


@pytest.mark.parametrize("command", ["run", "sweep", "export"])
def test_a_flag_without_a_value_promises_none(cli: Cli, command: str) -> None:
    lines = [line for line in cli(command, "--help").out.splitlines() if "<bool>" in line]
    assert all("--help" in line for line in lines)  # that one is the parser's own


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    program = "import sys, loadgen.cli.app; print(*sys.modules)"
    loaded = set(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.split())
    heavy = {"numpy", "rich", "sqlalchemy", "fastapi", "httpx2", "yaml", "psutil", "jinja2"}
    assert "typer" in loaded
    assert loaded & heavy == set()


def test_an_unexpected_failure_is_one_line_unless_more_is_asked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Globals:
        raise RuntimeError("the roof\nis on fire")

    monkeypatch.setattr("loadgen.cli.app.Globals", broken)
    said = cli("list")
    assert said.code == 1
    assert said.err == "loadgen: unexpected failure: RuntimeError: the roof (run again with -v for the traceback)\n"
    assert "Traceback" in cli("list", "-v").err


def test_too_few_open_files_are_told_before_anything_is_sent_or_stored(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    simulator.reset_truth()
    point = ("--url", simulator.url, "--model", "simulated-moe", "--input-tokens", "8", "--output-tokens", "8")
    command = [sys.executable, "-m", "loadgen.cli", "sweep", *point, "--concurrency", "1,900"]
    said = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (800, 800)),
    )
    assert said.returncode == 2
    assert said.stderr == (
        "loadgen: 900 streams need 964 open files and the limit is 800: raise it with `ulimit -Hn 964` "
        "(or LimitNOFILE, or docker's --ulimit nofile), or share them among more --workers\n"
    )
    assert simulator.truth()["requests"] == []
    assert subprocess.run([*command[:3], "list"], capture_output=True, text=True).stdout == ""


def test_a_time_to_save_within_that_is_none_leaves_no_sweep_behind(
    cli: Cli, point: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOADGEN_SAVE_WITHIN_S", "soon")
    said = cli("run", *point, "--requests", "4")
    assert (said.code, "LOADGEN_SAVE_WITHIN_S" in said.err) == (2, True)
    assert not Path("loadgen.db").exists()


@pytest.mark.parametrize("words", [("show", "x\udcff"), ("run", *POINT, "--concurrency", "1", "--image", "x\udcff")])
def test_a_word_that_is_no_text_is_refused(cli: Cli, point: tuple[str, ...], words: tuple[str, ...]) -> None:
    assert cli("run", *point, "--requests", "4").measured
    said = cli(*words)
    assert (said.code, said.err) == (2, "loadgen: x\ufffd is not text in UTF-8; write it in that encoding\n")
