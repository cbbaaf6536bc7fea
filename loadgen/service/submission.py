"""What somebody sent, as the job that it asks for: read within limits, checked by the same rules as a spec file.

Nothing here contacts a server, reads a file or waits.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadgen.errors import UsageError
from loadgen.experiments.sweep_record import new_id, sweep_hash
from loadgen.inputs import Origin
from loadgen.servers.server_url import query_secrets
from loadgen.service.targets import ForbiddenTargetError, Targets
from loadgen.spec.parse import make_spec
from loadgen.spec.runs import resolve
from loadgen.spec.size import SizeLimits, check_planned
from loadgen.spec.sweep_spec import SweepSpec
from loadgen.store.plain import unprintable
from loadgen.store.rows import JobRow

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
_TOO_DEEP = f"the request nests more than {MAX_DEPTH} levels deep, and no spec does"
MAX_RUNS = 2_000
MAX_WORKERS = 64
_MAX_DIGITS = 18
_MAX_DIGITS_SENT = 100
_MAX_CHARACTERS = 2_000
_LIMITS = SizeLimits(max_requests=200_000, max_prepared_bytes=2**28, max_response_tokens=100_000_000)
LIMIT_VARIABLES = {
    "max_requests": "LOADGEN_SERVICE_MAX_REQUESTS",
    "max_prepared_bytes": "LOADGEN_SERVICE_MAX_PREPARED_BYTES",
    "max_response_tokens": "LOADGEN_SERVICE_MAX_RESPONSE_TOKENS",
}
"""The environment variables of the service that change what a run of a submission may take."""

_FILE = "is a file of the service's machine, which a submission cannot read: measure it where the file is"
REFUSED_KEYS = {
    "trace": _FILE,
    "dataset": _FILE,
    "ca_file": _FILE,
    "tokenizer": "is read from the service's machine, or fetched for it, which a submission cannot ask for; leave it out",
    "header": "may hold a secret, and a job is kept in the database until it is measured; leave it out, or let whoever runs "
    "the service name a key for the server with --allow-target URL=NAME",
    "max_reply_bytes": "says how much of the service's memory a server may fill; leave it out: the limit then follows from "
    "the lengths asked",
    "profile": "starts a server on the service's machine, which a submission cannot ask for; start it there and give its url",
    "matrix": "starts servers on the service's machine, which a submission cannot ask for",
    "interleave": "starts servers on the service's machine, which a submission cannot ask for",
    "accuracy": "runs a program on the service's machine, which a submission cannot ask for; evaluate the server with `loadgen accuracy`",
}
"""The keys of a spec file that a submission may not have, and why."""


class TooLargeError(UsageError):
    """A body of more bytes than a submission may have."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A spec that can be carried out, and what its job is recognised by."""

    values: dict[str, object]
    spec: SweepSpec
    target: str
    spec_hash: str
    planned_runs: int

    def job(self) -> JobRow:
        return JobRow(
            job_id=new_id("j"),
            status="queued",
            target=self.target,
            name=self.spec.name or f"{self.spec.model or 'the only model'} at {self.spec.url}",
            values=self.values,
            spec_hash=self.spec_hash,
            planned_runs=self.planned_runs,
            submitted_at=datetime.now(UTC).isoformat(),
        )


def whole_numbers(environ: Mapping[str, str], variables: Mapping[str, str]) -> dict[str, int]:
    """The numbers that the environment has for these fields, by the names of their variables. Raises UsageError."""
    given = {field: environ[name] for field, name in variables.items() if name in environ}
    for field, value in given.items():
        if not (value.isascii() and value.isdigit() and 0 < len(value) <= _MAX_DIGITS):
            raise UsageError(f"the environment variable {variables[field]} is {value!r}, which is no whole number")
    return {field: int(value) for field, value in given.items()}


