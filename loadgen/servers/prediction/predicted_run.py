"""One run in virtual time: what the engine would have recorded of it, had a client with no delay of its own measured it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from loadgen.engine.records.ragged import starts
from loadgen.engine.records.record import MISSING, UNKNOWN_TOKENS, ClientFacts, CountedBy, Outcome, Recording, Records
from loadgen.load.sampling import lengths
from loadgen.load.spec import RunSpec
from loadgen.servers.prediction.engine_of import Deployment, UnpredictableError
from loadgen.servers.prediction.images import ImageLoad, image_load
from loadgen.servers.prediction.virtual_time import Reply, Request, serve

_SPARE_RATIO = 1.5  # requests prepared for a run by duration, over what its fastest reply says it can use


def predict_run(run: RunSpec, deployment: Deployment, origin_at: str) -> Recording:
    """Carry out `run` in virtual time. `origin_at` is recorded as its start: UTC, ISO 8601.

    Raises UnpredictableError for a load that is more than independent prompts, or longer than the engine takes.
    """
    check_load(run, deployment)
    requests = _requests(run, deployment)
    replies: list[tuple[Request, Reply]] = []
    for copy in range(deployment.copies):
        replies += _on_copy(run, deployment, requests, copy)
    replies.sort(key=lambda pair: pair[1].sent_s)
    records = _records(run, replies)
    last_s = float(records.end_ns.max()) / 1e9
    client = ClientFacts(stamp_source="kernel", workers=0, cpu_s=None, wall_s=last_s, reads=0, peak_rss_bytes=None)
    client.replies.finish_reasons["length"] = len(replies)
    return Recording(records, client, origin_at)


def check_load(run: RunSpec, deployment: Deployment) -> None:
    """Raise UnpredictableError for a load that is more than independent prompts, or longer than the engine takes."""
    workload = run.workload
    special = {
        "a dataset": workload.dataset is not None,
        "a trace": run.shape.trace is not None,
        "conversations": workload.sessions is not None,
        "a shared prefix": workload.prefix is not None,
        "several choices": workload.choices > 1,
        "a limit of requests in flight": run.shape.max_in_flight is not None,
        "a client's rate limits": run.requests_per_minute is not None or run.tokens_per_minute is not None,
    }
    for name, is_there in special.items():
        if is_there:
            raise UnpredictableError(f"a load with {name} is not predicted, only independent prompts of stated lengths")
    longest = (run.input_tokens or 0) + _images(run, deployment).tokens + run.output_tokens
    if deployment.max_model_len is not None and longest > deployment.max_model_len:
        raise UnpredictableError(
            f"{longest:,} tokens of prompt and reply are more than max-model-len {deployment.max_model_len:,}"
        )


def _requests(run: RunSpec, deployment: Deployment) -> list[Request]:
    """What the run asks for, in the order of its schedule; by duration, as many as can be answered in it."""
    count = run.planned_requests()
    images = _images(run, deployment)
    if count is None:
        assert run.duration_s is not None
        assert run.concurrency is not None
        one = Request(images.tokens + (run.input_tokens or 1), run.output_tokens, images=images)
        alone = serve(deployment.engine, [one], callers=1)
        rounds = run.duration_s / float(alone[0].token_s[-1]) * _SPARE_RATIO
        count = int(run.concurrency * (rounds + 1))
    assert run.input_tokens is not None, "only a dataset's prompts have no stated length"
    ratio, seed = run.workload.range_ratio, run.seed
    prompts = lengths(run.input_tokens, ratio, requests=count, seed=seed, source="input_tokens")
    outputs = lengths(run.output_tokens, ratio, requests=count, seed=seed, source="output_tokens")
    offsets_ns = run.shape.offsets_ns(count, seed)
    due_s: list[float | None] = [None] * count if offsets_ns is None else (offsets_ns / 1e9).tolist()
    prompts = prompts + images.tokens
    return [Request(*each, images) for each in zip(prompts.tolist(), outputs.tolist(), due_s, strict=True)]


def _images(run: RunSpec, deployment: Deployment) -> ImageLoad:
    try:
        return image_load(run.workload.images, deployment.vision, deployment.engine.front_end)
    except ValueError as error:
        raise UnpredictableError(str(error)) from error


def _on_copy(
    run: RunSpec, deployment: Deployment, requests: list[Request], copy: int
) -> Iterator[tuple[Request, Reply]]:
    """The share of one data-parallel copy: requests, and callers, are dealt out in turn."""
    share = requests[copy :: deployment.copies]
    callers = None if run.concurrency is None else len(range(copy, run.concurrency, deployment.copies))
    if callers == 0 or not share:
        return
    try:
        replies = serve(deployment.engine, share, callers=callers, duration_s=run.duration_s)
    except ValueError as error:
        raise UnpredictableError(str(error)) from error
    for request, reply in zip(share, replies, strict=False):
        yield (
            request,
            replace(reply, caller=reply.caller * deployment.copies + copy if callers is not None else reply.caller),
        )


def _records(run: RunSpec, replies: list[tuple[Request, Reply]]) -> Records:
    """A row for each request, a chunk for the tokens that arrive at once. The reply begins with its first token and ends with its last."""
    count = len(replies)
    output_tokens = np.array([len(reply.token_s) for _, reply in replies], np.int32)
    chunks = [np.unique(_ns(reply.token_s), return_counts=True) for _, reply in replies]
    arrival_ns = np.concatenate([times_ns for times_ns, _ in chunks])
    arrival_start = starts(np.array([len(times_ns) for times_ns, _ in chunks], np.int64))
    sent_ns = _ns(np.array([reply.sent_s for _, reply in replies]))
    prompt_tokens = np.array([request.prompt_tokens for request, _ in replies], np.int32)
    asked = prompt_tokens if run.workload.images is None else np.full(count, UNKNOWN_TOKENS, np.int32)
    return Records(
        index=np.arange(count, dtype=np.int32),
        slot=np.array([reply.caller if reply.caller >= 0 else at for at, (_, reply) in enumerate(replies)], np.int32),
        outcome=np.full(count, Outcome.OK, np.int8),
        http_status=np.full(count, 200, np.int16),
        due_ns=sent_ns,
        start_ns=sent_ns,
        sent_ns=sent_ns,
        first_byte_ns=arrival_ns[arrival_start[:-1]],
        end_ns=arrival_ns[arrival_start[1:] - 1],
        connect_ns=np.full(count, MISSING, np.int64),
        limit_wait_ns=np.zeros(count, np.int64),
        prompt_tokens_asked=asked,
        output_tokens_asked=output_tokens,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        hidden_tokens=np.zeros(count, np.int32),
        counted_by=np.full(count, CountedBy.TOKEN_IDS, np.int8),
        finish_reason=["length"] * count,
        detail=[None] * count,
        server_timing=[None] * count,
        arrival_start=arrival_start,
        arrival_ns=arrival_ns,
        arrival_tokens=np.concatenate([tokens for _, tokens in chunks]).astype(np.int32),
        arrival_choice=np.zeros(len(arrival_ns), np.int16),
        arrival_coalesced=np.zeros(len(arrival_ns), np.bool_),
    )


def _ns(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.rint(seconds * 1e9).astype(np.int64)
