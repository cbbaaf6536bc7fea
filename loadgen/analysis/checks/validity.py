"""May the figures be believed? The closed list of checks, and the verdict that they give.

Every limit stands here with its reason, and in docs/method.md with what is compared; a test holds the two together.
"""

from typing import cast

from loadgen.analysis.checks import client, endpoint, load, outcomes, replies, server, surroundings
from loadgen.analysis.document.run import FindingDocument, ForeignMark, JudgedSummary, VerdictDocument
from loadgen.analysis.stages import STRICT, Stages
from loadgen.analysis.verdict import Check, Thresholds, verdict_of
from loadgen.analysis.window import MIN_REQUESTS
from loadgen.load.spec import RunSpec

CHECKS: tuple[Check, ...] = (
    Check(test=outcomes.no_ok_requests, reason="there is nothing to measure"),
    Check(
        test=outcomes.errors,
        thresholds=Thresholds(doubtful=0.99, invalid=0.90),
        reason="a failed request frees its place early, and latencies are of ok requests alone, so that from 1 % on what is missing may be the p99; refused at once, 1 % moved a closed loop's figures by 0.2 % and 10 % by 0.7 %, and they thin out an open loop as a lower rate does (see `rate_not_reached`)",
    ),
    Check(test=outcomes.interrupted, reason="what was measured is not what was asked"),
    Check(
        test=outcomes.cancelled,
        thresholds=Thresholds(doubtful=0.01),
        reason="what is cut off is the longest; from 1 % on it is missing from the p99",
    ),
    Check(
        test=load.dropped,
        thresholds=Thresholds(doubtful=0.0, invalid=0.10),
        reason="each one is load that the server was spared; 10 % fewer arrivals shortened the median TTFT by 4 to 7 % and near saturation its p95 by 11 %",
    ),
    Check(
        test=load.too_few_requests,
        thresholds=Thresholds(doubtful=MIN_REQUESTS),
        reason="the range of 8 samples holds the true median with probability 99.2 %",
    ),
    Check(
        test=load.input_length_off,
        thresholds=Thresholds(doubtful=0.02),
        reason="prompts are fitted to within 2 % of the length asked; prefill time goes with the prompt's length, so TTFT is off by at most about as much; 1 % longer moved nothing that could be told, 10 % longer TTFT by 1 % where prefill was an eighth of it",
    ),
    Check(
        test=load.output_length_off,
        thresholds=Thresholds(doubtful=0.01),
        reason="end-to-end latency goes with the answer's length: 1 % longer made it 0.9 % longer, 10 % longer 9.4 %",
    ),
    Check(test=load.length_unknown, reason="asked and achieved cannot be compared"),
    Check(
        test=load.total_throughput_unknown,
        reason="a failed request's prompt counts as asked only where every ok request's prompt was exactly as asked",
    ),
    Check(
        test=load.prompts_repeated,
        reason="a fixed set of prompts and a prefix cache once inflated throughput 2.3 times and shortened TTFT 49 times",
    ),
    Check(test=load.rows_skipped, reason="the load is that of the other rows"),
    Check(
        test=load.concurrency_not_reached,
        thresholds=Thresholds(doubtful=0.95, invalid=0.80),
        reason="the figures are filed under the asked concurrency; 5 % fewer callers moved each of them by 2 %, the smallest change that `compare` tells, 20 % fewer throughput by 13 % and latencies by 7 to 8 %",
    ),
    Check(
        test=load.rate_not_reached,
        thresholds=Thresholds(doubtful=0.99, invalid=0.90),
        reason="the figures are filed under the asked rate; 1 % lower moved none by more than 1.2 % but the p95 of TTFT near saturation, by 1.6 %; 10 % lower throughput by 5 to 8 % and that p95 by 11 %",
    ),
    Check(
        test=load.held_by_limit,
        thresholds=Thresholds(doubtful=0.01),
        reason="the load was lighter than asked by about that share, and an open loop's latencies contain the wait; a closed loop idle for 1 % had latencies 1 % shorter, for 10 % up to 9 %",
    ),
    Check(test=load.no_steady_state, reason="a first wave against an idle server once raised a p99 4.2 times"),
    Check(test=load.schedule_exhausted, reason="the run is shorter than asked, and otherwise whole"),
    Check(
        test=client.stamp_source_read,
        thresholds=Thresholds(doubtful=client.LATE_READ_S),
        reason="up to a p99 of 0.27 ms the p99 of TTFT was off by 0.25 ms at the most, at 4.7 ms by 5 ms and that of the gaps by 4.3 ms; in an earlier measurement at 0.38 ms by 1.1 ms",
    ),
    Check(
        test=client.coalesced,
        thresholds=Thresholds(doubtful=0.01, invalid=0.10),
        reason="up to 0.96 % the p99 of the gaps was off by 0.5 ms at the most, at 1.8 % by 10 ms, a gap, and at 19 % by 20 ms",
    ),
    Check(
        test=client.first_content_coalesced,
        thresholds=Thresholds(doubtful=0.01, invalid=0.10),
        reason="a merged stamp is the last one's, so a stall of the client would be told as the server's TTFT; from 1 % on it is in the p99, which was off by 10 ms at 1.9 % and by 0.02 ms at 0.8 %; from 10 % on it is in the p90 too, and the p99 was off by 20 ms at 14 %",
    ),
    Check(
        test=client.send_delay,
        thresholds=Thresholds(doubtful=0.01, invalid=0.10),
        reason="the open loop's TTFT contains the delay, a wave is spread out by it, and a closed loop's slot stands idle for it; late by 1 and 10 % of its median an open loop's TTFT was 1.5 and 10.5 % longer, idle for 1 and 10 % of it a closed loop's end-to-end latency 0.9 and 7.5 % shorter",
    ),
    Check(
        test=client.client_busy,
        thresholds=Thresholds(doubtful=client.BUSY_RATIO),
        reason="with 1,000 streams the p99 of the gaps was off by 0.3 ms at 76 % and by 3.2 ms at 92 %",
    ),
    Check(
        test=client.clock_step,
        thresholds=Thresholds(doubtful=1e-3, invalid=1e-2),
        reason="arrivals near the jump are off by as much; slewing stays in the tens of microseconds; 10 ms is a whole gap between tokens, by which TTFT's p99 is off where the client is late by one (see Disturbances)",
    ),
    Check(
        test=client.tokens_assumed,
        reason="a chunk is not a token, so figures made of tokens are left out rather than guessed",
    ),
    Check(
        test=replies.tokens_hidden,
        thresholds=Thresholds(doubtful=0.01),
        reason="TPOT by such a usage was 20 times too short where all but 20 of 420 tokens were hidden reasoning, whose time is in TTFT",
    ),
    Check(
        test=replies.content_filtered,
        thresholds=Thresholds(doubtful=0.01),
        reason="chosen, as for `errors`: these answers are shorter than the others for a reason that is not the load",
    ),
    Check(
        test=replies.cut_at_length,
        thresholds=Thresholds(doubtful=0.01),
        reason="chosen, as for `errors`: the answers have a length that the server chose",
    ),
    Check(test=replies.events_skipped, reason="keep-alives are legal, and no figure is made from them"),
    Check(
        test=replies.content_type_other,
        reason="what the body holds decides, and other clients may judge by the type",
    ),
    Check(
        test=replies.body_left_open,
        reason="`[DONE]` ends the stream by the protocol; what is lost is the connection, which has to be opened again",
    ),
    Check(
        test=surroundings.client_error_known,
        reason="what the client got wrong against a known truth it gets wrong against any server",
    ),
    Check(
        test=surroundings.host_busy,
        thresholds=Thresholds(doubtful=0.5),
        reason="with four processes that wanted the two processors 0.6 % of the arrivals were joined and the p99 of the gaps was off by 0.5 ms, in an earlier measurement that of TTFT by 22 ms; with real-time priority by 0.001 ms and 0.02 ms",
    ),
    Check(
        test=surroundings.other_requests,
        thresholds=Thresholds(doubtful=0.01, invalid=0.10),
        reason="others' requests are load that was not asked, as failed ones (see `errors`) are load that is missing",
    ),
    Check(
        test=surroundings.prefix_cache_hits,
        thresholds=Thresholds(doubtful=0.01, invalid=0.50),
        reason="a cached token is one whose prefill was not measured, so TTFT is short by at most about that share of it; with 50 % cached vLLM's median TTFT was 28 % shorter with one caller, with 1 and 10 % within the spread",
    ),
    Check(
        test=surroundings.server_ttft_apart,
        thresholds=Thresholds(doubtful=0.3),
        reason="TTFT is shown as the server's, and what its HTTP front end or a proxy adds is not in its own account; without a proxy it was 2 to 26 %, and below 5 ms with up to five callers",
    ),
    Check(
        test=endpoint.model_not_listed,
        reason="the endpoint answered, and its list is not what is measured; aliases and deployments are often not listed",
    ),
    Check(
        test=endpoint.fields_adapted,
        reason="all requests of the run were alike, and those of another server may differ in that field",
    ),
    Check(test=endpoint.first_question_unanswered, reason="how the server counts is then taken from its dialect"),
    Check(
        test=endpoint.proxied,
        reason="what the proxy takes and holds back cannot be told from what the server does",
    ),
    Check(
        test=endpoint.tls_not_verified,
        reason="the figures may be of another server than the one that was meant",
    ),
    Check(
        test=server.output_tokens_apart,
        thresholds=Thresholds(doubtful=0.01, invalid=0.1),
        reason="throughput is off by as much; in all of 26 runs of vLLM and of the simulator both counted the same to the token (see The server's own account)",
    ),
    Check(
        test=server.outside_server_buckets,
        thresholds=Thresholds(doubtful=1e-3),
        reason="nothing arrives before it was made: of no percentile in 24 runs of vLLM was ours less than 2 ms above the bucket's lower edge; above it by more than 5 ms and 30 % with 16 callers and more, where its front end fell behind",
    ),
    Check(
        test=server.server_gaps_apart,
        thresholds=Thresholds(doubtful=0.1),
        reason="what a front end delays at the one end it delays at the other: in 24 runs of vLLM −4.6 to +9.3 %, and +29 % where it had five of six tokens wait for others",
    ),
    Check(
        test=server.preempted,
        reason="what is put aside is computed again, so that its gaps hold a second prefill; it is the server's own doing at this load, and the figures are true of it",
    ),
    Check(
        test=server.queued_at_server,
        thresholds=Thresholds(doubtful=0.1),
        reason="chosen, a tenth of the callers: in vLLM with fewer callers than places no reading met any, with 80 callers on 64 places a sixth, with 8 on 6 three eighths",
    ),
    Check(
        test=server.gpu_throttled,
        thresholds=Thresholds(doubtful=0.01),
        reason="chosen, not measured: a GPU at a lower clock is a slower one, from 1 % of the time on in the p99; a limit of power is how it is sold",
    ),
    Check(
        test=server.server_account_unknown,
        reason="counters of one process never fall and it begins once, so the readings are of several or of one that was restarted, and a difference between them says nothing of this run",
    ),
    Check(
        test=server.server_figures_unusable,
        reason="such a figure is null, and the others are as good as ever",
    ),
    Check(test=server.experts_not_counted, reason="the counts are null, and the others are as good as ever"),
    Check(
        test=surroundings.foreign_client,
        reason="nothing is known of that client's stamps, lags and delays, so that none of the checks above can be made but of what ended ok",
    ),
)

