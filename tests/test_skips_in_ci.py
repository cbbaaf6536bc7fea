"""A real test that does not run is no proof: in CI its skip counts as a failure."""

from pathlib import Path

import pytest

pytest_plugins = ("pytester",)

SKIPPED_TEST = """
import pytest

@pytest.mark.{tier}
def test_needs_something() -> None:
    pytest.skip("there is no vLLM here")
"""


@pytest.mark.parametrize(
    ("tier", "variables", "outcome"),
    [
        ("vllm", {"LOADGEN_CI": "1"}, "failed"),
        ("browser", {"CI": "true"}, "failed"),
        ("postgres", {"CI": "true"}, "failed"),
        ("vllm", {}, "skipped"),
        ("loopback", {"LOADGEN_CI": "1"}, "skipped"),
    ],
)
def test_a_skip_of_a_real_test_fails_in_ci(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tier: str, variables: dict[str, str], outcome: str
) -> None:
    for name in ("LOADGEN_CI", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    pytester.makeini("[pytest]\nmarkers =\n  vllm: real\n  browser: real\n  postgres: real\n  loopback: sockets")
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    pytester.makepyfile(SKIPPED_TEST.format(tier=tier))

    result = pytester.runpytest_inprocess("-ra")

    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines(["*there is no vLLM here*"])
