"""How large a run may be: everything that will be sent is on disk before t = 0."""

from dataclasses import dataclass

from loadgen.errors import UsageError
from loadgen.load.prompts import url_bytes
from loadgen.load.sampling import length_bounds
from loadgen.load.spec import RunSpec

MAX_REQUESTS = 2_000_000
MAX_BODY_BYTES = 2**30
_BYTES_PER_TOKEN = 6  # a token id with its comma, or a short word with its space
_BYTES_PER_BODY = 300  # everything of a body but its prompt
_BYTES_PER_GROUP = 1_500  # the random source of a group's prefix


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """The most of a run that may be prepared, its warm-up included, and received."""

    max_requests: int = MAX_REQUESTS
    max_prepared_bytes: int = MAX_BODY_BYTES
    max_response_tokens: int | None = None  # None: as many as the disk takes


LOCAL = SizeLimits()


def body_bytes(run: RunSpec) -> int:
    """About how large the body of one request is: 6 bytes a prompt token or what the dataset has, and its images."""
    images = run.workload.images
    image_bytes = 0 if images is None else images.per_request * url_bytes(images.width, images.height)
    dataset = run.workload.dataset
    prompt_bytes = _BYTES_PER_TOKEN * (run.input_tokens or 0) if dataset is None else dataset.mean_bytes
    return _BYTES_PER_BODY + prompt_bytes + image_bytes


def longest(run: RunSpec) -> tuple[int, int]:
    """The most tokens that a prompt and an answer of the run may have; of a dataset's prompts at least one.

    The prompt of a conversation's last turn holds all turns, without what a chat template adds to each.
    """
    ratio = run.workload.range_ratio
    prompt, answer = length_bounds(run.input_tokens or 1, ratio)[1], length_bounds(run.output_tokens, ratio)[1]
    return run.workload.turns * prompt + (run.workload.turns - 1) * answer, answer


def check_planned(run: RunSpec, limits: SizeLimits = LOCAL) -> None:
    """Refuse, before anything is sent, a run without a request and one that is too large to prepare. Raises UsageError."""
    if run.shape.mean_rate_per_s is not None and run.duration_s is not None:
        # Before the arrivals themselves are drawn, since so many could not even be counted.
        check_size(run, round(run.shape.mean_rate_per_s * run.duration_s), limits)
    requests = run.planned_requests()
    if requests == 0 and run.duration_s is not None:
        raise UsageError(
            f"no arrival falls within {run.duration_s:g} s at {run.load_label} (seed {run.seed}): "
            "ask for a longer --duration-s or a higher --rate"
        )
    _check_beside(run, limits)
    if requests is not None:
        check_size(run, requests, limits)
        _check_received(run, requests, limits)


def _check_beside(run: RunSpec, limits: SizeLimits) -> None:
    """Refuse a warm-up or shared prefixes that are too large to prepare. Raises UsageError."""
    warmup = run.warmup_requests or 0
    most = f"the most is {limits.max_requests:,} or {limits.max_prepared_bytes / 2**30:g} GiB prepared beforehand"
    if warmup > limits.max_requests or warmup * body_bytes(run) > limits.max_prepared_bytes:
        raise UsageError(f"--warmup-requests is {warmup:,}, and {most}: ask for fewer")
    prefix = run.workload.prefix
    if prefix is None:
        return
    needed_bytes = prefix.groups * (_BYTES_PER_GROUP + _BYTES_PER_TOKEN * prefix.tokens)
    if prefix.groups > limits.max_requests or needed_bytes > limits.max_prepared_bytes:
        raise UsageError(f"--prefix-groups is {prefix.groups:,}, and {most}: ask for fewer")


def _check_received(run: RunSpec, requests: int, limits: SizeLimits) -> None:
    most = limits.max_response_tokens
    tokens = (requests + (run.warmup_requests or 0)) * run.output_tokens * run.workload.choices
    if most is not None and tokens > most:
        raise UsageError(
            f"{run.load_label} asks for {tokens:,} output tokens in all, and the most is {most:,}: ask for fewer with "
            "--requests or --output-tokens"
        )


def check_size(run: RunSpec, requests: int, limits: SizeLimits = LOCAL) -> None:
    """Refuse so many requests of `run` when they, or their bodies, are too many.

    Raises UsageError.
    """
    needed_bytes = requests * body_bytes(run)
    if requests <= limits.max_requests and needed_bytes <= limits.max_prepared_bytes:
        return
    why = "" if run.duration_s is None else f" for {run.duration_s:g} s"
    prompts = run.workload.label if run.input_tokens is None else f"{run.input_tokens} input tokens"
    images = "" if run.workload.images is None else f" and {run.workload.images.label}"
    raise UsageError(
        f"{run.load_label} with {prompts}{images} needs {requests:,} requests{why}, about "
        f"{needed_bytes / 2**30:,.1f} GiB prepared beforehand, and the most is {limits.max_requests:,} requests or "
        f"{limits.max_prepared_bytes / 2**30:g} GiB: ask for fewer with --requests"
    )


def check_fits_the_minute(run: RunSpec) -> None:
    """Refuse a run of which a single request, or wave, exceeds a rate limit. Raises UsageError."""
    together = run.shape.batch_size or 1
    what = run.load_label if together > 1 else "a request"
    if run.requests_per_minute is not None and together > run.requests_per_minute:
        raise UsageError(f"{what} is more than --requests-per-minute {run.requests_per_minute} lets go at once")
    prompt_tokens, answer_tokens = longest(run)
    tokens = together * (prompt_tokens + run.workload.choices * answer_tokens)
    if run.tokens_per_minute is not None and tokens > run.tokens_per_minute:
        raise UsageError(
            f"{what} of {tokens:,} tokens, prompt and answer together, is more than --tokens-per-minute {run.tokens_per_minute} "
            "lets go at once; ask for shorter ones"
        )
