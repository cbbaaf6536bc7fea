"""Conversations in the records of a run: which request is which turn, and who was thinking when.

Request i of the schedule is turn i mod `turns` of conversation i // `turns`, both counted from 0.
"""

import numpy as np

from loadgen.analysis.distributions import distribution_of
from loadgen.analysis.document.run import TurnFigures
from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray
from loadgen.analysis.window import Window
from loadgen.engine.records.record import MISSING, Bool, Outcome, Records
from loadgen.engine.records.record_parts import part, spans


def mean_thinking(records: Records, turns: int, window: Window) -> float | None:
    """The time average, over the window, of conversations between two turns; None without a window.

    From the end of an answer to the moment at which the next turn is due, or for ever where that was never sent; what the
    client is late by after that is no thinking.
    """
    if window.start_ns is None or window.end_ns is None or window.length_s is None:
        return None
    thought_ns = 0
    for begin, end in spans(records):
        some = part(records, begin, min(end + 1, len(records)))  # with the row that follows the piece
        goes_on = (some.outcome == Outcome.OK) & ((some.index + 1) % turns > 0)
        rows = np.flatnonzero(goes_on[: end - begin])
        following = np.minimum(rows + 1, len(some) - 1)
        asked = (
            (some.index[following] == some.index[rows] + 1)
            & (some.sent_ns[following] != MISSING)
            & (some.due_ns[following] != MISSING)
        )
        until_ns = np.where(asked, some.due_ns[following], window.end_ns)
        overlap_ns = np.minimum(until_ns, window.end_ns) - np.maximum(some.end_ns[rows], window.start_ns)
        thought_ns += int(np.maximum(overlap_ns, 0).sum())
    return thought_ns / 1e9 / window.length_s


def by_turn(measured: Measured) -> list[TurnFigures] | None:
    """TTFT in seconds and the mean prompt in tokens, turn by turn from 1, of the requests whose latencies are reported.

    None where each request stands by itself; a mean is None where the server did not count every prompt of the turn.
    """
    turns = measured.spec.workload.turns
    return None if turns == 1 else [_of_turn(measured, turn) for turn in range(turns)]


def _of_turn(measured: Measured, turn: int) -> TurnFigures:
    def rows(piece: Measured) -> Bool:
        of_turn: Bool = piece.records.index % measured.spec.workload.turns == turn
        return piece.answered & of_turn

    def ttft_s(piece: Measured) -> FloatArray:
        return (piece.first_ns[rows(piece)] - piece.records.start_ns[rows(piece)]) / 1e9

    requests = measured.count(rows)
    prompts = measured.sum(lambda piece: piece.records.prompt_tokens[rows(piece)])
    told = requests > 0 and not measured.count(lambda piece: rows(piece) & (piece.records.prompt_tokens < 0))
    return {
        "turn": turn + 1,
        "requests": requests,
        "prompt_tokens_mean": prompts / requests if told else None,
        "ttft_s": distribution_of(measured.samples(ttft_s)),
    }
