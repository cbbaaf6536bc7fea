"""`loadgen doctor`: shown, stored, attached to the runs of this host, and an exit code that a script can use."""

import json
from typing import Any

import pytest

from loadgen.analysis.document.doctor import DoctorLevelDocument
from loadgen.doctor import host_checks
from loadgen.errors import ExitCode
from tests.cli.conftest import Cli
from tests.doctor.test_doctor import LEVEL, MANY


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> list[DoctorLevelDocument]:
    """What the doctor will find, instead of measuring."""
    found = [LEVEL]
    monkeypatch.setattr("loadgen.doctor.doctor.calibrate", lambda streams, on_level: found)
    monkeypatch.setattr("loadgen.doctor.doctor.check_host", lambda streams: [host_checks.of_stamps(True)])
    return found


def test_the_table_and_the_summary(cli: Cli, levels: list[DoctorLevelDocument]) -> None:
    said = cli("doctor", "-q")
    assert (said.code, said.err) == (ExitCode.OK, "")
    assert "✓ kernel stamps the kernel stamps arrivals" in said.out
    assert (
        said.out.splitlines()[-1] == "client error at 64 streams: TTFT p99 0.014 ms, gap p99 0.0004 ms, kernel stamps"
    )


def test_a_broken_promise_is_told_and_is_exit_code_4(cli: Cli, levels: list[DoctorLevelDocument]) -> None:
    levels.append(MANY)
    said = cli("doctor", "-q")
    assert said.code == ExitCode.GATE_FAILED
    assert "✗ at 1,000 streams: TTFT error p99 9 ms, promised 0.2 ms" in said.out
    assert cli("doctor", "-q", "--json").json["kept"] is False


def test_runs_of_this_host_carry_the_last_result(
    cli: Cli, levels: list[DoctorLevelDocument], point: tuple[str, ...]
) -> None:
    before: dict[str, Any] = cli("run", *point, "-q", "--json").json
    assert before["client"]["doctor"] is None
    document = cli("doctor", "-q", "--json").json
    after = cli("run", *point, "-q", "--json").json
    assert after["client"]["doctor"]["summary"] == document["summary"]
    assert document["summary"] in " ".join(cli("show", after["run_id"]).out.split())
    exported = json.loads(cli("export", after["run_id"], "--format", "json").out)
    assert exported["client"]["doctor"]["measured_at"] == document["measured_at"]


@pytest.mark.parametrize(
    ("streams", "sentence"),
    [
        ("1,x", "--streams must list whole numbers, not 1,x"),
        ("0,4", "--streams must list numbers of at least 1, not 0"),
    ],
)
def test_wrong_streams(cli: Cli, streams: str, sentence: str) -> None:
    said = cli("doctor", "--streams", streams)
    assert (said.code, said.err) == (ExitCode.USAGE, f"loadgen: {sentence}\n")
