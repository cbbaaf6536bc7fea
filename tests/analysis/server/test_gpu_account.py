"""Energy over exactly the window, and what else is made of a GPU's readings."""

from typing import Any

import numpy as np
import pytest

from loadgen.analysis.measured import Measured, measured_of
from loadgen.analysis.server.gpu import THROTTLES, GpuSeries, energy, gpu_account
from loadgen.engine.records.record import MISSING
from loadgen.load.shapes import ClosedLoop
from tests.analysis.conftest import make_lockstep, make_recording, make_spec

S = 1_000_000_000
COLUMNS = (
    "power_mw",
    "energy_mj",
    "sm_clock_mhz",
    "memory_clock_mhz",
    "memory_used_bytes",
    "utilization_percent",
    "temperature_c",
    "throttle_reasons",
)


def gpu(index: int = 0, every_s: float = 0.1, until_s: float = 12.0, from_s: float = -1.0, **columns: Any) -> GpuSeries:
    """Readings at a pace; each column is a value, a function of the seconds, or left out."""
    at_s = np.arange(from_s, until_s, every_s)
    made = {"at_ns": np.round(at_s * S).astype(np.int64)}
    for name in COLUMNS:
        value = columns.get(name, MISSING)
        made[name] = (
            np.full(len(at_s), value, np.int64) if not callable(value) else np.round(value(at_s)).astype(np.int64)
        )
    return GpuSeries({"index": index, "uuid": f"GPU-{index}", "name": "H100"}, made)


@pytest.fixture
def measured() -> Measured:
    """Four callers, ten waves of a second with two tokens each: a steady state of 8 s, 64 tokens and 32 requests."""
    return measured_of(make_spec(ClosedLoop(4), requests=40), make_recording(make_lockstep(4, 10)).records)


def test_the_counter_is_read_at_the_edges_of_the_window() -> None:
    series = gpu(energy_mj=lambda s: 5_000_000 + 400_000 * s)  # 400 W
    joules, how = energy(series, round(1.234 * S), round(8.765 * S))
    assert how == "counter"
    assert joules == pytest.approx(400 * (8.765 - 1.234))


def test_without_a_counter_power_is_integrated_over_the_window_alone() -> None:
    series = gpu(power_mw=lambda s: np.where(s < 5, 100_000, 300_000), every_s=0.001)
    joules, how = energy(series, 3 * S, 7 * S)
    assert how == "power"
    assert joules == pytest.approx(2 * 100 + 2 * 300, rel=1e-3)
    rising = gpu(power_mw=lambda s: 1000 * 10 * s)  # 10 W a second: the trapezoid rule is exact
    assert energy(rising, 2 * S, 6 * S)[0] == pytest.approx(160.0)


@pytest.mark.parametrize("edge", [{"from_s": 2.0}, {"until_s": 7.0}])
def test_a_window_that_was_not_watched_to_its_edges_has_no_energy(edge: dict[str, Any]) -> None:
    series = gpu(power_mw=100_000, energy_mj=lambda s: 100_000 * s + 500_000, **edge)
    assert energy(series, 1 * S, 8 * S) == (None, None)


def test_a_counter_that_began_anew_gives_way_to_the_power() -> None:
    series = gpu(power_mw=100_000, energy_mj=lambda s: np.where(s < 5, 900_000 + s, s))
    joules, how = energy(series, 1 * S, 8 * S)
    assert how == "power"
    assert joules == pytest.approx(700.0)


def test_the_figures_are_of_the_window_and_of_all_gpus(measured: Measured) -> None:
    def power(s: Any) -> Any:
        return np.where((s > 1) & (s < 9), 300_000, 60_000)

    start_s = (measured.window.start_ns or 0) / 1e9
    first = gpu(
        0,
        power_mw=power,
        sm_clock_mhz=1980,
        temperature_c=lambda s: 50 + s,
        utilization_percent=90,
        memory_used_bytes=7,
    )
    second = gpu(1, power_mw=200_000, throttle_reasons=lambda s: np.where(s < 5, 0x05, 0x20))
    told: Any = gpu_account([first, second], measured, "nvml", "processes")
    assert told is not None
    assert (told["source"], told["chosen_by"], told["energy_by"]) == ("nvml", "processes", "power")
    assert told["energy_j"] == pytest.approx(8 * 500, rel=0.01)
    assert told["energy_per_output_token_j"] == pytest.approx(told["energy_j"] / 64)
    assert told["energy_per_request_j"] == pytest.approx(told["energy_j"] / 32)
    assert told["power_mean_w"] == pytest.approx(500, rel=0.01)
    assert told["power_max_w"] == pytest.approx(500)
    one, other = told["devices"]
    assert (one["index"], one["sm_clock_mean_mhz"], one["memory_clock_mean_mhz"]) == (0, 1980, None)
    assert (one["utilization_mean_ratio"], one["memory_used_max_bytes"]) == (pytest.approx(0.9), 7)
    assert 58 <= one["temperature_max_c"] <= 59
    assert one["interval_s"] == pytest.approx(0.1)
    assert one["throttled_ratio"] == {}
    assert other["throttled_ratio"] == pytest.approx(
        {"power cap": (5 - start_s) / 8, "software thermal slowdown": (3 + start_s) / 8}, abs=0.02
    )


def test_energy_is_not_told_of_a_part_of_the_gpus(measured: Measured) -> None:
    told: Any = gpu_account([gpu(0, power_mw=300_000), gpu(1)], measured, "nvml", "all")
    assert told is not None
    assert told["energy_j"] is None
    assert told["energy_per_output_token_j"] is None
    assert told["power_max_w"] is None


def test_without_a_gpu_or_a_reading_there_is_nothing(measured: Measured) -> None:
    assert gpu_account([], measured, None, None) is None
    assert gpu_account([gpu(from_s=20.0, until_s=22.0)], measured, "nvml", "all") is None


def test_an_idle_gpu_and_clocks_that_somebody_set_are_no_throttling() -> None:
    mask = 0
    for bit in THROTTLES.values():
        mask |= bit
    assert mask & (0x01 | 0x02 | 0x10 | 0x100) == 0
