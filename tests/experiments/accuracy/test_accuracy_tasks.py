"""The names of tasks, and our own tasks as lm-eval reads them."""

import json
from pathlib import Path

import pytest
import yaml

from loadgen.errors import UsageError
from loadgen.experiments.accuracy.task_files import write_tasks
from loadgen.experiments.accuracy.tasks import PAPER, asked_tasks
from loadgen.load.tasks import TASKS, examples, split_of


def test_groups_and_names_give_each_task_once() -> None:
    tasks = asked_tasks(["copy", "built-in", "sort_choice", "image_count", "hellaswag"])
    assert [task.name for task in tasks] == [*TASKS, "sort_choice", "image_count", "hellaswag"]
    assert [task.kind for task in tasks[-3:]] == ["choice", "image", "foreign"]
    assert [task.base for task in tasks[-3:]] == ["sort", "image_count", "hellaswag"]
    assert [task.name for task in asked_tasks(["paper"])] == list(PAPER)


def test_without_a_name_there_is_no_task() -> None:
    with pytest.raises(UsageError, match=r"no task is named; known here are built-in, .*copy"):
        asked_tasks([""])


def test_a_task_becomes_test_examples_and_its_shots_training_ones(tmp_path: Path) -> None:
    write_tasks(tmp_path, asked_tasks(["copy", "sort_choice"]), samples=20, seed=3, shots=2)
    copy = yaml.safe_load((tmp_path / "copy.yaml").read_text())
    assert copy["task"] == "loadgen_copy"
    assert copy["output_type"] == "generate_until"
    assert copy["generation_kwargs"]["temperature"] == 0
    rows = [json.loads(line) for line in (tmp_path / "copy.jsonl").read_text().splitlines()]
    expected = list(examples("copy", "test", seed=3, count=20))
    assert [(row["prompt"], row["reply"]) for row in rows] == [(each.prompt, each.reply) for each in expected]
    shots = [json.loads(line) for line in (tmp_path / "copy_shots.jsonl").read_text().splitlines()]
    assert [split_of(row["prompt"]) for row in shots] == ["train", "train"]
    assert copy["dataset_kwargs"]["data_files"]["train"] == str(tmp_path / "copy_shots.jsonl")


def test_the_right_choice_stands_where_target_says(tmp_path: Path) -> None:
    write_tasks(tmp_path, asked_tasks(["agree_choice"]), samples=40, seed=0, shots=0)
    configuration = yaml.safe_load((tmp_path / "agree_choice.yaml").read_text())
    assert configuration["output_type"] == "multiple_choice"
    assert "fewshot_split" not in configuration
    rows = [json.loads(line) for line in (tmp_path / "agree_choice.jsonl").read_text().splitlines()]
    assert all(row["choices"][row["right"]] == row["reply"] for row in rows)
    assert {row["right"] for row in rows} == {0, 1, 2, 3}
