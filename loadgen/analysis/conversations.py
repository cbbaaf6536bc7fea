"""Conversations in the records of a run: which request is which turn, and who was thinking when. Imports load and engine.

Request i of the schedule is turn i mod `turns` of conversation i // `turns`, both counted from 0.
"""

import numpy as np

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
