"""A user's own prompts, from a file of JSON Lines or one JSON array.

An entry is an object with `prompt` (a text), `messages` (as the chat endpoint takes them) or `conversations` (as ShareGPT has
them, of which the first human turn is asked). It may state the length of its reply, and fields of a request that are sent with
it. Entries without a prompt, and lines that are not JSON, are skipped and counted.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.errors import UsageError, hint
from loadgen.load.body import Prompt
from loadgen.load.file_rows import SURROGATE, Row, RowsFile, SkippedRow, number_of, open_rows, used_rows
from loadgen.load.sampling import random_stream
from loadgen.load.spec import Endpoint
from loadgen.load.workload import DatasetSource

_PROMPT_KEYS = ("prompt", "messages", "conversations", "conversation")
_LENGTH_KEYS = ("output_tokens", "max_tokens", "max_completion_tokens")

_OWN_KEYS = frozenset({"model", "stream", "stream_options", "return_token_ids"})
"""Fields of a body that loadgen sets itself, whatever an entry has."""

_SENT_KEYS = frozenset(
    # Of OpenAI's completions and chat.
    "audio best_of echo frequency_penalty function_call functions logit_bias logprobs modalities parallel_tool_calls "
    "prediction presence_penalty prompt_cache_key prompt_cache_retention reasoning_effort response_format safety_identifier seed "
    "service_tier stop store suffix temperature tool_choice tools top_logprobs top_p user verbosity web_search_options "
    # Of vLLM and of servers that take the same fields.
    "add_generation_prompt add_special_tokens allowed_token_ids bad_words cache_salt chat_template chat_template_kwargs "
    "continue_final_message documents early_stopping ec_transfer_params enable_thinking guided_choice guided_decoding_backend "
    "guided_grammar guided_json guided_regex guided_whitespace_pattern ignore_eos include_reasoning include_stop_str_in_output "
    "kv_transfer_params length_penalty logits_processors lora_path media_io_kwargs min_p min_tokens mm_processor_kwargs nvext "
    "priority prompt_embeds prompt_logprobs reasoning regex json_schema ebnf repetition_detection repetition_penalty request_id "
    "rid separate_reasoning session_id session_params skip_special_tokens spaces_between_special_tokens stop_regex "
    "stop_token_ids stream_reasoning structural_tag structured_outputs thinking thinking_budget thinking_token_budget top_a "
    "top_k truncate_prompt_tokens truncation_side typical_p use_beam_search vllm_xargs".split()
)
"""Fields of a body that are sent as they are."""

_LEFT_OUT_KEYS = frozenset(
    "_id answer answers author avatar_url avatarurl category categories chosen comment completion conversation_hash "
    "conversation_id created created_at custom_id dataset dataset_name date description difficulty domain expected_output extra "
    "ground_truth hash id idx index info items label labels lang language license meta metadata model_name name note notes "
    "num_turns number openai_moderation output prompt_id question_id rating redacted reference references rejected response "
    "responses score scores skip_prompt_formatting solution source split state subject subset tag tags target task timestamp "
    "title topic toxic turn type uid url uuid views".split()
)
"""What datasets say of their entries and no server needs: names, sources, expected answers, scores."""

_HUMAN = ("human", "user")
_WITHOUT_CONTENT = ("tool_calls", "function_call", "refusal", "audio", "reasoning_content", "reasoning")
_MAX_TOKENS = int(np.iinfo(np.int32).max)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its prompt, the length of its reply in tokens where it states one, and what else is sent with it."""

    prompt: Prompt
    output_tokens: int | None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    """All entries of a file that have a prompt, at least one."""

    source: DatasetSource
    entries: tuple[Entry, ...]

    def drawn(self, requests: int, seed: int) -> Iterator[Entry]:
        """Yield `requests` entries in random order; none comes a second time before all have come once."""
        rng = random_stream(seed, "dataset_order")
        for begin in range(0, requests, len(self.entries)):
            for place in rng.permutation(len(self.entries))[: requests - begin].tolist():
                yield self.entries[place]

    @property
    def longest_output_tokens(self) -> int:
        """The longest reply that an entry asks for; 0 if none does."""
        return max(entry.output_tokens or 0 for entry in self.entries)


def read_dataset(path: Path, endpoint: Endpoint) -> Dataset:
    """The dataset in `path`, to be asked of `endpoint`.

    Raises UsageError, with file and line, for what cannot be read or sent as it is, and for a file without a prompt.
    """
    file = open_rows(path, "dataset")
    left_out: dict[str, None] = {}
    entries, skipped, first_skipped = used_rows(file.rows(), lambda row: _entry(row, endpoint, left_out))
    if not entries:
        raise UsageError(_nothing(file, skipped, first_skipped))
    source = DatasetSource(
        name=file.name,
        hash=file.hash,
        prompts=len(entries),
        mean_bytes=round(file.size_bytes / len(entries)),
        skipped_rows=skipped,
        first_skipped=first_skipped,
        left_out_keys=tuple(sorted(left_out)),
    )
    return Dataset(source, tuple(entries))


def _nothing(file: RowsFile, skipped: int, first_skipped: str | None) -> str:
    todo = "write one JSON object with a 'prompt' on each line"
    if not skipped:
        return f"the dataset {file.name} has no line; {todo}"
    return f"the dataset {file.name} has no prompt in any of its {skipped:,} rows: {first_skipped}; {todo}"


