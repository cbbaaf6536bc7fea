"""What is kept of lm-eval's result file: each metric of the tasks that were asked for. Everything else in it is skipped."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from loadgen.errors import UsageError
from loadgen.experiments.accuracy.task_files import PREFIX

_NO_METRICS = frozenset({"alias", "name", "sample_len", "sample_count"})


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One metric of one task. `shots`: examples before each question. What the tool does not tell is None."""

    task: str
    metric: str
    value: float
    standard_error: float | None
    samples: int | None
    shots: int | None


def read_results(document: object) -> tuple[TaskResult, ...]:
    """Return each metric of each task and group at the top of a result file of lm-eval. Raises UsageError if there is none.

    A metric is under `metric,filter`, its standard error under `metric_stderr,filter`. A filter is part of a metric's name if
    a task has the same metric under several.
    """
    whole = _object(document)
    tasks = _object(whole.get("results")) | _object(whole.get("groups"))
    parts = {
        part
        for members in _object(whole.get("group_subtasks")).values()
        if isinstance(members, list)
        for part in members
    }
    found = tuple(
        result
        for task, metrics in tasks.items()
        if task not in parts
        for result in _of_task(
            task, _object(metrics), samples=_samples(whole, task), shots=_whole(_object(whole.get("n-shot")).get(task))
        )
    )
    if not found:
        raise UsageError(
            "lm-eval's result file has no figure; reinstall the release that loadgen reads with `make accuracy`"
        )
    return found


def version_of(document: object) -> str | None:
    """Return lm-eval's version by its result file."""
    found = _object(document).get("lm_eval_version")
    return found if isinstance(found, str) else None


def _of_task(task: str, metrics: Mapping[str, object], *, samples: int | None, shots: int | None) -> list[TaskResult]:
    names = [name for name in metrics if "," in name and not name.partition(",")[0].endswith("_stderr")]
    bare = [name.partition(",")[0] for name in names]
    found = []
    for name, metric in zip(names, bare, strict=True):
        value = _number(metrics[name])
        if value is None or metric in _NO_METRICS:
            continue
        filter_name = name.partition(",")[2]
        shown = metric if bare.count(metric) == 1 else f"{metric} ({filter_name})"
        error = _number(metrics.get(f"{metric}_stderr,{filter_name}"))
        found.append(TaskResult(task.removeprefix(PREFIX), shown, value, error, samples, shots))
    return found


def _samples(whole: Mapping[str, object], task: str) -> int | None:
    """The questions that were asked; of a group, those of its tasks."""
    counts = _object(whole.get("n-samples"))
    asked = [_whole(_object(counts.get(name)).get("effective")) for name in _leaves(whole, [task])]
    known = [count for count in asked if count is not None]
    return sum(known) if known and len(known) == len(asked) else None


def _leaves(whole: Mapping[str, object], names: Collection[str]) -> list[str]:
    """The tasks in groups of groups."""
    groups = _object(whole.get("group_subtasks"))
    found: list[str] = []
    for name in names:
        inside = groups.get(name)
        found += _leaves(whole, inside) if isinstance(inside, list) and inside and inside != [name] else [name]
    return found


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
