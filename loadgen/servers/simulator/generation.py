"""From the JSON body of a request to what is asked of the model, or to the refusal that vLLM would answer with; and its tokens. Pure.

Wording and error types are those of vLLM 0.32, so that a client meets here what it will meet there. One word is one token, so that
every length can be checked by counting words.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from loadgen.servers.simulator.options import SimulatorOptions

VOCABULARY_TOKENS = 32_000  # Mixtral's
IMAGE_TOKENS = 256
_IMAGE_TEXT = " ".join(["<image>"] * IMAGE_TOKENS)
_DEFAULT_OUTPUT_TOKENS = 16
_MAX_CHOICES = 128
_FIRST_WORD_ID = 16  # below it stand the ids of the chat template

# What it writes: token k of every response is word k, over and over. The leading space makes each a word of its own.
REPLY_WORDS = tuple(
    " " + word
    for word in (
        "this answer is simulated and no model ran to make it the words repeat in a fixed order so that each token "
        "has a length of its own while every count stays exact a server of known truth shows what the client adds"
    ).split()
)


def word_id(word: str) -> int:
    """The id of a word, the same in every process."""
    return _FIRST_WORD_ID + zlib.crc32(word.encode("utf-8", "surrogatepass")) % (VOCABULARY_TOKENS - _FIRST_WORD_ID)


REPLY_IDS = tuple(word_id(word.strip()) for word in REPLY_WORDS)


def text_ids(text: str) -> list[int]:
    """One id per word, words split at white space."""
    return [word_id(word) for word in text.split()]


def chat_ids(contents: Sequence[str], generation_prompt: bool = True) -> list[int]:
    """The ids of a conversation: three of template for each message, its words, and one that asks for the response."""
    ids: list[int] = []
    for content in contents:
        ids += (1, 2, *text_ids(content), 3)
    if generation_prompt:
        ids.append(4)
    return ids


def reply_text(tokens: range) -> str:
    """The text of these tokens of any answer, counted from 0."""
    return "".join(REPLY_WORDS[token % len(REPLY_WORDS)] for token in tokens)


def reply_ids(tokens: range) -> list[int]:
    """Their ids."""
    return [REPLY_IDS[token % len(REPLY_IDS)] for token in tokens]


@dataclass(eq=False)
class SimulatedRefusal(Exception):
    """A request that is answered with an error document instead of tokens."""

    message: str
    param: str | None = None
    status: int = field(default=400, kw_only=True)
    kind: str = field(default="BadRequestError", kw_only=True)
    retry_after_s: int | None = field(default=None, kw_only=True)
    code: str | None = field(default=None, kw_only=True)  # a word of a provider's; vLLM repeats the status

    def to_json(self) -> dict[str, object]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}}


@dataclass(frozen=True, slots=True)
class Generation:
    """What one request asks of the model. Lengths in tokens; `output_tokens`, of each choice, is already cut to the context.

    `asked_tokens` is what a limit of tokens counts for each choice, where that is more than the response will have.
    """

    chat: bool
    prompt_ids: list[int]
    output_tokens: int
    choices: int
    stream: bool
    include_usage: bool
    continuous_usage: bool
    return_token_ids: bool
    finish_reason: str = "length"
    asked_tokens: int | None = None

    @property
    def limit_tokens(self) -> int:
        """What it counts for in a limit of tokens: its prompt, and what every choice may have."""
        return len(self.prompt_ids) + self.choices * (self.asked_tokens or self.output_tokens)


def parse_object(body: bytes) -> dict[str, object]:
    """The JSON object in `body`, or a `SimulatedRefusal`."""
    try:
        document = json.loads(body)
    except json.JSONDecodeError as error:
        problem = {
            "type": "json_invalid",
            "loc": f"body.{error.pos}",
            "msg": "JSON decode error",
            "input": "<dict of 0 items>",
            "ctx": {"error": error.msg},
        }
        raise SimulatedRefusal(f"1 validation error:\n  {problem}", f"body.{error.pos}", kind="Bad Request") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise SimulatedRefusal("There was an error parsing the body", kind="Bad Request") from error
    if not isinstance(document, dict):
        raise SimulatedRefusal("1 validation error:\n  Input should be a valid dictionary", "body", kind="Bad Request")
    return document


def parse_generation(body: bytes, chat: bool, options: SimulatorOptions) -> Generation:
    """The body of /v1/chat/completions (`chat`) or of /v1/completions; raises `SimulatedRefusal` for what vLLM refuses."""
    document = parse_object(body)
    stream = document.get("stream") or False
    stream_options = document.get("stream_options") or {}
    if not isinstance(stream, bool) or not isinstance(stream_options, dict):
        raise SimulatedRefusal("stream must be a boolean and stream_options an object", "stream", kind="Bad Request")
    if stream_options and not stream:
        raise _wrong("Stream options can only be defined when `stream=True`.", "stream_options")
    check_model(document, options)
    choices = 1 if document.get("n") is None else document["n"]
    if type(choices) is not int or not 1 <= choices <= _MAX_CHOICES:
        raise _wrong(f"n must be a whole number from 1 to {_MAX_CHOICES}.", "n", choices)
    if choices > 1 and document.get("temperature") == 0:
        raise SimulatedRefusal(f"n must be 1 when using greedy sampling, got {choices}.")
    prompt_ids = _chat_prompt(document) if chat else _text_prompt(document)
    room_tokens = options.max_model_len - len(prompt_ids)
    if room_tokens < 1:
        raise _wrong(
            f"This model's maximum context length is {options.max_model_len} tokens. However, your prompt contains "
            f"{len(prompt_ids)} input tokens, which exceeds this limit even without any output tokens. Please reduce "
            "the length of the input prompt.",
            "input_tokens",
            len(prompt_ids),
        )
    include_usage = options.tells != "nothing" and bool(stream_options.get("include_usage"))
    running = options.tells in ("token_ids", "usage")
    return Generation(
        chat=chat,
        prompt_ids=prompt_ids,
        output_tokens=min(_asked_tokens(document, chat), room_tokens),
        choices=choices,
        stream=stream,
        include_usage=include_usage,
        continuous_usage=include_usage and running and bool(stream_options.get("continuous_usage_stats")),
        return_token_ids=options.tells == "token_ids" and bool(document.get("return_token_ids")),
    )


def parse_tokenize(body: bytes, options: SimulatorOptions) -> list[int]:
    """The token ids of the body of POST /tokenize: `prompt`, or `messages` with `add_generation_prompt`."""
    document = parse_object(body)
    check_model(document, options)
    if "messages" in document:
        return _chat_prompt(document)
    prompt = document.get("prompt")
    if not isinstance(prompt, str):
        raise _wrong("Either prompt or messages must be provided.", "prompt")
    return text_ids(prompt)


def check_model(document: dict[str, object], options: SimulatorOptions) -> None:
    """Raises `SimulatedRefusal` (404) for a model which is not the one served; none named means the one served."""
    model = document.get("model")
    if model not in (None, options.model):
        message = f"The model `{model}` does not exist. Valid aliases: {options.model}."
        raise SimulatedRefusal(message, "model", status=404, kind="NotFoundError")


def _asked_tokens(document: dict[str, object], chat: bool) -> int:
    asked = document.get("max_completion_tokens") if chat else None
    if asked is None:
        asked = document.get("max_tokens")
    if asked is None:
        return _DEFAULT_OUTPUT_TOKENS
    if type(asked) is not int:
        raise SimulatedRefusal(f"1 validation error:\n  Input should be a valid integer, got {asked!r}", "max_tokens")
    if asked < 1:
        raise _wrong(f"max_tokens must be at least 1, got {asked}.", "max_tokens", asked)
    return asked


def _text_prompt(document: dict[str, object]) -> list[int]:
    prompt = document.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]  # a batch of one
    if isinstance(prompt, str):
        prompt = text_ids(prompt)
    if not prompt:
        raise _wrong("Either prompt or prompt_embeds must be provided and non-empty.", "prompt")
    if not isinstance(prompt, list) or set(map(type, prompt)) != {int}:
        raise _wrong("prompt must be one string or one list of token ids.", "prompt")
    for token_id in (min(prompt), max(prompt)):
        if not 0 <= token_id < VOCABULARY_TOKENS:
            raise SimulatedRefusal(f"Token id {token_id} is out of vocabulary")
    return prompt


def _chat_prompt(document: dict[str, object]) -> list[int]:
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise _wrong("messages must be a list of at least one message.", "messages")
    contents = [_content_text(message.get("content")) for message in messages]
    return chat_ids(contents, bool(document.get("add_generation_prompt", True)))


def _content_text(content: object) -> str:
    """The words of a message: a string, or the parts of a list, in which an image is worth `IMAGE_TOKENS` of them."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise _wrong("The content of a message must be a string or a list of parts.", "messages")
    return " ".join(_IMAGE_TEXT if "image_url" in part else str(part.get("text", "")) for part in content)


def _wrong(message: str, param: str, value: object = None) -> SimulatedRefusal:
    """A refusal in vLLM's way of naming the parameter and, where it has one, the value."""
    suffix = f"(parameter={param})" if value is None else f"(parameter={param}, value={value})"
    return SimulatedRefusal(f"{message} {suffix}", param)
