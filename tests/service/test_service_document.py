"""docs/service.md and the API's own description say the same, and the description's examples are what it describes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from loadgen.errors import UsageError
from loadgen.report.pages.live_view import QUIET_S
from loadgen.service import examples
from loadgen.service.app import CONNECTION_VARIABLES, connection_limits, openapi
from loadgen.service.documents import JobDocument, PresentRunDocument
from loadgen.service.job_events import PASSING
from loadgen.service.queue import MAX_WAITING
from loadgen.service.submission import MAX_BYTES, MAX_RUNS, REFUSED_KEYS, submission_of
from loadgen.service.targets import Targets
from loadgen.service.tokens import FAILURES_WITHIN_S, MAX_FAILURES, MIN_TOKEN_CHARACTERS, SESSION_S
from loadgen.store.rows import JobStatus
from loadgen.web.connections import ConnectionLimits

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "service.md").read_text()
PROGRESS = (ROOT / "loadgen" / "service" / "job_events.py").read_text()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in openapi()["paths"].items()
    for method, operation in methods.items()
}


def section(title: str) -> str:
    _, _, after = re.split(rf"^(#+ {title}\n)", DOCUMENT, maxsplit=1, flags=re.MULTILINE)
    return re.split(r"^#", after, maxsplit=1, flags=re.MULTILINE)[0]


def first_column(text: str) -> list[str]:
    cells = re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE)
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def test_the_operations_are_those_of_the_document() -> None:
    assert {name for name in first_column(section("The API")) if "/" in name} == set(OPERATIONS)


def test_every_status_of_the_description_is_in_the_document() -> None:
    documented = {int(status) for status in re.findall(r"^\| (\d{3}) \|", section("The API"), re.MULTILINE)}
    described = {int(status) for operation in OPERATIONS.values() for status in operation["responses"]}
    assert {status for status in described if status >= 400} == documented


def test_the_statuses_of_a_job_are_those_of_the_document() -> None:
    assert tuple(first_column(section("Jobs"))) == get_args(JobStatus)


def test_the_keys_of_a_job_are_those_of_the_document() -> None:
    table = section("The document of a job")
    assert first_column(table) == list(JobDocument.model_fields)
    (present_run,) = [line for line in table.splitlines() if line.startswith("| `present_run`")]
    assert re.findall(r"`(\w+)`", present_run)[1:] == list(PresentRunDocument.model_fields)
    assert f"not reported for {QUIET_S} s" in table


def test_the_refused_keys_are_those_of_the_document() -> None:
    assert first_column(section("Keys that a submission may not have")) == list(REFUSED_KEYS)


def test_the_events_are_those_of_the_document() -> None:
    told = set(re.findall(r'"event": "(\w+)"', PROGRESS)) | {"job", "note", "end", "error"}
    assert set(first_column(section("Events"))) == told
    assert set(PASSING) <= told


@pytest.mark.parametrize(
    "figure",
    [
        f"{MAX_BYTES:,} bytes",
        f"At most {MAX_WAITING} jobs",
        f"at most {MAX_RUNS:,} runs",
        f"at least {MIN_TOKEN_CHARACTERS} characters",
        f"After {MAX_FAILURES} wrong tokens within a minute",
        f"{SESSION_S / 3600:.0f} hours",
    ],
)
def test_the_limits_are_those_of_the_document(figure: str) -> None:
    assert figure in " ".join(DOCUMENT.split())
    assert FAILURES_WITHIN_S == 60


def test_the_examples_are_what_they_are_examples_of() -> None:
    assert JobDocument(**examples.JOB_EXAMPLE).model_dump() == examples.JOB_EXAMPLE
    submission = submission_of(examples.SPEC, Targets.of(["http://127.0.0.1:8000"]))
    assert submission.planned_runs == examples.JOB_EXAMPLE["planned_runs"]


def test_what_may_be_sent_is_described_without_what_is_refused() -> None:
    schema = OPERATIONS["POST /api/v1/sweeps"]["requestBody"]["content"]["application/json"]["schema"]
    assert not set(REFUSED_KEYS) & set(schema["properties"])
    assert set(examples.SPEC) <= set(schema["properties"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
def test_every_operation_has_a_summary_a_description_and_an_example(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    good = next(answer for status, answer in operation["responses"].items() if int(status) < 300)
    assert good["content"]


def test_the_description_says_how_to_show_the_token() -> None:
    described = openapi()
    assert described["openapi"].startswith("3.")
    assert described["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    assert described["security"] == [{"token": []}]


def test_the_limits_of_connections_are_those_of_the_code() -> None:
    limits = ConnectionLimits()
    rows = [line for line in DOCUMENT.splitlines() if line.startswith(("| open connections", "| time", "| bytes"))]
    for field, name in CONNECTION_VARIABLES.items():
        (row,) = (row for row in rows if f"`{name}`" in row)
        assert f"| {getattr(limits, field)}" in row
    assert f"| {limits.max_head_bytes:,} |" in "".join(rows)
    assert f"| {limits.max_idle_s} s |" in "".join(rows)
    assert f"{limits.taken_bytes // 1024} KiB" in "".join(rows)


def test_the_environment_changes_the_limits_of_connections() -> None:
    changed = connection_limits({"LOADGEN_SERVICE_MAX_CONNECTIONS": "64", "LOADGEN_SERVICE_MAX_HEAD_S": "3"})
    assert changed == replace(ConnectionLimits(), max_connections=64, max_head_s=3)
    for value in ("0", "-1", "many", "1.5", "٣", "", "9" * 5_000):
        with pytest.raises(UsageError, match="LOADGEN_SERVICE_MAX_UNREAD_S"):
            connection_limits({"LOADGEN_SERVICE_MAX_UNREAD_S": value})
