"""Checks on what lies between the client and the server: a proxy, and a certificate that nobody verified.

Each is pure: the spec, the summary and the thresholds in; an observation, or None, out.
"""

from loadgen.analysis.document.run import JudgedSummary
from loadgen.analysis.verdict import Observation, Thresholds
from loadgen.load.spec import RunSpec


def proxied(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """A proxy stood between: what it takes, and what it holds back, is in every figure."""
    client = summary["client"]
    if not client.get("proxy"):
        return None
    by = "kernel noted when they came from it" if client["stamp_source"] == "kernel" else "client read them"
    return Observation(
        "note",
        f"The requests went through a proxy, and arrivals were stamped as the {by}: the proxy is part of what was measured.",
        "list the server in NO_PROXY to measure it directly, or compare with runs through the same proxy alone",
    )


def tls_not_verified(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Nobody knows who was measured."""
    if summary["client"].get("tls") != "unverified":
        return None
    return Observation(
        "note",
        "The server's certificate was not verified (--insecure): whoever answered at this address was measured, and was sent the key.",
        "name the authority that signed it with --ca-file FILE",
    )
