"""What was asked of a run."""

from typing import NotRequired

from typing_extensions import TypedDict

from loadgen.analysis.document import Words
from loadgen.load.shapes import ShapeDocument


class PrefixDocument(TypedDict):
    """Beginnings that prompts share."""

    tokens: int  # of each prefix, part of the prompt's length
    groups: int  # distinct prefixes


class ImagesDocument(TypedDict):
    """Images of noise in each prompt."""

    width: int  # pixels
    height: int  # pixels
    per_request: int


class DatasetDocument(TypedDict):
    """The dataset that prompts come from."""

    name: str  # of its file, without the folder
    hash: str  # of its content
    prompts: int  # entries with a prompt
    mean_bytes: int  # of an entry
    skipped_rows: NotRequired[int]  # rows without a prompt
    first_skipped: NotRequired[Words | None]  # why the first of them was skipped
    left_out_keys: NotRequired[list[str]]  # keys of its entries that are not sent


class SessionsDocument(TypedDict):
    """Conversations of several requests."""

    turns: int  # requests of one conversation
    think_time_s: float  # mean time between an answer and the next turn


class WorkloadDocument(TypedDict):
    """What requests consist of, where they are more than independent prompts of exact length."""

    range_ratio: NotRequired[float]  # both lengths are spread evenly over ± this share
    prefix: NotRequired[PrefixDocument]
    images: NotRequired[ImagesDocument]
    dataset: NotRequired[DatasetDocument]
    sessions: NotRequired[SessionsDocument]
    choices: NotRequired[int]  # answers that each request asks for


class SpecDocument(TypedDict):
    """What was asked of a run: one load point with its seed."""

    hash: str  # equal for equal specs, seed included
    point_hash: str  # the same without the seed: repeats of one load point share it
    load_label: str  # the load in words
    schedule_hash: NotRequired[str]  # of the intended send times and the bodies
    url: str | None  # null where another client measured and does not report it
    model: str
    endpoint: str  # completions or chat
    shape: ShapeDocument
    input_tokens: int | None  # null: as long as the prompts of the dataset
    output_tokens: int
    requests: NotRequired[int | None]  # null where a duration or a wave says how many
    duration_s: NotRequired[float | None]
    warmup_requests: NotRequired[int | None]  # null: one for each caller
    seed: int  # of the repeat: repeat k has the sweep's seed + k
    request_timeout_s: NotRequired[float]
    workers: NotRequired[int | None]  # measuring processes; null: as many as the load needs
    header_names: NotRequired[list[str]]  # of the headers sent; values are never kept
    api_key_env: NotRequired[str | None]  # the environment variable that holds the key
    slo: dict[str, float]  # limit in seconds that a request must not exceed, by figure
    tokenizer: NotRequired[str | None]  # counts tokens where the server does not report them
    workload: NotRequired[WorkloadDocument]
    requests_per_minute: NotRequired[int | None]  # rate limit of the client
    tokens_per_minute: NotRequired[int | None]  # rate limit of the client, prompt and reply together
    max_reply_bytes: NotRequired[int | None]