def _entry(row: Row, endpoint: Endpoint, left_out: dict[str, None]) -> Entry:
    if not isinstance(row.value, dict):
        raise SkippedRow("is not a JSON object")
    entry = {key: value for key, value in row.value.items() if value is not None}  # null is as good as not there
    sent: dict[str, Any] = {}
    for key, value in entry.items():
        if key in _PROMPT_KEYS or key in _LENGTH_KEYS:
            continue
        if key == "n":
            if number_of(value) != 1:
                raise UsageError(f"{row.place}: 'n' cannot be {_shown(value)} there; leave it out and say --choices")
        elif key in _SENT_KEYS or key.startswith("guided_"):
            sent[key] = value
        elif key in _OWN_KEYS or key.lower() in _LEFT_OUT_KEYS:
            left_out[key] = None
        else:
            raise UsageError(f"{row.place} has the unknown key {_shown(key)}; {_hint(key)}")
    prompt, output_tokens = _prompt(entry, row.place, endpoint), _output_tokens(entry, row.place)
    _check_can_be_sent(prompt, row.place)
    if sent:
        _check_can_be_sent(sent, row.place)
    return Entry(prompt, output_tokens, sent)


def _hint(key: str) -> str:
    known = [*_PROMPT_KEYS, *_LENGTH_KEYS, *sorted(_SENT_KEYS)]
    otherwise = (
        f"an entry has {', '.join(_PROMPT_KEYS[:2])} or {_PROMPT_KEYS[2]}, {_LENGTH_KEYS[0]}, fields of a request such as "
        "temperature or tools, and id, source and the like; rename or remove it"
    )
    return hint(key.lower().replace("-", "_"), known, otherwise=otherwise)


def _prompt(entry: dict[str, Any], place: str, endpoint: Endpoint) -> Prompt:
    given = [key for key in _PROMPT_KEYS if entry.get(key)]
    if len(given) > 1:
        raise UsageError(f"{place} has both '{given[0]}' and '{given[1]}'; leave one of them")
    if not given:
        present = next((key for key in _PROMPT_KEYS if key in entry), None)
        what = f"an empty '{present}'" if present else "neither 'prompt' nor 'messages' nor 'conversations'"
        raise SkippedRow(f"has {what}")
    value = entry[given[0]]
    match given[0]:
        case "prompt":
            return _text(value)
        case "messages":
            return _messages(value, place, endpoint)
        case _:
            return _first_human_turn(value, given[0])


def _text(prompt: object) -> str:
    if not isinstance(prompt, str):
        raise SkippedRow(f"has a 'prompt' that is not a text: {_shown(prompt)}")
    if not prompt.strip():
        raise SkippedRow("has an empty 'prompt'")
    return prompt


def _messages(messages: object, place: str, endpoint: Endpoint) -> list[dict[str, Any]]:
    """Messages as they are; null or missing content goes with tool calls and the like."""
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise SkippedRow("has 'messages' that are not a list of objects")
    for one in messages:
        if not isinstance(one.get("role"), str):
            raise SkippedRow("has a message without a 'role'")
        if one.get("content") is None and not any(one.get(key) for key in _WITHOUT_CONTENT):
            raise SkippedRow("has a message with neither 'content' nor 'tool_calls'")
    if not any(one["role"] == "user" and _has_content(one.get("content")) for one in messages):
        raise SkippedRow("has no message of a user with a content")
    if endpoint != "chat":
        raise UsageError(f"{place} has 'messages', which only a chat takes: say --endpoint chat")
    return messages


def _has_content(content: object) -> bool:
    return bool(content.strip()) if isinstance(content, str) else bool(content)


def _first_human_turn(turns: object, key: str) -> str:
    """The text of the first human turn that has one; its keys are `from` and `value`, or `role` and `content`."""
    for turn in turns if isinstance(turns, list) else ():
        if isinstance(turn, dict) and turn.get("from", turn.get("role")) in _HUMAN:
            text = turn.get("value", turn.get("content"))
            if isinstance(text, str) and text.strip():
                return text
    raise SkippedRow(f"has no human turn with a text in its '{key}'")


def _output_tokens(entry: dict[str, Any], place: str) -> int | None:
    key = next((key for key in _LENGTH_KEYS if key in entry), None)
    if key is None:
        return None
    tokens = number_of(entry[key])
    if tokens is None or not 1 <= tokens <= _MAX_TOKENS or tokens != int(tokens):
        raise UsageError(f"{place}: '{key}' must be a whole number of at least 1, not {_shown(entry[key])}")
    return int(tokens)


def _check_can_be_sent(value: object, place: str) -> None:
    """Refuse half characters, which are no text in UTF-8, and numbers that are none in JSON. Raises UsageError."""
    try:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise UsageError(f"{place} has a number that is too large to be sent") from error
    if not text.isascii() and (half := SURROGATE.search(text)):
        raise UsageError(
            f"{place} has half a character, \\u{ord(half.group()):04x} without its other half, which cannot be sent; "
            "remove it or write the whole character"
        )


def _shown(value: object) -> str:
    return json.dumps(value)[:60]
