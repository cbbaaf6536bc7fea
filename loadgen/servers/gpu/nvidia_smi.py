"""GPU readings by the command `nvidia-smi`, where nvidia-ml-py is not installed: the same driver, five times a second.

The command repeats itself and prints a line for each GPU; it knows no counter of energy.
"""

import subprocess
import threading
from collections.abc import Iterator, Sequence

from loadgen.servers.gpu.reading import GpuDevice, GpuReading

INTERVAL_MS = 200  # each of its looks takes some milliseconds of a processor
_DEVICE_FIELDS = "index,uuid,name,memory.total,power.limit,driver_version"
_READING_FIELDS = "index,power.draw,clocks.sm,clocks.mem,memory.used,utilization.gpu,temperature.gpu"
_REASONS = (
    "clocks_event_reasons.active",
    "clocks_throttle_reasons.active",
)  # as drivers from 535 call it, and older ones
_MAX_ANSWER_S = 20.0
_MIB = 1 << 20


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
        """All GPUs of this machine."""
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
        answer = subprocess.run(_command(query), capture_output=True, text=True, timeout=_MAX_ANSWER_S, check=True)
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
