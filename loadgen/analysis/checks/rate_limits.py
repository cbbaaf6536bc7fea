"""The check on what a limit held back, and what other checks ask about it.

Pure: the spec, the summary and the thresholds in; an observation, or None, out.
"""

from loadgen.analysis.document.run import JudgedSummary
from loadgen.analysis.verdict import Observation, Thresholds
from loadgen.load.rate_limits import UNLIMITED
from loadgen.load.spec import RunSpec


def held_by_limit(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """A limit of the user's, or the server's Retry-After, kept requests waiting, so that the load was lighter than asked."""
    facts = summary["rate_limits"]
    if facts is None or not facts["held_requests"] or facts["wait_ratio"] is None:
        return None
    held, ratio = facts["held_requests"], facts["wait_ratio"]
    from_due = spec.shape.latency_start == "due"
    own = spec.rate_limits != UNLIMITED
    parts = ([f"for the limit of {spec.rate_limits.label}"] if own else []) + (
        ["as the server asked by Retry-After"] if facts["refused_requests"] else []
    )
    latencies = "; TTFT and end-to-end latency, which count from the intended moment, contain the wait"
    message = (
        f"{held:,} of {summary['outcomes']['planned']:,} requests waited {' and '.join(parts)}, "
        f"{facts['wait_total_s'] / held:,.3g} s each on average, which makes {ratio:.1%} of the time of all requests: "
        f"what was in flight, and how many were sent, is not the server's doing"
        f"{latencies if from_due else ''}."
    )
    read = "read TTFT from send, or " if from_due else ""
    hint = (
        f"{read}ask for no more load than the limit lets through"
        if own
        else f"{read}give --requests-per-minute or --tokens-per-minute a little below the server's own limit"
    )
    return Observation(thresholds.above(ratio) or "note", message, hint, ratio)


def was_held(summary: JudgedSummary) -> bool:
    """Whether any request of the run waited for a limit or a Retry-After."""
    facts = summary["rate_limits"]
    return facts is not None and facts["held_requests"] > 0
