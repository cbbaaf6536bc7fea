"""Counting experts on a vLLM that runs our worker extension (`loadgen_vllm.expert_tap`), through its `/collective_rpc`.

vLLM opens that route in its dev mode only, without any check of who asks: it is used on this host alone. Each worker answers
for its layers. Tensor-parallel workers all see every token, so that one of them counts; pipeline stages have different layers.
Data-parallel copies see different tokens, and their counts are added. vLLM calls all of them and returns the results of the first, so that
they write their counts into a folder of ours.
"""

import functools
import json
import operator
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NotRequired
from urllib.parse import urlsplit

import httpx2
import numpy as np
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from loadgen.engine.wire.route import DIRECT, Route
from loadgen.errors import ServerError, UsageError, first_problem
from loadgen.moe.expert_counts import ExpertCounts, StepSize, StepSizeDocument
from loadgen.servers.http_client import Fetched, Headers, fetch, open_client, reason_of

_TIMEOUT_S = 60.0  # workers answer between two steps, and a step of long prompts takes seconds
_HOW_TO = (
    "start it with `loadgen sweep --profile NAME --experts`, or with a profile that has `plugins: [expert-counts]`"
)


class _WorkerCounts(TypedDict):
    layers: list[int]
    experts_per_token: Annotated[int, Field(ge=1)]
    tokens: int
    counts: list[list[int]]  # layers × experts
    step_sizes: list[StepSizeDocument]
    tensor_rank: int
    data_size: NotRequired[int]
    data_rank: NotRequired[int]


class ExpertCounter:
    """The extension of one server. Raises UsageError if the server is not on this host."""

    def __init__(self, base_url: str, headers: Headers = (), route: Route = DIRECT) -> None:
        if not _is_loopback(base_url):
            raise UsageError(
                f"experts are counted on this host only, and {base_url} is another: vLLM's /collective_rpc does not authenticate"
            )
        self._base_url, self._headers, self._route = base_url, headers, route

    def check(self) -> None:
        """Raise ServerError if the server cannot count, with the reason and what to do."""
        self._answers("loadgen_experts_start")
        self._answers("loadgen_experts_stop")

    def start(self) -> None:
        """Count from 0 from the next step on. Raises ServerError."""
        self._answers("loadgen_experts_start")

    def read(self, model: str) -> ExpertCounts:
        """Return what was counted since the start. Raises ServerError."""
        try:
            with TemporaryDirectory(prefix="loadgen-experts-") as folder:
                workers = _workers_type.validate_python(self._answers("loadgen_experts_read", folder=folder))
                copies = _copies(workers, Path(folder))
            return functools.reduce(operator.add, (counts_of_workers(model, each) for each in copies))
        except ValidationError as failure:
            reason = first_problem(failure.errors())
        except ValueError as error:
            reason = str(error)
        raise ServerError(f"the expert counts of {self._base_url} cannot be put together: {reason}")

    def stop(self) -> None:
        """Stop counting. Raises ServerError."""
        self._answers("loadgen_experts_stop")

    def _answers(self, method: str, **arguments: str) -> list[object]:
        """What each worker answers to a method of the extension."""
        body = json.dumps({"method": method, "kwargs": arguments}).encode()
        try:
            with open_client(self._headers, _TIMEOUT_S, self._route) as client:
                answered = fetch(client, f"{self._base_url}/collective_rpc", body, limit_s=_TIMEOUT_S)
        except httpx2.TransportError as error:
            raise ServerError(f"{self._base_url} does not count experts: {reason_of(error, self._headers)}") from None
        results = answered.object.get("results")
        if answered.status != 200 or not isinstance(results, list) or not results:
            raise ServerError(f"{self._base_url} does not count experts ({_refusal(answered)}): {_HOW_TO}")
        for each in results:
            if isinstance(each, dict) and (problem := each.get("problem")) is not None:
                raise ServerError(f"{self._base_url} cannot count experts: {str(problem)[:300]}")
        return results


