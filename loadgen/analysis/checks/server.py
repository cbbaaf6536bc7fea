"""Checks of our figures against the server's own account, and on what happened inside it: its queue, its cache, its GPUs.

Where the server counted other requests than ours, or ours failed, its figures say nothing of ours, and no check speaks.
"""

from loadgen.analysis.checks.surroundings import UNACCOUNTED_S, account_of
from loadgen.analysis.document.run import JudgedSummary
from loadgen.analysis.stats import PERCENTILE_NAMES
from loadgen.analysis.verdict import Observation, Thresholds, made, some_of
from loadgen.load.spec import RunSpec

# Above a bucket's bound we may be by what a front end takes, as for the means of TTFT (`server_ttft_apart`).
BEYOND_RATIO = 0.3
MAX_NAMED = 3
MIN_READINGS = 3  # of a queue, which one reading may meet by chance
_NAMES = {"ttft_s": "TTFT from send", "step_gap_s": "chunk gap"}
_POWER_CAP = "power cap"


def output_tokens_apart(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server generated more tokens, or fewer, than we counted, although all its requests were ours and ended ok."""
    account = account_of(summary)
    theirs, ours = account.get("output_tokens"), account.get("client_output_tokens")
    if theirs is None or not ours or not _only_ours(spec, summary):
        return None
    apart_ratio = abs(theirs - ours) / ours
    return Observation(
        thresholds.above(apart_ratio),
        f"The server counted {theirs:,} output tokens in this run and the client {ours:,}: {apart_ratio:.1%} apart.",
        "look at tokens.counted_by; a tokenizer that is not the model's counts other tokens",
        apart_ratio,
    )


def outside_server_buckets(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """A percentile of our TTFT or gap lies outside the bucket in which the server has the same percentile.

    No first token can reach us before the server made it, so that TTFT below its bucket is an error of one of the two clocks. Above it, and
    on both sides of a gap's, lies what its front end and the network do.
    """
    account = account_of(summary)
    if not _only_ours(spec, summary) or account.get("first_tokens") != account.get("client_first_tokens"):
        return None
    early, late = None, None
    for key, name in _NAMES.items():
        theirs, ours = (account.get("times") or {}).get(key), (account.get("client_times") or {}).get(key)
        if not theirs or not ours or abs(theirs["n"] - made(ours["n"])) > 0.01 * theirs["n"]:
            continue  # chunks of several tokens have other gaps
        for percentile in PERCENTILE_NAMES:
            bounds, ours_s = theirs[percentile], ours[percentile]
            if bounds is None or ours_s is None:
                continue
            low_s, high_s = made(bounds[0]), bounds[1]
            told = (
                f"The server's {percentile} of {name} lies {_range(low_s, high_s)}, and ours is {ours_s * 1e3:.4g} ms"
            )
            if key == "ttft_s" and thresholds.above(low_s - ours_s) is not None:
                early = max(early or (0.0, ""), (low_s - ours_s, told))
            beyond_s, bound_s = max((low_s - ours_s, low_s), (ours_s - (high_s or ours_s), high_s or ours_s))
            if beyond_s > UNACCOUNTED_S and beyond_s > BEYOND_RATIO * bound_s:
                late = max(late or (0.0, ""), (beyond_s, told))
    if early is not None:
        hint = "no answer comes before it was made: look at client.clock_step_s and at the server's clock"
        return Observation("doubtful", f"{early[1]}.", hint, early[0])
    if late is None:
        return None
    hint = (
        "look at its HTTP front end, the network and a proxy in between; the client's own share stands in client.doctor"
    )
    return Observation("note", f"{late[1]}.", hint, late[0])


def server_gaps_apart(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The time from first to last tokens, summed over all answers, is not what the engine's steps took."""
    account = account_of(summary)
    theirs_s, ours_s = account.get("step_gap_total_s"), account.get("client_chunk_gap_total_s")
    if not theirs_s or ours_s is None or not _only_ours(spec, summary):
        return None
    apart_ratio = (ours_s - theirs_s) / theirs_s
    if thresholds.above(abs(apart_ratio)) is None:
        return None
    return Observation(
        "note",
        f"From first to last token all answers together took {ours_s:.4g} s here and {theirs_s:.4g} s by the server's own steps: "
        f"{apart_ratio:+.1%}.",
        "look at its HTTP front end, the network and a proxy in between; the client's own share stands in client.doctor",
        abs(apart_ratio),
    )


def preempted(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server had to put requests aside for want of KV cache, and to compute them again."""
    preemptions = account_of(summary).get("preemptions")
    if not preemptions:
        return None
    sent = made(account_of(summary)["requests_sent"])
    return Observation(
        "note",
        f"The server preempted requests {preemptions:,} times while it answered {sent:,}: its KV cache was too small for this load, and what it "
        "put aside was computed again.",
        "give it more KV cache (gpu_memory_utilization, kv_cache_dtype) or fewer requests at once; as it stands, the figures are of a full cache",
        preemptions / max(1, sent),
    )


def queued_at_server(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Callers of a closed loop or a wave waited in the server's own queue: it ran fewer at once than were asked."""
    account = account_of(summary)
    running, waiting = account.get("running_requests"), account.get("waiting_requests")
    if not running or not waiting or waiting["n"] < MIN_READINGS or spec.concurrency is None:
        return None
    at_server = running["mean"] + waiting["mean"]
    ratio = waiting["mean"] / at_server if at_server else 0.0
    if thresholds.above(ratio) is None:
        return None
    return Observation(
        "note",
        f"On average {waiting['mean']:.3g} of the {at_server:.3g} requests at the server waited for a place, and it ran at most "
        f"{running['max']:.3g} at once: TTFT holds the time in its queue.",
        "raise what it runs at once (vLLM's max_num_seqs, or its KV cache), or ask for less at once",
        ratio,
    )


def gpu_throttled(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """A GPU's clocks were held down: by heat, its board or its supply, or by its limit of power."""
    gpu = summary.get("gpu")
    devices = [] if gpu is None else gpu["devices"]
    held = [(share, why, device["index"]) for device in devices for why, share in device["throttled_ratio"].items()]
    broken = [each for each in held if each[1] != _POWER_CAP and thresholds.above(each[0]) is not None]
    capped = [each for each in held if each[1] == _POWER_CAP and thresholds.above(each[0]) is not None]
    if not broken and not capped:
        return None
    share, why, index = max(broken or capped)
    message = f"GPU {index} was held down by its {why} in {share:.0%} of the readings: its clocks were below what they could be."
    if broken:
        return Observation("doubtful", message, "cool it, look at its supply, and run it again", share)
    return Observation("note", message, "nothing is wrong, but another limit of power gives other figures", share)


def server_account_unknown(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server's page contradicts itself, or what came from it: no figure of it is one server's account."""
    readings = summary.get("server_readings")
    why = None if readings is None else readings["unknown_because"]
    if why is None:
        return None
    return Observation(
        "note",
        f"The server's own account of this run is unknown: {why}.",
        "give --url the address of one server; behind one address several replicas, or a server that restarts, give figures of different processes",
    )


def experts_not_counted(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Experts were to be counted, and the server did not report them."""
    failure = summary.get("experts_failure")
    if failure is None:
        return None
    return Observation(
        "note", f"The experts of this run are unknown: {failure}.", "the other figures do not depend on them"
    )


def server_figures_unusable(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Figures on the server's page were no finite numbers, or their lines could not be read."""
    readings = summary.get("server_readings")
    if readings is None or (not readings["unusable"] and not readings["malformed_lines"]):
        return None
    names, lines = readings["unusable"], readings["malformed_lines"]
    parts = [f"no usable number for {some_of(names, MAX_NAMED)}"] if names else []
    parts += [f"{lines} line{'s' if lines > 1 else ''} that cannot be read"] if lines else []
    return Observation(
        "note",
        f"The server's page of metrics has {' and '.join(parts)}: what is made of them is null.",
        "the measured figures do not depend on it; look at the server's /metrics",
        float(len(names) + lines),
    )


def _only_ours(spec: RunSpec, summary: JudgedSummary) -> bool:
    """Whether the server's figures are of our requests alone, all of which it answered."""
    account, outcomes = account_of(summary), summary["outcomes"]
    answered: int = outcomes["ok"]
    if answered + outcomes["dropped"] != outcomes["planned"]:
        return False
    finished = account.get("requests_finished")
    return finished is None or finished == spec.workload.choices * answered


def _range(low_s: float, high_s: float | None) -> str:
    return f"above {low_s * 1e3:g} ms" if high_s is None else f"between {low_s * 1e3:g} and {high_s * 1e3:g} ms"
