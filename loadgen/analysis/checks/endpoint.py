"""Checks on the endpoint before the run and on the route to it: its model, its fields, its first reply, a proxy, a certificate."""

from loadgen.analysis.document.run import JudgedSummary
from loadgen.analysis.verdict import Observation, Thresholds
from loadgen.load.spec import RunSpec

_LENGTHS = ("max_tokens", "max_completion_tokens")


def model_not_listed(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server's list of models does not confirm the model; the endpoint served it all the same."""
    problem = summary["server"].get("model_list_problem")
    if not problem:
        return None
    return Observation(
        "note",
        f"The server's list of models does not confirm '{spec.model}': {problem}.",
        "an alias, a deployment or a routing suffix is often not listed; check that it is the model you mean",
    )


def fields_adapted(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The endpoint refused fields of the usual body, and every request was sent without them or with others."""
    changes = summary["server"].get("adapted_fields") or []
    if not changes:
        return None
    words = [f"{change['field']} {_sent(change['sent_as'])}" for change in changes]
    left_out = {change["field"] for change in changes if change["sent_as"] is None}
    effects = [effect for fields, effect in _EFFECTS if left_out & set(fields)]
    return Observation(
        "note",
        f"The endpoint refused fields of the usual request; in every request of this run, {', '.join(words)}.",
        "; ".join(effects) if effects else "the figures are of these requests; compare with runs that sent the same",
    )


def first_question_unanswered(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """What the endpoint takes and how it counts could not be found out before the run."""
    problem = summary["server"].get("first_question_problem")
    if not problem or not summary["outcomes"]["ok"]:  # without an ok request nothing was measured that could be unknown
        return None
    return Observation(
        "note",
        f"The question before the run went unanswered ({problem}): which fields the endpoint takes, how it counts the tokens of each "
        "chunk and how many it adds to a prompt are unknown.",
        "run it again when the server is ready",
    )


_EFFECTS = (
    (
        ("stream_options", "stream_options.include_usage"),
        "without usage tokens are counted by the ids in the chunks or by --tokenizer, else assumed",
    ),
    (_LENGTHS, "the model decides how long its replies are"),
    (("ignore_eos",), "replies may end before the length asked"),
    (("temperature",), "replies are sampled at the server's own temperature"),
)


def _sent(sent_as: str | None) -> str:
    return "was left out" if sent_as is None else f"was sent as {sent_as}"


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