class ExpertWatch:
    """A context manager around the measured part of a run: counts from its beginning to its end.

    A failure costs the counts, never the run: `failure` has the reason.
    """

    def __init__(self, counter: ExpertCounter | None, model: str) -> None:
        self._counter, self._model = counter, model
        self.counts: ExpertCounts | None = None
        self.failure: str | None = None

    def __enter__(self) -> "ExpertWatch":
        if self._counter is not None:
            try:
                self._counter.start()
            except ServerError as error:
                self.failure = str(error)
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._counter is None or self.failure is not None or error is not None:
            return
        try:
            self.counts = self._counter.read(self._model)
            self._counter.stop()
        except ServerError as problem:
            self.failure = str(problem)


_worker_type: TypeAdapter[_WorkerCounts] = TypeAdapter(_WorkerCounts)
_workers_type: TypeAdapter[list[_WorkerCounts]] = TypeAdapter(list[_WorkerCounts])


def _copies(workers: list[_WorkerCounts], folder: Path) -> list[list[_WorkerCounts]]:
    """The workers of each copy of the model: those that answered, or with data parallelism those that wrote into `folder`.

    Raises ValueError if a copy is missing.
    """
    size = workers[0].get("data_size", 1)
    if size == 1:
        return [workers]
    by_rank: dict[int, list[_WorkerCounts]] = {}
    for path in folder.iterdir():
        each = _worker_type.validate_json(path.read_bytes())
        by_rank.setdefault(each.get("data_rank", 0), []).append(each)
    if sorted(by_rank) != list(range(size)) or any(len(copy) != len(workers) for copy in by_rank.values()):
        raise ValueError(
            f"{len(by_rank)} of {size} data-parallel copies wrote theirs into {folder}; all of them must run on this host, "
            "outside of containers"
        )
    return [by_rank[rank] for rank in sorted(by_rank)]


def counts_of_workers(model: str, workers: Iterable[_WorkerCounts]) -> ExpertCounts:
    """Return the counts of all layers, from workers of one copy of the model. Raises ValueError where they do not fit together."""
    stages = [each for each in workers if each["tensor_rank"] == 0]
    layers = [layer for stage in stages for layer in stage["layers"]]
    if not stages or len(set(layers)) != len(layers):
        raise ValueError("each layer must be counted by one worker")
    if len({(stage["experts_per_token"], stage["tokens"]) for stage in stages}) != 1:
        raise ValueError("pipeline stages have seen different tokens; read the counts when no request is in flight")
    order = np.argsort(layers)
    rows = np.array([row for stage in stages for row in stage["counts"]], dtype=np.int64)
    return ExpertCounts(
        model=model,
        source="worker_extension",
        experts_per_token=stages[0]["experts_per_token"],
        layers=tuple(int(layers[place]) for place in order),
        counts=rows[order],
        tokens=stages[0]["tokens"],
        step_sizes=_step_sizes(stages),
    )


def _step_sizes(stages: list[_WorkerCounts]) -> tuple[StepSize, ...]:
    """The steps with the layers of all stages together."""
    steps = [{size["tokens"]: size["steps"] for size in stage["step_sizes"]} for stage in stages]
    if any(each != steps[0] for each in steps):
        raise ValueError("pipeline stages have seen different steps; read the counts when no request is in flight")
    distinct = dict.fromkeys(steps[0], 0)
    for size in (size for stage in stages for size in stage["step_sizes"]):
        distinct[size["tokens"]] += size["distinct_experts"]
    return tuple(StepSize(tokens, steps[0][tokens], distinct[tokens]) for tokens in sorted(distinct))


def _refusal(answered: Fetched) -> str:
    """The server's reason in a few words: dev mode is off, or the extension is not there."""
    if answered.status == 404:
        return "it has no /collective_rpc"
    if answered.status == 200:
        return "its /collective_rpc is not vLLM's"
    return f"HTTP {answered.status}: it lacks loadgen's worker extension"


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
