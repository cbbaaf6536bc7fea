"""loadgen's own tasks in the form that lm-eval reads: a YAML file for each, with its examples as JSON Lines next to it."""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from loadgen.experiments.accuracy.tasks import AskedTask
from loadgen.load.tasks import Example, examples

PREFIX = "loadgen_"
"""Before the names of our tasks among lm-eval's, which has thousands of its own."""

_MAX_REPLY_TOKENS = 24  # twice the characters of the longest reply, for tokenizers of any kind


def write_tasks(folder: Path, tasks: Sequence[AskedTask], *, samples: int, seed: int, shots: int) -> None:
    """Write `samples` test examples of each task into `folder`, and `shots` training examples to put before each question."""
    for task in tasks:
        tests = examples(task.base, "test", seed=seed, count=samples)
        files = {"test": _write(folder / f"{task.name}.jsonl", [_row(each) for each in tests])}
        if shots:
            shown = examples(task.base, "train", seed=seed, count=shots)
            files["train"] = _write(folder / f"{task.name}_shots.jsonl", [_row(each) for each in shown])
        (folder / f"{task.name}.yaml").write_text(yaml.safe_dump(_configuration(task, files), sort_keys=False))


def _configuration(task: AskedTask, files: dict[str, str]) -> dict[str, object]:
    found: dict[str, object] = {
        "task": PREFIX + task.name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files},
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "target_delimiter": "",
        "fewshot_delimiter": "\n",
    }
    if "train" in files:
        found |= {"fewshot_split": "train", "fewshot_config": {"sampler": "first_n"}}
    if task.kind == "choice":
        return found | {
            "output_type": "multiple_choice",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{right}}",
            "metric_list": [{"metric": "acc"}],
        }
    return found | {
        "output_type": "generate_until",
        "doc_to_target": "{{reply}}",
        "generation_kwargs": {
            "until": ["\n"],
            "max_gen_toks": _MAX_REPLY_TOKENS,
            "do_sample": False,
            "temperature": 0.0,
        },
        "metric_list": [{"metric": "exact_match"}],
        "filter_list": [
            {"name": "stripped", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}
        ],
    }


def _row(example: Example) -> dict[str, object]:
    """One line of a file. The right reply stands among the choices at a place that depends on the prompt alone."""
    right = len(example.prompt) % (len(example.wrong) + 1)
    choices = [*example.wrong[:right], example.reply, *example.wrong[right:]]
    return {"prompt": example.prompt, "reply": example.reply, "choices": choices, "right": right}


def _write(path: Path, rows: list[dict[str, object]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)
