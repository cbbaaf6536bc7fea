"""The wheel alone, in an empty environment and away from the checkout: small, without torch, and everything works."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).resolve().parent.parent
BASE_INSTALL_LIMIT_MB = 240
BROUGHT_BY_VENV = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "distutils-precedence")
START_LIMIT_S = 30.0


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel of this checkout and what it asks for, under the pins."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("loadgen-*.whl")
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin/python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "-c", str(ROOT / "constraints.txt"), str(wheel)], check=True)
    return venv


@pytest.fixture(scope="module")
def packages(environment: Path) -> Path:
    (folder,) = environment.glob("lib/python3.*/site-packages")
    return folder


def outside(environment: Path) -> dict[str, str]:
    """The variables of a shell that knows nothing of the checkout."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LOADGEN"))}
    return variables | {"PATH": f"{environment / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(environment)}


@contextmanager
def serving(environment: Path, folder: Path, path: str, *arguments: str) -> Iterator[str]:
    """The base URL of `loadgen ARGUMENTS --port …`, once `path` answers 200; ended by TERM, with exit status 0."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [str(environment / "bin/loadgen"), *arguments, "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, env=outside(environment), stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + START_LIMIT_S
            while not answers(url + path):
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline, f"{url}{path} did not answer"
                time.sleep(0.1)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=10)


def answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code == 200
    except httpx2.HTTPError:
        return False


def test_the_base_install_is_small_and_free_of_torch(packages: Path) -> None:
    installed = {path.name.split("-")[0].lower() for path in packages.glob("*.dist-info")}
    assert not installed & {"torch", "transformers", "vllm", "ray", "pytest"}
    files = (path for path in packages.rglob("*") if path.is_file())
    ours = (path for path in files if not path.relative_to(packages).parts[0].startswith(BROUGHT_BY_VENV))
    size_mb = sum(path.stat().st_size for path in ours) / 1e6
    print(f"base install: {size_mb:.0f} MB in {len(installed)} distributions")  # noqa: T201  (shown by pytest -rP)
    assert size_mb < BASE_INSTALL_LIMIT_MB


def test_files_of_the_repository_root_are_in_the_wheel(packages: Path) -> None:
    for name in ("templates", "server_profiles", "studies"):
        shipped = {path.relative_to(packages / "loadgen" / name) for path in (packages / "loadgen" / name).rglob("*")}
        here = {path.relative_to(ROOT / name) for path in (ROOT / name).rglob("*") if "__pycache__" not in path.parts}
        assert shipped == here
        assert shipped


def test_the_models_of_the_study_are_in_the_wheel(packages: Path) -> None:
    shipped, here = ({path.name for path in (root / "loadgen/moe/configs").glob("*.json")} for root in (packages, ROOT))
    assert shipped == here
    assert shipped


def test_the_plugin_of_vllm_is_in_the_wheel(packages: Path) -> None:
    shipped, here = (
        {path.relative_to(root) for path in root.rglob("*") if path.is_file() and path.suffix != ".pyc"}
        for root in (packages / "loadgen/vllm_plugin", ROOT / "loadgen/vllm_plugin")
    )
    assert shipped == here
    assert {path.name for path in shipped} >= {"entry_points.txt", "entry.py"}


def test_the_server_profiles_are_found_away_from_the_checkout(environment: Path, tmp_path: Path) -> None:
    command = [str(environment / "bin/loadgen"), "profiles", "list", "--json"]
    listed = subprocess.run(
        command, cwd=tmp_path, env=outside(environment), capture_output=True, text=True, timeout=60, check=True
    )
    rows = json.loads(listed.stdout)["profiles"]
    assert {"mixtral-tp4", "tiny-mixtral", "simulated"} <= {row["name"] for row in rows}
    assert all(Path(row["path"]).is_relative_to(environment) for row in rows)


def test_it_measures_its_own_simulator_and_shows_the_result(environment: Path, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'loadgen.db'}"
    with serving(environment, tmp_path, "/health", "simulate", "--ttft-s", "0.01", "--gap-s", "0.001") as simulator:
        load = ("--concurrency", "2", "--requests", "40", "--input-tokens", "16", "--output-tokens", "8")
        command = ["loadgen", "run", "--url", simulator, "--model", "simulated-moe", *load, "--json", "--db", database]
        run = subprocess.run(
            command, cwd=tmp_path, env=outside(environment), capture_output=True, text=True, timeout=60, check=False
        )
    assert run.returncode in (0, 3), run.stderr  # 3: this machine was too busy for a valid run
    document = json.loads(run.stdout)
    assert document["outcomes"]["ok"] == 40
    assert document["simulated"] is True

    with serving(environment, tmp_path, "/", "dashboard", "--db", database) as dashboard:
        page = httpx2.get(f"{dashboard}/runs/{document['run_id']}")
        assert page.status_code == 200
        assert "simulated-moe" in page.text
        linked = set(re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', page.text))
        assert linked
        for address in linked:
            answer = httpx2.get(urljoin(str(page.url), address))
            assert answer.status_code == 200, address
            assert answer.content, address
