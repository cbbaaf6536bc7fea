"""The client's own tokenizer: how many tokens each chunk of a reply carried, where the server does not report it.

Needs the optional package `tokenizers`, which is imported when a tokenizer is asked for. Used after the run alone.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.engine.capture.reply import Reply
from loadgen.engine.records.record import UNKNOWN_TOKENS, CountedBy
from loadgen.errors import UsageError

TOLERANCE_RATIO = 0.02
"""How far the tokenizer's sum may be from the server's, as a share of it; one token a choice is always allowed."""


class Tokenizer:
    """A tokenizer.json: a file, a folder that holds one, or a name on the Hugging Face hub.

    Raises UsageError when the package is not installed or the tokenizer cannot be loaded.
    """

    def __init__(self, name: str) -> None:
        try:
            library: Any = import_module("tokenizers").Tokenizer
        except ImportError:
            raise UsageError(
                "--tokenizer needs the package tokenizers: pip install 'loadgen[tokenizer]', or leave the flag out"
            ) from None
        path = Path(name)
        file = path / "tokenizer.json" if path.is_dir() else path
        try:
            self._tokenizer = library.from_file(str(file)) if file.exists() else library.from_pretrained(name)
        except Exception as error:  # the package raises bare Exceptions
            raise UsageError(
                f"the tokenizer '{name}' cannot be loaded ({' '.join(str(error).split())[:200]}); give the path of a "
                "tokenizer.json, of a model's folder, or a name on the Hugging Face hub"
            ) from None

    def tokens_of_pieces(self, pieces: list[str]) -> list[int]:
        """Tokens of each piece of one text. The whole text is tokenised, and a token belongs to the piece which completes it.

        So a token that is split over two pieces counts once, for the later one, and the sum is that of the whole text.
        """
        ends = [end for _, end in self._tokenizer.encode("".join(pieces), add_special_tokens=False).offsets]
        edges = np.cumsum([len(piece) for piece in pieces])
        counts: list[int] = np.bincount(np.searchsorted(edges, ends), minlength=len(pieces)).tolist()
        return counts


def count_by_tokenizer(reply: Reply, tokenizer: Tokenizer) -> None:
    """Give an answer whose chunks are assumed the tokenizer's counts, unless these contradict the sum that the server reported.

    A small difference is no contradiction: servers count the token that ends an answer and has no text, and a text need not
    be tokenised as it was generated. It goes to the last chunk, where that token came, and the sum stays the server's.
    """
    if reply.counted_by is not CountedBy.ASSUMED or not reply.arrival_texts:
        return
    counts = [0] * len(reply.arrival_texts)
    choices = sorted(set(reply.arrival_choices))
    for choice in choices:
        places = [place for place, each in enumerate(reply.arrival_choices) if each == choice]
        pieces = [reply.arrival_texts[place] for place in places]
        for place, tokens in zip(places, tokenizer.tokens_of_pieces(pieces), strict=True):
            counts[place] = tokens
    counted = sum(counts)
    # An assumed count that is not one a chunk is the server's own sum.
    reported = reply.output_tokens if reply.output_tokens != len(counts) else None
    if reply.hidden_tokens == UNKNOWN_TOKENS and counted:
        # The server's sum does not describe what arrived, which is what is counted here.
        reply.hidden_tokens = max(0, (reported or 0) - counted)
        reply.arrival_tokens, reply.counted_by = counts, CountedBy.TOKENIZER
        reply.output_tokens = counted + reply.hidden_tokens
        return
    if reported is not None:
        reported -= reply.hidden_tokens
    missing = 0 if reported is None else reported - counted
    if abs(missing) > max(len(choices), TOLERANCE_RATIO * (reported or 0)) or counts[-1] + missing < 0 or not counted:
        return
    counts[-1] += missing
    reply.arrival_tokens, reply.counted_by = counts, CountedBy.TOKENIZER
    reply.output_tokens = sum(counts) + reply.hidden_tokens
