"""Checks on what the replies themselves say: how they ended, what stood between their chunks, and how usage fits what arrived."""

from loadgen.analysis.document.run import JudgedSummary
from loadgen.analysis.verdict import Observation, Thresholds, made
from loadgen.load.spec import RunSpec

_FILTERED = "content_filter"


def tokens_hidden(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Usage counts tokens that did not arrive, or fewer than did."""
    tokens, ok = summary["tokens"], summary["outcomes"]["ok"]
    contradicted, hidden = made(tokens["contradicted_requests"]), made(tokens["hidden_requests"])
    if not ok or not (contradicted or hidden):
        return None
    ratio = (contradicted + hidden) / ok
    severity = thresholds.above(ratio) or "note"
    if contradicted:
        return Observation(
            severity,
            f"Of {contradicted:,} of {ok:,} ok requests the server's usage does not fit what arrived: it counts tokens that "
            "were not sent, or fewer than the chunks that came. TPOT and token throughput are not given.",
            "give the model's tokenizer with --tokenizer, or read the chunk gaps and requests per second",
            ratio,
        )
    total = "" if tokens["output"] is None else f" of {tokens['output']:,}"
    return Observation(
        severity,
        f"{tokens['hidden']:,}{total} output tokens were reasoning that the server did not send, in {hidden:,} "
        f"of {ok:,} ok requests: TTFT contains the time they took, and TPOT and token throughput are of the tokens that came.",
        "have the server send its reasoning, or switch reasoning off, before you compare it with others",
        ratio,
    )


def content_filtered(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """A content filter ended answers."""
    reasons, ok = summary["finish_reasons"], summary["outcomes"]["ok"]
    filtered = sum(n for reason, n in reasons.items() if _FILTERED in reason.split(", "))
    if not filtered or not ok:
        return None
    return Observation(
        thresholds.above(filtered / ok) or "note",
        f"A content filter of the server ended {filtered:,} of {ok:,} ok requests.",
        "ask with other prompts (--dataset), or switch the filter off",
        filtered / ok,
    )


def cut_at_length(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server ended answers with `length` before the length asked."""
    cut, ok = summary["cut_at_length_requests"], summary["outcomes"]["ok"]
    if not cut or not ok:
        return None
    return Observation(
        thresholds.above(cut / ok) or "note",
        f"{cut:,} of {ok:,} ok requests ended with finish_reason length before the {spec.output_tokens:,} tokens asked: "
        "the server has a limit of its own.",
        "ask for fewer --output-tokens, or raise the server's limit (its longest context, or its most tokens)",
        cut / ok,
    )


def events_skipped(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Events without a reply stood in the streams."""
    skipped = summary["client"]["skipped_events"]
    if not skipped:
        return None
    kinds = ", ".join(
        f"{n:,} {kind.replace('_', ' ')}" for kind, n in sorted(skipped.items(), key=lambda item: -item[1])
    )
    return Observation(
        "note",
        f"{sum(skipped.values()):,} events of the streams carried no reply and were skipped: {kinds}.",
        "keep-alives do no harm; look at what the server sends if you expect none",
    )


def content_type_other(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """Good event streams had another content type."""
    types = summary["client"]["content_types"]
    if not types:
        return None
    named = ", ".join("no content type" if name == "none" else name for name in types)
    return Observation(
        "note",
        f"{sum(types.values()):,} event streams did not have the content type text/event-stream but {named}.",
        "other clients may refuse them: set the type in the server or the proxy before it",
    )


def body_left_open(spec: RunSpec, summary: JudgedSummary, thresholds: Thresholds) -> Observation | None:
    """The server ended streams with `[DONE]` and never ended their bodies."""
    left_open, ok = summary["client"]["open_body_requests"], summary["outcomes"]["ok"]
    if not left_open or not ok:
        return None
    return Observation(
        "note",
        f"The server kept the body open after [DONE] in {left_open:,} of {ok:,} ok requests: each is complete at [DONE], and its "
        "connection was closed instead of being used again.",
        "end the body in the server or the proxy before it: other clients wait until they time out",
        left_open / ok,
    )
