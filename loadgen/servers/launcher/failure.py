"""Why a server did not start: a kind that a study can store as a result, and a sentence for people."""

from enum import StrEnum
from pathlib import Path

from loadgen.errors import ServerError


class FailureKind(StrEnum):
    """The closed list of reasons. Those of memory are results of an experiment; the others are mistakes."""

    OUT_OF_GPU_MEMORY = "out_of_gpu_memory"
    OUT_OF_MEMORY = "out_of_memory"
    KV_CACHE_TOO_SMALL = "kv_cache_too_small"
    TOO_FEW_GPUS = "too_few_gpus"
    PORT_IN_USE = "port_in_use"
    UNKNOWN_FLAG = "unknown_flag"
    BAD_ARGUMENT = "bad_argument"
    MISSING_MODEL = "missing_model"
    GATED_MODEL = "gated_model"
    NEEDS_REMOTE_CODE = "needs_remote_code"
    UNSUPPORTED_MODEL = "unsupported_model"
    NO_ENGINE = "no_engine"
    REFUSED_REQUEST = "refused_request"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    DIED = "died"

    @property
    def is_memory(self) -> bool:
        """Whether the server is too large for where it was to run: what a study calls OOM."""
        return self in (FailureKind.OUT_OF_GPU_MEMORY, FailureKind.OUT_OF_MEMORY, FailureKind.KV_CACHE_TOO_SMALL)


class StartFailure(ServerError):
    """A server did not come to answer a request. `log_path` is None when it was not even started."""

    def __init__(self, kind: FailureKind, sentence: str, log_path: Path | None = None) -> None:
        super().__init__(f"{sentence}; its log: {log_path}" if log_path else sentence)
        self.kind = kind
        self.sentence = sentence
        self.log_path = log_path
