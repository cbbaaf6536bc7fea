"""What several runs' verdicts have in common: the worst run's words, and a hint that is enough for all of them."""

from typing import Any

from loadgen.analysis.verdict import merge_findings


def finding(code: str, message: str = "A message.", severity: str = "note", **fields: Any) -> Any:
    return {"code": code, "severity": severity, "message": message, "hint": ""} | fields


def verdicts(*findings: list[Any]) -> list[Any]:
    return [{"status": "valid", "findings": list(found)} for found in findings]


def test_one_runs_number_is_not_told_as_true_for_all_and_the_hint_is_enough_for_each() -> None:
    few = finding("too_few_requests", "30 were measured.", badness=-30, hint="use --requests 1002 for a p99")
    more = finding("too_few_requests", "814 were measured.", badness=-814, hint="use --requests 1,128 for a p99")
    (merged,) = merge_findings(verdicts([more], [few], [more]))
    assert merged.message == "30 were measured."
    assert merged.hint == "use --requests 1,128 for a p99"
    assert merged.extent == "worst of 3 runs"
    (merged,) = merge_findings(verdicts([more], [few], []))
    assert merged.extent == "worst of 2, of 3 runs"


def test_what_all_say_alike_is_told_once() -> None:
    same = finding("no_steady_state")
    assert [merged.extent for merged in merge_findings(verdicts([same], [same]))] == ["all 2 runs"]
    assert [merged.extent for merged in merge_findings(verdicts([same], [same], []))] == ["2 of 3 runs"]
    assert [merged.extent for merged in merge_findings(verdicts([same]))] == [""]


def test_a_worse_severity_beats_a_worse_figure_and_comes_first() -> None:
    note = finding("coalesced", "A little.", "note", badness=0.9, hint="leave it")
    invalid = finding("coalesced", "A lot.", "invalid", badness=0.5, hint="mend it")
    merged = merge_findings(verdicts([finding("errors"), note], [invalid]))
    assert [(each.code, each.severity, each.message, each.hint) for each in merged] == [
        ("coalesced", "invalid", "A lot.", "mend it"),
        ("errors", "note", "A message.", ""),
    ]


def test_a_hint_that_asks_for_something_else_does_not_stand_in() -> None:
    """The 99 of a p99 is a name, and a hint of another kind is no larger one of the same."""
    worst = finding("x", "Worst.", badness=2.0, hint="use --requests 100 for a p90")
    others = [
        finding("x", "Other.", badness=1.0, hint="use --requests 5000 for a p99"),
        finding("x", "Third.", badness=1.0, hint="run for about 9000 s"),
    ]
    (merged,) = merge_findings(verdicts([worst], others[:1], others[1:]))
    assert merged.hint == "use --requests 100 for a p90"


def test_findings_without_severity_or_rank_are_read() -> None:
    (merged,) = merge_findings(verdicts([{"code": "x", "message": "Old.", "hint": None}]))
    assert (merged.severity, merged.message, merged.hint) == ("doubtful", "Old.", "")
