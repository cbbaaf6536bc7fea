"""Speed-up by drafts against acceptance: what is set against what, with which interval, and when there is nothing to draw."""

import pytest

from loadgen.load.shapes import ClosedLoop
from loadgen.report.charts.speedup import draft_label, speedup_chart
from tests.report.documents import Document, chart_rows, measured_run, specs

DRAFTS: dict[str, object] = {"method": "draft_model", "model": "models/small", "num_speculative_tokens": 3}


def runs(
    sweep: str, rates: tuple[float, ...], *, drafts: dict[str, object] | None, accepted: float | None
) -> list[Document]:
    """Repeats at concurrency 4 with these output tokens per second."""
    made = []
    for spec, rate in zip(specs([ClosedLoop(4)], (32,), 8, len(rates), requests_per_slot=4), rates, strict=True):
        run = measured_run(spec, sweep, status="valid")[0]
        arguments = {} if drafts is None else {"speculative-config": drafts}
        speculation = None if accepted is None else {"acceptance_ratio": accepted, "tokens_per_draft": 1 + 3 * accepted}
        run["server"] = run["server"] | {"launch": {"arguments": arguments}}
        made.append(run | {"output_tokens_per_s": rate, "server_account": {"speculation": speculation}})
    return made


PLAIN = runs("s1", (100.0, 101.0, 99.0), drafts=None, accepted=None)
FAST = runs("s2", (150.0, 149.0, 151.0), drafts=DRAFTS, accepted=0.5)


def test_the_ratio_to_the_same_load_without_drafts_with_its_interval() -> None:
    chart = speedup_chart([*PLAIN, *FAST])
    (mark,) = chart_rows(chart)
    assert (mark["series"], mark["acceptance"], mark["tokens_per_draft"]) == ("small, 3 tokens", 0.5, 2.5)
    assert mark["speedup"] == pytest.approx(1.5)
    # Student's t for three repeats, 4.303, times the deviation 1 over the root of 3: 2.48 of 100 and of 150.
    assert mark["low"] == pytest.approx(1.5 / 1.0303, rel=0.002)
    assert mark["high"] == pytest.approx(1.5 * 1.0303, rel=0.002)
    assert chart is not None
    assert chart.table is not None
    assert chart.table.rows[0][:2] == ("small, 3 tokens", "concurrency 4, 32 in, 8 out")
    assert "assumed" not in chart.caption


def test_datasets_are_marks_of_one_line_each_against_its_own_runs_without_drafts() -> None:
    def of(name: str, chosen: list[Document], **changed: object) -> list[Document]:
        workload = {"dataset": {"name": name, "hash": name}}
        spec = {"workload": workload, "point_hash": name}
        return [run | {"spec": run["spec"] | spec} | changed for run in chosen]

    told = {"speculation": {"acceptance_ratio": 0.8, "tokens_per_draft": 3.4}}
    found = chart_rows(
        speedup_chart([*of("copy", PLAIN), *of("add", PLAIN), *of("copy", FAST, server_account=told), *of("add", FAST)])
    )
    assert [(mark["series"], mark["dataset"], round(mark["acceptance"], 6)) for mark in found] == [
        ("small, 3 tokens", "add", 0.5),
        ("small, 3 tokens", "copy", 0.8),
    ]
    assert speedup_chart([*of("copy", PLAIN), *of("add", FAST)]) is None


def test_a_single_run_has_an_assumed_interval_and_the_caption_says_so() -> None:
    chart = speedup_chart([*PLAIN, *FAST[:1]])
    assert chart is not None
    assert "assumed as 5 % a side" in chart.caption


def test_nothing_is_drawn_without_both_sides_of_one_load_and_model() -> None:
    assert speedup_chart(PLAIN) is None
    assert speedup_chart(FAST) is None
    other = [run | {"spec": run["spec"] | {"model": "other"}} for run in FAST]
    assert speedup_chart([*PLAIN, *other]) is None
    longer = [run | {"spec": run["spec"] | {"input_tokens": 64}} for run in FAST]
    assert speedup_chart([*PLAIN, *longer]) is None
    unknown = runs("s3", (150.0,), drafts=DRAFTS, accepted=None)  # a server that does not tell what was accepted
    assert speedup_chart([*PLAIN, *unknown]) is None


@pytest.mark.parametrize(
    ("config", "label"),
    [
        (DRAFTS, "small, 3 tokens"),
        ({"method": "ngram", "num_speculative_tokens": 4}, "ngram, 4 tokens"),
        (DRAFTS | {"rejection_sample_method": "synthetic", "synthetic_acceptance_length": 2.2}, "small, 3 tokens, synthetic"),
    ],
)  # fmt: skip
def test_a_draft_is_named_by_its_arguments(config: dict[str, object], label: str) -> None:
    assert draft_label(FAST[0]["server"] | {"launch": {"arguments": {"speculative-config": config}}}) == label
    assert draft_label(PLAIN[0]["server"]) is None
