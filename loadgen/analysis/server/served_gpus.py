"""The GPUs that a server ran on, as far as a run document knows them."""

from collections.abc import Sequence
from typing import Any

_PARALLEL = ("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size")


def gpu_count(run: dict[str, Any]) -> int | None:
    """How many GPUs the server ran on: those watched as its own, else as many as its parallelism takes; None where neither tells."""
    if watched := _watched(run):
        return len(watched)
    launch = run["server"].get("launch") or {}
    if not launch.get("gpus"):
        return None
    ranks = 1
    for name in _PARALLEL:
        size = (launch.get("arguments") or {}).get(name)
        ranks *= size if isinstance(size, int) and size > 0 else 1
    return min(ranks, len(launch["gpus"]))


def gpu_names(run: dict[str, Any]) -> list[str] | None:
    """The model of each GPU that `gpu_count` counts, in order of name; each model once if it is unknown which were used.

    None if no model is known.
    """
    devices = _watched(run) or (run["server"].get("launch") or {}).get("gpus") or ()
    names = sorted(str(device["name"]) for device in devices if device.get("name"))
    models = sorted(set(names))
    count = gpu_count(run)
    if len(models) == 1 and count is not None:
        return models * count
    return (names if len(names) == count else models) or None


def served_gpus(run: dict[str, Any]) -> tuple[int | None, list[str] | None]:
    """Both of a run document that may be foreign or damaged: None for what cannot be read."""
    try:
        return gpu_count(run), gpu_names(run)
    except (AttributeError, KeyError, TypeError):
        return None, None


def _watched(run: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The GPUs that were watched as the server's own; empty if which they are was unknown."""
    gpu = run.get("gpu") or {}
    return () if gpu.get("chosen_by") == "all" else gpu.get("devices") or ()
