"""What one step of an engine computes: sequences that decode, and chunks of prompts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """Consecutive tokens of one prompt. A prompt that fits the step is one chunk from 0."""

    tokens: int
    start: int = 0  # tokens of the prompt that earlier steps computed
    last: bool = True  # it ends the prompt, so the first output token is sampled

    @property
    def attended_pairs(self) -> float:
        """Pairs of a query and a key: each token attends to all before it and to itself."""
        return self.tokens * self.start + self.tokens * (self.tokens + 1) / 2

    @property
    def context_tokens(self) -> int:
        """Keys that the chunk attends to, each counted once."""
        return self.start + self.tokens


@dataclass(frozen=True, slots=True)
class Step:
    """The batch of one step on one data-parallel copy of the model; the other copies run an equal one.

    Counts may be means over many steps.
    """

    decode_sequences: float = 0
    decode_context_tokens: float = 0  # keys attended to, summed over the sequences, each one's new token included
    chunks: tuple[PrefillChunk, ...] = ()
    decode_tokens: int = 1  # of each decoding sequence; more where drafted tokens are checked
    images: int = 0  # that are encoded before their tokens
    tiles: int = 0  # of all of them

    @property
    def tokens(self) -> float:
        """Tokens that pass the layers."""
        return self.decode_sequences * self.decode_tokens + sum(chunk.tokens for chunk in self.chunks)

    @property
    def sampled(self) -> float:
        """Tokens that pass the head: the last of each prompt, and all of the decoding sequences."""
        return self.decode_sequences * self.decode_tokens + sum(1 for chunk in self.chunks if chunk.last)
