"""Conversations in the records of a run: which request is which turn, and who was thinking when.

Imports engine and its own room.

Request i of the schedule is turn i mod `turns` of conversation i // `turns`, both counted from 0.
"""

from typing import Any

import numpy as np

from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import distribution
from loadgen.analysis.window import Window
from loadgen.engine.record import MISSING, Outcome, Records


def mean_thinking(records: Records, turns: int, window: Window) -> float | None:
    """The time average, over the window, of conversations between two turns; None without a window.

    From the end of an answer to the moment at which the next turn is due, or for ever where that was never sent; what the
    client is late by after that is no thinking.
    """
    if window.start_ns is None or window.end_ns is None or window.length_s is None:
        return None
    rows = np.flatnonzero((records.outcome == Outcome.OK) & ((records.index + 1) % turns > 0))
    following = np.minimum(rows + 1, len(records) - 1)
    asked = (
        (records.index[following] == records.index[rows] + 1)
        & (records.sent_ns[following] != MISSING)
        & (records.due_ns[following] != MISSING)
    )
    until_ns = np.where(asked, records.due_ns[following], window.end_ns)
    overlap_ns = np.minimum(until_ns, window.end_ns) - np.maximum(records.end_ns[rows], window.start_ns)
    return float(np.maximum(overlap_ns, 0).sum()) / 1e9 / window.length_s


def by_turn(measured: Measured) -> list[dict[str, Any]] | None:
    """TTFT in seconds and the mean prompt in tokens, turn by turn from 1, of the requests whose latencies are reported.

    None where each request stands by itself; a mean is None where the server did not count every prompt of the turn.
    """
    turns, records = measured.spec.workload.turns, measured.records
    if turns == 1:
        return None
    figures = []
    for turn in range(turns):
        rows = measured.answered & (records.index % turns == turn)
        prompts = records.prompt_tokens[rows]
        told = len(prompts) > 0 and not (prompts < 0).any()
        figures.append(
            {
                "turn": turn + 1,
                "requests": int(np.count_nonzero(rows)),
                "prompt_tokens_mean": float(prompts.mean()) if told else None,
                "ttft_s": distribution((measured.first_ns[rows] - records.start_ns[rows]) / 1e9),
            }
        )
    return figures
