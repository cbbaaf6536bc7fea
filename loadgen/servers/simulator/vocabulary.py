"""The simulator's tokens: one word, one token, so that every length can be checked by counting words. Pure."""

import zlib
from collections.abc import Sequence

VOCABULARY_TOKENS = 32_000  # Mixtral's
_FIRST_WORD_ID = 16  # below it stand the ids of the chat template

# What it writes: token k of every answer is word k, over and over. The leading space makes each a word of its own.
ANSWER_WORDS = tuple(
    " " + word
    for word in (
        "this answer is simulated and no model ran to make it the words repeat in a fixed order so that each token "
        "has a length of its own while every count stays exact a server of known truth shows what the client adds"
    ).split()
)


def word_id(word: str) -> int:
    """The id of a word, the same in every process."""
    return _FIRST_WORD_ID + zlib.crc32(word.encode("utf-8", "surrogatepass")) % (VOCABULARY_TOKENS - _FIRST_WORD_ID)


ANSWER_IDS = tuple(word_id(word.strip()) for word in ANSWER_WORDS)


def text_ids(text: str) -> list[int]:
    """One id per word, words split at white space."""
    return [word_id(word) for word in text.split()]


def chat_ids(contents: Sequence[str], generation_prompt: bool = True) -> list[int]:
    """The ids of a conversation: three of template for each message, its words, and one that asks for the answer."""
    ids: list[int] = []
    for content in contents:
        ids += (1, 2, *text_ids(content), 3)
    if generation_prompt:
        ids.append(4)
    return ids


def answer_text(tokens: int) -> str:
    """The text of an answer of `tokens` tokens."""
    return "".join(ANSWER_WORDS[token % len(ANSWER_WORDS)] for token in range(tokens))


def answer_ids(tokens: int) -> list[int]:
    """The token ids of an answer of `tokens` tokens."""
    return [ANSWER_IDS[token % len(ANSWER_IDS)] for token in range(tokens)]
