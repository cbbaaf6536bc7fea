"""NVIDIA's management library, through its own Python package nvidia-ml-py (`pip install 'loadgen[gpu]'`).

The package is asked for only here, and may be absent, as may the driver behind it.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from loadgen.servers.gpu.reading import GpuDevice, GpuReading

INTERVAL_S = 0.1  # the counters behind it move ten to fifty times a second
_MAX_SHARE = 0.05  # of one processor, where a look takes long: it may be one that the server needs


class Nvml:
    """The library, opened. It is never closed: other threads of this process may use it, and it ends with the process."""

    name = "nvml"

    def __init__(self, nvml: Any, clock_s: Callable[[], float]):
        self._nvml = nvml
        self._clock_s = clock_s
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]

    @classmethod
    def open(cls, clock_s: Callable[[], float] = time.monotonic) -> "Nvml | None":
        """None without the package, or without a driver that answers."""
        try:
            nvml = import_module("pynvml")
            nvml.nvmlInit()
            return cls(nvml, clock_s)
        except Exception:  # ImportError, and NVMLError in its many kinds, which is only known once the import succeeded
            return None

    def devices(self) -> list[GpuDevice]:
        """All GPUs of this machine."""
        nvml = self._nvml
        driver = self._told(nvml.nvmlSystemGetDriverVersion)
        found = []
        for index, handle in enumerate(self._handles):
            memory = self._told(nvml.nvmlDeviceGetMemoryInfo, handle)
            limit_mw = self._told(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
            found.append(
                GpuDevice(
                    index=index,
                    uuid=_text(self._told(nvml.nvmlDeviceGetUUID, handle)) or "",
                    name=_text(self._told(nvml.nvmlDeviceGetName, handle)) or "GPU",
                    memory_bytes=None if memory is None else int(memory.total),
                    power_limit_w=None if limit_mw is None else limit_mw / 1000,
                    driver=_text(driver),
                )
            )
        return found

    def processes(self, index: int) -> set[int]:
        """Ids of the processes that compute on that GPU."""
        found = self._told(self._nvml.nvmlDeviceGetComputeRunningProcesses, self._handles[index])
        return {int(process.pid) for process in found or ()}

    def readings(self, indices: Sequence[int], ended: threading.Event) -> Iterator[tuple[int, GpuReading]]:
        """One look at each of these GPUs every `INTERVAL_S`, or as often as keeps it below a twentieth of a processor."""
        pause_s = 0.0
        while not ended.wait(pause_s):
            began_s = self._clock_s()
            for index in indices:
                yield index, self._read(self._handles[index])
            took_s = self._clock_s() - began_s
            pause_s = max(INTERVAL_S - took_s, took_s / _MAX_SHARE)
        for index in indices:  # so that the last stretch of a window is bracketed
            yield index, self._read(self._handles[index])

    def stop(self) -> None:
        """Nothing to do: `readings` waits for its event alone."""

    def _read(self, handle: Any) -> GpuReading:
        nvml = self._nvml
        memory = self._told(nvml.nvmlDeviceGetMemoryInfo, handle)
        use = self._told(nvml.nvmlDeviceGetUtilizationRates, handle)
        return GpuReading(
            power_mw=self._told(nvml.nvmlDeviceGetPowerUsage, handle),
            energy_mj=self._told(nvml.nvmlDeviceGetTotalEnergyConsumption, handle),
            sm_clock_mhz=self._told(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
            memory_clock_mhz=self._told(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
            memory_used_bytes=None if memory is None else int(memory.used),
            utilization_percent=None if use is None else int(use.gpu),
            temperature_c=self._told(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            throttle_reasons=self._told(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle),
        )

    def _told(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        """What the driver answers; None for what this GPU or this driver does not tell."""
        try:
            return ask(*arguments)
        except self._nvml.NVMLError:
            return None


def _text(value: Any) -> str | None:
    """Releases before 11.5 of the package answer bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
