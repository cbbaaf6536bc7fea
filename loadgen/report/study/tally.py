"""How many claims have which verdict, as numbers and as a bar of a hundred units."""

from collections.abc import Iterable
from dataclasses import dataclass

from loadgen.report.study.claim_words import VERDICT_MARKS, VERDICT_WORDS
from loadgen.report.study.results import VERDICTS
from loadgen.study.judge import Verdict

BAR_WIDTH = 100.0


@dataclass(frozen=True, slots=True)
class Segment:
    """The claims of one verdict: their number, and where they stand on the bar."""

    verdict: Verdict
    words: str
    mark: str
    count: int
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Claims by verdict, those that none has left out."""

    total: int
    segments: tuple[Segment, ...]

    @property
    def sentence(self) -> str:
        """`3 hold, 7 do not hold …`, for who does not see the bar."""
        return ", ".join(f"{each.count} {each.words}" for each in self.segments) or "no claims"


def tally(verdicts: Iterable[Verdict]) -> Tally:
    found = list(verdicts)
    segments, start = [], 0.0
    for verdict in VERDICTS:
        count = found.count(verdict)
        if not count:
            continue
        width = BAR_WIDTH * count / len(found)
        segments.append(
            Segment(verdict, VERDICT_WORDS[verdict], VERDICT_MARKS[verdict], count, round(start, 3), round(width, 3))
        )
        start += width
    return Tally(len(found), tuple(segments))
