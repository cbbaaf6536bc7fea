"""A real test that does not run is no proof: `make test-real` collects all of them, and in CI a skip counts as a failure."""

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
    pytester.mkdir("real").joinpath("test_that_skips.py").write_text(SKIPPED_TEST.format(tier=tier))

    result = pytester.runpytest_inprocess("-ra")

    result.assert_outcomes(**{outcome: 1})
    result.stdout.fnmatch_lines(["*there is no vLLM here*"])


def test_make_collects_every_place_of_real_tests(pytestconfig: pytest.Config) -> None:
    conftest = pytestconfig.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    assert conftest is not None
    makefile = (pytestconfig.rootpath / "Makefile").read_text()
    (named,) = (line for line in makefile.splitlines() if line.startswith("REAL_TESTS := "))
    assert named.split()[2:] == [f"tests/{place}" for place in conftest.REAL_PLACES]


def test_a_real_test_elsewhere_is_an_error(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers =\n  vllm: real")
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
    pytester.makepyfile(SKIPPED_TEST.format(tier="vllm"))
    result = pytester.runpytest_inprocess("-m", "not vllm")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*make test-real*does not collect*test_a_real_test_elsewhere*"])
