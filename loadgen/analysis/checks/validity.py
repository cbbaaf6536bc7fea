"""May the figures be believed? The closed list of checks, and the verdict that they give.

Every limit stands here once. docs/method.md has each next to what is compared with it and the
measurements behind it; a test compares codes and limits.
"""

from typing import cast

from loadgen.analysis.checks import client, endpoint, load, outcomes, replies, server, surroundings
from loadgen.analysis.document.run import FindingDocument, ForeignMark, JudgedSummary, VerdictDocument
from loadgen.analysis.stages import STRICT, Stages
from loadgen.analysis.verdict import Check, Thresholds, verdict_of
from loadgen.analysis.window import MIN_REQUESTS
from loadgen.load.spec import RunSpec

CHECKS: tuple[Check, ...] = (
    Check(outcomes.no_ok_requests),
    Check(outcomes.errors, Thresholds(doubtful=0.99, invalid=0.90)),
    Check(outcomes.interrupted),
    Check(outcomes.cancelled, Thresholds(doubtful=0.01)),
    Check(load.dropped, Thresholds(doubtful=0.0, invalid=0.10)),
    Check(load.too_few_requests, Thresholds(doubtful=MIN_REQUESTS)),
    Check(load.input_length_off, Thresholds(doubtful=0.02)),
    Check(load.output_length_off, Thresholds(doubtful=0.01)),
    Check(load.length_unknown),
    Check(load.total_throughput_unknown),
    Check(load.prompts_repeated),
    Check(load.rows_skipped),
    Check(load.concurrency_not_reached, Thresholds(doubtful=0.95, invalid=0.80)),
    Check(load.rate_not_reached, Thresholds(doubtful=0.99, invalid=0.90)),
    Check(load.held_by_limit, Thresholds(doubtful=0.01)),
    Check(load.no_steady_state),
    Check(load.schedule_exhausted),
    Check(client.stamp_source_read, Thresholds(doubtful=client.LATE_READ_S)),
    Check(client.coalesced, Thresholds(doubtful=0.01, invalid=0.10)),
    Check(client.first_content_coalesced, Thresholds(doubtful=0.01, invalid=0.10)),
    Check(client.send_delay, Thresholds(doubtful=0.01, invalid=0.10)),
    Check(client.client_busy, Thresholds(doubtful=client.BUSY_RATIO)),
    Check(client.clock_step, Thresholds(doubtful=1e-3, invalid=1e-2)),
    Check(client.tokens_assumed),
    Check(replies.tokens_hidden, Thresholds(doubtful=0.01)),
    Check(replies.content_filtered, Thresholds(doubtful=0.01)),
    Check(replies.cut_at_length, Thresholds(doubtful=0.01)),
    Check(replies.events_skipped),
    Check(replies.content_type_other),
    Check(replies.body_left_open),
    Check(surroundings.client_error_known),
    Check(surroundings.host_busy, Thresholds(doubtful=0.5)),
    Check(surroundings.other_requests, Thresholds(doubtful=0.01, invalid=0.10)),
    Check(surroundings.prefix_cache_hits, Thresholds(doubtful=0.01, invalid=0.50)),
    Check(surroundings.server_ttft_apart, Thresholds(doubtful=0.3)),
    Check(endpoint.model_not_listed),
    Check(endpoint.fields_adapted),
    Check(endpoint.first_question_unanswered),
    Check(endpoint.proxied),
    Check(endpoint.tls_not_verified),
    Check(server.output_tokens_apart, Thresholds(doubtful=0.01, invalid=0.1)),
    Check(server.outside_server_buckets, Thresholds(doubtful=1e-3)),
    Check(server.server_gaps_apart, Thresholds(doubtful=0.1)),
    Check(server.preempted),
    Check(server.queued_at_server, Thresholds(doubtful=0.1)),
    Check(server.gpu_throttled, Thresholds(doubtful=0.01)),
    Check(server.server_account_unknown),
    Check(server.server_figures_unusable),
    Check(server.experts_not_counted),
    Check(surroundings.foreign_client),
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
