"""What the server's GPUs took to answer: power, clocks, and energy over the measured window, by readings of their driver.

Columns are the driver's own integers, with MISSING for what it did not tell; figures are in watts and
joules. Sums are over the GPUs, and None as soon as one of them lacks the figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from loadgen.analysis.document.server import GpuAccount, GpuFigures, GpuIdentity
from loadgen.analysis.figures.figure import Figure
from loadgen.analysis.figures.metrics import window_output_tokens
from loadgen.analysis.measured import Measured
from loadgen.analysis.stats import FloatArray
from loadgen.engine.records.record import MISSING, Bool, Int64

# Of the readings a window needs one this near to each of its edges; nvidia-smi reads every 0.2 s, NVML every 0.1 s.
_EDGE_NS = 500_000_000

# NVML's mask of what holds the clocks down (nvml.h, nvmlClocksEventReason…). An idle GPU, clocks that somebody set, and a
# display are no trouble, and are left out.
THROTTLES: dict[str, int] = {
    "power cap": 0x04,
    "hardware slowdown": 0x08,
    "software thermal slowdown": 0x20,
    "hardware thermal slowdown": 0x40,
    "power brake": 0x80,
}


@dataclass(frozen=True, slots=True)
class GpuSeries:
    """One GPU's readings through a run. `device` says which it is; the columns are of one length, `at_ns` from t = 0 among them."""

    device: GpuIdentity
    columns: Mapping[str, Int64]

    def within(self, start_ns: int, end_ns: int) -> Bool:
        inside: Bool = (self.columns["at_ns"] >= start_ns) & (self.columns["at_ns"] <= end_ns)
        return inside


def gpu_account(
    series: Sequence[GpuSeries], measured: Measured, source: str | None, chosen_by: str | None
) -> GpuAccount | None:
    """The run document's `gpu`: over the measured window, by device and in sum. None without a GPU, a window or a reading in it."""
    start_ns, end_ns = measured.window.start_ns, measured.window.end_ns
    if start_ns is None or end_ns is None or measured.window.length_s is None:
        return None
    devices = [_device(each, start_ns, end_ns) for each in series if each.within(start_ns, end_ns).any()]
    if not devices or len(devices) < len(series):
        return None
    energy_j, tokens = _sum([device["energy_j"] for device in devices]), window_output_tokens(measured)
    requests = measured.count(lambda piece: piece.ok & piece.in_window)
    return {
        "source": source,
        "chosen_by": chosen_by,
        "energy_j": energy_j,
        "energy_by": devices[0]["energy_by"],
        "energy_per_output_token_j": energy_j / tokens if energy_j is not None and tokens else None,
        "energy_per_request_j": energy_j / requests if energy_j is not None and requests else None,
        "power_mean_w": _sum([device["power_mean_w"] for device in devices]),
        "power_max_w": _power_max_w(series, start_ns, end_ns),
        "devices": devices,
    }


def _device(gpu: GpuSeries, start_ns: int, end_ns: int) -> GpuFigures:
    inside = gpu.within(start_ns, end_ns)

    def known_values(name: str) -> FloatArray:
        values = gpu.columns[name][inside]
        known: FloatArray = values[values != MISSING].astype(np.float64)
        return known

    def mean(name: str, times: float = 1.0) -> float | None:
        return float(known_values(name).mean()) * times if len(known_values(name)) else None

    def most(name: str) -> int | None:
        return int(known_values(name).max()) if len(known_values(name)) else None

    energy_j, energy_by = energy(gpu, start_ns, end_ns)
    power_max_mw = most("power_mw")
    at_ns = gpu.columns["at_ns"][inside]
    return {
        **gpu.device,
        "readings": int(np.count_nonzero(inside)),
        "interval_s": float(np.median(np.diff(at_ns))) / 1e9 if len(at_ns) > 1 else None,
        "energy_j": energy_j,
        "energy_by": energy_by,
        "power_mean_w": None if energy_j is None else energy_j / ((end_ns - start_ns) / 1e9),
        "power_max_w": None if power_max_mw is None else power_max_mw / 1000,
        "sm_clock_mean_mhz": mean("sm_clock_mhz"),
        "memory_clock_mean_mhz": mean("memory_clock_mhz"),
        "memory_used_max_bytes": most("memory_used_bytes"),
        "utilization_mean_ratio": mean("utilization_percent", 0.01),
        "temperature_max_c": most("temperature_c"),
        "throttled_ratio": _throttled(gpu.columns["throttle_reasons"][inside]),
    }


def energy(gpu: GpuSeries, start_ns: int, end_ns: int) -> tuple[float | None, str | None]:
    """Joules between two moments, and what they were made from: the GPU's own `counter`, else the integral of its `power`.

    The counter is interpolated between the readings around each edge. Power is integrated by the trapezoid rule over its readings, with
    the same interpolation. (None, None) where no reading lies within half a second of an edge, or outside of it.
    """
    for name, how in (("energy_mj", "counter"), ("power_mw", "power")):
        known = gpu.columns[name] != MISSING
        at_ns, values = gpu.columns["at_ns"][known], gpu.columns[name][known].astype(np.float64)
        if not len(at_ns) or at_ns[0] > start_ns + _EDGE_NS or at_ns[-1] < end_ns - _EDGE_NS:
            continue
        edges = np.interp([start_ns, end_ns], at_ns, values)
        if how == "counter":
            if np.any(np.diff(values) < 0) or at_ns[0] > start_ns or at_ns[-1] < end_ns:
                continue  # it began anew, or would have to be guessed beyond its readings
            return float(edges[1] - edges[0]) / 1000, how
        inside = (at_ns > start_ns) & (at_ns < end_ns)
        moments_s = np.concatenate([[start_ns], at_ns[inside], [end_ns]]) / 1e9
        power_w = np.concatenate([edges[:1], values[inside], edges[1:]]) / 1000
        return float(((power_w[1:] + power_w[:-1]) / 2 * np.diff(moments_s)).sum()), how
    return None, None


def _throttled(reasons: Int64) -> dict[str, float]:
    """The share of the readings in which each reason held the clocks down; reasons that never did are left out."""
    known = reasons[reasons != MISSING]
    shares = {name: float(np.count_nonzero(known & bit)) / len(known) for name, bit in THROTTLES.items() if len(known)}
    return {name: share for name, share in shares.items() if share}


def _power_max_w(series: Sequence[GpuSeries], start_ns: int, end_ns: int) -> float | None:
    """The most that all of them took together: each GPU's power at the moments of the first one's readings."""
    moments = series[0].columns["at_ns"][series[0].within(start_ns, end_ns)]
    total = np.zeros(len(moments))
    for gpu in series:
        known = gpu.columns["power_mw"] != MISSING
        if not known.any():
            return None
        total += np.interp(moments, gpu.columns["at_ns"][known], gpu.columns["power_mw"][known].astype(np.float64))
    return float(total.max()) / 1000


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(sum(known)) if len(known) == len(values) else None


GPU_FIGURES = (
    Figure(
        key="energy_per_output_token_j",
        label="Energy per output token",
        unit="J",
        better="lower",
        formula="energy of the server's GPUs in the window/output tokens in the window",
        path="gpu.energy_per_output_token_j",
    ),
)
