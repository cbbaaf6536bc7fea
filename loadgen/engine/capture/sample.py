"""A few replies of a run kept with their text, for a person to see whether the server made sense. After the run, never in it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from zlib import crc32

from loadgen.engine.capture.reply import Reply
from loadgen.engine.records.record import Outcome

MAX_REPLIES = 20
MAX_CHARACTERS = 2000  # of one reply


@dataclass(frozen=True, slots=True)
class SampledReply:
    """The text of the first choice of one request, cut to `MAX_CHARACTERS`; of a failed one as far as it came."""

    index: int  # of the request in its schedule
    outcome: str
    finish_reason: str | None
    text: str
    characters: int  # before it was cut

    def to_json(self) -> dict[str, int | str | None]:
        """One entry of the run document's `replies`."""
        return asdict(self)


class ReplySample:
    """At most `size` replies, drawn evenly over a run: those whose index hashes lowest, in whatever order they come.

    `kept` are in the order of the schedule.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.kept: tuple[SampledReply, ...] = ()

    def wants(self, index: int) -> bool:
        """Whether the reply to this request would be kept by now."""
        if len(self.kept) < self._size:
            return True
        return self._size > 0 and rank(index) < max(rank(reply.index) for reply in self.kept)

    def add(self, index: int, reply: Reply, text: str) -> None:
        """Keep a reply that is wanted; `text` is free of secrets."""
        outcome = Outcome(reply.outcome).label
        cut = text[:MAX_CHARACTERS]
        one = SampledReply(index, outcome, reply.finish_reason, text=cut, characters=len(text))
        self.kept = drawn((*self.kept, one), self._size)


def rank(index: int) -> int:
    """Where a request stands in the draw."""
    return crc32(index.to_bytes(8, "little"))


def drawn(replies: Sequence[SampledReply], size: int) -> tuple[SampledReply, ...]:
    """The `size` of them that are drawn, as of the samples of several workers; in the order of the schedule."""
    lowest = sorted(replies, key=lambda reply: rank(reply.index))[:size]
    return tuple(sorted(lowest, key=lambda reply: reply.index))


def first_choice(reply: Reply) -> str:
    """The text of the reply's first choice, where texts were kept."""
    pairs = zip(reply.arrival_choices, reply.arrival_texts, strict=False)
    return "".join(text for choice, text in pairs if choice == 0)
