"""What is read of the GPUs on this host, in the units of their driver, and where it comes from.

NVML is asked through its own Python package nvidia-ml-py (`pip install 'loadgen[gpu]'`), which may be absent, as may the driver behind
it. Where it is absent, the command `nvidia-smi` stands in: the same driver, five times a second. It repeats itself and prints a line
for each GPU; it knows no counter of energy.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

INTERVAL_S = 0.1  # the counters behind it move ten to fifty times a second
_MAX_SHARE = 0.05  # of one processor, where a look takes long: it may be one that the server needs

INTERVAL_MS = 200  # each of its looks takes some milliseconds of a processor
_DEVICE_FIELDS = "index,uuid,name,memory.total,power.limit,driver_version"
_READING_FIELDS = "index,power.draw,clocks.sm,clocks.mem,memory.used,utilization.gpu,temperature.gpu"
# As drivers from 535 call it, and older ones.
_REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
_MAX_RESPONSE_S = 20.0
_MIB = 1 << 20


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
        nvml = self._nvml
        driver = self._ask_driver(nvml.nvmlSystemGetDriverVersion)
        found = []
        for index, handle in enumerate(self._handles):
            memory = self._ask_driver(nvml.nvmlDeviceGetMemoryInfo, handle)
            limit_mw = self._ask_driver(nvml.nvmlDeviceGetEnforcedPowerLimit, handle)
            found.append(
                GpuDevice(
                    index=index,
                    uuid=_text(self._ask_driver(nvml.nvmlDeviceGetUUID, handle)) or "",
                    name=_text(self._ask_driver(nvml.nvmlDeviceGetName, handle)) or "GPU",
                    memory_bytes=None if memory is None else int(memory.total),
                    power_limit_w=None if limit_mw is None else limit_mw / 1000,
                    driver=_text(driver),
                )
            )
        return found

    def processes(self, index: int) -> set[int]:
        """Ids of the processes that compute on that GPU."""
        found = self._ask_driver(self._nvml.nvmlDeviceGetComputeRunningProcesses, self._handles[index])
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
        memory = self._ask_driver(nvml.nvmlDeviceGetMemoryInfo, handle)
        use = self._ask_driver(nvml.nvmlDeviceGetUtilizationRates, handle)
        return GpuReading(
            power_mw=self._ask_driver(nvml.nvmlDeviceGetPowerUsage, handle),
            energy_mj=self._ask_driver(nvml.nvmlDeviceGetTotalEnergyConsumption, handle),
            sm_clock_mhz=self._ask_driver(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM),
            memory_clock_mhz=self._ask_driver(nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_MEM),
            memory_used_bytes=None if memory is None else int(memory.used),
            utilization_percent=None if use is None else int(use.gpu),
            temperature_c=self._ask_driver(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            throttle_reasons=self._ask_driver(nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle),
        )

    def _ask_driver(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        """What the driver answers; None for what this GPU or this driver does not tell."""
        try:
            return ask(*arguments)
        except self._nvml.NVMLError:
            return None


def _text(value: Any) -> str | None:
    """Releases before 11.5 of the package answer bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class NvidiaSmi:
    """The command, found to answer."""

    name = "nvidia-smi"

    def __init__(self, devices: list[GpuDevice]):
        self._devices = devices
        self._repeating: subprocess.Popen[str] | None = None

    @classmethod
    def open(cls) -> "NvidiaSmi | None":
        """None where there is no such command, or it finds no GPU."""
        devices = [_device(line) for line in _ask(f"--query-gpu={_DEVICE_FIELDS}")]
        return cls(devices) if devices else None

    def devices(self) -> list[GpuDevice]:
        return self._devices

    def processes(self, index: int) -> set[int]:
        """Ids of the processes that compute on that GPU."""
        uuid = next(device.uuid for device in self._devices if device.index == index)
        apps = [_cells(line) for line in _ask("--query-compute-apps=pid,gpu_uuid")]
        return {int(pid) for pid, of in apps if of == uuid and pid.isdigit()}

    def readings(self, indices: Sequence[int], ended: threading.Event) -> Iterator[tuple[int, GpuReading]]:
        """A line of each of these GPUs, as the command prints them."""
        reasons = next((each for each in _REASONS if _ask(f"--query-gpu={each}")), None)
        fields = _READING_FIELDS if reasons is None else f"{_READING_FIELDS},{reasons}"
        command = [*_command(f"--query-gpu={fields}"), "-lms", str(INTERVAL_MS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as repeating:
            self._repeating = repeating
            if ended.is_set():  # before there was anything to stop
                repeating.terminate()
            assert repeating.stdout is not None
            for line in repeating.stdout:
                index, reading = _reading(line)
                if index in indices:
                    yield index, reading

    def stop(self) -> None:
        """End the command, and with it `readings`."""
        if self._repeating is not None:
            self._repeating.terminate()


def _command(query: str) -> list[str]:
    return ["nvidia-smi", query, "--format=csv,noheader,nounits"]


def _ask(query: str) -> list[str]:
    """The lines of one answer; none when the command is absent or refuses."""
    try:
        answer = subprocess.run(_command(query), capture_output=True, text=True, timeout=_MAX_RESPONSE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line for line in answer.stdout.splitlines() if line.strip()]


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split(",")]


def _device(line: str) -> GpuDevice:
    index, uuid, name, memory_mib, limit_w, driver = _cells(line)
    memory = _number(memory_mib)
    return GpuDevice(int(index), uuid, name, None if memory is None else round(memory * _MIB), _number(limit_w), driver)


def _reading(line: str) -> tuple[int, GpuReading]:
    index, power_w, sm, memory, used_mib, use, temperature, *reasons = _cells(line)
    return int(index), GpuReading(
        power_mw=_whole(power_w, 1000),
        energy_mj=None,
        sm_clock_mhz=_whole(sm),
        memory_clock_mhz=_whole(memory),
        memory_used_bytes=_whole(used_mib, _MIB),
        utilization_percent=_whole(use),
        temperature_c=_whole(temperature),
        throttle_reasons=int(reasons[0], 16) if reasons and reasons[0].startswith("0x") else None,
    )


def _number(cell: str) -> float | None:
    """`[N/A]` and `[Not Supported]` are what a GPU does not tell."""
    try:
        return float(cell)
    except ValueError:
        return None


def _whole(cell: str, times: int = 1) -> int | None:
    value = _number(cell)
    return None if value is None else round(value * times)
