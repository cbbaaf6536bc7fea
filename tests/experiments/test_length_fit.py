"""Texts as long as asked by what a server reports of a few: over tokenizers and templates of many kinds."""

import re
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from loadgen.experiments.prompt_fitting import fit_by_questions
from loadgen.load.length_fit import COMMON_WORDS, WORDS, FittedTexts, LengthFit, LengthSample, assumed, corrected
from loadgen.load.prompts import generator

Count = Callable[[str], int]


def words(text: str) -> int:
    return len(text.split())


def uneven(text: str) -> int:
    """A small vocabulary: words of one to four tokens, by a hash of the word, and frequent ones of one or two."""
    return sum(1 + zlib.crc32(word.encode()) % (2 if word in COMMON_WORDS else 4) for word in text.split())


def stuttering(text: str) -> int:
    """Seven tokens a word on average."""
    return sum(5 + zlib.crc32(word.encode()) % 5 for word in text.split())


TOKENIZERS: dict[str, Count] = {
    "a token a word": words,
    "a template": lambda text: words(text) + 11,
    "a system prompt": lambda text: words(text) + 40,
    "words and spaces": lambda text: len(re.findall(r"\w+|\s+", text)),
    "bytes": lambda text: len(text.encode()),
    "bytes and a template": lambda text: len(text) + 19,
    "a quarter of the characters": lambda text: len(text) // 4,
    "a quarter, at least one": lambda text: max(1, -(-len(text) // 4)) + 3,
    "a third of the characters": lambda text: len(text) // 3,
    "letters without spaces": lambda text: len(text.replace(" ", "")),
    "1.3 a word": lambda text: int(1.3 * words(text)),
    "1.4 a word": lambda text: round(1.4 * words(text)) + 5,
    "three fourths of a word": lambda text: 1 + 3 * words(text) // 4,
    "two a word": lambda text: 2 * words(text) + 7,
    "seven a word": lambda text: 7 * words(text),
    "pieces of three letters": lambda text: 9 + sum(-(-len(word) // 3) for word in text.split()),
    "pieces of four letters": lambda text: 4 + sum(-(-len(word) // 4) for word in text.split()),
    "a small vocabulary": lambda text: uneven(text) + 4,
    "a small vocabulary without a template": uneven,
    "seven a word, unevenly": lambda text: stuttering(text) + 13,
    "vowels": lambda text: 1 + len(re.findall(r"[aeiouy]", text)),
    "one word costs more": lambda text: words(text) + 3 * text.split().count("zone"),
}


def fitted(count: Count, asked: int, warmup_requests: int) -> LengthFit:
    """As a run fits its prompts: by questions, then by a warm-up."""
    fit = fit_by_questions(count("Hello") - 1, count)
    texts = FittedTexts(fit, generator("warm-up"))
    sent = [texts.text(asked) for _ in range(warmup_requests)]
    return corrected(fit, [LengthSample.of(text, count(text)) for text in sent])


@pytest.mark.parametrize("warmup_requests", [0, 1, 8])
@pytest.mark.parametrize("asked", [64, 200, 1000])
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_mean_prompt_is_within_2_percent_of_what_was_asked(
    tokenizer: str, asked: int, warmup_requests: int
) -> None:
    count = TOKENIZERS[tokenizer]
    texts = FittedTexts(fitted(count, asked, warmup_requests), generator("run"))
    lengths = [count(texts.text(asked)) for _ in range(64)]
    assert np.mean(lengths) == pytest.approx(asked, rel=0.02)
    assert np.mean(np.abs(np.array(lengths) - asked)) <= max(4, 0.1 * asked)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_lengths_that_vary_from_prompt_to_prompt(tokenizer: str) -> None:
    count = TOKENIZERS[tokenizer]
    asked = np.random.default_rng(1).integers(60, 400, 100)
    texts = FittedTexts(fitted(count, 230, 4), generator("run"))
    lengths = [count(texts.text(int(length))) for length in asked]
    assert np.mean(lengths) == pytest.approx(asked.mean(), rel=0.02)
    assert np.corrcoef(lengths, asked)[0, 1] > 0.98


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_a_shared_beginning_counts(tokenizer: str) -> None:
    count = TOKENIZERS[tokenizer]
    fit = fitted(count, 200, 4)
    prefix = FittedTexts(fit, generator("prefix")).text(100)
    texts = FittedTexts(fit, generator("run"))
    made = [texts.text(200, prefix) for _ in range(40)]
    assert all(text.startswith(f"{prefix} ") for text in made)
    assert len(set(made)) == len(made)
    assert np.mean([count(text) for text in made]) == pytest.approx(200, rel=0.02)


@pytest.mark.parametrize("asked", [1, 2, 3, 5, 8])
def test_short_prompts_have_a_word_at_least_and_the_length_on_average(asked: int) -> None:
    texts = FittedTexts(fitted(words, asked, 2), generator("run"))
    made = [texts.text(asked) for _ in range(20)]
    assert [words(text) for text in made] == [asked] * 20


def test_a_cost_of_seven_a_word_gives_ten_tokens_on_average() -> None:
    texts = FittedTexts(fitted(TOKENIZERS["seven a word"], 10, 0), generator("run"))
    lengths = [7 * words(texts.text(10)) for _ in range(70)]
    assert set(lengths) == {7, 14}
    assert np.mean(lengths) == pytest.approx(10, rel=0.02)


def test_a_template_longer_than_what_was_asked_gives_one_word_and_says_the_fewest() -> None:
    fit = fitted(lambda text: words(text) + 500, 64, 4)
    texts = FittedTexts(fit, generator("run"))
    assert {words(texts.text(64)) for _ in range(10)} == {1}
    assert fit.min_tokens == 501
    assert words(texts.text(700)) in (199, 200, 201)  # nothing was owed all the while


@pytest.mark.parametrize(
    "count",
    [lambda text: 10, lambda text: 1, lambda text: 500, lambda text: len(text) % 7 + 1],
    ids=["ten", "one", "five hundred", "noise"],
)
def test_counts_that_do_not_grow_with_the_prompt_are_not_followed(count: Count) -> None:
    fit = fitted(count, 64, 8)
    assert fit.source == "uncounted"
    assert words(FittedTexts(fit, generator("run")).text(64)) == 64


def test_a_server_that_counts_no_more_than_so_many_is_not_followed_without_end() -> None:
    fit = fitted(lambda text: min(words(text), 20), 64, 8)
    assert words(FittedTexts(fit, generator("run")).text(64)) <= 128


@pytest.mark.parametrize("answers", [{}, {words(" ".join(WORDS)): None}], ids=["no usage", "the long question refused"])
def test_unanswered_questions_leave_what_is_known(answers: dict[int, int | None]) -> None:
    reported: Callable[[str], int | None] = (
        (lambda text: None) if not answers else (lambda text: answers.get(words(text), 2 * words(text) + 5))
    )
    fit = fit_by_questions(None if not answers else 6, reported)
    if not answers:
        assert fit == assumed(None)
    else:
        assert (fit.source, fit.vocabulary) == ("usage", COMMON_WORDS)
        assert fit.tokens_of_size(30) == pytest.approx(65)


@pytest.mark.parametrize("count", [words, TOKENIZERS["1.4 a word"], TOKENIZERS["a small vocabulary"]])
def test_where_no_question_may_be_asked_the_warmup_tells(count: Count) -> None:
    fit = assumed(count("Hello") - 1)
    texts = FittedTexts(fit, generator("warm-up"))
    sent = [LengthSample.of(text, count(text)) for text in (texts.text(200) for _ in range(16))]
    texts = FittedTexts(corrected(fit, sent), generator("run"))
    assert np.mean([count(texts.text(200)) for _ in range(64)]) == pytest.approx(200, rel=0.02)


def test_a_count_without_spread_is_the_whole_vocabulary_s() -> None:
    assert fit_by_questions(0, words).vocabulary == WORDS
    assert fit_by_questions(2, TOKENIZERS["a small vocabulary"]).vocabulary == COMMON_WORDS


def test_no_two_prompts_are_alike_and_each_word_comes_equally_often() -> None:
    texts = FittedTexts(LengthFit(vocabulary=COMMON_WORDS), generator("run"))
    made = [texts.text(40) for _ in range(200)]
    assert len(set(made)) == 200
    uses = [" ".join(made).split().count(word) for word in COMMON_WORDS]
    assert max(uses) - min(uses) <= 1


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_at_most_three_questions_are_asked(tokenizer: str) -> None:
    count, asked = TOKENIZERS[tokenizer], list[str]()

    def reported(text: str) -> int:
        asked.append(text)
        return count(text)

    fit_by_questions(count("Hello") - 1, reported)
    assert 1 <= len(asked) <= 3
