"""The GPUs of a server on this machine, watched through a run: power, clocks, memory, use, temperature, what holds them down.

Runs in a thread of the parent. Where there is no NVIDIA GPU, or its driver
cannot be asked, there is nothing to tell; no failure here ever costs a run.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from loadgen.servers.gpu.sources import GpuDevice, GpuReading, NvidiaSmi, Nvml
from loadgen.servers.local_server import environment_value, is_local, processes_of

GpuSource = Nvml | NvidiaSmi

ChosenBy = Literal["processes", "CUDA_VISIBLE_DEVICES", "all"]
"""How it was told which GPUs are the server's: they run its processes, its environment names them, or nobody can tell."""


@dataclass(frozen=True, slots=True)
class WatchedGpu:
    """One GPU and its readings, each with its moment (UTC)."""

    device: GpuDevice
    readings: Sequence[tuple[datetime, GpuReading]]


class GpuWatch:
    """A context manager: inside it the GPUs of the server at `url` are read, if they are on this machine.

    `watched()` after it has closed. `source` and `chosen_by` are None where there is nothing to watch.
    """

    def __init__(self, url: str | None):
        self._url = url
        self._source: GpuSource | None = None
        self._readings: dict[int, list[tuple[datetime, GpuReading]]] = {}
        self._devices: list[GpuDevice] = []
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.chosen_by: ChosenBy | None = None

    @property
    def source(self) -> str | None:
        """What the readings come from: `nvml` or `nvidia-smi`."""
        return None if self._source is None else self._source.name

    def __enter__(self) -> "GpuWatch":
        if self._url is not None and is_local(self._url):
            with suppress(Exception):  # a driver may fail in any way it likes
                self._source = open_source()
        if self._source is not None and self._url is not None:
            self._devices, self.chosen_by = chosen(self._source, self._url)
            self._readings = {device.index: [] for device in self._devices}
            self._thread = threading.Thread(target=self._watch, name="gpus", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        if self._thread is not None and self._source is not None:
            self._ended.set()
            self._source.stop()
            self._thread.join()

    def watched(self) -> list[WatchedGpu]:
        return [WatchedGpu(device, self._readings[device.index]) for device in self._devices]

    def _watch(self) -> None:
        source = self._source
        assert source is not None
        with suppress(Exception):
            for index, reading in source.readings([device.index for device in self._devices], self._ended):
                self._readings[index].append((datetime.now(UTC), reading))


def open_source() -> GpuSource | None:
    """NVML where the package nvidia-ml-py is installed, else nvidia-smi; None where neither finds a GPU."""
    for opening in (Nvml.open, NvidiaSmi.open):
        source = opening()
        if source is not None and source.devices():
            return source
    return None


def chosen(source: GpuSource, url: str) -> tuple[list[GpuDevice], ChosenBy]:
    """The GPUs of the server at `url`, and how that was told."""
    devices, processes = source.devices(), processes_of(url)
    pids = {process.pid for process in processes}
    used = [device for device in devices if pids & source.processes(device.index)]
    if used:
        return used, "processes"
    named = visible(devices, environment_value(processes, "CUDA_VISIBLE_DEVICES"))
    return (named, "CUDA_VISIBLE_DEVICES") if named else (devices, "all")


def visible(devices: Sequence[GpuDevice], value: str | None) -> list[GpuDevice]:
    """Those that a CUDA_VISIBLE_DEVICES names, by index or by a beginning of the UUID; CUDA stops at the first that there is not."""
    found: list[GpuDevice] = []
    for name in (value or "").split(","):
        name = name.strip()
        fitting = [each for each in devices if name == str(each.index) or (name and each.uuid.startswith(name))]
        if len(fitting) != 1:
            break
        found += fitting
    return found


def installed_gpus() -> list[GpuDevice]:
    """All GPUs of this machine; none without a GPU or a driver that can be asked."""
    try:
        source = open_source()
    except Exception:  # a driver may fail in any way it likes
        return []
    return [] if source is None else source.devices()


def visible_with(environment: Mapping[str, str], devices: Sequence[GpuDevice]) -> list[GpuDevice]:
    """Those that a server with these additions to our environment would see, by CUDA_VISIBLE_DEVICES."""
    named = {**os.environ, **environment}.get("CUDA_VISIBLE_DEVICES")
    return list(devices) if named is None else visible(devices, named)
