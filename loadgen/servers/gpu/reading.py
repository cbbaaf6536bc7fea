"""What is read of a GPU, in the units of its driver, and what a source of readings can do."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """One GPU as its driver tells it. What it does not tell is None."""

    index: int
    uuid: str
    name: str
    memory_bytes: int | None
    power_limit_w: float | None
    driver: str | None


class GpuReading(NamedTuple):
    """One look at one GPU; None for what it does not tell.

    `power_mw` is averaged over a second by the GPU itself from Ampere on (but for GA100), by NVML's own description.
    `energy_mj` counts since the driver was loaded. `throttle_reasons` is NVML's mask of what holds the clocks down.
    """

    power_mw: int | None
    energy_mj: int | None
    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    memory_used_bytes: int | None
    utilization_percent: int | None
    temperature_c: int | None
    throttle_reasons: int | None
