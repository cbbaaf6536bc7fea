"""What every test shares: the longest go first, and in CI a real test must run, so a skip of one counts as a failure."""

import gc
import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any host", deadline=None)  # how long an example takes is the host's affair
settings.load_profile("any host")
os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # NumPy's threads, which nothing here uses, spin while it is imported

# Files whose tests take longest, the longest first: at the end of a run they would keep one worker busy and the others idle.
LONGEST = (
    "real/test_vllm_models.py",
    "real/test_vllm_sweep.py",
    "real/test_vllm_behind_proxy.py",
    "real/test_litellm.py",
    "real/test_vllm_two_servers.py",
    "real/test_vllm_studies.py",
    "real/test_vllm_served.py",
    "real/test_vllm_server_sweeps.py",
    "real/test_vllm_watched.py",
    "test_wheel.py",
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
REAL_TIERS = ("vllm", "browser", "wheel", "postgres")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the tests and modules, half a million objects that stay, to no pass of the garbage collector."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by LONGEST, and keep the real tests of a file in one worker, unless they share a server with those of others."""
    root = Path(__file__).parent
    rank = {root / file: place for place, file in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))
    for item in items:
        if is_real(item) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def is_real(item: pytest.Item) -> bool:
    """Whether a test needs more than this package and its loopback."""
    return any(item.get_closest_marker(tier) for tier in REAL_TIERS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    in_ci = os.environ.get("LOADGEN_CI") == "1" or os.environ.get("CI") == "true"
    if report.skipped and in_ci and is_real(item):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} (in CI this test must run)"
    return report
