"""Checks on what is around a run: other requests at the server, its prefix cache, its own clock, and this host."""

from loadgen.analysis.document.run import JudgedSummary
from loadgen.analysis.document.server import ServerAccount
from loadgen.analysis.verdict import Observation, Thresholds, made
from loadgen.load.spec import RunSpec

# Between the server's own TTFT and ours lie its HTTP front end, the network and the client; less than this is usual there: with up
# to five callers it was 1.7 to 4.9 ms.
UNACCOUNTED_S = 5e-3
# Of all processors, taken by programs that are neither the client nor the server: from here on they are missing to the server.
OTHERS_BUSY_RATIO = 0.1


def other_requests(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server finished more requests than this run sent: somebody else used it meanwhile. vLLM counts each choice as one."""
    account, choices = account_of(summary), spec.workload.choices
    finished, sent = account.get("requests_finished"), account.get("requests_sent")
    if finished is None or not sent or summary["client"].get("failure"):  # which leaves open how many were sent
        return None
    others_ratio = (finished - choices * sent) / (choices * sent)
    of_choices = f" of {choices} choices each" if choices > 1 else ""
    return Observation(
        thresholds.above(others_ratio),
        f"The server finished {finished:,} requests during the run, which sent {sent:,}{of_choices}: others used it meanwhile.",
        "measure a server that nobody else uses, and run it again",
        others_ratio,
    )


def foreign_client(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Another client measured this run: what it did to its own figures nobody here can tell."""
    foreign = summary.get("foreign")
    if not foreign:
        return None
    who = " ".join(str(part) for part in (foreign["tool"], foreign["version"]) if part)
    return Observation(
        "doubtful",
        f"Measured by {who}, whose own delays and stamps cannot be judged from its result.",
        "measure the same load with loadgen before building on a difference to it; docs/exchange.md tells what each figure is",
    )


def prefix_cache_hits(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """More prompt tokens came out of the server's prefix cache than the workload shares: their prefill was not measured."""
    hit_ratio = account_of(summary).get("prefix_cache_hit_ratio")
    if hit_ratio is None:
        return None
    prefix, sessions = spec.workload.prefix, spec.workload.sessions
    prefix_tokens = 0 if prefix is None else prefix.tokens
    # A dataset has no stated length and no stated prefix: what its prompts share cannot be told from what was sent before.
    shared_ratio = 0.0 if spec.input_tokens is None else prefix_tokens / spec.input_tokens
    if sessions is not None and spec.input_tokens is not None:
        shared_ratio = sessions.cached_ratio(spec.input_tokens, spec.output_tokens, prefix_tokens)
    # Each choice looks its prompt up, and may find that of the first.
    shared_ratio = (shared_ratio + spec.workload.choices - 1) / spec.workload.choices
    asked = f", where the workload shares {shared_ratio:.1%}" if shared_ratio else ""
    return Observation(
        thresholds.above(hit_ratio - shared_ratio),
        f"{hit_ratio:.1%} of the prompt tokens came from the server's prefix cache{asked}: their prefill is missing from TTFT and throughput.",
        "start the server without its prefix cache (vLLM's enable_prefix_caching), or ask for longer prompts, of which a chat template is a smaller part",
        hit_ratio - shared_ratio,
    )


def server_ttft_apart(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server's own mean TTFT is shorter than ours by a share that matters: something between the two takes time."""
    account = account_of(summary)
    theirs_s, ours_s = account.get("ttft_mean_s"), account.get("client_ttft_mean_s")
    if theirs_s is None or not ours_s or account["first_tokens"] != account["client_first_tokens"]:
        return None  # of other requests than ours the server's mean says nothing
    apart_s = ours_s - theirs_s
    if apart_s < UNACCOUNTED_S or thresholds.above(apart_s / ours_s) is None:
        return None
    return Observation(
        "note",
        f"The server puts its mean TTFT at {theirs_s * 1e3:.4g} ms, and it was {ours_s * 1e3:.4g} ms from send to arrival: "
        f"{apart_s * 1e3:.3g} ms lie outside of what the server counts.",
        "look at its HTTP front end, the network and a proxy in between; the client's own share stands in client.doctor",
        apart_s / ours_s,
    )


def host_busy(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The processors of the client's host were busy, and the client, or the server on the same host, waits for its turn."""
    client = summary["client"]
    ratio, others_ratio = client.get("host_busy_ratio"), client.get("others_busy_ratio")
    severity = None if ratio is None else thresholds.above(ratio)
    if ratio is None or severity is None:
        return None
    if client.get("server_on_host") and others_ratio is not None and others_ratio > OTHERS_BUSY_RATIO:
        return Observation(
            severity,
            f"The host of client and server was {ratio:.0%} busy during the run, {others_ratio:.0%} by other programs: the server had to "
            "share its processors with them.",
            "end the other programs, or give the server a machine of its own; the client's priority does not protect the server",
            ratio,
        )
    if client["priority"] != "normal":
        return None
    return Observation(
        severity,
        f"The client's host was {ratio:.0%} busy during the run, and the client had to wait for a processor like any other process.",
        "give the client a machine of its own, or run it as a user who may raise its priority (ulimit -r 1, or CAP_SYS_NICE)",
        ratio,
    )


def client_error_known(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """On this host the doctor found the client's error above its promise, at no more streams than were in flight here."""
    doctor = summary["client"].get("doctor")
    peak = summary["concurrency"]["peak"]
    broken = [] if doctor is None else [level for level in doctor.get("levels", ()) if level["broken"]]
    if not broken:
        return None
    met = [level for level in broken if level["streams"] <= made(peak)]
    if not met:
        return None
    worst = max(met, key=lambda level: level["streams"])
    return Observation(
        "doubtful",
        f"On this host the client broke its promise at {worst['streams']:,} streams ({'; '.join(worst['broken'])}), and {peak:,} were in flight here.",
        "see `loadgen doctor`; keep to fewer streams, or give the client a faster machine or one of its own",
        worst["streams"],
    )


def account_of(summary: JudgedSummary) -> ServerAccount:
    """Return the server's account of the run, empty if there is none."""
    return summary.get("server_account") or {}
