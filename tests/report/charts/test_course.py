"""What a server did through a run, drawn: its readings as they are, ours beside them, none invented."""

import struct
from itertools import pairwise

import numpy as np
import pytest

from loadgen.analysis.server.gpu import GpuSeries
from loadgen.engine.records.record import MISSING
from loadgen.load.shapes import ClosedLoop
from loadgen.report.charts.chart import Chart
from loadgen.report.charts.course import MAX_TIMESTAMPS, over_time_chart, thinned
from loadgen.report.charts.drawing import draw
from loadgen.report.charts.plots import run_page_charts
from loadgen.report.run_selection import OneRun
from loadgen.store.rows import ServerSample
from tests.report.documents import Document, measured_run, outlined, specs


@pytest.fixture(scope="module")
def run() -> tuple[Document, Document]:
    document, records = measured_run(specs([ClosedLoop(4)])[0], "s1")
    return document, outlined(document, records)


SAMPLES = [
    ServerSample(
        number * 500_000_000,
        {
            "vllm:num_requests_running": 4.0 - number,
            "vllm:num_requests_waiting": float(number),
            "vllm:kv_cache_usage_perc": 0.2,
        },
    )
    for number in range(-1, 4)
]


def gpu(index: int, power_mw: list[int]) -> GpuSeries:
    at_ns = np.arange(len(power_mw), dtype=np.int64) * 100_000_000
    return GpuSeries(
        {"index": index, "name": "NVIDIA H100"}, {"at_ns": at_ns, "power_mw": np.array(power_mw, np.int64)}
    )


def drawn(chart: Chart | None) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """The points of each line of each panel."""
    assert chart is not None
    assert chart.spec is not None
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for panel in chart.spec["vconcat"]:
        lines = panels.setdefault(panel["title"]["text"], {})
        for layer in panel["layer"]:
            for row in layer["data"]["values"] if "color" in layer["encoding"] else ():
                lines.setdefault(row["line"], []).append((row["at_s"], row["value"]))
    return panels


def test_the_servers_readings_stand_beside_what_was_in_flight_on_one_time_axis(run: tuple[Document, Document]) -> None:
    document, outline = run
    course = outline["over_time"]
    chart = over_time_chart(document["window"], course, SAMPLES, [])
    panels = drawn(chart)
    assert list(panels) == ["Output tokens/s", "Requests", "KV cache in use (%)"]
    requests = panels["Requests"]
    assert requests["running"] == [(-0.5, 5.0), (0.0, 4.0), (0.5, 3.0), (1.0, 2.0), (1.5, 1.0)]
    assert [value for _, value in requests["waiting"]] == [-1.0, 0.0, 1.0, 2.0, 3.0]
    assert max(value for _, value in requests["in flight"]) == 4.0
    assert {value for _, value in panels["KV cache in use (%)"]["KV cache"]} == {20.0}
    assert chart is not None
    assert chart.spec is not None
    assert "read 5 times" in chart.caption
    assert chart.spec["resolve"]["scale"]["x"] == "shared"
    edges = [row["at_s"] for row in chart.spec["vconcat"][0]["layer"][-1]["data"]["values"]]
    assert edges == pytest.approx([document["window"]["start_s"], document["window"]["end_s"]], rel=1e-4)


def test_the_area_under_the_rate_is_every_token_of_the_run(run: tuple[Document, Document]) -> None:
    document, outline = run
    course = outline["over_time"]
    steps = drawn(over_time_chart(None, course, [], []))["Output tokens/s"]["output"]
    tokens = sum(rate * (after - at) for (at, rate), (after, _) in pairwise(steps))
    assert tokens == pytest.approx(document["tokens"]["output"], rel=1e-3)
    unknown = course | {"output_tokens": [None] * len(course["output_tokens"])}
    assert "Output tokens/s" not in drawn(over_time_chart(None, unknown, [], []))


def test_each_gpu_is_a_line_of_watts_without_what_it_did_not_tell() -> None:
    series = [gpu(0, [100_000, MISSING, 300_000, 400_000]), gpu(3, [MISSING, MISSING, 1, 2])]
    panels = drawn(over_time_chart(None, None, [], series))
    assert panels == {"Power (W), NVIDIA H100": {"GPU 0": [(0.0, 100.0), (0.2, 300.0), (0.3, 400.0)]}}


@pytest.mark.parametrize("samples", [[], SAMPLES[:2], [ServerSample(0, {"other:x": 1.0})] * 5])
def test_too_few_readings_and_unknown_engines_make_no_panel(samples: list[ServerSample]) -> None:
    assert over_time_chart(None, None, samples, [gpu(0, [1, 2])]) is None


def test_few_readings_are_marked_as_such_and_many_are_a_line(run: tuple[Document, Document]) -> None:
    _, outline = run
    chart = over_time_chart(None, outline["over_time"], SAMPLES, [])
    assert chart is not None
    assert chart.spec is not None
    marks = [layer["mark"] for layer in chart.spec["vconcat"][1]["layer"] if layer["mark"]["type"] == "line"]
    assert ["point" in mark for mark in marks] == [False, True, True]


def test_every_panel_is_drawn_as_wide_as_the_file(run: tuple[Document, Document]) -> None:
    document, outline = run
    chart = over_time_chart(document["window"], outline["over_time"], SAMPLES, [])
    assert chart is not None
    png = draw(chart, "png", width_px=500)
    width_px, _ = struct.unpack(">II", png[16:24])
    assert width_px == pytest.approx(1000, abs=40)


def test_long_lines_are_means_of_stretches() -> None:
    at_s, values = thinned(np.arange(4 * MAX_TIMESTAMPS, dtype=np.float64), np.tile([0.0, 4.0], 2 * MAX_TIMESTAMPS))
    assert len(at_s) == len(values) == MAX_TIMESTAMPS
    assert set(values) == {2.0}
    assert at_s[0] == 1.5


def test_a_simulated_course_says_so(run: tuple[Document, Document]) -> None:
    document, outline = run
    _, _, over_time = run_page_charts(OneRun(document | {"simulated": True}, outline, SAMPLES))
    assert over_time is not None
    assert over_time.title == "Over time (SIMULATED)"
    assert over_time.spec is not None
    assert over_time.spec["title"] == "SIMULATED · Over time"
