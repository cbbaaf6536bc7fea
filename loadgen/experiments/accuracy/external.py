"""VLMEvalKit as a command of the user's: it is run, and the figures of the CSV files that it leaves are read.

VLMEvalKit writes `MODEL_DATASET_acc.csv` or `MODEL_DATASET_score.csv`: a heading, and a line for each split. The figure of a data set
is under `Overall`; a file without it has a figure a column.
"""

import csv
import math
import shlex
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

from loadgen.errors import UsageError
from loadgen.experiments.accuracy.results import TaskResult
from loadgen.servers.launcher import guarded

_ENDINGS = ("_acc.csv", "_score.csv")
_FIELDS = ("url", "model", "folder")
_MAX_WORDS = 300


def evaluate(
    template: str, folder: Path, *, url: str, model: str, environ: Mapping[str, str], key: str | None = None
) -> tuple[TaskResult, ...]:
    """Run the command with `{url}`, `{model}` and `{folder}` filled in, and read the files that it leaves in the folder.

    It runs in the working directory, so that it may name its program by a relative path. A key is in its environment as OPENAI_API_KEY. Raises UsageError for a command that fails or leaves no figure.
    """
    command = fill(template, url=url, model=model, folder=folder)
    log = folder / "loadgen-command.log"
    variables = {**environ, "OPENAI_API_BASE": url} | ({} if key is None else {"OPENAI_API_KEY": key})
    with log.open("wb") as written, guarded.running(command, Path.cwd(), variables, written) as process:
        code = process.wait()
    if code:
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        said = lines[-1][:_MAX_WORDS] if lines else "it said nothing"
        raise UsageError(f"the command of --vlmevalkit failed ({how}: {said}); run it by itself to see why")
    found = read_folder(folder, model)
    if not found:
        raise UsageError(
            f"the command of --vlmevalkit left no figure: no file that ends in {' or '.join(_ENDINGS)} is in {{folder}}; "
            "pass it on as --work-dir {folder}"
        )
    return found


def check(template: str) -> None:
    """Raise UsageError for a command that `fill` refuses, or whose program is not there."""
    program, *_ = fill(template, url="", model="", folder=Path())
    if shutil.which(program) is None:
        raise UsageError(f"there is no program '{program}', which --vlmevalkit names; check where it is installed")


def fill(template: str, *, url: str, model: str, folder: Path) -> list[str]:
    """Return the words of the command. Raises UsageError for a template that cannot be read or does not take the folder."""
    try:
        words = shlex.split(template)
    except ValueError as error:
        raise UsageError(f"the command of --vlmevalkit cannot be read ({error}): {template}") from None
    if not words or "{folder}" not in template:
        raise UsageError(
            f"the command of --vlmevalkit does not say where its files go: {template}; it may use "
            f"{', '.join('{' + name + '}' for name in _FIELDS)}, and needs {{folder}}"
        )
    values = {"url": url, "model": model, "folder": str(folder)}
    for name in _FIELDS:
        words = [word.replace("{" + name + "}", values[name]) for word in words]
    return words


def read_folder(folder: Path, model: str) -> tuple[TaskResult, ...]:
    """Return the figures of all result files in the folder and below, by data set."""
    found: dict[tuple[str, str], TaskResult] = {}
    for path in sorted(folder.rglob("*.csv")):
        ending = next((each for each in _ENDINGS if path.name.endswith(each)), None)
        if ending is None:
            continue
        name = path.name.removesuffix(ending)
        task = name.removeprefix(f"{model}_") if name.startswith(f"{model}_") else name.rpartition("_")[2]
        found |= {(task, result.metric): result for result in _read_file(path, task)}
    return tuple(found.values())


def _read_file(path: Path, task: str) -> list[TaskResult]:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        split = row.get("split") or row.get("Split") or ""
        suffix = f" ({split})" if split and len(rows) > 1 else ""
        figures = {name: value for name, text in row.items() if name and (value := _number(text)) is not None}
        if "Overall" in figures:
            figures = {"Overall": figures["Overall"]}
        found += [TaskResult(task, name + suffix, value, None, None, None) for name, value in figures.items()]
    return found


def _number(text: object) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
