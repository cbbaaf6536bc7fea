"""What lay between client and server, and what was paid, in a line each: of run documents alone. Most keys are absent in runs of an earlier version."""

from collections.abc import Sequence

from loadgen.analysis.document.run import RunDocument
from loadgen.report.figures import NETWORK_RTT, TTFT_FROM_SEND
from loadgen.report.format import MISSING_FIGURE, dollars, milliseconds, number, plural

FAR_S = 0.5e-3
"""From this round trip on a server is shown as a distant one: below it, on this host or its switch, nobody's TTFT is moved. Chosen."""


def is_far(run: RunDocument) -> bool:
    """Whether the network is a part of the TTFT that one can see."""
    return (NETWORK_RTT.read(run) or 0.0) >= FAR_S


def round_trip_note(run: RunDocument) -> str:
    """`network 23.1 ms`, to stand beside a TTFT; empty for a server nearby."""
    return f"network {milliseconds(NETWORK_RTT.read(run))} ms" if is_far(run) else ""


def round_trip_line(run: RunDocument) -> str:
    """The round trip beside the TTFT; a dash where nobody told it."""
    told = run["client"].get("network_rtt_s")
    if told is None or not told["n"]:
        return MISSING_FIGURE
    to = "to the proxy" if run["client"].get("proxy") else "to the server's address"
    ttft_s = TTFT_FROM_SEND.read(run)
    beside = "" if ttft_s is None else f"; TTFT p50 {milliseconds(ttft_s)} ms"
    return (
        f"p50 {milliseconds(told['p50'])} ms, min {milliseconds(told['min'])} ms {to} "
        f"({plural(told['n'], 'connection')}){beside}"
    )


def is_unverified(run: RunDocument) -> bool:
    """Whether nobody knows who was measured: the certificate was not verified."""
    return run["client"].get("tls") == "unverified"


def route_line(run: RunDocument) -> str:
    """Whether a proxy and TLS stood between; empty for plain HTTP without a proxy."""
    client = run["client"]
    words = ["through a proxy"] if client.get("proxy") else []
    tls = client.get("tls")
    if tls is not None:
        words.append("TLS, CERTIFICATE NOT VERIFIED (--insecure)" if is_unverified(run) else "TLS")
    return ", ".join(words)


def cost_line(run: RunDocument) -> str:
    """What a run cost; empty without a price."""
    cost = run.get("cost")
    if not cost:
        return ""
    words = f"{dollars(cost['usd'])}, warm-up {dollars(cost['warmup_usd'])}"
    words += f"; {dollars(cost['usd_per_million_output_tokens'])} per million output tokens"
    if cost["input_tokens"] is not None and cost["output_tokens"] is not None:
        words += f" ({number(cost['input_tokens'])} in, {number(cost['output_tokens'])} out)"
    if cost["uncounted_requests"]:
        words += f"; {plural(cost['uncounted_requests'], 'unfinished request')} not counted"
    return words


def paid_usd(runs: Sequence[RunDocument]) -> float | None:
    """What the runs cost together, warm-ups included; None where that of any is not known, and without a price."""
    parts: list[float | None] = []
    for run in runs:
        cost = run.get("cost")
        parts += (None, None) if cost is None else (cost["usd"], cost["warmup_usd"])
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None
