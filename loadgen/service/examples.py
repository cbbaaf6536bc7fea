"""What the API's description says of each operation besides its types: what may be sent, and what comes back.

Documents of sweeps and runs are those of docs/method.md and `loadgen export`, which are not repeated here.
"""

from collections.abc import Mapping
from typing import Any

from loadgen.service.submission import REFUSED_KEYS
from loadgen.spec.sweep_spec import SweepSpec

Operation = dict[str, Any]

SPEC: dict[str, object] = {
    "url": "http://127.0.0.1:8000",
    "model": "mixtral-8x7b",
    "concurrency": [1, 16, 64],
    "input_tokens": 128,
    "output_tokens": 128,
    "repeats": 3,
    "name": "nightly",
}
JOB_EXAMPLE: Mapping[str, Any] = {
    "schema_version": 1,
    "job_id": "j261126-204324-09af3c51",
    "status": "running",
    "target": "127.0.0.1:8000",
    "name": "nightly",
    "spec": SPEC,
    "spec_hash": "def016cf45106141",
    "planned_runs": 9,
    "submitted_at": "2026-11-26T20:43:24.074593+00:00",
    "sweep_id": "s261126-204330-7b2e",
    "attempts": 1,
    "started_at": "2026-11-26T20:43:28.297521+00:00",
    "ended_at": None,
    "exit_code": None,
    "message": None,
    "cancel_requested": False,
    "queue_position": None,
    "waits_for_job_id": None,
    "ended_runs": 2,
    "cut_short_runs": 0,
    "valid_runs": 1,
    "doubtful_runs": 1,
    "invalid_runs": 0,
    "planned_runs_at_most": False,
    "elapsed_s": 74.2,
    "left_s": 181.0,
    "progress_at": "2026-11-26T20:44:42.112904+00:00",
    "present_run": {
        "position": 3,
        "load_label": "concurrency 64",
        "input_tokens": 128,
        "output_tokens": 128,
        "phase": "measuring",
        "elapsed_s": 4.5,
        "done_ratio": 0.31,
    },
}
_STREAM = """event: job
data: {"job_id": "j261126-204324-09af3c51", "status": "running", …}

id: 1.2
event: sweep
data: {"sweep_id": "s261126-204330-7b2e", "planned_runs": 9, "kept_runs": 0, "resumed": false, "server": {…}}

id: 1.7
event: progress
data: {"elapsed_s": 0.75, "planned": 128, "sent": 96, "done": 80, "failed": 0, "in_flight": 16, "held": 0, "thinking": 0}

id: 1.9
event: run
data: {"position": 1, "run_id": "r261126-204330-f0a5", "verdict": "valid", "took_s": 1.59}

event: job
data: {"job_id": "j261126-204324-09af3c51", "status": "finished", "exit_code": 0, …}
"""


def spec_schema() -> Operation:
    """The schema of what may be sent: a spec's keys without those that are refused, each a number, a text or a list."""
    whole = SweepSpec.model_json_schema()
    keys = {key: value for key, value in whole["properties"].items() if key not in REFUSED_KEYS}
    for key in ("concurrency", "rate", "wave", "input_tokens", "output_tokens"):
        kind = "number" if key == "rate" else "integer"
        keys[key] = {
            "description": "one value, or a list of them",
            "anyOf": [{"type": kind}, {"type": "array", "items": {"type": kind}}],
        }
    keys["image"] = {"type": "string", "pattern": "^[0-9]+x[0-9]+$", "examples": ["512x384"]}
    return {
        "title": "SweepSpec",
        "type": "object",
        "properties": keys,
        "required": whole["required"],
        "additionalProperties": False,
    }


def _error(status: int, said: str, example: str) -> dict[int | str, Any]:
    value = {"schema_version": 1, "error": example}
    return {status: {"description": said, "content": {"application/json": {"example": value}}}}


_UNAUTHORISED = _error(401, "No token, or a wrong one", "That is not the token.")
_READ_ONLY = _error(403, "The service takes no jobs", "This dashboard takes no jobs: …")
_MANY_FAILURES = _error(429, "Too many wrong tokens", "Too many wrong tokens: try again in 42 s.")
_UNREADABLE = _error(
    503, "No database, one of a newer loadgen, or one that cannot be read", "there is no database … yet: …"
)
_NO_JOB = _error(404, "No such job", "there is no job 'j1' in the database.")
_READING = {**_UNAUTHORISED, **_UNREADABLE}


