"""The faults that a simulated server can be asked for: streams as they are in the wild. Pure.

A fault befalls streamed requests of /v1/completions and /v1/chat/completions; an answer in one piece stays as it is. A
request may also ask for its own fault by the header `X-Fault: NAME`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import loadgen.servers.simulator.fault_scripts as scripts
from loadgen.errors import UsageError
from loadgen.servers.simulator.dialect import DONE, JSON, LAST_CHUNK, encode
from loadgen.servers.simulator.script import AT_ONCE, Ending

HEADER = "x-fault"
EARLY_REFUSAL = "early-refusal"
STALE_CLOSE = "stale-close"


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the table. Without a `script` the connection itself misbehaves, and the server knows how."""

    name: str
    does: str
    script: scripts.ScriptOf | None = None


_TABLE = (
    # Legal, and to be read without harm.
    Fault("early-role", "sends the role alone (an empty text in completions) at once, long before the first token", scripts.early_role),
    Fault("empty-deltas", "sends an empty delta before each token, each at its own moment", scripts.empty_deltas),
    Fault("usage-with-choices", "sends the usage in the last chunk with choices, and no chunk for it", scripts.usage_with_choices),
    Fault("no-usage", "tells neither usage nor token ids", scripts.asking(include_usage=False, continuous_usage=False, return_token_ids=False)),
    Fault("no-done", "leaves [DONE] out", scripts.respelled(DONE, b"")),
    Fault("merged-tokens", "sends three tokens in one chunk, when the last of them is due", scripts.merged_tokens),
    Fault("joined-chunks", "sends three chunks in one write, when the last of them is due", scripts.joined_chunks),
    Fault("crlf", "ends lines with CRLF", scripts.respelled(b"\n", b"\r\n")),
    Fault("comments", "sends comment lines before each event", scripts.respelled(b"data: ", b": keep-alive\n\n: data is next\ndata: ")),
    Fault("no-space", "writes data: without the space", scripts.respelled(b"data: ", b"data:")),
    Fault("keep-alives", "sends a ping event and a bare number before each token", scripts.respelled(b"data: ", b"event: ping\ndata: {}\n\ndata: 7\n\ndata: ")),
    Fault("no-last-blank-line", "ends the body without the line ends of its last event", scripts.respelled(DONE, DONE.rstrip())),
    Fault("numbered-chunks", "counts the index of the choice up from chunk to chunk", scripts.numbered_chunks),
    Fault("zero-usage", "reports a usage of 0 tokens", scripts.zero_usage),
    Fault("split-characters", "cuts its writes inside a multi-byte character", scripts.split_characters),
    Fault("long-line", "sends one event of 256 KiB in one line", scripts.long_line),
    Fault("two-choices", "answers with two choices, their tokens side by side", scripts.asking(choices=2)),
    Fault("until-close", "states no length: the body ends with the connection", scripts.unframed(keep_alive=False)),
    Fault("http-1.0", "answers in HTTP/1.0", scripts.unframed(keep_alive=True, version="1.0")),
    Fault("early-hints", "sends an interim answer (103) first", scripts.early_hints),
    Fault("open-body", "never ends the body after [DONE], and keeps the connection", scripts.whole_steps(Ending.SILENT, tail=b"")),
    Fault("closes-after", "closes the connection after each answer without saying so", scripts.whole_steps(Ending.ANSWERED_AND_CLOSED)),
    Fault(STALE_CLOSE, "closes a kept connection when a request arrives on it, before a byte of the answer"),
    # Failures.
    Fault("error-event", "sends an error event and [DONE] after half of the tokens", scripts.error_event),
    Fault("abort", "ends the answer with finish_reason abort", scripts.respelled(b'"finish_reason":"length"', b'"finish_reason":"abort"')),
    Fault("no-finish", "ends the stream in good order after half of the tokens, without a finish_reason", scripts.half_of_steps(tail=LAST_CHUNK)),
    Fault("content-after-finish", "sends one more token after the finish_reason", scripts.content_after_finish),
    Fault("unfinished-choice", "answers with two choices, and finishes only the first", scripts.unfinished_choice),
    Fault("close", "closes the connection after half of the tokens", scripts.half_of_steps(Ending.CLOSED)),
    Fault("reset", "resets the connection after half of the tokens", scripts.half_of_steps(Ending.RESET)),
    Fault("stall", "sends nothing more after half of the tokens, and keeps the connection", scripts.half_of_steps(Ending.SILENT)),
    Fault("silence", "takes the request and never answers", scripts.bare(b"", AT_ONCE, Ending.SILENT)),
    Fault("no-answer", "closes the connection when the first token is due, without a byte", scripts.bare(b"", 0, Ending.CLOSED)),
    Fault("endless-stream", "goes on with tokens for ever", scripts.asking(output_tokens=2**62)),
    Fault("endless-line", "sends one line for ever, 64 KiB whenever a token is due", scripts.endless_line),
    Fault("cut-json", "cuts the JSON of one event in the middle, and goes on", scripts.cut_json),
    Fault("garbage", "sends bytes that are no events as an event stream", scripts.garbage),
    Fault("web-page", "answers with a page of HTML and status 200", scripts.page(200, "text/html", b"<!doctype html><title>Sign in</title><p>Please sign in.</p>")),
    Fault("not-streamed", "answers with one JSON document in place of the stream", scripts.page(200, JSON, encode({"object": "text_completion", "choices": [{"index": 0, "text": " all at once"}]}))),
    Fault("gzip", "compresses the stream, though it was asked not to", scripts.gzip),
    Fault("not-http", "answers in another protocol", scripts.bare(b"SSH-2.0-OpenSSH_9.6\r\n", AT_ONCE, Ending.CLOSED)),
    Fault("bad-chunk", "breaks the chunked framing after half of the tokens", scripts.half_of_steps(tail=b"zz\r\nno size\r\n" + LAST_CHUNK)),
    Fault("redirect", "redirects to another server", scripts.page(307, "text/plain", b"", location="https://elsewhere.example/v1/completions")),
    Fault("server-error", "answers with status 500", scripts.page(500, JSON, encode(scripts.ENGINE_PROBLEM))),
    Fault("rate-limited", "answers with status 429 and Retry-After", scripts.rate_limited),
    Fault(EARLY_REFUSAL, "answers with status 413 as soon as it has the head of the request, and closes"),
)  # fmt: skip

FAULTS = {fault.name: fault for fault in _TABLE}


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault of every `every`-th request."""

    fault: Fault
    every: int = 1

    @classmethod
    def parse(cls, text: str) -> "PlannedFault":
        """From `NAME` or `NAME:every=K`. Raises UsageError that names what is wrong."""
        name, _, rest = text.partition(":")
        if name not in FAULTS:
            raise UsageError(f"there is no fault '{name}'; choose one of {', '.join(FAULTS)}")
        if not rest:
            return cls(FAULTS[name])
        key, _, value = rest.partition("=")
        if key != "every" or not (value.isascii() and value.isdigit()) or int(value) < 1:
            raise UsageError(f"'{text}' is not a fault; write NAME or NAME:every=K, such as {name}:every=10")
        return cls(FAULTS[name], int(value))


class FaultPlan:
    """Which request meets which fault: they are counted from 1, and of several faults that fit the first one given is met."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._planned = [PlannedFault.parse(text) for text in texts]
        self._requests = 0

    def next(self) -> Fault | None:
        self._requests += 1
        return next((one.fault for one in self._planned if self._requests % one.every == 0), None)
