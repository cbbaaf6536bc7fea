"""How far a starting server has come, from the lines of its log. Pure. The words are vLLM's, of 0.26 to 0.32."""

import re
from collections.abc import Callable

from loadgen.servers.launcher.log_lines import lines


def _counted(what: str) -> Callable[[re.Match[str]], str]:
    return lambda match: f"{what} {match[1]}/{match[2]}"


def _said(what: str) -> Callable[[re.Match[str]], str]:
    return lambda match: what


_STAGES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"^(?:Fetching \d+ files|Downloading shards):.*?(\d+)/(\d+)"), _counted("downloading the model, file")),
    (re.compile(r"^(?:model-\d+-of-\d+\.safetensors|model\.safetensors):\s+\d+%"), _said("downloading the model")),
    (re.compile(r"^Loading (?:safetensors|pt|\w+) (?:checkpoint )?shards.*?(\d+)/(\d+)"), _counted("loading weights")),
    (re.compile(r"^Loading (?:safetensors|weights) using .*?(\d+)/(\d+)"), _counted("loading weights")),
    (re.compile(r"^non-default args:"), _said("reading the model's configuration")),
    (re.compile(r"^Initializing a V\d LLM engine"), _said("starting the engine")),
    (re.compile(r"^Starting to load model"), _said("loading the model")),
    (re.compile(r"^(?:Loading weights took|Model loading took)"), _said("weights loaded")),
    (re.compile(r"Starting torch\.compile|^Compiling a graph|^Dynamo bytecode transform"), _said("compiling")),
    (re.compile(r"^Capturing CUDA graphs?.*?(\d+)/(\d+)"), _counted("capturing graphs")),
    (re.compile(r"^Warming up (?:model|sampler|FlashInfer|\w+)"), _said("warming up")),
    (re.compile(r"^(?:init engine|Graph capturing finished|Warming up done)"), _said("starting the HTTP server")),
    (re.compile(r"Starting vLLM (?:API )?server|^Started server process"), _said("starting the HTTP server")),
    (re.compile(r"^Application startup complete|^SIMULATED model"), _said("waiting for the first answer")),
)


def stage(log: str) -> str | None:
    """The latest stage that this stretch of a log tells of; None when it tells of none."""
    latest = None
    for line in lines(log):
        for pattern, words in _STAGES:
            if match := pattern.search(line.text):
                latest = words(match)
                break
    return latest
