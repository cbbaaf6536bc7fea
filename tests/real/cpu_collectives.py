"""A plug-in of vLLM: the two collectives without which its CPU build (0.32) cannot run experts with data parallelism.

Tokens of all copies are gathered before the experts, and their results are added and scattered after them; on CUDA NCCL does both.
"""

from pathlib import Path
from typing import Any

NAME = "cpu_collectives"


def install(folder: Path) -> Path:
    """Put this file into `folder`, for a server's PYTHONPATH, with what makes vLLM load it in each of its processes."""
    folder.mkdir()
    (folder / f"{NAME}.py").write_text(Path(__file__).read_text())
    about = folder / f"{NAME}-0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 0\n")
    (about / "entry_points.txt").write_text(f"[vllm.general_plugins]\n{NAME} = {NAME}:load\n")
    return folder


def load() -> None:
    """Add the collectives, by what torch has for processors."""
    from vllm.distributed.device_communicators.cpu_communicator import CpuCommunicator

    CpuCommunicator.all_gatherv = _all_gatherv
    CpuCommunicator.reduce_scatterv = _reduce_scatterv


def _all_gatherv(self: Any, given: Any, dim: int = 0, sizes: "list[int] | None" = None) -> Any:
    assert dim == 0
    if isinstance(given, list):
        return [_gathered(self, each, sizes) for each in given]
    return _gathered(self, given, sizes)


def _gathered(self: Any, given: Any, sizes: "list[int] | None") -> Any:
    """The rows of all copies, one copy after the other."""
    import torch

    rows = sizes or [given.shape[0]] * self.world_size
    padded = given.new_zeros((max(rows), *given.shape[1:]))
    padded[: given.shape[0]] = given
    parts = [torch.empty_like(padded) for _ in rows]
    torch.distributed.all_gather(parts, padded, group=self.device_group)
    return torch.cat([part[:count] for part, count in zip(parts, rows, strict=True)])


def _reduce_scatterv(self: Any, given: Any, dim: int = -1, sizes: "list[int] | None" = None) -> Any:
    """The sum over all copies, of it the rows of this one."""
    import torch

    rows = sizes or [given.shape[0] // self.world_size] * self.world_size
    total = given.clone()
    torch.distributed.all_reduce(total, group=self.device_group)
    begin = sum(rows[: self.rank_in_group])
    return total[begin : begin + rows[self.rank_in_group]].contiguous()
