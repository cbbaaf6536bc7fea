"""`loadgen serve` with a real vLLM on the CPU: up, a request, a second up, another refused, a sweep, down, and nothing left."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from loadgen.servers.launcher.stop import stop
from tests.real.command import loadgen_command
from tests.real.vllm_server import ROOT, free_port, skip_without_vllm

pytestmark = pytest.mark.vllm

AtOnce = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def at_once(tmp_path: Path) -> Iterator[AtOnce]:
    """`loadgen …` with a state and a database of the test's own, from where the tiny profiles find engine and model."""
    skip_without_vllm()

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {
            "LOADGEN_STATE_DIR": str(tmp_path),
            "LOADGEN_DB": f"sqlite:///{tmp_path}/loadgen.db",
        }
        words = loadgen_command(*arguments)
        return subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
        )

    yield run
    stop(tmp_path)


@pytest.fixture
def serve(at_once: AtOnce) -> AtOnce:
    """`loadgen serve …`."""
    return partial(at_once, "serve")


def status(serve: AtOnce) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(serve("status", "--json").stdout)
    return document


def in_group(group: int) -> list[int]:
    """The living processes of a process group."""
    found = []
    for one in psutil.process_iter():
        try:
            if os.getpgid(one.pid) == group and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one.pid)
        except (ProcessLookupError, psutil.Error):
            continue
    return found


def test_up_a_request_a_sweep_and_down_leave_nothing(at_once: AtOnce, serve: AtOnce) -> None:
    profile, workers, port = "tiny-mixtral-tp2", 2, free_port()
    up = serve("up", profile, "--port", str(port))
    assert up.returncode == 0, up.stderr
    assert f"{profile} answers at http://127.0.0.1:{port} after " in up.stdout
    stages = (
        "reading the model's configuration",
        "starting the engine",
        "loading the model",
        "waiting for the first answer",
    )
    assert any(stage in up.stderr for stage in stages)  # a tiny model may pass one of them between two looks

    server = status(serve)["server"]
    launch = server["launch"]
    assert (launch["engine"], launch["weights"], launch["gpus"]) == ("vLLM", "real", [])
    assert launch["engine_version"].startswith("0.")
    assert launch["installed_release"].startswith(launch["engine_version"])
    assert launch["model_hash"].startswith("sha256:")
    assert launch["startup_s"] > 0
    assert "'port'" in launch["engine_says"]["non_default_arguments"]
    assert "tokens" in launch["engine_says"]["kv_cache"]
    group = server["process_group"]
    assert len(in_group(group)) >= 2 + workers

    body = {"model": "tiny-mixtral", "prompt": "a", "max_tokens": 2}
    answer = httpx2.post(f"{server['url']}/v1/completions", json=body, timeout=60)
    assert answer.json()["usage"]["completion_tokens"] == 2

    again = serve("up", profile, "--port", str(port))
    assert (again.returncode, "is running already" in again.stdout) == (0, True)
    other = serve("up", "tiny-olmoe", "--port", str(port))
    assert other.returncode == 2
    assert f"{profile} is running at http://127.0.0.1:{port}" in other.stderr
    assert status(serve)["server"]["pid"] == server["pid"]

    swept = at_once("sweep", "--requests", "8", "--json")  # over the grid of its profile
    assert swept.returncode in (0, 3), (
        swept.stderr
    )  # whether a small run on a busy machine is valid is not the question
    sweep = json.loads(swept.stdout)
    assert (sweep["status"], len(sweep["runs"])) == ("finished", 4)
    for run in sweep["runs"]:
        assert run["outcomes"]["ok"] == run["outcomes"]["planned"]
        assert run["server"]["profile"] == profile
        assert run["server"]["launch"]["engine_version"] == run["server"]["version"]
        assert run["server"]["launch"]["weights"] == "real"
        assert run["server"]["launch"]["model_hash"] == launch["model_hash"]

    down = serve("down")
    assert (down.returncode, down.stderr) == (0, f"{profile} has ended, and nothing of it is left\n")
    assert in_group(group) == []
    assert not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in server["processes"])


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("max-modle-len=3", "the engine does not know the flag --max-modle-len"),
        ("max-model-len=999999", "User-specified max_model_len (999999) is greater than"),
    ],
)
def test_a_start_that_fails_says_why(serve: AtOnce, tmp_path: Path, argument: str, said: str) -> None:
    failed = serve("up", "tiny-mixtral", "--port", str(free_port()), "--argument", argument, "-q")
    assert failed.returncode == 5
    assert failed.stderr.count("\n") == 1
    assert f"loadgen: tiny-mixtral did not start: {said}" in failed.stderr
    assert f"; its log: {tmp_path}/logs/tiny-mixtral-" in failed.stderr
    assert status(serve)["status"] == "ended"
    assert status(serve)["server"]["processes"] == []


def test_a_start_that_is_killed_leaves_no_vllm(serve: AtOnce, tmp_path: Path) -> None:
    with chdir(ROOT):
        command = loadgen_command("serve", "up", "tiny-mixtral", "--port", str(free_port()))
        environment = os.environ | {"LOADGEN_STATE_DIR": str(tmp_path)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as starting:
            assert starting.stderr is not None
            while "starting the engine" not in starting.stderr.readline():
                assert starting.poll() is None
            group = status(serve)["server"]["process_group"]
            assert len(in_group(group)) >= 2
            starting.kill()
    psutil.wait_procs([psutil.Process(pid) for pid in in_group(group)], timeout=30)
    assert in_group(group) == []
