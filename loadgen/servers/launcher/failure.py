"""Why a server did not start: a kind that a study can store as a result, and a sentence for people. Pure.

`diagnose` reads it from what the server wrote. Each rule is a text that servers write, of vLLM 0.6 to 0.32 and what lies below
it, and the reason in a user's words. The first rule that fits decides, wherever in the log its text stands: an engine's first
error is followed by many that only pass it on.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from loadgen.errors import ServerError
from loadgen.servers.launcher.log import LogLine, log_lines


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


_NO_ERRORS = ("DEBUG", "INFO", "WARNING")
_MAX_LINES = 5000  # from the end
_MAX_REASON_CHARACTERS = 300  # characters of the server's own words in our sentence


@dataclass(frozen=True, slots=True)
class Reason:
    """A kind, and words to follow "did not start: "."""

    kind: FailureKind
    words: str


class _Rule(NamedTuple):
    kind: FailureKind
    pattern: str
    words: str | Callable[[re.Match[str]], str]


_LESS_MEMORY = "lower gpu-memory-utilization, max-model-len or max-num-seqs, or spread the model over more GPUs"
_SHORTER = "lower max-model-len, or give the cache more memory"

_RULES = (
    # Memory. The first two stand before CUDA's own words, which may follow them.
    _Rule(
        FailureKind.OUT_OF_GPU_MEMORY,
        r"Free memory on device (?:\S+ )?\(([\d.]+)/([\d.]+) GiB\) on startup is less than .*?\([\d.]+, ([\d.]+) GiB\)",
        "only {0} of the GPU's {1} GiB are free and it wants {2} GiB; end what else uses the GPU, or lower gpu-memory-utilization",
    ),
    _Rule(
        FailureKind.KV_CACHE_TOO_SMALL,
        r"max seq len \((\d+)\), \(?([\d.]+) GiB KV cache is needed, which is larger than the available KV cache memory \(([\d.]+) GiB\)"
        r"(?:.*estimated maximum model length is (\d+))?",
        lambda match: _too_long(*match.groups()),
    ),
    _Rule(
        FailureKind.KV_CACHE_TOO_SMALL,
        r"max seq len \((\d+)\) is larger than the maximum number of tokens that can be stored in KV cache \((\d+)\)",
        f"the KV cache is too small: it holds {{1}} tokens and one request may have {{0}}; {_SHORTER}",
    ),
    _Rule(
        FailureKind.KV_CACHE_TOO_SMALL,
        r"No available memory for the cache blocks",
        f"the model leaves no memory for the KV cache; {_LESS_MEMORY}",
    ),
    _Rule(
        FailureKind.OUT_OF_GPU_MEMORY,
        r"(?:CUDA|HIP) out of memory\. Tried to allocate ([\d.]+ \w+)\. GPU (\d+) has a total capacity of ([\d.]+ \w+) of which ([\d.]+ \w+) is free",
        f"out of memory on GPU {{1}}: it asked for {{0}} more, with {{3}} of {{2}} free; {_LESS_MEMORY}",
    ),
    _Rule(
        FailureKind.OUT_OF_GPU_MEMORY,
        r"(?:CUDA|HIP) out of memory|CUDA error: out of memory|cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED|hipErrorOutOfMemory",
        f"out of GPU memory; {_LESS_MEMORY}",
    ),
    _Rule(
        FailureKind.OUT_OF_MEMORY,
        r"Available memory on node \d+ \(([\d.]+)/([\d.]+) GiB\) on kv cache allocation is less than requested memory for kv \(([\d.]+)",
        "out of memory: {0} of {1} GiB are free and the KV cache wants {2} GiB; lower kv-cache-memory-bytes, or end what else uses memory",
    ),
    _Rule(
        FailureKind.OUT_OF_MEMORY,
        r"DefaultCPUAllocator: can't allocate memory: you tried to allocate (\d+) bytes",
        lambda match: (
            f"out of memory: it asked for {int(match[1]) / 2**30:.1f} GiB more; lower kv-cache-memory-bytes or max-model-len"
        ),
    ),
    _Rule(
        FailureKind.OUT_OF_MEMORY,
        r"^MemoryError|Cannot allocate memory|unable to mmap \d+ bytes|std::bad_alloc",
        "out of memory (of the host, not of a GPU); lower kv-cache-memory-bytes or max-model-len, or end what else uses memory",
    ),
    _Rule(
        FailureKind.OUT_OF_MEMORY,
        r"Failed core proc\(s\): \{.*?: -9\b",
        "its engine was killed, as the kernel does when memory runs out",
    ),
    # GPUs.
    _Rule(
        FailureKind.TOO_FEW_GPUS,
        r"World size \((\d+)\) is larger than the number of available GPUs \((\d+)\)",
        "it needs {0} GPUs and found {1}",
    ),
    _Rule(
        FailureKind.TOO_FEW_GPUS,
        r"world_size \((\d+)\) is less than than max local gpu count \((\d+)\)",
        "it needs {0} GPUs and found {1}",
    ),
    _Rule(
        FailureKind.TOO_FEW_GPUS,
        r"Failed to infer device type|No CUDA GPUs are available|Current node has no GPU available|Found no NVIDIA driver",
        "it found no GPU",
    ),
    # What was asked of it.
    _Rule(FailureKind.UNKNOWN_FLAG, r"error: unrecognized arguments: (.+)", lambda match: _unknown_flags(match[1])),
    _Rule(
        FailureKind.BAD_ARGUMENT,
        r"error: (argument .+|ambiguous option.+|the following arguments are required.+)",
        "{0}",
    ),
    _Rule(
        FailureKind.PORT_IN_USE,
        r"address \('([^']+)', (\d+)[^)]*\): address already in use",
        "port {1} on {0} is already in use; choose another with --port",
    ),
    _Rule(FailureKind.PORT_IN_USE, r"(?i)address already in use", "a port that it wants is already in use"),
    # The model. A gated one is often called missing a line further down.
    _Rule(
        FailureKind.GATED_MODEL,
        r"[Gg]ated repo|Access to model (?:\S+) is restricted",
        "the model is gated: accept its terms on the Hugging Face hub, and set HF_TOKEN to a token that may read it",
    ),
    _Rule(
        FailureKind.NEEDS_REMOTE_CODE,
        r"--trust-remote-code|requires you to execute the (?:configuration|tokenizer) file",
        "the model is no use without code of its own; if you trust it, add trust-remote-code: true to the profile's arguments",
    ),
    _Rule(
        FailureKind.UNSUPPORTED_MODEL,
        r"Model architectures \[([^\]]*)\] (?:are not supported|failed to be inspected)",
        "this engine cannot serve the architecture {0}",
    ),
    _Rule(
        FailureKind.MISSING_MODEL,
        r"Invalid repository ID or local directory specified: ?'([^']+)'",
        "there is no model '{0}', neither as a folder nor on the hub as far as it can be reached",
    ),
    _Rule(
        FailureKind.MISSING_MODEL,
        r"'?([\w./-]+)'? is not a local folder and is not a valid model identifier",
        "there is no model '{0}', neither as a folder nor on the hub",
    ),
    _Rule(
        FailureKind.MISSING_MODEL,
        r"RepositoryNotFoundError|LocalEntryNotFoundError|OfflineModeIsEnabled|does not appear to have a file named config\.json"
        r"|We couldn't connect to 'https://huggingface\.co'|Cannot find any model weights",
        "the model, or a file of it, is neither on this machine nor to be had from the hub",
    ),
    # The engine, or the container that it was to run in.
    _Rule(
        FailureKind.NO_ENGINE,
        r"'compose' is not a docker command|unknown command: docker compose",
        "Docker lacks its compose plugin",
    ),
    _Rule(
        FailureKind.NO_ENGINE,
        r"Cannot connect to the Docker daemon",
        "the Docker daemon does not run, or not for this user",
    ),
    _Rule(
        FailureKind.NO_ENGINE,
        r"could not select device driver|unknown or invalid runtime name: nvidia",
        "Docker cannot give GPUs to a container; install the NVIDIA Container Toolkit",
    ),
    _Rule(
        FailureKind.NO_ENGINE,
        r"(?:manifest for|pull access denied for) (\S+?),? ",
        "there is no image {0} to be had; name another release in VLLM_TAG",
    ),
    _Rule(FailureKind.NO_ENGINE, r"No module named '?(vllm|sglang)'?", "the Python that was started has no {0}"),
    # Settings that contradict the model or each other, in the words of who checked them.
    _Rule(FailureKind.BAD_ARGUMENT, r"^Value error, (.+?)(?: \[type=\w+.*)?$", "{0}"),
    _Rule(FailureKind.BAD_ARGUMENT, r"^NotImplementedError: (.+)", "{0}"),
)

_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Interrupt))\b:? ?(.*)")
# Errors that only pass another one on.
_PASSED_ON = re.compile(
    r"Engine core initialization failed|EngineCore (?:failed to start|encountered)|EngineDead|See (?:root cause|stack trace)"
    r"|WorkerProc (?:hit an exception|initialization failed|failed to start)|Worker failed with error|CancelledError|SystemExit"
)


def diagnose(log: str, model: str | None = None) -> Reason | None:
    """The reason that the log gives; None when nothing in it looks like one. `model` is named where the log does not."""
    said = [line for line in log_lines(log) if line.level not in _NO_ERRORS][-_MAX_LINES:]
    texts = [line.text for line in said]
    following = [*texts[1:], ""]
    for kind, pattern, words in _RULES:
        found = re.compile(pattern)
        for text, after in zip(texts, following, strict=False):  # a message may be broken in two
            if match := found.search(text) or found.search(f"{text} {after}"):
                said_of_it = words.format(*match.groups()) if isinstance(words, str) else words(match)
                return Reason(kind, _shortened(_naming(model, said_of_it)))
    return _last_error(said)


def _naming(model: str | None, words: str) -> str:
    return (
        words.replace("the model,", f"the model '{model}',").replace("the model is", f"the model '{model}' is")
        if model
        else words
    )


def _last_error(said: list[LogLine]) -> Reason | None:
    """The last exception, else the last line that is called an error, passed on ones left out."""
    named = [line.text for line in said if _EXCEPTION.match(line.text) and not _PASSED_ON.search(line.text)]
    called = [
        line.text
        for line in said
        if line.level in ("ERROR", "CRITICAL")
        and not _PASSED_ON.search(line.text)
        and not line.text.startswith(("Traceback", "File ", "^", "~"))
    ]
    candidates = [text for text in named if _EXCEPTION.match(text)[2]] or named or called  # type: ignore[index]
    candidates = candidates or [line.text for line in said if re.search(r"\berror\b", line.text, re.IGNORECASE)]
    return Reason(FailureKind.DIED, _shortened(candidates[-1])) if candidates else None


def _too_long(longest: str, needed_gib: str, there_gib: str, fits: str | None) -> str:
    best = f"it would hold one of {fits}; " if fits else ""
    return (
        f"the KV cache is too small: one request of {longest} tokens needs {needed_gib} GiB and there are {there_gib} GiB; "
        f"{best}{_SHORTER}"
    )


def _unknown_flags(rest: str) -> str:
    flags = [word.partition("=")[0] for word in rest.split() if word.startswith("-")] or rest.split()
    listed = ", ".join(flags)
    return f"the engine does not know the flag{'s' if len(flags) > 1 else ''} {listed}"


def _shortened(text: str) -> str:
    """In one line, without its last sentences where it is long."""
    words = " ".join(text.split()).rstrip(".")
    if len(words) <= _MAX_REASON_CHARACTERS:
        return words
    sentence_end = words.rfind(". ", 0, _MAX_REASON_CHARACTERS)
    return words[:sentence_end] if sentence_end > 0 else words[: _MAX_REASON_CHARACTERS - 1] + "…"
