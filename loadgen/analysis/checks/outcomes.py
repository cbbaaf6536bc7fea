"""Checks on what became of the requests: none ended ok, some failed, the run was cut short."""

from loadgen.analysis.document.run import JudgedSummary
from loadgen.analysis.figures.rate_limits import TOO_MANY_REQUESTS
from loadgen.analysis.verdict import Observation, Thresholds
from loadgen.engine.records.record import Outcome
from loadgen.load.spec import RunSpec

# The server's answers, or the lack of one; the other two are the client's own doing.
_FAILURES = tuple(kind.label for kind in Outcome if kind not in (Outcome.OK, Outcome.CANCELLED, Outcome.DROPPED))

# A run that the user stopped is too short for whatever reason; more of the same would be the wrong thing to ask for.
LET_IT_END = "let the run come to its end"

# The failure of a run that another client measured, whose result does not tell what became of the request.
FOREIGN_FAILURE = "failed"

_FAILURE_HINTS = {
    FOREIGN_FAILURE: "look into the server's log and that of the client that measured it",
    "http_error": "read the server's own words above and its log; a 4xx is about the request, a 5xx about the server",
    "connect_error": "see that the server is still alive, and whether it takes this many connections at once",
    "timeout": "lower the load, or allow more time with --request-timeout-s",
    "truncated": "the server cut its answers short: read its log, and look for a proxy in between that limits time or size",
    "stream_error": "the server reported an error inside its answer: read its log",
    "bad_response": "see that --url leads to an OpenAI-compatible server and not to a proxy's own page",
    "cancelled": LET_IT_END,
    "dropped": LET_IT_END,
}


def no_ok_requests(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Nothing ended well, so that there is nothing to measure."""
    outcomes = summary["outcomes"]
    if outcomes["ok"]:
        return None
    failed = {label: n for label, n in outcomes.items() if label not in ("planned", "ok") and n}
    if not failed:
        return Observation("invalid", "No request was planned.", "ask for some with --requests or --duration-s")
    return Observation(
        "invalid",
        f"None of the {outcomes['planned']:,} requests ended ok: {_listed(failed)}{_in_their_words(summary, failed)}.",
        _hint(summary, failed),
    )


def errors(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Too many of the requests that came to an end failed."""
    outcomes = summary["outcomes"]
    failed = {label: n for label in (*_FAILURES, FOREIGN_FAILURE) if (n := outcomes.get(label))}
    ended = outcomes["ok"] + sum(failed.values())
    if not outcomes["ok"] or not failed:
        return None  # no_ok_requests speaks of the former
    ok_ratio = outcomes["ok"] / ended
    severity = thresholds.below(ok_ratio) or "note"
    return Observation(
        severity,
        f"{sum(failed.values()):,} of {ended:,} requests failed: {_listed(failed)}{_in_their_words(summary, failed)}.",
        _hint(summary, failed),
        1 - ok_ratio,
    )


def interrupted(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The user ended the run early, the server would have no more of it, or the client could not go on."""
    if not summary["interrupted"]:
        return None
    outcomes = summary["outcomes"]
    trouble = summary["client"].get("failure")
    given_up = "given up in flight" if trouble is None else "given up or lost"
    left = {given_up: outcomes["cancelled"], "never sent": outcomes["dropped"]}
    told = ", ".join(f"{n:,} {what}" for what, n in left.items() if n)
    # A closed loop of a given duration plans only what it sends, so there is no number that it was meant to reach.
    of = "" if spec.shape.is_unplanned(spec.duration_s) else f" of {outcomes['planned']:,}"
    refusal = None if summary["rate_limits"] is None else summary["rate_limits"]["refusal"]
    reason = refusal or trouble
    who, why = ("The user stopped the run", "") if reason is None else ("The run was stopped", f": {reason}")
    again = "run it again to its end" if refusal is None else "run it again when the server takes requests once more"
    return Observation(
        "doubtful",
        f"{who} when {outcomes['ok']:,}{of} requests had ended ok{'; ' if told else ''}{told}{why}.",
        f"{again}; sweep --resume repeats what is missing",
    )


def cancelled(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Requests cut off by the end of the run; the steady state ends before that, a whole run does not."""
    outcomes = summary["outcomes"]
    sent = outcomes["planned"] - outcomes["dropped"]
    if summary["interrupted"] or summary["window"]["rule"] != "whole_run" or not outcomes["ok"]:
        return None
    return Observation(
        thresholds.above(outcomes["cancelled"] / sent),
        f"{outcomes['cancelled']:,} of {sent:,} requests were cut off by the end of the run; the long ones among them are missing.",
        "make the run longer than its longest request",
        outcomes["cancelled"] / sent,
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {label}" for label, n in sorted(counts.items(), key=lambda item: -item[1]))


def _hint(summary: JudgedSummary, failed: dict[str, int]) -> str:
    """What to do about the commonest failure; what the user stopped counts only where nothing else failed."""
    if summary["failures"] and summary["failures"][0]["http_status"] == TOO_MANY_REQUESTS:
        return (
            "the server limits its clients: give --requests-per-minute or --tokens-per-minute a little below its limit"
        )
    return _FAILURE_HINTS[max(failed, key=lambda label: (label in _FAILURES, failed[label]))]


def _in_their_words(summary: JudgedSummary, failed: dict[str, int]) -> str:
    """The own sentence of the commonest of the `failed`, if it left one, to go before the full stop."""
    told = next((one["detail"] for one in summary["failures"] if one["detail"] and one["outcome"] in failed), None)
    return "" if told is None else f"; most often: {told.rstrip('.')}"
