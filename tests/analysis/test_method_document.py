"""docs/method.md says what the code does: the same metrics, outcomes and checks, in the same words, both ways."""

from pathlib import Path

from loadgen.analysis.metrics import METHOD_VERSION, METRICS, Metric
from loadgen.analysis.stats import samples_needed
from loadgen.analysis.validity import CHECKS
from loadgen.analysis.verdict import Check
from loadgen.analysis.window import FEWEST_REQUESTS
from loadgen.engine.record import CountedBy, Outcome
from loadgen.engine.recorder import KERNEL_SHARE

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "method.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return DOCUMENT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def table(title: str) -> list[str]:
    """The body of the first table of a section, a string a row."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return lines[2:]


def metric_row(metric: Metric) -> str:
    better = "lower is better" if metric.better == "lower" else "higher is better"
    return f"| `{metric.key}` | {metric.label} | {metric.unit} | {metric.formula} | {metric.window} | {better} |"


def check_row(check: Check) -> str:
    doubtful, invalid = (
        "–" if limit is None else f"{limit:g}" for limit in (check.limits.doubtful, check.limits.invalid)
    )
    return f"| `{check.code}` | {check.compares} | {doubtful} | {invalid} | {check.reason} |"


def test_the_metrics_are_the_codes() -> None:
    assert table("Metrics") == [metric_row(metric) for metric in METRICS]


def test_each_metric_is_told_in_a_sentence() -> None:
    told = [line for line in section("Metrics").splitlines() if line.startswith("- ")]
    assert told == [f"- `{metric.key}`: {metric.doc}" for metric in METRICS]


def test_the_checks_are_the_codes() -> None:
    assert table("Checks") == [check_row(check) for check in CHECKS]


def test_the_outcomes_are_the_codes() -> None:
    assert [row.split("`")[1] for row in table("Outcomes")] == [outcome.label for outcome in Outcome]


def test_the_sources_of_token_counts_are_the_codes() -> None:
    told = [line.split("`")[1] for line in section("Tokens").splitlines() if line.startswith("- `")]
    assert told == [source.label for source in CountedBy]


def test_the_numbers_in_the_text_are_the_codes() -> None:
    needs = ", ".join(f"{samples_needed(p):,} for p{p}" for p in (90, 95, 99))
    assert needs in section("Percentiles")
    assert f"or fewer than {FEWEST_REQUESTS}," in section("The measured window")
    assert f"this is version {METHOD_VERSION}." in DOCUMENT
    assert f"At least {KERNEL_SHARE:.0%} of".replace("%", " %") in section("Stamps")
