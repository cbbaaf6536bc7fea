"""The GPUs of this machine, as its driver lists them."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

_LIMIT_S = 20.0
_QUERY = "index,name,memory.total,driver_version"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `memory_bytes` is None where the driver does not tell."""

    name: str
    memory_bytes: int | None
    driver: str


def gpus() -> tuple[Gpu, ...]:
    """All GPUs that nvidia-smi lists; empty without a GPU, a driver or nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        answer = subprocess.run(
            [program, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse(answer.stdout)


def parse(table: str) -> tuple[Gpu, ...]:
    """The GPUs of nvidia-smi's table: index, name, MiB of memory, driver."""
    found = []
    for row in table.splitlines():
        cells = [cell.strip() for cell in row.split(",")]
        if len(cells) == 4 and cells[0].isdigit():
            found.append(Gpu(cells[1], int(cells[2]) * 2**20 if cells[2].isdigit() else None, cells[3]))
    return tuple(found)


def visible(found: tuple[Gpu, ...], environment: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Those that a server with these additions to our environment would see, by CUDA_VISIBLE_DEVICES."""
    chosen = {**os.environ, **environment}.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return found
    names = [name.strip() for name in chosen.split(",") if name.strip()]
    by_index = [found[int(name)] for name in names if name.isdigit() and int(name) < len(found)]
    others = [name for name in names if not name.isdigit() and name != "-1"]  # GPU-… and MIG-… names
    return (*by_index, *found[: len(others)])
