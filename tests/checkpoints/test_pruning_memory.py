"""The memory of a pruning does not grow with the checkpoint, and holes stay holes."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoints.small_checkpoints import MIXTRAL

HIDDEN, FFN, EXPERTS, LAYERS = 1024, 4096, 8, 4
TENSOR_BYTES = 2 * HIDDEN * FFN  # 8.4 MB
MAX_OVER_IMPORTS_BYTES = 10 * TENSOR_BYTES
PROGRAM = """
import resource, sys
from pathlib import Path
from loadgen.checkpoints.prune import prune
from loadgen.checkpoints.selection import Pruning
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
prune(Path(sys.argv[1]), Path(sys.argv[2]), Pruning(sys.argv[3], 0.5, sys.argv[4]))
print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def sparse_checkpoint(folder: Path) -> int:
    """Write a Mixtral of zeros, which takes no room on the disk, and return the bytes of its weights."""
    folder.mkdir()
    config = {
        "model_type": "mixtral", **MIXTRAL.config, "hidden_size": HIDDEN, "intermediate_size": FFN, "num_local_experts": EXPERTS,
        "num_experts_per_tok": 2, "num_hidden_layers": LAYERS, "num_attention_heads": 8, "vocab_size": 512,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {}
    for layer in range(LAYERS):
        block = f"model.layers.{layer}.block_sparse_moe"
        shapes[f"{block}.gate.weight"] = (EXPERTS, HIDDEN)
        for expert in range(EXPERTS):
            shapes |= {f"{block}.experts.{expert}.{name}.weight": (FFN, HIDDEN) for name in ("w1", "w3")}
            shapes[f"{block}.experts.{expert}.w2.weight"] = (HIDDEN, FFN)
    header, offset = {}, 0
    for name, (rows, columns) in shapes.items():
        header[name] = {
            "dtype": "BF16",
            "shape": [rows, columns],
            "data_offsets": [offset, offset + 2 * rows * columns],
        }
        offset += 2 * rows * columns
    text = json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    os.truncate(path, 8 + len(text) + offset)
    return offset


@pytest.mark.parametrize(("kind", "rule"), [("inter", "norm"), ("intra", "norm"), ("intra", "random")])
def test_a_checkpoint_larger_than_the_memory_allowed(kind: str, rule: str, tmp_path: Path) -> None:
    weight_bytes = sparse_checkpoint(tmp_path / "source")
    assert weight_bytes > 8 * MAX_OVER_IMPORTS_BYTES
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "source"), str(tmp_path / "pruned"), kind, rule]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert int(ended.stdout) < MAX_OVER_IMPORTS_BYTES
    written = (tmp_path / "pruned" / "model.safetensors").stat()
    assert written.st_size > 0.49 * weight_bytes
    assert written.st_blocks * 512 < 0.01 * weight_bytes
