"""How many requests a run may have: everything that will be sent is on disk before t = 0. Imports `load` and `errors`."""

from loadgen.errors import UsageError
from loadgen.load.images import url_bytes
from loadgen.load.lengths import bounds
from loadgen.load.schedule import planned_requests
from loadgen.load.spec import OpenLoop, RunSpec

MOST_REQUESTS = 2_000_000
MOST_BODY_BYTES = 2**30
_BYTES_PER_TOKEN = 6  # a token id with its comma, or a short word with its space
_BYTES_PER_BODY = 300  # everything of a body but its prompt


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
    prompt, answer = bounds(run.input_tokens or 1, ratio)[1], bounds(run.output_tokens, ratio)[1]
    return run.workload.turns * prompt + (run.workload.turns - 1) * answer, answer


def check_planned(run: RunSpec) -> None:
    """Refuse, before anything is sent, a run without a request and one that is too large to prepare. Raises UsageError."""
    if isinstance(run.shape, OpenLoop) and run.duration_s is not None:
        # Before the arrivals themselves are drawn, since so many could not even be counted.
        check_size(run, round(run.shape.mean_rate_per_s * run.duration_s))
    requests = planned_requests(run)
    if requests == 0 and isinstance(run.shape, OpenLoop):
        raise UsageError(
            f"no arrival falls within {run.duration_s:g} s at {run.load_label} (seed {run.seed}): "
            "ask for a longer --duration-s or a higher --rate"
        )
    if requests is not None:
        check_size(run, requests)


def check_size(run: RunSpec, requests: int) -> None:
    """Refuse so many requests of `run` when they, or their bodies, are too many.

    Raises UsageError.
    """
    needed_bytes = requests * body_bytes(run)
    if requests <= MOST_REQUESTS and needed_bytes <= MOST_BODY_BYTES:
        return
    why = "" if run.duration_s is None else f" for {run.duration_s:g} s"
    prompts = run.workload.label if run.input_tokens is None else f"{run.input_tokens} input tokens"
    images = "" if run.workload.images is None else f" and {run.workload.images.label}"
    raise UsageError(
        f"{run.load_label} with {prompts}{images} needs {requests:,} requests{why}, about "
        f"{needed_bytes / 2**30:,.1f} GiB prepared beforehand, and the most is {MOST_REQUESTS:,} requests or "
        f"{MOST_BODY_BYTES / 2**30:g} GiB: ask for fewer with --requests"
    )