def read_object(body: bytes) -> dict[str, object]:
    """The JSON object in a body. Raises UsageError for anything else, for a key given twice and for what nests too deeply."""
    try:
        value = json.loads(body, object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_integer)
    except RecursionError:
        raise UsageError(_TOO_DEEP) from None
    except UnicodeDecodeError:
        raise UsageError("the request is not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"the request is not JSON: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except ValueError as error:
        raise UsageError(f"the request is not JSON: {error}") from None
    if _is_deeper(value, MAX_DEPTH):
        raise UsageError(_TOO_DEEP)
    if not isinstance(value, dict):
        raise UsageError('the request must be a JSON object of keys like a spec file\'s, such as "model"')
    return value


def submission_of(values: Mapping[str, object], targets: Targets) -> Submission:
    """What these values of a spec ask for.

    Raises ForbiddenTargetError for a server or a key that is not listed, UsageError for all else that cannot be carried out.
    """
    origin = Origin(file=Path("the request"))
    _check_text(values, origin)
    said = {key: value for key, value in values.items() if value is not None}
    for key, reason in REFUSED_KEYS.items():
        if key in said:
            raise UsageError(f"{origin.name(key)} {reason}")
    spec = make_spec(said, origin)
    if query_secrets(urlsplit(spec.url).query):
        raise UsageError(
            f"{origin.name('url')} has a key in its query, which the queue would store; list the server with its key's variable "
            "(--allow-target URL=NAME) and leave it out"
        )
    _check_size(spec, origin)
    target = targets.named(spec.url)
    if spec.api_key_env is not None:
        if spec.api_key_env != target.key_env:
            raise ForbiddenTargetError(
                f"{origin.name('api_key_env')} is {spec.api_key_env}, which this service does not hold for {target.name}: whoever "
                f"runs it can list it with --allow-target URL={spec.api_key_env}"
            )
        if spec.insecure:
            raise UsageError(
                f"{origin.name('insecure')} would send the service's key to whoever answers; leave one of them out"
            )
    runs = resolve(spec)
    limits = limits_from(os.environ)
    for run in runs:
        check_planned(run, limits)
    return Submission(said, spec, target.name, sweep_hash(runs), len(runs))


def limits_from(environ: Mapping[str, str]) -> SizeLimits:
    """What a run of a submission may take. Raises UsageError for a variable that is no whole number."""
    return replace(_LIMITS, **whole_numbers(environ, LIMIT_VARIABLES))


def _check_size(spec: SweepSpec, origin: Origin) -> None:
    """Before the grid is written out: whether it is one that a queue can take."""
    pairs = len(spec.lengths or ()) or len(spec.input_tokens or (None,)) * len(spec.output_tokens or (None,))
    count = spec.repeats * len(spec.shapes) * pairs
    if count > MAX_RUNS:
        raise UsageError(f"the request asks for {count:,} runs, and one job has at most {MAX_RUNS:,}: ask for fewer")
    if spec.workers is not None and spec.workers > MAX_WORKERS:
        raise UsageError(f"{origin.name('workers')} is {spec.workers}, more than {MAX_WORKERS}; leave it out")


def _check_text(value: Any, origin: Origin, key: str = "") -> None:
    """Texts end up on pages and terminals, and in the database."""
    if isinstance(value, str):
        if unprintable(value) is not None:
            raise UsageError(f"{origin.name(key)} holds a character that cannot be shown")
        if len(value) > _MAX_CHARACTERS:
            raise UsageError(f"{origin.name(key)} has {len(value):,} characters; write at most {_MAX_CHARACTERS:,}")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if unprintable(name) is not None:
                raise UsageError("the request has a key with a character that cannot be shown")
            if len(name) > _MAX_CHARACTERS:
                raise UsageError(f"the request has a key of {len(name):,} characters, and no spec does")
            _check_text(inner, origin, key or name)
    if isinstance(value, list):
        for inner in value:
            _check_text(inner, origin, key)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"it says '{key}' twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS_SENT:
        raise ValueError(f"it has a number of {len(text):,} digits")
    return int(text)


def _is_deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    if inner is None:
        return False
    return depth == 0 or any(_is_deeper(each, depth - 1) for each in inner)
