"""Checks on the load that was asked and what came of it: numbers, lengths, concurrency, rate and what a limit held back."""

from loadgen.analysis.checks.outcomes import LET_IT_END
from loadgen.analysis.document.run import JudgedSummary, LengthFigures
from loadgen.analysis.stats import PERCENTILE_NAMES, PERCENTILES, samples_needed
from loadgen.analysis.verdict import Observation, Thresholds, and_of, made
from loadgen.analysis.window import MIN_REQUESTS
from loadgen.load.rate_limits import UNLIMITED
from loadgen.load.spec import RunSpec
from loadgen.load.workload import notes_of_skipped


def dropped(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Requests that were planned and never sent, though nobody stopped the run."""
    outcomes = summary["outcomes"]
    if summary["interrupted"] or not outcomes["ok"]:
        return None
    why, hint = "", "lower the rate or the concurrency, or give the client a machine of its own"
    if spec.shape.max_in_flight is not None:
        why = ": they were due while as many were in flight as --max-in-flight allows"
        hint = "lower the rate, or raise --max-in-flight; the figures are those of the requests that found a place"
    elif spec.workload.sessions is not None:
        why = ": an earlier turn of their conversation had failed"
        hint = "see why requests fail: each of them takes the rest of its conversation along"
    elif _was_held(summary):
        why = ": a limit held them back until the time was up"
        hint = "lower the rate to what the limit lets through"
    return Observation(
        thresholds.above(outcomes["dropped"] / outcomes["planned"]),
        f"{outcomes['dropped']:,} of {outcomes['planned']:,} planned requests were never sent{why}.",
        hint,
        outcomes["dropped"] / outcomes["planned"],
    )


def too_few_requests(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Percentiles that were refused, or so few requests that even the median says little."""
    ttft = made(summary["ttft_s"])
    n = made(ttft["n"])
    if not summary["outcomes"]["ok"]:
        return None
    refused = [p for p, name in zip(PERCENTILES, PERCENTILE_NAMES, strict=True) if p > 50 and ttft[name] is None]
    if not refused:
        return None
    few = None if spec.shape.batch_size is not None else thresholds.below(n)
    wanted = samples_needed(refused[-1])
    if summary["interrupted"]:
        hint = LET_IT_END
    elif spec.shape.batch_size is not None:
        hint = "a wave has as many requests as its size; the pooled repeats say more"
    elif spec.duration_s is not None:
        hint = f"run for about {spec.duration_s * wanted / max(n, 1):,.0f} s (--duration-s) for a p{refused[-1]}"
    else:
        turns = spec.workload.turns
        edges = 2 * (spec.concurrency or 0) * turns if spec.shape.has_steady_state else 0
        hint = f"use --requests {-(-(wanted + edges) // turns) * turns} for a p{refused[-1]}"
    names, need = and_of([f"p{p}" for p in refused]), and_of([f"{samples_needed(p):,}" for p in refused])
    measured = f"{n:,} {'request was' if n == 1 else 'requests were'} measured"
    given = "is not given" if len(refused) == 1 else "are not given"
    return Observation(
        few or "note",
        f"{measured}: of the per-request figures, {names} would need {need} requests and {given}.",
        hint,
        badness=-n,
    )


def input_length_off(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server read prompts of another length than asked: true figures, but not of that length."""
    length = made(summary["lengths"])["prompt_tokens"]
    off_ratio = _off_ratio(length)
    if off_ratio is None:
        return None
    severity = thresholds.above(off_ratio)
    if severity is None:
        return None
    least = length.get("min_tokens")
    if least is not None and least > made(length["asked"]):
        return Observation(
            severity,
            f"{_off_message('Prompts', length)} {_NOT_COMPARABLE} The server adds {length['template_tokens']:,.4g} tokens to every "
            f"prompt, so that none can have fewer than {least:,}.",
            f"ask for --input-tokens {least} or more",
            off_ratio,
        )
    return Observation(
        severity,
        f"{_off_message('Prompts', length)} {_NOT_COMPARABLE}",
        _INPUT_HINTS.get(length.get("fitted_by"), _OTHER_INPUT_HINT),
        off_ratio,
    )


_NOT_COMPARABLE = "The figures are of the lengths that came and not comparable with others at the length asked."
_INPUT_HINTS: dict[str | None, str] = {
    "usage": "warm up with more requests (--warmup-requests): what the server reports of them corrects the prompts",
    "assumed": "warm up with some requests (--warmup-requests): what the server reports of them corrects the prompts",
    "uncounted": "the prompt tokens that the server reports do not grow with the prompt: do not rely on them",
}
_OTHER_INPUT_HINT = (
    "use --endpoint completions with a server that takes token ids, or one with /tokenize, for exact lengths; "
    "a chat template adds tokens"
)


def output_length_off(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server generated answers of another length than asked; any that differs is worth a doubt."""
    length = made(summary["lengths"])["output_tokens"]
    off_ratio = _off_ratio(length)
    if off_ratio is None:
        return None
    severity = thresholds.above(off_ratio) or ("doubtful" if length["requests_off"] else None)
    if severity is None:
        return None
    longer = made(length["mean"]) > made(length["asked"])
    if not length.get("can_be_asked", True) and not longer:
        return Observation(
            "note",
            f"{_off_message('Answers', length)} This server cannot be asked to go on past the end that the model finds, and every "
            "figure is of the lengths that came.",
            "compare gaps, TPOT and tokens per second, which are per token; end-to-end latency is that of answers of this length",
            off_ratio,
        )
    return Observation(
        severity,
        f"{_off_message('Answers', length)} {_NOT_COMPARABLE}",
        "the server does not keep to max_tokens, or answers with several choices: look at its settings"
        if longer
        else "the model may stop by itself on a server without ignore_eos, or reach its longest context: ask for fewer --output-tokens",
        off_ratio,
    )


def length_unknown(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server never said how long the prompts or answers were."""
    if not summary["outcomes"]["ok"]:
        return None
    lengths = made(summary["lengths"])
    unknown = [
        name
        for length, name in ((lengths["prompt_tokens"], "prompts"), (lengths["output_tokens"], "answers"))
        if length["mean"] is None
    ]
    if not unknown:
        return None
    return Observation(
        "note",
        f"The server did not say how many tokens its {' and '.join(unknown)} had, so asked and achieved lengths cannot be compared.",
        "use a server that reports usage in its streams (stream_options.include_usage)",
    )


def total_throughput_unknown(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Output throughput is known and total throughput is not, for want of the prompts' lengths."""
    if summary["output_tokens_per_s"] is None or summary["total_tokens_per_s"] is not None:
        return None
    outcomes, length = summary["outcomes"], made(summary["lengths"])["prompt_tokens"]
    if not outcomes["ok"]:
        return None
    if length["mean"] is None:
        why = "the server did not say of every ok request how many tokens its prompt had"
        hint = "use a server that reports usage in its streams (stream_options.include_usage)"
    elif length["requests_off"] is None:
        why = "nobody said how many tokens the prompts of requests had that failed in their answers"
        hint = "see why requests fail"
    else:
        why = (
            "nobody said how many tokens the prompts of requests had that failed in their answers, "
            f"and {length['requests_off']:,} of {outcomes['ok']:,} ok ones had another number than asked"
        )
        hint = "see why requests fail, or ask for prompts of exact length: --endpoint completions with a server that takes token ids, or one with /tokenize"
    return Observation("note", f"Total throughput is not given: {why}.", hint)


def prompts_repeated(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """A dataset's prompts were sent more than once, so that the server may have had them in its cache."""
    dataset, planned = spec.workload.dataset, summary["outcomes"]["planned"]
    if dataset is None or planned <= dataset.prompts or not summary["outcomes"]["ok"]:
        return None
    again = planned - dataset.prompts
    return Observation(
        "doubtful",
        f"{again:,} of {planned:,} requests had a prompt that was sent before: {dataset.name} has {dataset.prompts:,}.",
        f"use --requests {dataset.prompts} or a larger dataset, or switch the server's prefix cache off",
        again / planned,
    )


def rows_skipped(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Rows of the dataset or the trace had nothing to send."""
    source = next(
        (each for each in (spec.workload.dataset, spec.shape.trace) if each is not None and each.skipped_rows), None
    )
    if source is None:
        return None
    return Observation(
        "note",
        f"{notes_of_skipped(source.name, source.skipped_rows, source.first_skipped)[0]}.",
        f"mend or remove those rows of {source.name}, if they should be sent",
    )


def concurrency_not_reached(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Fewer requests were in flight than asked: on average in the steady state, at the peak in a whole run."""
    concurrency = summary["concurrency"]
    asked = concurrency["asked"]
    steady = summary["window"]["rule"] == "steady_state"
    reached = concurrency["mean"] if steady else concurrency["peak"]
    thinking = concurrency.get("thinking_mean") or 0.0  # a conversation takes its caller's place while its user thinks
    if steady and reached is not None:
        reached += thinking
    if asked is None or reached is None or not summary["outcomes"]["ok"]:
        return None
    severity = thresholds.below(reached / asked)
    if severity is None:
        return None
    outcomes = summary["outcomes"]
    planned = outcomes["planned"]
    if summary["interrupted"] and planned - outcomes["dropped"] < asked:
        return None  # there was no time to reach it, which `interrupted` says
    if _was_held(summary):
        severity, hint = (
            "doubtful",
            "a limit held requests back, see held_by_limit: ask for as many callers as it keeps busy",
        )
    elif planned < asked:
        hint = f"ask for more requests than the concurrency: --requests {4 * asked * spec.workload.turns}"
    elif spec.shape.batch_size is not None:
        hint = "the first answers ended before the last request was sent: ask for longer answers, or give the client a machine of its own"
    else:
        hint = "requests end faster than the client sends new ones, or connections fail: ask for longer answers, or give the client a machine of its own"
    how = "on average in the window" if steady else "at the peak"
    what = "requests were in flight" if spec.workload.sessions is None else "conversations were going on"
    message = f"{reached:,.4g} {what} {how}, where {asked:,} were asked."
    return Observation(severity, message, hint, 1 - reached / asked)


def rate_not_reached(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The client sent more slowly than the schedule of an open loop asked."""
    offered, sent = summary["rates"]["offered_per_s"], summary["rates"]["sent_per_s"]
    if offered is None or sent is None:
        return None
    if spec.shape.max_in_flight is not None and summary["outcomes"]["dropped"]:
        return None  # which `dropped` tells
    severity = thresholds.below(sent / offered)
    if severity is None:
        return None
    hint = "give the client a machine of its own, or lower --rate"
    if _was_held(summary):
        severity, hint = (
            "doubtful",
            "a limit held requests back, see held_by_limit: lower --rate to what it lets through",
        )
    return Observation(
        severity,
        f"Requests were sent at {sent:,.4g} per second, where the schedule has {offered:,.4g}.",
        hint,
        1 - sent / offered,
    )


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


def no_steady_state(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """A closed loop too short for a steady state: its start and its end are in the figures."""
    if not spec.shape.has_steady_state or summary["window"]["rule"] == "steady_state":
        return None
    if not summary["outcomes"]["ok"]:
        return None
    concurrency, turns = spec.concurrency or 0, spec.workload.turns
    longer = (
        f"--requests {max(4 * concurrency, 2 * concurrency + MIN_REQUESTS) * turns} or more"
        if spec.duration_s is None
        else "a longer --duration-s"
    )
    return Observation(
        "note",
        "The run was too short for a steady state, so the whole of it was measured: the first wave against an idle server and the drain are in its figures.",
        LET_IT_END if summary["interrupted"] else f"use {longer}",
    )


def schedule_exhausted(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """A run for a duration had too few requests prepared."""
    if not summary["client"]["schedule_exhausted"]:
        return None
    return Observation(
        "note",
        f"The prepared requests were used up before the {spec.duration_s or 0:g} s asked; the run is shorter, its figures are whole.",
        "say how many requests to send with --requests",
    )


def _was_held(summary: JudgedSummary) -> bool:
    facts = summary["rate_limits"]
    return facts is not None and facts["held_requests"] > 0


def _off_ratio(length: LengthFigures) -> float | None:
    """The mean's distance from the asked length, as a share of it."""
    if length["mean"] is None or length["asked"] is None:
        return None
    return float(abs(length["mean"] - length["asked"]) / length["asked"])


def _off_message(what: str, length: LengthFigures) -> str:
    return (
        f"{what} had {length['mean']:,.6g} tokens on average ({length['min']:,} to {length['max']:,}) "
        f"where {length['asked']:,.6g} were asked; {length['requests_off']:,} differed."
    )
