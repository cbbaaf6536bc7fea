"""The facts of one run laid out for the formulas: its records, its window, and the edges of each answer.

Imports load and engine. Computes nothing that a person would read; `metrics` does.
"""

from dataclasses import dataclass

import numpy as np

from loadgen.analysis.window import Window, measured_window
from loadgen.engine.columns import let_go
from loadgen.engine.record import MISSING, Bool, CountedBy, Int64, Outcome, Records
from loadgen.load.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Measured:
    """One run, ready to be measured. Arrays have one entry a row of `records`."""

    spec: RunSpec
    records: Records
    window: Window
    ok: Bool  # ended ok, anywhere in the run
    answered: Bool  # ok, in the window, and carried content: the requests whose latencies are reported
    arrivals: Int64  # how many chunks of content it got
    first_ns: Int64  # stamp of its first content; MISSING without any
    last_ns: Int64  # stamp of its last content; MISSING without any
    choices: Int64  # how many answers it got side by side; 1 without any content
    counted: Bool  # we know how many tokens each of its chunks carried
    totalled: Bool  # we know how many tokens it got in all: usage may tell the sum and leave the chunks to guess

    @property
    def chunks_known(self) -> bool:
        """Whether the tokens of every chunk are known, for all requests whose latencies are reported."""
        return bool(self.counted[self.answered].all())

    @property
    def prompts_as_asked(self) -> bool:
        """Whether the server counted in each ok request's prompt exactly the tokens asked, and there is one to tell by."""
        records, ok = self.records, self.ok
        return bool(ok.any() and (records.prompt_tokens[ok] == records.prompt_tokens_asked[ok]).all())

    @property
    def totals_known(self) -> bool:
        """Whether the number of output tokens is known of every ok request of the run."""
        return bool(self.totalled[self.ok].all())


def measure(spec: RunSpec, records: Records) -> Measured:
    """Lay out the records of a run of `spec`."""
    window = measured_window(spec, records)
    let_go(records)
    begin, end = records.arrival_start[:-1], records.arrival_start[1:]
    arrivals = end - begin
    some = arrivals > 0
    choices = np.ones(len(records), np.int64)
    if records.arrival_choice.any():
        choices[some] = np.maximum.reduceat(records.arrival_choice, begin[some]) + 1
    first_ns = np.full(len(records), MISSING, np.int64)
    last_ns = first_ns.copy()
    first_ns[some] = records.arrival_ns[begin[some]]
    last_ns[some] = records.arrival_ns[end[some] - 1]
    ok = records.outcome == Outcome.OK
    counted = records.counted_by != CountedBy.ASSUMED
    # An assumed count that is not one a chunk is the server's own sum, which the chunks did not add up to.
    totalled = (records.output_tokens >= 0) & (counted | (records.output_tokens != arrivals))
    return Measured(
        spec=spec,
        records=records,
        window=window,
        ok=ok,
        answered=ok & window.requests & some,
        arrivals=arrivals,
        choices=choices,
        first_ns=first_ns,
        last_ns=last_ns,
        counted=counted,
        totalled=totalled,
    )
