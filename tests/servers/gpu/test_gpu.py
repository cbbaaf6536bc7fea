"""GPUs through a fake of nvidia-ml-py and a fake nvidia-smi, both of the shape that the real ones have."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest

from loadgen.servers.gpu import sources
from loadgen.servers.gpu import watch as gpu
from loadgen.servers.gpu.sources import GpuDevice, GpuReading, NvidiaSmi, Nvml
from loadgen.servers.gpu.watch import GpuWatch, chosen, open_source, visible
from tests.servers.launcher.launches import wait_for, write_program

URL = "http://127.0.0.1:1"
UUIDS = ("GPU-2b8b7d4a-0f0e", "GPU-91c5a6aa-77d2")


class NVMLError(Exception):
    """As in pynvml: the parent of all that the driver refuses."""


class NVMLError_NotSupported(NVMLError):
    pass


def fake_pynvml(*, energy: bool = True, processes: Callable[[int], list[int]] = lambda index: []) -> ModuleType:
    """What nvidia-ml-py answers on a machine with two H100: handles are opaque, power in mW, energy in mJ, names as str."""

    def total_energy(handle: Any) -> int:
        if not energy:
            raise NVMLError_NotSupported
        return 1_000_000 + 400 * time.monotonic_ns() // 1_000_000

    module = ModuleType("pynvml")
    module.__dict__.update(
        NVMLError=NVMLError,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "570.133.20",
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: ("handle", index),
        nvmlDeviceGetName=lambda handle: "NVIDIA H100 80GB HBM3",
        nvmlDeviceGetUUID=lambda handle: UUIDS[handle[1]].encode(),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=85520809984, free=1, used=72 << 30),
        nvmlDeviceGetEnforcedPowerLimit=lambda handle: 700_000,
        nvmlDeviceGetPowerUsage=lambda handle: 412_345,
        nvmlDeviceGetTotalEnergyConsumption=total_energy,
        nvmlDeviceGetClockInfo=lambda handle, kind: {1: 1980, 2: 2619}[kind],
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=97, memory=55),
        nvmlDeviceGetTemperature=lambda handle, sensor: 61,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 4,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [
            SimpleNamespace(pid=pid, usedGpuMemory=1) for pid in processes(handle[1])
        ],
    )
    return module


@pytest.fixture
def pynvml(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts the fake where `import pynvml` finds it."""
    return lambda **shape: monkeypatch.setitem(sys.modules, "pynvml", fake_pynvml(**shape))


@pytest.fixture
def no_pynvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)


