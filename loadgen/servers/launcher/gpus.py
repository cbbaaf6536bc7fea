"""The GPUs of this machine, and those of them that a server started here would see."""

import os
from collections.abc import Mapping, Sequence

from loadgen.servers.gpu.reading import GpuDevice
from loadgen.servers.gpu.watch import open_source, visible


def gpus() -> list[GpuDevice]:
    """All GPUs; none without a GPU or a driver that can be asked."""
    try:
        source = open_source()
    except Exception:  # a driver may fail in any way it likes
        return []
    return [] if source is None else source.devices()


def seen_by(environment: Mapping[str, str], found: Sequence[GpuDevice]) -> list[GpuDevice]:
    """Those that a server with these additions to our environment would see, by CUDA_VISIBLE_DEVICES."""
    named = {**os.environ, **environment}.get("CUDA_VISIBLE_DEVICES")
    return list(found) if named is None else visible(found, named)
