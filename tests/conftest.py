"""What every test shares: the longest go first, processes start quickly, and in CI a real test must run, so a skip of one counts as a failure."""

import gc
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from loadgen.engine import worker
from loadgen.servers.simulator import process as simulator_process
from tests.forked_workers import ForkedProcess, ForkedSimulator
from tests.servers.relays import Authority

settings.register_profile("any host", deadline=None)  # how long an example takes is the host's affair
settings.load_profile("any host")
os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # NumPy's threads, which nothing here uses, spin while it is imported

# Files whose tests take longest, the longest first: at the end of a run they would keep one worker busy and the others idle.
LONGEST = (
    "real/test_vllm_models.py",
    "real/test_vllm_studies.py",
    "real/test_vllm_accuracy.py",
    "real/test_vllm_vision.py",
    "real/test_vllm_sweep.py",
    "real/test_vllm_behind_proxy.py",
    "real/test_litellm.py",
    "real/test_vllm_two_servers.py",
    "browser/test_jobs_page.py",
    "real/test_vllm_unfused.py",
    "real/test_vllm_experts.py",
    "real/test_vllm_served.py",
    "browser/test_pages_drawn.py",
    "store/test_postgresql.py",
    "browser/test_studies_drawn.py",
    "real/test_vllm_pruned.py",
    "real/test_vllm_drafts.py",
    "real/test_vllm_watched.py",
    "real/test_vllm_server_sweeps.py",
    "real/test_trained_models.py",
    "browser/test_live_sweep.py",
    "test_wheel.py",
    "browser/test_list_of_sweeps.py",
    "real/test_vllm_profiles.py",
    "service/test_queue.py",
    "cli/sweeps/test_server_sweeps.py",
    "cli/sweeps/test_cut_short.py",
    "cli/sweeps/test_study_cut_short.py",
    "cli/sweeps/test_faulty_servers.py",
    "cli/commands/test_service_sweeps.py",
    "cli/sweeps/test_faults_of_ours.py",
    "cli/sweeps/test_kept_replies.py",
    "cli/sweeps/test_lengths_by_usage.py",
    "cli/sweeps/test_study_runs.py",
    "golden/test_printed.py",
)
# Files, or folders of them, of which one worker takes all, by what they share.
TOGETHER = {
    "real_server": ("test_vllm_sweep.py", "test_vllm_behind_proxy.py", "test_litellm.py", "test_vllm_two_servers.py"),
    "counting_server": ("test_vllm_unfused.py", "test_vllm_experts.py"),
    "the port of the tiny profiles": (
        "test_vllm_models.py",
        "test_vllm_studies.py",
        "test_vllm_accuracy.py",
        "test_vllm_vision.py",
    ),
    "dashboard": ("test_pages_drawn.py", "test_accessible.py", "test_comparing.py", "test_theme.py"),
    "postgres": ("/store/",),
}
REAL_TIERS = ("vllm", "browser", "wheel", "postgres")
REAL_PLACES = ("browser", "real", "store", "test_wheel.py")
"""Where tests of these tiers are: `make test-real` collects nothing else."""


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Leave the tests and modules, half a million objects that stay, to no pass of the garbage collector."""
    gc.disable()
    try:
        if session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
            _import_in_turn(getattr(session.config, "workerinput", {}))
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def _import_in_turn(worker: dict[str, Any]) -> None:
    """Import the test modules, in each worker from another one on: of what one has compiled the others read the result.

    Pytest compiles a test module with its assertions rewritten, which takes most of the time of a first collection.
    """
    modules = sorted(Path(__file__).parent.rglob("test_*.py"))
    begin = len(modules) * int(worker.get("workerid", "gw0")[2:]) // worker.get("workercount", 1)
    for path in modules[begin:] + modules[:begin]:
        sys.path.insert(0, str(path.parent))
        with suppress(Exception, pytest.skip.Exception):  # the collection imports it again, and reports why it cannot
            import_module(path.stem)
        sys.path.remove(str(path.parent))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give the files of TOGETHER to one worker; with pytest 9.2 `--dist loadgroup` of xdist 3.8 groups nothing."""
    if config.getvalue("dist") != "loadfile":
        return None
    scheduler = LoadFileScheduling(config, log)
    file_of = scheduler._split_scope

    def scope(nodeid: str) -> str:
        file = file_of(nodeid)
        return next((shared for shared, names in TOGETHER.items() if any(name in file for name in names)), file)

    scheduler._split_scope = scope
    return scheduler


@pytest.hookimpl(tryfirst=True)  # before those of other tiers are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent
    places = {root / place for place in REAL_PLACES}
    files = {item.path for item in items if item.path.is_relative_to(root)}
    elsewhere = {path for path in files if not places & {path, *path.parents}}
    if lost := {item.path for item in items if item.path in elsewhere and is_real(item)}:
        raise pytest.UsageError(
            f"`make test-real` does not collect {lost}: name it in tests/conftest.py and the Makefile"
        )
    rank = {root / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session", autouse=True)
def _quick_processes() -> Iterator[None]:
    """Fork the workers and simulators that this process starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "_start_process", ForkedProcess)
        patch.setattr(simulator_process, "_start_process", ForkedSimulator)
        yield


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate authority made for the tests."""
    return Authority.make(tmp_path_factory.mktemp("tls"))


def is_real(item: pytest.Item) -> bool:
    """Whether a test needs more than this package and its loopback."""
    return any(marker.name in REAL_TIERS for marker in item.iter_markers())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    in_ci = os.environ.get("LOADGEN_CI") == "1" or os.environ.get("CI") == "true"
    if report.skipped and in_ci and is_real(item):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} (in CI this test must run)"
    return report
