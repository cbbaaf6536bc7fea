"""What is seen of a server comes on the run's own time axis."""

from datetime import UTC, datetime, timedelta

import pytest

from loadgen.engine.records.record import MISSING
from loadgen.experiments.server_monitor import gpu_series, samples
from loadgen.servers.exposition import Values
from loadgen.servers.gpu.sources import GpuDevice, GpuReading
from loadgen.servers.gpu.watch import WatchedGpu
from loadgen.servers.telemetry import Scrape

ORIGIN = datetime(2026, 11, 26, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return ORIGIN + timedelta(seconds=seconds)


def test_scrapes_become_samples_and_empty_ones_nothing() -> None:
    taken = samples(
        ORIGIN, [Scrape(at(-0.5), Values({"a": 1.0})), Scrape(at(1), Values({})), Scrape(at(2.25), Values({"a": 3.0}))]
    )
    assert [(each.at_ns, each.values) for each in taken] == [(-500_000_000, {"a": 1.0}), (2_250_000_000, {"a": 3.0})]


@pytest.mark.parametrize("readings", [0, 2])
def test_a_gpus_readings_become_columns(readings: int) -> None:
    device = GpuDevice(1, "GPU-1", "H100", 80, 700.0, "570")
    reading = GpuReading(412_345, None, 1980, 2619, 72, 97, 61, 4)
    series = gpu_series(ORIGIN, WatchedGpu(device, [(at(n), reading) for n in range(readings)]))
    assert series.device["name"] == "H100"
    assert series.columns["at_ns"].tolist() == [0, 1_000_000_000][:readings]
    assert series.columns["power_mw"].tolist() == [412_345] * readings
    assert series.columns["energy_mj"].tolist() == [MISSING] * readings
