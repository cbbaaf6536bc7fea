"""What every test shares: in CI a real test must run, so a skip of one counts as a failure."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("any host", deadline=None)  # how long an example takes is the host's affair
settings.load_profile("any host")

REAL_TIERS = ("vllm", "browser", "wheel", "postgres")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    real = any(item.get_closest_marker(tier) for tier in REAL_TIERS)
    in_ci = os.environ.get("LOADGEN_CI") == "1" or os.environ.get("CI") == "true"
    if real and report.skipped and in_ci:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{reason} (in CI this test must run)"
    return report
