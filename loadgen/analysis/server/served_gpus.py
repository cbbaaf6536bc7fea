"""The GPUs that a server ran on, as far as a run document knows them."""

from collections.abc import Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from loadgen.analysis.document.server import GpuAccount, GpuFigures, LaunchGpu, ServerDocument

_PARALLEL = ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size")


class ServedRun(TypedDict):
    """As much of a run document as tells its GPUs."""

    server: ServerDocument
    gpu: NotRequired[GpuAccount | None]


def gpu_count(run: ServedRun) -> int | None:
    """How many GPUs the server ran on: those watched as its own, else as many as its parallelism takes; None where neither tells."""
    if watched := _watched(run):
        return len(watched)
    launch = run["server"].get("launch") or {}
    seen = launch.get("gpus")
    if not seen:
        return None
    ranks = 1
    for name in _PARALLEL:
        size = (launch.get("arguments") or {}).get(name)
        ranks *= size if isinstance(size, int) and size > 0 else 1
    return min(ranks, len(seen))


def gpu_names(run: ServedRun) -> list[str] | None:
    """The model of each GPU that `gpu_count` counts, in order of name; each model once if it is unknown which were used.

    None if no model is known.
    """
    devices: Sequence[GpuFigures | LaunchGpu] = _watched(run) or (run["server"].get("launch") or {}).get("gpus") or ()
    names = sorted(str(device["name"]) for device in devices if device.get("name"))
    models = sorted(set(names))
    count = gpu_count(run)
    if len(models) == 1 and count is not None:
        return models * count
    return (names if len(names) == count else models) or None


def served_gpus(run: ServedRun) -> tuple[int | None, list[str] | None]:
    """Both of a run document that may be foreign or damaged: None for what cannot be read."""
    try:
        return gpu_count(run), gpu_names(run)
    except (AttributeError, KeyError, TypeError):
        return None, None


def _watched(run: ServedRun) -> Sequence[GpuFigures]:
    """The GPUs that were watched as the server's own; empty if which they are was unknown."""
    gpu = run.get("gpu")
    return () if not gpu or gpu.get("chosen_by") == "all" else gpu.get("devices") or ()