# What can be judged of a run that another client measured.
_OF_OUTCOMES = ("no_ok_requests", "errors", "foreign_client")


def thresholds_of(code: str) -> Thresholds:
    """The limits of the check of that code, for others who judge the same figure."""
    return next(check.thresholds for check in CHECKS if check.code == code)


def judge(spec: RunSpec, summary: JudgedSummary, stages: Stages = STRICT) -> VerdictDocument:
    """The verdict on a run of `spec` from its summary: every check is made that can be, and every finding told."""
    judged = (
        stages.make(f"the check {check.code}", lambda check=check: _apply(check, spec, summary), None)  # type: ignore[misc]  # mypy has no type for the default
        for check in CHECKS
    )
    return verdict_of(finding for finding in judged if finding is not None)


def judge_foreign(tool: str, version: str | None, spec: RunSpec, outcomes: dict[str, int]) -> VerdictDocument:
    """The verdict on a run which another client measured: never valid, and no worse than its outcomes make it."""
    mark: ForeignMark = {"tool": tool, "version": version, "figures": {}}
    summary = cast(JudgedSummary, {"outcomes": outcomes, "failures": [], "foreign": mark})  # all that is looked at
    judged = (_apply(check, spec, summary) for check in CHECKS if check.code in _OF_OUTCOMES)
    return verdict_of(finding for finding in judged if finding is not None)


def _apply(check: Check, spec: RunSpec, summary: JudgedSummary) -> FindingDocument | None:
    seen = check.test(spec, summary, check.thresholds)
    if seen is None or seen.severity is None:
        return None
    return {
        "code": check.code,
        "severity": seen.severity,
        "message": seen.message,
        "hint": seen.hint,
        "badness": seen.badness,
    }
