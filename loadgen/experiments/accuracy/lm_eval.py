"""lm-eval as a process of its own, in an environment of its own: what is installed, one evaluation, and what it says when it fails."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import loadgen
from loadgen.errors import LoadgenError, ServerError, UsageError, hint
from loadgen.experiments.accuracy.task_files import PREFIX
from loadgen.experiments.accuracy.tasks import built_in_names
from loadgen.servers.launcher import guarded
from loadgen.servers.profiles.vllm_parser import python_of

VARIABLE = "LOADGEN_LM_EVAL"
"""Names the program, if it is neither where `make accuracy` puts it nor on PATH."""

LOCAL_LM_EVAL = Path(".venv-lm-eval/bin/lm_eval")
_LIST_LIMIT_S = 300.0
_TASKS_KEPT = "loadgen-tasks.txt"  # in lm-eval's environment: its release, and a task a line
_LIST = (
    "import json, sys\nfrom lm_eval.tasks import TaskManager\njson.dump(sorted(TaskManager().all_tasks), sys.stdout)"
)
_WITHOUT_ITS_OWN_TASKS = """
import sys
from lm_eval import tasks

class GivenTasks(tasks.TaskManager):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named | {"include_defaults": False})

tasks.TaskManager = GivenTasks
from lm_eval.__main__ import cli_evaluate
sys.exit(cli_evaluate())
"""
"""lm-eval's command, which then does not read the 14,000 files of the tasks that it brings: they take 6 s of a processor."""

_TRIES = 2  # of one request
_POLL_S = 0.1
_PROGRESS = re.compile(r"Requesting API:\s+\d+%[^\r\n]*?(\d+)/(\d+)")
_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Failure)): *(.*)")
_REFUSED = re.compile(
    r"API request failed(?:! Status code: \d+, Response text| with error message): *(.*?)\.? *(?:Retrying.*)?$"
)
_REQUEST_FAILED = re.compile(r"Exception:(\w+\(.*?\)), (?:\(no outputs\)|\{)")
_NEEDS_NETWORK = ("on the Hub", "OfflineMode", "huggingface.co", "LocalEntryNotFound")
_MAX_WORDS = 300  # characters of a message of lm-eval
_LOG_TAIL_BYTES = 200_000

OnProgress = Callable[[int, int], None]
"""Is called with how many requests have been answered, and how many there are."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where lm-eval sends its requests; `key` goes into its environment, and nowhere else."""

    url: str
    model: str
    is_chat: bool
    tokenizer: str | None  # None: prompts are sent as text
    max_length: int | None  # tokens of a prompt with its reply
    concurrency: int  # requests at once
    key: str | None = field(default=None, repr=False)

    @property
    def arguments(self) -> dict[str, object]:
        """The arguments of lm-eval's model. A prompt of token ids begins as the server's own tokenizer has a text begin."""
        found: dict[str, object] = {"model": self.model, "base_url": self.url, "num_concurrent": self.concurrency}
        found |= {"max_retries": _TRIES, "tokenizer_backend": "none"}
        if self.tokenizer is not None:
            found |= {"tokenizer_backend": "huggingface", "tokenizer": self.tokenizer, "add_bos_token": True}
        return found if self.max_length is None else found | {"max_length": self.max_length}


def find_lm_eval(environ: Mapping[str, str]) -> Path:
    """Return the program that the environment names, else the one of `make accuracy`, else the one on PATH.

    Raises UsageError if there is none.
    """
    if named := environ.get(VARIABLE):
        found = shutil.which(named)
        if found is None:
            raise UsageError(
                f"{VARIABLE} is {named}, where there is no program; name lm-eval's, or run `make accuracy`"
            )
        return Path(found).absolute()
    checkout = Path(loadgen.__file__).parent.parent
    on_path = shutil.which("lm_eval")
    for candidate in (LOCAL_LM_EVAL, checkout / LOCAL_LM_EVAL, None if on_path is None else Path(on_path)):
        if candidate is not None and candidate.is_file():
            return candidate.absolute()
    raise UsageError(
        "lm-eval is not installed, and accuracy is measured with it; run `make accuracy` (a minute, 0.9 GB)"
    )


def check_foreign_tasks(program: Path, names: Sequence[str]) -> None:
    """Raise UsageError, which names the one nearest to it, for a task that lm-eval does not have."""
    if not names:
        return
    known = _listed(program)
    for name in names:
        if name not in known:
            ours = f"loadgen's own are {', '.join(built_in_names())}; `{program} ls tasks` lists those of lm-eval"
            raise UsageError(f"there is no task '{name}'; {hint(name, [*built_in_names(), *known], otherwise=ours)}")


@cache
def _listed(program: Path) -> tuple[str, ...]:
    """The names of lm-eval's tasks. It takes a minute to list them, so that they are kept in its environment until the release changes."""
    release = _release(program)
    kept = program.parent.parent / _TASKS_KEPT
    with suppress(OSError, ValueError):
        of_release, *tasks = kept.read_text().splitlines()
        if release and of_release == release:
            return tuple(tasks)
    known = _asked_for_tasks(program)
    if release:
        with suppress(OSError):
            kept.write_text("\n".join([release, *known]))
    return known


