"""docs/method.md says what the code does: the same metrics, outcomes and checks, in the same words, both ways."""

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import numpy as np

from loadgen.analysis.checks.validity import CHECKS
from loadgen.analysis.client_error import APART_NS, PROMISE
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import METHOD_VERSION, METRICS
from loadgen.analysis.stats import samples_needed
from loadgen.analysis.utilisation import UTILISATION_FIGURES
from loadgen.analysis.verdict import Check
from loadgen.analysis.window import MIN_REQUESTS
from loadgen.doctor import calibration
from loadgen.engine.capture.chunks import GIVEN_UP
from loadgen.engine.capture.recorder import KERNEL_SHARE, Recorder
from loadgen.engine.eventloop.clock import WallClock
from loadgen.engine.records.exchange import Exchange
from loadgen.engine.records.record import CountedBy, Outcome, Priority
from loadgen.engine.wire.connection import STALE_LIMIT_NS
from loadgen.load.schedule import Schedule
from loadgen.load.shapes import ClosedLoop, OpenLoop, Wave

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
ENGINE = ROOT / "loadgen" / "engine"


def section(title: str) -> str:
    return DOCUMENT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def table(title: str) -> list[str]:
    """The body of the first table of a section, a string a row."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return lines[2:]


def metric_rows(metrics: Iterable[Figure]) -> list[str]:
    rows = []
    for metric in metrics:
        better = f"{metric.better} is better" if metric.better else "neither is better"
        rows.append(f"| `{metric.key}` | {metric.label} | {metric.unit} | {metric.formula} | … | {better} |")
    return rows


def rows_without(title: str, *columns: int) -> list[str]:
    """The rows of a table but for columns that are the document's own, which must say something in each."""
    rows = [row.split(" | ") for row in table(title)]
    assert all(row[column].strip("| ") for row in rows for column in columns)
    return [" | ".join("…" if at in columns else cell for at, cell in enumerate(row)) for row in rows]


def check_row(check: Check) -> str:
    doubtful, invalid = (
        "–" if limit is None else f"{limit:g}" for limit in (check.thresholds.doubtful, check.thresholds.invalid)
    )
    return f"| `{check.code}` | … | {doubtful} | {invalid} | …"


def test_the_metrics_are_the_codes() -> None:
    assert rows_without("Metrics", 4) == metric_rows(METRICS)


def test_the_figures_of_utilisation_are_the_codes() -> None:
    assert rows_without("Utilisation", 4) == metric_rows(UTILISATION_FIGURES)


def test_each_metric_is_told_in_a_sentence() -> None:
    told = [line.split(": ", 1) for line in section("Metrics").splitlines() if line.startswith("- ")]
    assert [key for key, sentence in told if sentence] == [f"- `{metric.key}`" for metric in METRICS]


def test_the_checks_are_the_codes() -> None:
    assert rows_without("Checks", 1, 4) == [check_row(check) for check in CHECKS]


def test_the_outcomes_are_the_codes() -> None:
    assert [row.split("`")[1] for row in table("Outcomes")] == [outcome.label for outcome in Outcome]


def test_the_sources_of_token_counts_are_the_codes() -> None:
    told = [line.split("`")[1] for line in section("Tokens").splitlines() if line.startswith("- `")]
    assert told == [source.label for source in CountedBy]


def test_a_source_that_nothing_produces_is_not_promised() -> None:
    """A source that the engine never names is told with just that remark, and one that it names without it."""
    engine = "".join(path.read_text(encoding="utf-8") for path in ENGINE.rglob("*.py") if path.name != "record.py")
    told = {line.split("`")[1]: line for line in section("Tokens").splitlines() if line.startswith("- `")}
    for source in CountedBy:
        assert (f"CountedBy.{source.name}" in engine) != ("nothing produces it yet" in told[source.label])


def test_the_finish_reasons_of_an_answer_that_was_given_up_are_the_codes() -> None:
    rows = {row.split("`")[1]: row for row in table("Outcomes")}
    for reason in GIVEN_UP:
        assert f"`{reason}`" in rows["ok"]
        assert f"`{reason}`" in rows["stream_error"]


def test_the_rule_of_sending_again_has_the_codes_number() -> None:
    assert f"within {STALE_LIMIT_NS / 1e6:g} ms and twice the time" in section("Stamps")


def test_from_when_latencies_count_is_as_told() -> None:
    """The moments that the recorder notes of a request which was due at 0 (or intended for 1 ms) and sent at 3 ms."""
    wall_clock = WallClock()
    starts: dict[str, int | None] = {}
    for shape in (ClosedLoop(1), Wave(1), OpenLoop(1.0)):
        exchange = Exchange(0, 0, 1_000_000 if isinstance(shape, OpenLoop) else None)
        exchange.sent_ns = exchange.gave_up_ns = 3_000_000
        body = np.ones(1, np.int32)
        schedule = Schedule(bodies=(b"{}",), prompt_tokens=body, output_tokens=body, offsets_ns=None)
        (records,) = Recorder(schedule, shape, origin_ns=0, wall_clock=wall_clock).pieces([exchange])
        starts[shape.kind] = records[0].start_ns
    assert starts == {"closed_loop": 3_000_000, "wave": 3_000_000, "open_loop": 1_000_000}
    assert "In a closed loop and in a wave they count from *sent*." in section("Stamps")
    assert "| start | what its latencies count from: due in the open loop, sent otherwise |" in table("Stamps")


def test_every_priority_is_explained() -> None:
    told = next(line for line in DOCUMENT.splitlines() if line.startswith("- `client.priority`"))
    assert all(f"`{priority}`" in told for priority in get_args(Priority))


def test_the_numbers_in_the_text_are_the_codes() -> None:
    needs = ", ".join(f"{samples_needed(p):,} for p{p}" for p in (90, 95, 99))
    assert needs in section("Percentiles")
    assert f"or fewer than {MIN_REQUESTS}," in section("The measured window")
    assert f"this is version {METHOD_VERSION}." in DOCUMENT
    assert f"At least {KERNEL_SHARE:.0%} of".replace("%", " %") in section("Stamps")


def test_the_doctors_promise_is_the_codes() -> None:
    told = section("The doctor")
    assert f"| {PROMISE.ttft_error_p50_s * 1e3:g} ms, {PROMISE.ttft_error_p99_s * 1e3:g} ms |" in told
    assert f"| {PROMISE.gap_p99_error_s * 1e3:g} ms |" in told
    assert f"| {PROMISE.joined_ratio * 100:g} % |" in told
    assert f"more than {APART_NS / 1e6:g} ms apart" in told
    assert f"at least {calibration._MIN_S:g} s and {calibration._REQUESTS_FOR_P99:,} requests" in told
    assert f"Below {calibration._FEW_STREAMS} streams" in told
    assert f"more than {calibration._EVENTS_PER_S:,} tokens per second" in told
