"""The client's own tokenizer: every token in one chunk, the sum that of the whole text, and the server's sum the stronger."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, models, pre_tokenizers
from tokenizers import Tokenizer as Library

from loadgen.engine.capture import tokenizer as tokenizer_module
from loadgen.engine.capture.reply import Reply
from loadgen.engine.capture.tokenizer import Tokenizer, count_by_tokenizer
from loadgen.engine.records.record import CountedBy
from loadgen.errors import UsageError


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """A token is a word with the blank before it, or anything else by itself."""
    library = Library(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    library.pre_tokenizer = pre_tokenizers.Split(Regex(r" ?\w+|[^\w ]| "), "isolated")
    folder = tmp_path_factory.mktemp("model")
    library.save(str(folder / "tokenizer.json"))
    return Tokenizer(str(folder))


def reply_of(texts: list[str], output_tokens: int | None = None, choices: list[int] | None = None) -> Reply:
    """As it is read where nobody told the tokens of the chunks, and usage perhaps the sum."""
    return Reply(
        output_tokens=len(texts) if output_tokens is None else output_tokens,
        arrival_reads=list(range(len(texts))),
        arrival_tokens=[1] * len(texts),
        arrival_choices=choices or [0] * len(texts),
        arrival_texts=texts,
    )


@pytest.mark.parametrize(
    ("pieces", "counts"),
    [
        ([" one", " two"], [1, 1]),
        ([" one two", " three"], [2, 1]),
        ([" on", "e two"], [0, 2]),  # a token split over two chunks is complete in the second
        ([" one", "", " two"], [1, 0, 1]),
        (["", " 日本 é", "!"], [0, 2, 1]),
        ([""], [0]),
    ],
)
def test_a_token_belongs_to_the_chunk_that_completes_it(
    tokenizer: Tokenizer, pieces: list[str], counts: list[int]
) -> None:
    assert tokenizer.tokens_of_pieces(pieces) == counts


@given(st.text("ab é日!", max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_however_a_text_is_split_its_tokens_are_those_of_the_whole(
    tokenizer: Tokenizer, text: str, cuts: list[int]
) -> None:
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [text[begin:end] for begin, end in itertools.pairwise(edges)] or [""]
    assert sum(tokenizer.tokens_of_pieces(pieces)) == tokenizer.tokens_of_pieces([text])[0]


def test_it_counts_where_nobody_told_anything(tokenizer: Tokenizer) -> None:
    reply = reply_of([" one two", " three"])
    count_by_tokenizer(reply, tokenizer)
    assert (reply.counted_by, reply.arrival_tokens, reply.output_tokens) == (CountedBy.TOKENIZER, [2, 1], 3)


def test_the_token_that_ends_an_answer_has_no_text_and_is_the_last_chunks(tokenizer: Tokenizer) -> None:
    reply = reply_of([" one two", " three"], output_tokens=4)
    count_by_tokenizer(reply, tokenizer)
    assert (reply.counted_by, reply.arrival_tokens, reply.output_tokens) == (CountedBy.TOKENIZER, [2, 2], 4)


def test_another_models_tokenizer_is_no_source(tokenizer: Tokenizer) -> None:
    reply = reply_of([" one two", " three"], output_tokens=5)
    count_by_tokenizer(reply, tokenizer)
    assert (reply.counted_by, reply.arrival_tokens, reply.output_tokens) == (CountedBy.ASSUMED, [1, 1], 5)


def test_a_better_source_is_left_alone(tokenizer: Tokenizer) -> None:
    reply = reply_of([" one two"])
    reply.counted_by = CountedBy.USAGE
    count_by_tokenizer(reply, tokenizer)
    assert (reply.counted_by, reply.arrival_tokens) == (CountedBy.USAGE, [1])


def test_choices_are_texts_of_their_own(tokenizer: Tokenizer) -> None:
    reply = reply_of([" on", " tw", "e", "o"], choices=[0, 1, 0, 1])
    count_by_tokenizer(reply, tokenizer)
    assert reply.arrival_tokens == [0, 0, 1, 1]


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match=r"cannot be loaded \(.*give the path of a tokenizer.json"):
        Tokenizer(str(tmp_path / "tokenizer.json"))


def test_without_the_package_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tokenizer_module, "import_module", missing)
    with pytest.raises(UsageError, match=r"pip install 'loadgen\[tokenizer\]'"):
        Tokenizer("any")