SMI = """\
#!{python}
import sys, time
query, loops = sys.argv[1], "-lms" in sys.argv
devices = [
    "0, GPU-2b8b7d4a-0f0e, NVIDIA H100 80GB HBM3, 81559, 700.00, 570.133.20",
    "1, GPU-91c5a6aa-77d2, NVIDIA H100 80GB HBM3, 81559, [N/A], 570.133.20",
]
readings = [
    "0, 412.34, 1980, 2619, 73728, 97, 61, 0x0000000000000004",
    "1, [Not Supported], 345, 2619, 4, [N/A], 33, 0x0000000000000001",
]
if query.startswith("--query-gpu=index,uuid"):
    print("\\n".join(devices))
elif query.startswith("--query-compute-apps"):
    print("77, GPU-91c5a6aa-77d2")
elif query == "--query-gpu=clocks_event_reasons.active":
    sys.exit("Field is not a valid field to query.")
elif query == "--query-gpu=clocks_throttle_reasons.active":
    print("0x0000000000000004")
elif loops:
    while True:
        print("\\n".join(readings), flush=True)
        time.sleep(0.01)
"""


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command nvidia-smi that answers as that of driver 570 does, to the queries that we make."""
    write_program(tmp_path / "nvidia-smi", SMI.format(python=sys.executable))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return


@pytest.fixture
def no_smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def test_a_reading_is_what_the_driver_says_in_its_own_units(pynvml: Callable[..., None]) -> None:
    pynvml()
    source = Nvml.open()
    assert source is not None
    ended = threading.Event()
    ended.set()
    ((index, reading),) = source.readings([1], ended)
    assert index == 1
    assert reading._replace(energy_mj=None) == GpuReading(412_345, None, 1980, 2619, 72 << 30, 97, 61, 4)
    assert reading.energy_mj is not None
    assert source.devices()[1] == GpuDevice(1, UUIDS[1], "NVIDIA H100 80GB HBM3", 85520809984, 700.0, "570.133.20")


def test_what_a_gpu_does_not_tell_is_none_and_costs_nothing_else(pynvml: Callable[..., None]) -> None:
    pynvml(energy=False)
    source = Nvml.open()
    assert source is not None
    ended = threading.Event()
    ended.set()
    ((_, reading),) = source.readings([0], ended)
    assert reading.energy_mj is None
    assert reading.power_mw == 412_345


def test_a_slow_driver_is_asked_less_often(pynvml: Callable[..., None]) -> None:
    pynvml()
    clock = iter(range(100))
    source = Nvml.open(lambda: next(clock) * 0.05)
    assert source is not None
    waits: list[float] = []

    def wait(pause_s: float) -> bool:
        waits.append(pause_s)
        return len(waits) > 2

    list(source.readings([0], SimpleNamespace(wait=wait)))  # type: ignore[arg-type]
    assert waits == [0.0, pytest.approx(1.0), pytest.approx(1.0)]


@pytest.mark.usefixtures("no_pynvml")
def test_nvidia_smi_stands_in_where_the_package_is_missing(smi: None) -> None:
    source = open_source()
    assert isinstance(source, NvidiaSmi)
    assert [device.power_limit_w for device in source.devices()] == [700.0, None]
    assert source.processes(0) == set()
    assert source.processes(1) == {77}
    ended, seen = threading.Event(), []
    for each in source.readings([0, 1], ended):
        seen.append(each)
        if len(seen) == 4:
            ended.set()
            source.stop()
    assert seen[0] == (0, GpuReading(412_340, None, 1980, 2619, 72 << 30, 97, 61, 4))
    assert seen[1] == (1, GpuReading(None, None, 345, 2619, 4 << 20, None, 33, 1))


@pytest.mark.usefixtures("no_pynvml", "no_smi")
def test_without_package_and_command_there_is_nothing() -> None:
    assert open_source() is None
    with GpuWatch(URL) as watch:
        pass
    assert (watch.watched(), watch.source, watch.chosen_by) == ([], None, None)


def test_a_driver_that_does_not_answer_is_as_none(pynvml: Callable[..., None], no_smi: None) -> None:
    pynvml()

    def refuse() -> None:
        raise NVMLError

    sys.modules["pynvml"].nvmlInit = refuse  # type: ignore[attr-defined]
    assert open_source() is None


def test_a_server_elsewhere_has_no_gpu_here(pynvml: Callable[..., None]) -> None:
    pynvml()
    for url in ("http://192.0.2.7:8000", None):
        with GpuWatch(url) as watch:
            pass
        assert watch.watched() == []


def test_readings_are_taken_from_entering_to_leaving(
    pynvml: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pynvml()
    monkeypatch.setattr(sources, "INTERVAL_S", 0.01)
    with GpuWatch(URL) as watch:
        time.sleep(0.3)
    assert (watch.source, watch.chosen_by) == ("nvml", "all")
    first, second = watch.watched()
    assert (first.device.index, second.device.index) == (0, 1)
    assert len(first.readings) == len(second.readings) > 4
    moments = [at for at, _ in first.readings]
    assert moments == sorted(moments)


def test_a_thread_whose_driver_breaks_costs_no_run(
    pynvml: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pynvml()

    def broken(handle: Any) -> int:
        raise OSError("the GPU fell off the bus")

    monkeypatch.setattr(sys.modules["pynvml"], "nvmlDeviceGetPowerUsage", broken)
    with GpuWatch(URL) as watch:
        time.sleep(0.05)
    assert [gpu.readings for gpu in watch.watched()] == [[], []]


def found_processes(monkeypatch: pytest.MonkeyPatch, pids: list[int], environment: dict[str, str]) -> None:
    processes = [SimpleNamespace(pid=pid, environ=lambda: environment) for pid in pids]
    monkeypatch.setattr(gpu, "processes_of", lambda url: processes)


@pytest.mark.parametrize(
    ("on_gpu_1", "environment", "expected"),
    [
        ([41], {"CUDA_VISIBLE_DEVICES": "0"}, ([1], "processes")),
        ([99], {"CUDA_VISIBLE_DEVICES": "0"}, ([0], "CUDA_VISIBLE_DEVICES")),
        ([99], {"CUDA_VISIBLE_DEVICES": ""}, ([0, 1], "all")),
        ([], {}, ([0, 1], "all")),
    ],
)
def test_which_gpus_are_the_servers(
    pynvml: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    on_gpu_1: list[int],
    environment: dict[str, str],
    expected: tuple[list[int], str],
) -> None:
    pynvml(processes=lambda index: on_gpu_1 if index == 1 else [])
    found_processes(monkeypatch, [40, 41], environment)
    source = Nvml.open()
    assert source is not None
    devices, how = chosen(source, URL)
    assert ([device.index for device in devices], how) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, []), ("", []), ("1,0", [1, 0]), ("1,7,0", [1]), ("GPU-91c5", [1]), ("GPU-", []), ("-1", [])],
)
def test_the_devices_that_an_environment_names(value: str | None, expected: list[int]) -> None:
    devices = [GpuDevice(index, uuid, "H100", None, None, None) for index, uuid in enumerate(UUIDS)]
    assert [device.index for device in visible(devices, value)] == expected


def test_nvidia_smi_answers_a_question_in_one_go_or_not_at_all(no_smi: None) -> None:
    assert sources._ask("--query-gpu=index") == []


def test_no_reading_process_is_left_behind(no_pynvml: None, smi: None) -> None:
    with GpuWatch(URL) as watch:
        wait_for(lambda: len(watch.watched()[0].readings) > 1)
    children = psutil.Process().children(recursive=True)
    assert [child for child in children if "nvidia-smi" in " ".join(child.cmdline())] == []
    assert subprocess.run(["nvidia-smi", "--query-gpu=index,uuid"], capture_output=True, check=True).stdout
