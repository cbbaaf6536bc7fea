"""Eq. 1 and Eq. 2 of the paper on a wave worked by hand."""

from collections.abc import Callable
from typing import Any

import pytest

from loadgen.analysis.figures.paper import paper_figures
from loadgen.analysis.measured import measured_of
from loadgen.engine.records.record import CountedBy, Outcome, Recording, RequestRecord
from loadgen.load.shapes import ClosedLoop, Wave
from loadgen.load.spec import RunSpec

Row = Callable[..., RequestRecord]
SpecOf = Callable[..., RunSpec]
RecordingOf = Callable[..., Recording]


def wave(row: Row, **second: Any) -> list[RequestRecord]:
    """Two prompts of 8 tokens and two answers of 3, sent at 0.1 s: first tokens at 0.3 and 0.5, the end at 2.1."""
    arrivals = second.pop("arrivals", [(0.5, 1), (1.0, 1), (1.9, 1)])
    return [
        row([(0.3, 1), (1.0, 1), (2.1, 1)], sent_s=0.1, slot=0),
        row(arrivals, sent_s=0.15, slot=1, **second),
    ]


def test_both_equations(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    figures = paper_figures(measured_of(spec_of(Wave(2)), recording_of(wave(row)).records))
    assert figures is not None
    assert figures["ttft_s"] == pytest.approx(0.4)
    assert figures["itl_s"] == pytest.approx((2.0 - 0.4) / (2 * 3 - 1))
    assert figures["throughput_tokens_per_s"] == pytest.approx(2 * (8 + 3) / 2.0)


def test_a_sum_from_usage_is_good_enough(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    rows = wave(row, counted_by=CountedBy.ASSUMED, output_tokens=7)
    figures = paper_figures(measured_of(spec_of(Wave(2)), recording_of(rows).records))
    assert figures is not None
    assert figures["itl_s"] == pytest.approx(1.6 / 9)


@pytest.mark.parametrize(
    "second",
    [
        {"outcome": Outcome.TRUNCATED},
        {"counted_by": CountedBy.ASSUMED},
        {"prompt_tokens": None},
        {"arrivals": []},
    ],
)
def test_a_wave_with_a_hole_has_no_figures(
    row: Row, spec_of: SpecOf, recording_of: RecordingOf, second: dict[str, Any]
) -> None:
    assert paper_figures(measured_of(spec_of(Wave(2)), recording_of(wave(row, **second)).records)) is None


def test_only_a_wave_has_them(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    assert paper_figures(measured_of(spec_of(ClosedLoop(2)), recording_of(wave(row)).records)) is None


def test_one_token_in_all_has_no_itl(row: Row, spec_of: SpecOf, recording_of: RecordingOf) -> None:
    figures = paper_figures(measured_of(spec_of(Wave(1)), recording_of([row([(0.5, 1)])]).records))
    assert figures is not None
    assert figures["itl_s"] is None
    assert figures["throughput_tokens_per_s"] == pytest.approx(9 / 0.5)
