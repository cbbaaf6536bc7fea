"""What somebody sends: read within limits, told in the command line's own sentences, and never a way to the service's files."""

import json
from typing import Any

import pytest

from loadgen.errors import UsageError
from loadgen.service.documents import job_document
from loadgen.service.submission import REFUSED_KEYS, read_object, submission_of
from loadgen.service.targets import ForbiddenTargetError, Targets
from loadgen.spec.sweep_spec import SweepSpec

TARGETS = Targets.of(["http://a.example:8000", "https://b.example=B_KEY"])
GOOD: dict[str, Any] = {
    "url": "http://a.example:8000/v1/",
    "model": "m",
    "concurrency": [1, 2],
    "input_tokens": 8,
    "output_tokens": 8,
}


def test_a_spec_becomes_a_job() -> None:
    submission = submission_of({**GOOD, "repeats": 3, "name": None}, TARGETS)
    job = submission.job()
    assert (job.status, job.target, job.planned_runs, job.attempts) == ("queued", "a.example:8000", 6, 1)
    assert job.job_id.startswith("j")
    assert job_document(job, None).spec == {**GOOD, "repeats": 3}
    assert submission_of(job.values, TARGETS).spec_hash == job.spec_hash
    assert submission_of({**GOOD, "repeats": 2}, TARGETS).spec_hash != job.spec_hash


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"concurency": 3}, r"unknown key 'concurency' in the request; did you mean 'concurrency'\?"),
        ({"model": ""}, "'model' in the request is empty"),
        ({"rate": 3}, "'concurrency' in the request and 'rate' in the request exclude each other"),
        ({"concurrency": "1,1"}, "lists 1 twice"),
        ({"concurrency": "many"}, "must be a whole number"),
        ({"url": "http://user:secret@a.example"}, "must not carry a user name or password"),
        ({"url": "file:///etc/passwd"}, "is not a URL of a server"),
        ({"url": "http://a.example:99999"}, "is not a URL of a server"),
        ({"name": "red\x1b[31m"}, "'name' in the request holds a character"),
        ({"model": "\ud800"}, "'model' in the request holds a character"),
        ({"slo": {"ttft_s\x00": 1}}, "a key with a character"),
        ({"repeats": 9_999}, "runs, and one job has at most"),
        ({"concurrency": list(range(1, 60)), "output_tokens": list(range(1, 60))}, "3,481 runs"),
        ({"workers": 1_000, "concurrency": 1_000}, "more than 64"),
        ({"requests": True}, "must not be true"),
        ({"rate": 1e308, "concurrency": None, "requests": 10**15}, "."),
        (
            {"requests": 10**400},
            "'requests' in the request is a number of 401 digits; give 1 to 1,000,000,000 requests",
        ),
        ({"concurrency": [1, 10**4000]}, "'concurrency' in the request is a number of 4001 digits"),
        ({"slo": {"ttft_s": 10**400}}, "'slo' in the request must be a number"),
        ({"name": "x" * 2_001}, "'name' in the request has 2,001 characters; write at most 2,000"),
        ({"slo": {"x" * 2_001: 1}}, "a key of 2,001 characters"),
        ({"concurrency": "١٦"}, "must be a whole number"),
        ({"concurrency": [[1]]}, "must be a whole number"),
        ({"concurrency": [None]}, "must be a whole number"),
        ({"concurrency": []}, "must list at least one value"),
        ({"concurrency": -1}, "must be at least 1"),
        ({"concurrency": 1.5}, "must be a whole number"),
        ({"repeats": -1}, "must be at least 1"),
        ({"seed": 10**30}, "must be less than"),
        ({"seed": 10**5000}, "not such a long number$"),
        ({"seed": "x" * 1_000}, "not x{100}…$"),
    ],
)
def test_what_cannot_be_carried_out_is_told_as_the_command_line_tells_it(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        submission_of({**GOOD, **change}, TARGETS)
    assert "\n" not in str(refused.value)


HUGE = 10**9


@pytest.mark.parametrize(
    "change",
    [
        {"prefix_groups": HUGE, "prefix_tokens": 4},
        {"prefix_groups": 190_000, "prefix_tokens": 4000, "input_tokens": 4001, "requests": 32},
        {"warmup_requests": HUGE},
        {"warmup_requests": 190_000, "input_tokens": 4000},
        {"requests": HUGE},
        {"concurrency": HUGE},
        {"wave": HUGE, "concurrency": None},
        {"rate": HUGE, "concurrency": None},
        {"rate": 1000, "concurrency": None, "duration_s": 1e9},
        {"rate": 1, "ramp_to": 1e9, "concurrency": None, "duration_s": 1e6},
        {"turns": HUGE, "endpoint": "chat"},
        {"turns": 1000, "endpoint": "chat", "concurrency": 1000},
        {"input_tokens": HUGE},
        {"output_tokens": HUGE},
        {"output_tokens": 100_000, "choices": 128},
        {"image": "8192x8192", "images_per_request": HUGE, "endpoint": "chat"},
        {"repeats": HUGE},
    ],
)
def test_whatever_would_take_memory_or_disk_is_counted_first(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        submission_of({**GOOD, **change}, TARGETS)


def test_the_environment_changes_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {**GOOD, "warmup_requests": 300_000}
    with pytest.raises(UsageError, match="--warmup-requests is 300,000, and the most is 200,000"):
        submission_of(spec, TARGETS)
    monkeypatch.setenv("LOADGEN_SERVICE_MAX_REQUESTS", "400000")
    monkeypatch.setenv("LOADGEN_SERVICE_MAX_PREPARED_BYTES", str(2**30))
    assert submission_of(spec, TARGETS).planned_runs == 2
    monkeypatch.setenv("LOADGEN_SERVICE_MAX_REQUESTS", "many")
    with pytest.raises(UsageError, match="no whole number"):
        submission_of(spec, TARGETS)


@pytest.mark.parametrize("key", REFUSED_KEYS)
def test_no_submission_reads_a_file_or_starts_a_server(key: str) -> None:
    with pytest.raises(UsageError, match=f"'{key}' in the request"):
        submission_of({**GOOD, key: "/etc/passwd"}, TARGETS)


def test_every_key_that_names_a_file_or_a_secret_is_known() -> None:
    """A key that a spec gains has to be looked at: may whoever sends a submission use it?"""
    harmless = set(
        """name url model endpoint concurrency rate wave arrivals burstiness ramp_to ramp_strategy max_in_flight time_scale
        requests duration_s lengths input_tokens output_tokens warmup_requests seed repeats workers request_timeout_s slo
        range_ratio prefix_tokens prefix_groups image images_per_request choices requests_per_minute tokens_per_minute
        turns think_time_s insecure price tag keep_replies experts""".split()
    )
    assert SweepSpec.model_fields.keys() - REFUSED_KEYS.keys() - {"api_key_env"} == harmless


def test_a_key_of_the_service_goes_to_the_server_it_is_for() -> None:
    to_b = {**GOOD, "url": "https://b.example", "api_key_env": "B_KEY"}
    assert submission_of(to_b, TARGETS).spec.api_key_env == "B_KEY"
    with pytest.raises(ForbiddenTargetError, match="does not hold"):
        submission_of({**to_b, "url": "http://a.example:8000"}, TARGETS)
    with pytest.raises(ForbiddenTargetError, match="does not hold"):
        submission_of({**to_b, "api_key_env": "AWS_SECRET_ACCESS_KEY"}, TARGETS)
    with pytest.raises(UsageError, match="insecure"):
        submission_of({**to_b, "insecure": True}, TARGETS)


def test_a_server_that_is_not_listed_is_forbidden() -> None:
    with pytest.raises(ForbiddenTargetError, match=r"c\.example:80 is not on this service's list"):
        submission_of({**GOOD, "url": "http://c.example"}, TARGETS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"a": ' + b"[" * 9 + b"]" * 9 + b"}",
        b'{"a":' * 30_000 + b"1" + b"}" * 30_000,
        b"[" * 60_000,
        b'{"a": ' + b"9" * 5_000 + b"}",
    ],
)
def test_a_body_that_is_no_plain_object_is_one_sentence(body: bytes) -> None:
    with pytest.raises(UsageError) as refused:
        read_object(body)
    assert str(refused.value).startswith("the request")
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": ' + b"9" * 101 + b"}", "it has a number of 101 digits"),
        (b'{"requests": 1, "re\\u0071uests": 2}', "it says 'requests' twice"),
        (b"", "expecting value"),
        (b"a: &a [x]\nb: [*a, *a]", "expecting value"),
    ],
)
def test_why_it_is_not_json_is_named(body: bytes, sentence: str) -> None:
    with pytest.raises(UsageError, match=f"the request is not JSON: {sentence}"):
        read_object(body)


def test_a_plain_object_is_read() -> None:
    assert read_object(json.dumps(GOOD).encode()) == GOOD


def test_a_key_in_a_query_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError, match="has a key in its query") as caught:
        submission_of({**GOOD, "url": GOOD["url"] + "?key=s3cret-key"}, TARGETS)
    assert "s3cret" not in str(caught.value)
    assert submission_of({**GOOD, "url": GOOD["url"] + "?api-version=1"}, TARGETS).spec.url.endswith("?api-version=1")
