"""Gaps between the arrivals of one answer: per chunk as received, and per token when the tokens are known.

No gap ever spans two requests, nor two choices of one request: answers that
are made side by side have gaps of their own.
"""

import numpy as np

from loadgen.analysis.stats import FloatArray
from loadgen.engine.records.record import Bool, Int32, Records


def chunk_gaps_s(records: Records, rows: Bool) -> FloatArray:
    """Seconds between successive content chunks of each of the selected `rows`, end to end: arrivals − 1 a choice."""
    owner = _owner(records)
    return _gaps_s(records, owner, rows[owner])[0]


def token_gaps_s(records: Records, rows: Bool) -> FloatArray:
    """Seconds between successive tokens of each of the selected `rows`: k tokens after a gap g are k gaps of g/k.

    The tokens of a choice's first chunk have no gap before them that we could know, and are left out. A chunk that
    carried no token lends its time to the next one that does, so that time is neither lost nor counted twice.
    """
    owner = _owner(records)
    gaps_s, tokens = _gaps_s(records, owner, rows[owner] & (records.arrival_tokens > 0))
    return np.repeat(gaps_s / tokens, tokens)


def _owner(records: Records) -> Int32:
    """To which row each arrival belongs."""
    return np.repeat(np.arange(len(records), dtype=np.int32), np.diff(records.arrival_start))


def _gaps_s(records: Records, owner: Int32, chosen: Bool) -> tuple[FloatArray, Int32]:
    """Gaps between neighbours among the `chosen` arrivals of the same owner and choice, and the tokens that ended each."""
    stamps_ns, tokens = records.arrival_ns[chosen], records.arrival_tokens[chosen]
    owners, choices = owner[chosen], records.arrival_choice[chosen]
    same = owners[1:] == owners[:-1]
    if choices.any():
        order = np.lexsort((choices, owners))  # stable: within one choice the order of arrival stays
        stamps_ns, owners, choices, tokens = stamps_ns[order], owners[order], choices[order], tokens[order]
        same = (owners[1:] == owners[:-1]) & (choices[1:] == choices[:-1])
    return np.diff(stamps_ns)[same] / 1e9, tokens[1:][same]
