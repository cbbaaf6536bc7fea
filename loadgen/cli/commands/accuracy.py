"""`loadgen accuracy`: evaluate a served model on tasks, and keep the results next to its speed."""

import os
from typing import TYPE_CHECKING

from loadgen.cli.console.terminal import Terminal, show_json, stdout
from loadgen.cli.flags import options
from loadgen.cli.flags.signature import Flag, command

if TYPE_CHECKING:
    from loadgen.store.rows import Evaluation

_TASKS, _SERVER = "Tasks", "Server"  # panels of the help screen

_FLAGS = (
    Flag("tasks", "NAME,NAME…", "Tasks or groups of them: built-in, built-in-choice, images, paper, any task of lm-eval (default: built-in).", _TASKS),
    Flag("limit", "N", "Questions of each task (default: 200 of loadgen's own, all of others).", _TASKS),
    Flag("shots", "N", "Examples before each question (default: as the task has it, 0 for loadgen's own).", _TASKS),
    Flag("chat", "", "Ask through the chat endpoint, by the model's own template.", _TASKS, type=bool, default=False),
    Flag("seed", "N", "Seed of the questions (default: 0).", _TASKS),
    Flag("vlmevalkit", "COMMAND", "Run this command of VLMEvalKit, alone unless --tasks is given; {url}, {model} and {folder} are filled in.", _TASKS),
    Flag("url", "URL", "Base URL of the server (default: the running one).", _SERVER),
    Flag("model", "NAME", "Model name (default: the only one that the server lists).", _SERVER),
    Flag("profile", "NAME", "Start the server of this profile, and stop it afterwards.", _SERVER),
    Flag("argument", "K=V", "With --profile: another value for an argument of the engine; may be repeated.", _SERVER, type=list[str] | None),
    Flag("tokenizer", "PATH|NAME", "The model's tokenizer, which log-likelihoods need (default: the one in the model's folder).", _SERVER),
    Flag("concurrency", "N", "Requests at once (default: 8).", _SERVER),
    Flag("api_key_env", "NAME", "Environment variable that holds the API key; the key is never stored.", _SERVER),
    Flag("name", "TEXT", "Name of the evaluation."),
)  # fmt: skip
_OF_SERVER = ("url", "model", "profile", "api_key_env")


@command(_FLAGS)
def accuracy(
    terminal: Terminal, *, name: str | None, vlmevalkit: str | None, as_json: options.Json = False, **keys: object
) -> None:
    """Evaluate a served model on tasks: how many of its replies are right.

    For example: loadgen accuracy --url http://127.0.0.1:8000 --tasks copy,sort --limit 100
    """
    from loadgen.cli.progress.sweep import SweepProgress
    from loadgen.cli.tables.accuracy import show_evaluation
    from loadgen.experiments.accuracy.evaluation import evaluate, prepare_accuracy
    from loadgen.experiments.events import Evaluating
    from loadgen.experiments.interrupts import Stop, interrupts
    from loadgen.experiments.server_evaluation import ServerAsked, target_of
    from loadgen.inputs import Origin
    from loadgen.report.export.results import evaluation_document
    from loadgen.spec.accuracy import Accuracy

    arguments = keys.pop("argument", ())
    assert isinstance(arguments, list | tuple)
    named = {key: str(keys.pop(key)) for key in _OF_SERVER if key in keys}
    if vlmevalkit is None:
        keys.setdefault("tasks", "built-in")
    asked = Origin().validated(Accuracy, keys)
    prepared = prepare_accuracy(asked, os.environ, vlmevalkit=vlmevalkit)
    with terminal.open_for_results() as store:
        with SweepProgress(terminal, resume=False) as progress, interrupts(Stop(), progress.say):
            server = ServerAsked(**named, arguments=tuple(str(each) for each in arguments))
            with target_of(server, os.environ, progress) as target:
                progress(Evaluating(", ".join(prepared.names) or "VLMEvalKit"))
                evaluation: Evaluation = evaluate(
                    prepared,
                    target,
                    on_progress=lambda tool, done, planned: progress(Evaluating(tool, done, planned)),
                    keep=store.add_evaluation,
                    name=name,
                )
        terminal.announce()
    if as_json:
        show_json(evaluation_document(evaluation))
    else:
        show_evaluation(stdout(), evaluation)
    found = evaluation.rows[0].evaluation_id
    terminal.note(f"saved as {found}; see it again with 'loadgen show {found}{terminal.db_flag}'")
