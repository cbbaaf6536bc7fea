"""Gaps between the arrivals of one answer: per chunk as received, and per token when the tokens are known.

Imports NumPy and the column types of engine. No gap ever spans two requests, nor two choices of one request: answers that
are made side by side have gaps of their own.
"""

from collections.abc import Iterator

import numpy as np

from loadgen.analysis.stats import FloatArray
from loadgen.engine.record import Bool, Int32, Records

_ROWS_AT_ONCE = 4_096  # bounds the memory that is needed on the way, whatever the number of requests


def chunk_gaps_s(records: Records, rows: Bool) -> FloatArray:
    """Seconds between successive content chunks of each of the selected `rows`, end to end: arrivals − 1 a choice."""
    pieces = [_gaps_s(records, *piece)[0] for piece in _pieces(records, rows)]
    return np.concatenate([np.empty(0), *pieces])


def token_gaps_s(records: Records, rows: Bool) -> FloatArray:
    """Seconds between successive tokens of each of the selected `rows`: k tokens after a gap g are k gaps of g/k.

    The tokens of a choice's first chunk have no gap before them that we could know, and are left out. A chunk that
    carried no token lends its time to the next one that does, so that time is neither lost nor counted twice.
    """
    pieces = []
    for within, owner, chosen in _pieces(records, rows):
        gaps_s, tokens = _gaps_s(records, within, owner, chosen & (records.arrival_tokens[within] > 0))
        pieces.append(np.repeat(gaps_s / tokens, tokens))
    return np.concatenate([np.empty(0), *pieces])


def _pieces(records: Records, rows: Bool) -> Iterator[tuple[slice, Int32, Bool]]:
    """Some rows after the other: where their arrivals lie, to which of them each belongs, and whether that one is selected."""
    for first in range(0, len(records), _ROWS_AT_ONCE):
        start = records.arrival_start[first : first + _ROWS_AT_ONCE + 1]
        owner = np.repeat(np.arange(len(start) - 1, dtype=np.int32), np.diff(start))
        yield slice(int(start[0]), int(start[-1])), owner, rows[first : first + _ROWS_AT_ONCE][owner]


def _gaps_s(records: Records, within: slice, owner: Int32, chosen: Bool) -> tuple[FloatArray, Int32]:
    """Gaps between neighbours among the `chosen` arrivals of the same owner and choice, and the tokens that ended each."""
    stamps_ns, tokens = records.arrival_ns[within][chosen], records.arrival_tokens[within][chosen]
    owners, choices = owner[chosen], records.arrival_choice[within][chosen]
    same = owners[1:] == owners[:-1]
    if choices.any():
        order = np.lexsort((choices, owners))  # stable: within one choice the order of arrival stays
        stamps_ns, owners, choices, tokens = stamps_ns[order], owners[order], choices[order], tokens[order]
        same = (owners[1:] == owners[:-1]) & (choices[1:] == choices[:-1])
    return np.diff(stamps_ns)[same] / 1e9, tokens[1:][same]
