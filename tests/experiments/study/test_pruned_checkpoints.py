"""The checkpoints of a study's servers are pruned once, and again when their source is another."""

import json
import os
from pathlib import Path

import pytest

from loadgen.checkpoints.selection import Pruning
from loadgen.errors import UsageError
from loadgen.experiments.events import CheckpointPruning, Event
from loadgen.experiments.study.run import make_checkpoints
from loadgen.study.pruned import PrunedCheckpoint
from tests.checkpoints.small_checkpoints import write

TARGET = Path(".pruned-models/source-inter-0.5-norm")


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PrunedCheckpoint:
    monkeypatch.chdir(tmp_path)
    return PrunedCheckpoint(write(tmp_path / "source"), Pruning("inter", 0.5, "norm"))


def made(*checkpoints: PrunedCheckpoint | None) -> list[Path]:
    events: list[Event] = []
    make_checkpoints(checkpoints, events.append)
    return [event.target for event in events if isinstance(event, CheckpointPruning)]


def test_each_is_made_once(checkpoint: PrunedCheckpoint) -> None:
    assert made(None, checkpoint, checkpoint) == [TARGET]
    assert json.loads((TARGET / "config.json").read_text())["num_local_experts"] == 4
    assert made(checkpoint) == []


def test_a_newer_source_is_pruned_again(checkpoint: PrunedCheckpoint) -> None:
    made(checkpoint)
    later_s = (TARGET / "pruning.json").stat().st_mtime + 10
    os.utime(checkpoint.source / "model.safetensors", (later_s, later_s))
    assert made(checkpoint) == [TARGET]


def test_a_folder_of_something_else_is_left_alone(checkpoint: PrunedCheckpoint) -> None:
    TARGET.mkdir(parents=True)
    (TARGET / "thesis.tex").write_text("years of work")
    with pytest.raises(
        UsageError, match=r"source-inter-0.5-norm is no checkpoint that loadgen has pruned; move it away"
    ):
        made(checkpoint)
    assert (TARGET / "thesis.tex").exists()