def _release(program: Path) -> str:
    """The name of what is installed next to the program; empty if it is no lm-eval of a virtual environment."""
    found = program.parent.parent.glob("lib/python*/site-packages/lm_eval-*.dist-info")
    return " ".join(path.name for path in found)


def _asked_for_tasks(program: Path) -> tuple[str, ...]:
    command = [str(python_of(program)), "-c", _LIST]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=_LIST_LIMIT_S, check=True)
        known: list[str] = json.loads(listed.stdout[listed.stdout.index("[") :])
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise UsageError(
            f"{program} does not list its tasks ({type(error).__name__}); run `make accuracy` again"
        ) from None
    return tuple(known)


def evaluate(
    program: Path,
    endpoint: Endpoint,
    tasks: Sequence[str],
    *,
    folder: Path,
    options: Sequence[str],
    environ: Mapping[str, str],
    on_progress: OnProgress,
    tokenizer_by: str,
) -> Any:
    """Run lm-eval over `tasks` and return its result file's JSON. Its files go into `folder`, where those of our tasks are.

    No process of it is left, however this ends. Raises ServerError for a server that does not answer or refuses, UsageError for
    what lm-eval itself refuses.
    """
    results, log = folder / "results", folder / "log"
    is_ours_alone = all(task.startswith(PREFIX) for task in tasks) and _release(program)
    command = [
        *([str(python_of(program)), "-c", _WITHOUT_ITS_OWN_TASKS] if is_ours_alone else [str(program)]),
        *("run", "--model", "local-chat-completions" if endpoint.is_chat else "local-completions"),
        *("--model_args", json.dumps(endpoint.arguments), "--include_path", str(folder), "--tasks", ",".join(tasks)),
        *("--output_path", str(results), *options),
        *(("--apply_chat_template",) if endpoint.is_chat else ()),
    ]
    variables = {**environ, "PYTHONUNBUFFERED": "1", "TOKENIZERS_PARALLELISM": "false"}
    if endpoint.key is not None:
        variables["OPENAI_API_KEY"] = endpoint.key
    with log.open("wb") as written, guarded.running(command, folder, variables, written) as process:
        while process.poll() is None:
            time.sleep(_POLL_S)
            if (found := _progress(log)) is not None:
                on_progress(*found)
    files = sorted(results.rglob("results_*.json"))
    if process.returncode or not files:
        raise _failure(log, endpoint, tokenizer_by)
    return json.loads(files[-1].read_text())


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        return file.read().decode(errors="replace")


def _progress(log: Path) -> tuple[int, int] | None:
    found = _PROGRESS.findall(_tail(log))
    return (int(found[-1][0]), int(found[-1][1])) if found else None


def _failure(log: Path, endpoint: Endpoint, tokenizer_by: str) -> LoadgenError:
    """Why lm-eval failed, from the errors in its log."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", _tail(log)) if line.strip()]
    refused = [match[1] for line in lines if (match := _REFUSED.search(line))]
    failed = [match[1] for line in lines if (match := _REQUEST_FAILED.search(line))]
    errors = [match for line in lines if (match := _ERROR.match(line))]
    last = f"{errors[-1][1]}: {errors[-1][2]}" if errors else (lines[-1] if lines else "it said nothing")
    text = " ".join(lines)
    if "tokenizer" in last.lower() or "not a local folder and is not a valid model identifier" in text:
        return UsageError(unknown_tokenizer(endpoint.tokenizer or endpoint.model, tokenizer_by))
    if any(sign in text for sign in _NEEDS_NETWORK):
        return UsageError(
            f"lm-eval cannot download the data of a task ({_shortened(last)}); loadgen's own tasks need no network"
        )
    if refused:
        return ServerError(
            f"{endpoint.url} refused a request of lm-eval: {_shortened(refused[-1])}; see the server's log"
        )
    if failed or any(sign in last for sign in ("Connect", "Disconnected", "Timeout")):
        why = failed[0] if failed else last
        return ServerError(
            f"{endpoint.url} stopped answering lm-eval ({_shortened(why)}); look at the server, and repeat"
        )
    return UsageError(
        f"lm-eval failed ({_shortened(last)}); try one of loadgen's own tasks, or reinstall lm-eval with `make accuracy`"
    )


def unknown_tokenizer(name: str, named_by: str) -> str:
    """That a model's tokenizer cannot be found, in a sentence. `named_by`: how to name one."""
    is_path = name.startswith((".", "/", "~"))
    what = f"there is no tokenizer in {name}" if is_path else f"the tokenizer of '{name}' is not known here"
    return f"{what}, and log-likelihoods need it; name the folder of the model {named_by}"


def _shortened(words: str) -> str:
    return words if len(words) <= _MAX_WORDS else words[: _MAX_WORDS - 1] + "…"
