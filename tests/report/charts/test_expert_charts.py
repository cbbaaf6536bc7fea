"""Heat maps of expert counts, and distinct experts of a step against the formula."""

from typing import Any

import numpy as np
import pytest

from loadgen.moe.expert_counts import ExpertCounts, StepSize
from loadgen.report.charts import palette
from loadgen.report.charts.drawing import draw
from loadgen.report.charts.experts import NamedCounts, counts_of_runs, distinct_experts_chart, expert_map


def counts(rows: list[list[int]], steps: tuple[StepSize, ...] | None = None, model: str = "m") -> ExpertCounts:
    return ExpertCounts(
        model=model,
        source="worker_extension",
        experts_per_token=1,
        layers=tuple(range(len(rows))),
        counts=np.array(rows, dtype=np.int64),
        tokens=sum(rows[0]),
        step_sizes=steps,
    )


def run(sweep: str, counted: ExpertCounts | None) -> Any:
    return {"sweep_id": sweep, "experts": None if counted is None else counted.to_json()}


STEPS = (StepSize(1, 4, 8), StepSize(16, 2, 7))
EVEN, UNEVEN = counts([[5, 5], [5, 5]], STEPS), counts([[9, 1], [10, 0]])


def test_a_cell_is_its_count_over_the_mean_of_its_layer() -> None:
    chart = expert_map([NamedCounts("m", UNEVEN)])
    assert chart is not None
    assert chart.spec is not None
    cells = {(cell["layer"], cell["expert"]): cell["ratio"] for cell in chart.spec["data"]["values"]}
    assert cells == {("0", 0): 1.8, ("0", 1): 0.2, ("1", 0): 2.0, ("1", 1): 0.0}
    assert chart.table is not None
    assert chart.table.rows[1] == ("m", "1", "2.000", "0.000", "0.500", "0", "1")


def test_a_map_names_its_model_and_its_tokens() -> None:
    alone = expert_map([NamedCounts("m", UNEVEN)])
    assert alone is not None
    assert alone.unit == "m, 10 tokens"
    assert b"(m, 10 tokens)" in draw(alone, "svg")
    both = expert_map([NamedCounts("even", EVEN), NamedCounts("m", UNEVEN)])
    assert both is not None
    assert both.spec is not None
    assert [panel["title"]["text"] for panel in both.spec["hconcat"]] == ["even: m, 10 tokens", "m, 10 tokens"]


def test_figures_can_be_read_on_every_cell() -> None:
    """WCAG 2 asks for a contrast of 4.5; 4.4 here, since the drawing mixes colours in another way than this test does."""
    for share in np.linspace(0, 1, 101):
        ink = "#ffffff" if share > palette.WHITE_FROM else palette.CELL_INK
        assert contrast(cell_colour(float(share)), channels(ink)) > 4.4


def channels(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def cell_colour(share: float) -> list[float]:
    stops = [channels(colour) for colour in palette.SEQUENCE]
    places = np.linspace(0, 1, len(stops))
    return [float(np.interp(share, places, [stop[at] for stop in stops])) for at in range(3)]


def contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast of two colours by WCAG 2, from 1 to 21."""

    def luminance(colour: list[float]) -> float:
        linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_two_maps_share_one_scale() -> None:
    chart = expert_map([NamedCounts("even", EVEN), NamedCounts("uneven", UNEVEN)])
    assert chart is not None
    assert chart.spec is not None
    left, right = chart.spec["hconcat"]
    scales = [panel["layer"][0]["encoding"]["color"]["scale"]["domain"] for panel in (left, right)]
    assert scales == [[0, 2.0], [0, 2.0]]
    assert b"uneven" in draw(chart, "svg")


def test_many_experts_have_no_room_for_figures() -> None:
    chart = expert_map([NamedCounts("m", counts([[1] * 64] * 20))])
    assert chart is not None
    assert chart.spec is not None
    assert [layer["mark"]["type"] for layer in chart.spec["layer"]] == ["rect"]


def test_distinct_experts_stand_next_to_the_formula() -> None:
    chart = distinct_experts_chart([NamedCounts("even", EVEN), NamedCounts("uneven", UNEVEN)])
    assert chart is not None
    assert chart.table is not None
    assert chart.table.rows == (("even", "1", "4", "1.00", "1.00"), ("even", "16", "2", "1.75", "2.00"))
    assert draw(chart, "svg").startswith(b"<svg")


@pytest.mark.parametrize("named", [[], [NamedCounts("m", counts([[0, 0]]))]])
def test_there_is_no_map_of_nothing(named: list[NamedCounts]) -> None:
    assert expert_map(named) is None
    assert distinct_experts_chart(named) is None


def test_runs_of_a_sweep_are_summed_and_other_shapes_stand_alone() -> None:
    runs = [run("s1", EVEN), run("s1", EVEN), run("s1", None), run("s1", counts([[1, 1, 1]])), run("s2", UNEVEN)]
    found = counts_of_runs(runs, {"s1": "first"})
    assert [(each.name, each.counts.counts.tolist()) for each in found] == [
        ("first", [[10, 10], [10, 10]]),
        ("first", [[1, 1, 1]]),
        ("m", [[9, 1], [10, 0]]),
    ]
