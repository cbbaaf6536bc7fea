"""The other side of the API: send a sweep to a service, follow its job, and take its results.

The token lives in memory alone, and is in no message.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import quote, urlsplit

import httpx2

from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.sweep import SweepDocument
from loadgen.engine.wire.route import Route
from loadgen.errors import ExitCode, LoadgenError, ServerError, StoreError, UsageError
from loadgen.servers.http_client import open_client
from loadgen.servers.proxies import proxy_for
from loadgen.service.documents import JobDocument
from loadgen.store.rows import ImportMark, SweepRow

_TIMEOUT_S = 60.0  # for an answer; a stream of events says every 15 s that it is there
_PATIENCE_S = 60.0  # how long a service may be gone, such as for a restart
_AGAIN_S = 1.0


class JobError(LoadgenError):
    """The job ended early, over there; its exit code is the one that it would have had here."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = ExitCode(exit_code)


class JobEvent(NamedTuple):
    """One event of a job, as its service reports it."""

    number: str | None  # by which the stream goes on after it
    name: str
    value: Mapping[str, Any]


class ServiceClient:
    """One service, and the token for it. A context manager."""

    def __init__(self, url: str, environ: Mapping[str, str], token_env: str) -> None:
        """Raises UsageError for what is no URL of a service, and for a token that cannot be sent."""
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise UsageError("--service takes the address of a service, like http://bench.example:8080")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        token = environ.get(token_env, "").strip()
        if not token.isascii() or not token.isprintable():
            raise UsageError(f"the environment variable {token_env} does not hold a token that can be sent")
        self._token_env, self._has_token = token_env, bool(token)
        headers = (("Authorization", f"Bearer {token}"),) if token else ()
        self._client = open_client(headers, _TIMEOUT_S, Route(proxy_for(self.url, environ)))

    def __enter__(self) -> "ServiceClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def submit(self, values: Mapping[str, Any]) -> JobDocument:
        """Send a sweep. Raises UsageError when it is refused, in the service's words."""
        body = json.dumps(values, default=str).encode()
        return JobDocument(**self._ask("POST", "sweeps", body))

    def resume(self, job_id: str) -> JobDocument:
        """Queue a job again. Raises UsageError when there is nothing to go on with."""
        return JobDocument(**self._ask("POST", f"jobs/{job_id}/resume"))

    def cancel(self, job_id: str) -> None:
        """Cancel a job. Raises UsageError when it has ended."""
        self._ask("POST", f"jobs/{job_id}/cancel")

    def newest_of(self, spec_hash: str) -> list[JobDocument]:
        """The latest jobs of that grid, the newest first."""
        found = self._ask("GET", f"jobs?spec_hash={quote(spec_hash)}")
        return [JobDocument(**each) for each in found["jobs"]]

    def run(self, run_id: str) -> RunDocument:
        return cast(RunDocument, self._ask("GET", f"runs/{run_id}"))

    def sweep(self, sweep_id: str) -> SweepDocument:
        return cast(SweepDocument, self._ask("GET", f"sweeps/{sweep_id}"))

    def events(self, job_id: str, after: str | None) -> Iterator[JobEvent]:
        """(number, name, what it says) of each event after that number, until the stream ends.

        A service that is gone for a while is waited for. Raises ServerError when it does not come back.
        """
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            headers = {} if after is None else {"Last-Event-ID": after}
            try:
                with self._client.stream("GET", self._address(f"jobs/{job_id}/events"), headers=headers) as answer:
                    if answer.status_code >= 400:
                        answer.read()
                        self._refuse(answer)
                    for number, name, value in _events(answer.iter_lines()):
                        after, until_s = number or after, time.monotonic() + _PATIENCE_S
                        yield JobEvent(number, name, value)
                        if name == "job" and value["ended_at"] is not None:
                            return
            except (httpx2.TransportError, StoreError) as error:
                if time.monotonic() > until_s:
                    raise ServerError(
                        f"the service at {self.url} does not answer any more; the job {job_id} is kept there: look at "
                        f"{self.url}/jobs, or repeat the command with --resume"
                    ) from error
            time.sleep(_AGAIN_S)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Mapping[str, Any]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            answer = self._client.request(method, self._address(path), content=body, headers=headers)
        except httpx2.TransportError as error:
            raise ServerError(f"no service answers at {self.url}: is `loadgen dashboard` running there?") from error
        if answer.status_code >= 400:
            self._refuse(answer)
        return self._object(answer)

    def _address(self, path: str) -> str:
        return f"{self.url}/api/v1/{path}"

    def _object(self, answer: httpx2.Response) -> Mapping[str, Any]:
        try:
            value = answer.json()
        except ValueError:
            value = None
        if not isinstance(value, dict) or (answer.status_code >= 400 and not isinstance(value.get("error"), str)):
            raise UsageError(f"what answers at {self.url} is no service of loadgen (HTTP {answer.status_code})")
        return value

    def _refuse(self, answer: httpx2.Response) -> None:
        said = self._object(answer)["error"]
        if answer.status_code == 401:
            missing = f"{self._token_env} is not set" if not self._has_token else f"{self._token_env} holds another"
            raise UsageError(f"the service at {self.url} wants its token, and the environment variable {missing}")
        if answer.status_code == 503:
            raise StoreError(f"the service at {self.url} cannot do it: {said}")
        raise UsageError(f"the service at {self.url} refuses it: {said}")


def sweep_row(document: SweepDocument) -> SweepRow:
    """A sweep's document as the store would have it."""
    values: Mapping[str, Any] = document
    known = {name: values[name] for name in SweepRow.__dataclass_fields__ if name in values}
    imported = values.get("imported")
    mark = None if imported is None else ImportMark(**imported)
    return SweepRow(**known | {"imported": mark, "runs": len(document["runs"])})


def _events(lines: Iterator[str]) -> Iterator[JobEvent]:
    """The events in the lines of a stream. One that is cut off in the middle is none."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "event" in fields:
            yield JobEvent(fields.get("id"), fields["event"], json.loads(fields.get("data", "{}")))
            fields = {}
        else:
            fields = {}