def _answers(description: str, example: Any, media: str = "application/json") -> Operation:
    return {"description": description, "content": {media: {"example": example}}}


SUBMIT: Operation = {
    "summary": "Send a sweep",
    "responses": {
        202: _answers("It is in the queue", {**JOB_EXAMPLE, "status": "queued", "sweep_id": None, "started_at": None}),
        **_UNAUTHORISED,
        **_error(
            403,
            "The server is not on the list, or stands for an address that is not; or the service takes no jobs",
            "10.0.0.9:8000 is not on this service's list of servers: …",
        ),
        **_error(408, "The body did not come to its end", "The request did not come to its end within 30 s."),
        **_error(413, "The body is too large", "the request has more than 65,536 bytes, and no spec does"),
        **_error(415, "The body is not application/json", "the request must be of the type application/json"),
        **_error(
            422,
            "The spec cannot be carried out",
            "unknown key 'concurency' in the request; did you mean 'concurrency'?",
        ),
        **_error(
            429, "The queue is full, or too many wrong tokens", "500 jobs are waiting already, and no more are taken: …"
        ),
        **_UNREADABLE,
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": spec_schema(), "example": SPEC}},
        }
    },
}
JOBS: Operation = {
    "summary": "List the jobs",
    "responses": {200: _answers("The jobs", {"schema_version": 1, "jobs": [JOB_EXAMPLE]}), **_READING, **_NO_JOB},
}
JOB: Operation = {
    "summary": "Look at a job",
    "responses": {200: _answers("The job", JOB_EXAMPLE), **_READING, **_NO_JOB},
}
CANCEL: Operation = {
    "summary": "Cancel a job",
    "responses": {
        200: _answers("The job", {**JOB_EXAMPLE, "cancel_requested": True}),
        **_READ_ONLY,
        **_READING,
        **_NO_JOB,
        **_error(409, "It has ended", "the job j261126-204324-09af3c51 has ended: there is nothing to cancel"),
        **_MANY_FAILURES,
    },
}
RESUME: Operation = {
    "summary": "Resume a job",
    "responses": {
        202: _answers("It is in the queue again", {**JOB_EXAMPLE, "status": "queued", "attempts": 2}),
        **_READ_ONLY,
        **_READING,
        **_NO_JOB,
        **_error(
            409,
            "there is nothing to resume",
            "the job j261126-204324-09af3c51 has finished: there is nothing to resume",
        ),
        **_MANY_FAILURES,
    },
}
EVENTS: Operation = {
    "summary": "Follow a job",
    "responses": {200: _answers("Events", _STREAM, "text/event-stream"), **_READ_ONLY, **_READING, **_NO_JOB},
}
SWEEPS: Operation = {
    "summary": "List the sweeps",
    "responses": {200: _answers("The sweeps", {"schema_version": 1, "sweeps": []}), **_READING},
}
SWEEP: Operation = {
    "summary": "Take a sweep's results",
    "responses": {
        200: _answers("The sweep", {"schema_version": 1, "sweep_id": "s261126-204330-7b2e", "runs": []}),
        **_READING,
        **_error(404, "No such sweep", "there is no sweep 's1' in the database: `loadgen list` shows those there are"),
    },
}
EXPORT: Operation = {
    "summary": "Export a sweep",
    "responses": {
        200: {
            "description": "The file",
            "content": {"application/json": {}, "text/csv": {}, "application/vnd.apache.parquet": {}},
        },
        **_READING,
        **_error(404, "No such sweep", "there is no sweep 's1' in the database: `loadgen list` shows those there are"),
        **_error(422, "It cannot be written so", "Parquet needs the package pyarrow: …"),
    },
}
RUN: Operation = {
    "summary": "Take a run's results",
    "responses": {
        200: _answers("The run", {"schema_version": 1, "run_id": "r261126-204330-f0a5"}),
        **_READING,
        **_error(404, "No such run", "there is no run 'r1' in the database: `loadgen list` shows those there are"),
    },
}
