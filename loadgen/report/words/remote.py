"""What lay between client and server, and what was paid, in a line each: of run documents alone.

Every key may be absent: a run of an earlier version has none of them.
"""

from collections.abc import Sequence
from typing import Any

from loadgen.report.figures import NETWORK_RTT
from loadgen.report.format import MISSING_FIGURE, dollars, milliseconds, number, plural

Document = dict[str, Any]

FAR_S = 0.5e-3
"""From this round trip on a server is shown as a distant one: below it, on this host or its switch, nobody's TTFT is moved. Chosen."""


def is_far(run: Document) -> bool:
    """Whether the network is a part of the TTFT that one can see."""
    return (NETWORK_RTT.read(run) or 0.0) >= FAR_S


def round_trip_note(run: Document) -> str:
    """`network 23.1 ms`, to stand beside a TTFT; empty for a server nearby."""
    return f"network {milliseconds(NETWORK_RTT.read(run))} ms" if is_far(run) else ""


def round_trip_line(run: Document) -> str:
    """The round trip beside the TTFT; a dash where nobody told it."""
    told = (run.get("client") or {}).get("network_rtt_s") or {}
    if not told.get("n"):
        return MISSING_FIGURE
    to = "to the proxy" if run["client"].get("proxy") else "to the server's address"
    ttft_s = (run.get("ttft_from_send_s") or {}).get("p50")
    beside = "" if ttft_s is None else f"; TTFT p50 {milliseconds(ttft_s)} ms"
    return (
        f"p50 {milliseconds(told['p50'])} ms, min {milliseconds(told['min'])} ms {to} "
        f"({plural(told['n'], 'connection')}){beside}"
    )


def is_unverified(run: Document) -> bool:
    """Whether nobody knows who was measured: the certificate was not verified."""
    return (run.get("client") or {}).get("tls") == "unverified"


def way_line(run: Document) -> str:
    """Whether a proxy and TLS stood between; empty for plain HTTP without a proxy."""
    client = run.get("client") or {}
    words = ["through a proxy"] if client.get("proxy") else []
    tls = client.get("tls")
    if tls is not None:
        words.append("TLS, CERTIFICATE NOT VERIFIED (--insecure)" if is_unverified(run) else "TLS")
    return ", ".join(words)


def cost_line(run: Document) -> str:
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


def paid_usd(runs: Sequence[Document]) -> float | None:
    """What the runs cost together, warm-ups included; None where that of any is not known, and without a price."""
    costs = [run.get("cost") or {} for run in runs]
    parts: list[float | None] = [cost.get(key) for cost in costs for key in ("usd", "warmup_usd")]
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None
