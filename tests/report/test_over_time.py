"""What a server did through a run, drawn: its readings as they are, ours beside them, none invented."""

from typing import Any

import numpy as np
import pytest

from loadgen.analysis.gpu import GpuSeries
from loadgen.engine.record import MISSING
from loadgen.load.spec import ClosedLoop
from loadgen.report.over_time import MOMENTS, over_time_charts, thinned
from loadgen.report.run_charts import run_charts
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


def drawn(chart: Any) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in chart.spec["data"]["values"]:
        lines.setdefault(row["line"], []).append((row["at_s"], row["value"]))
    return lines


def test_the_servers_readings_stand_beside_what_was_in_flight(run: tuple[Document, Document]) -> None:
    document, outline = run
    requests, cache = over_time_charts(document["window"], outline["over_time"], SAMPLES, [])
    lines = drawn(requests)
    assert lines["running"] == [(-0.5, 5.0), (0.0, 4.0), (0.5, 3.0), (1.0, 2.0), (1.5, 1.0)]
    assert [value for _, value in lines["waiting"]] == [-1.0, 0.0, 1.0, 2.0, 3.0]
    assert 3.5 < max(value for _, value in lines["in flight"]) <= 4.0
    assert requests.spec is not None
    assert "by 5 readings" in requests.caption
    edges = [row["edge_s"] for row in requests.spec["layer"][-1]["data"]["values"]]
    assert edges == [document["window"]["start_s"], document["window"]["end_s"]]
    assert {value for _, value in drawn(cache)["KV cache"]} == {20.0}


def test_each_gpu_is_a_line_of_watts_without_what_it_did_not_tell(run: tuple[Document, Document]) -> None:
    document, outline = run
    series = [gpu(0, [100_000, MISSING, 300_000, 400_000]), gpu(3, [MISSING, MISSING, 1, 2])]
    (power,) = over_time_charts(document["window"], outline["over_time"], [], series)
    assert drawn(power) == {"GPU 0": [(0.0, 100.0), (0.2, 300.0), (0.3, 400.0)]}


@pytest.mark.parametrize("samples", [[], SAMPLES[:2], [ServerSample(0, {"other:x": 1.0})] * 5])
def test_too_few_readings_and_unknown_engines_make_no_chart(
    run: tuple[Document, Document], samples: list[ServerSample]
) -> None:
    document, outline = run
    assert over_time_charts(document["window"], outline["over_time"], samples, [gpu(0, [1, 2])]) == ()


def test_long_lines_are_means_of_stretches() -> None:
    at_s, values = thinned(np.arange(4 * MOMENTS, dtype=np.float64), np.tile([0.0, 4.0], 2 * MOMENTS))
    assert len(at_s) == len(values) == MOMENTS
    assert set(values) == {2.0}
    assert at_s[0] == 1.5


def test_simulated_charts_say_so(run: tuple[Document, Document]) -> None:
    document, outline = run
    _, _, over_time = run_charts(document | {"simulated": True}, outline, SAMPLES)
    assert [chart.title for chart in over_time] == ["Requests at the server (SIMULATED)", "KV cache in use (SIMULATED)"]
