"""Evaluate a served model: each task with the tool that it takes, and the results as the store has them."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from loadgen.analysis.document.server import EnvironmentDocument, ServerDocument
from loadgen.engine.wire.route import DIRECT, Route
from loadgen.errors import UsageError
from loadgen.experiments.accuracy import external, image_answers, lm_eval, warm_up
from loadgen.experiments.accuracy.results import TaskResult, read_results, version_of
from loadgen.experiments.accuracy.task_files import PREFIX, write_tasks
from loadgen.experiments.accuracy.tasks import PAPER, AskedTask, asked_tasks
from loadgen.experiments.sweep_record import new_id
from loadgen.servers.endpoint import EndpointFacts
from loadgen.servers.environment import environment
from loadgen.servers.http_client import Headers
from loadgen.spec.accuracy import DEFAULT_SAMPLES, Accuracy
from loadgen.store.rows import AccuracyRow, Evaluation
from loadgen.study.measured import series_on

_OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_DEFAULT_SHOTS = 0  # of loadgen's own tasks
TOKENIZER_FLAG = "with --tokenizer PATH"
TOKENIZER_KEY = "in the sweep's file: accuracy: {tasks: […], tokenizer: PATH}"

OnProgress = Callable[[str, int, int], None]
"""Is called with the tool, how many requests have been answered, and how many there are."""

Keep = Callable[[Evaluation], None]
"""Stores results."""


@dataclass(frozen=True, slots=True)
class EvaluationTarget:
    """A server that has answered, and how it is reached. `server` is its part of the run document."""

    facts: EndpointFacts
    server: ServerDocument
    model: str
    key: str | None = field(default=None, repr=False)
    route: Route = DIRECT

    @property
    def headers(self) -> Headers:
        """The headers of each request."""
        return () if self.key is None else (("Authorization", f"Bearer {self.key}"),)


@dataclass(frozen=True, slots=True)
class _Found:
    """What one tool found, and how it was run."""

    tool: str
    version: str | None
    results: Sequence[TaskResult]
    settings: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class PreparedAccuracy:
    """An evaluation whose tasks and tools have been found; only the server is missing."""

    asked: Accuracy
    tasks: tuple[AskedTask, ...]
    program: Path | None  # lm-eval's; None: no task needs it
    environ: Mapping[str, str] = field(repr=False)
    vlmevalkit: str | None = None  # another command to run
    tokenizer_by: str = TOKENIZER_FLAG  # how a tokenizer is named, for messages

    @property
    def of_lm_eval(self) -> tuple[AskedTask, ...]:
        """The tasks that lm-eval evaluates."""
        return tuple(task for task in self.tasks if task.kind != "image")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tasks."""
        return tuple(task.name for task in self.tasks)

    def tokenizer(self, model: str, source: str | None) -> str | None:
        """Return the tokenizer that log-likelihoods need: the one that is named, else that of `source`, else of `model`; None: no task needs one.

        `source` is the folder or the hub's model that loadgen starts the server from. Raises UsageError if none is known.
        """
        if self.asked.chat or not any(task.may_need_log_likelihoods for task in self.of_lm_eval):
            return None
        for candidate in (self.asked.tokenizer, source):
            if candidate is None:
                continue
            folder = Path(candidate).expanduser()
            if folder.is_dir():
                return str(folder.absolute())
            if "/" in candidate and not candidate.startswith((".", "/", "~")):
                return candidate  # of the hub, by its name
            raise UsageError(lm_eval.unknown_tokenizer(candidate, self.tokenizer_by))
        if "/" in model:
            return model
        raise UsageError(lm_eval.unknown_tokenizer(model, self.tokenizer_by))


def prepare_accuracy(
    asked: Accuracy, environ: Mapping[str, str], *, vlmevalkit: str | None = None, tokenizer_by: str = TOKENIZER_FLAG
) -> PreparedAccuracy:
    """Find the tasks and lm-eval.

    Raises UsageError for a task or a tokenizer that does not exist, where lm-eval is not installed, and for a command of VLMEvalKit that
    cannot be run.
    """
    if vlmevalkit is not None:
        external.check(vlmevalkit)
    tasks = () if vlmevalkit is not None and not asked.tasks else asked_tasks(asked.tasks)
    choice = next((task for task in tasks if task.kind == "choice"), None)
    if asked.chat and choice is not None:
        raise UsageError(
            f"{choice.name} is answered by log-likelihoods, which chat endpoints do not give; leave --chat out, or ask for "
            f"{choice.base}"
        )
    prepared = PreparedAccuracy(asked, tasks, None, environ, vlmevalkit, tokenizer_by)
    if asked.tokenizer is not None:
        prepared.tokenizer("", None)  # whether there is one
    if not prepared.of_lm_eval:
        return prepared
    program = lm_eval.find_lm_eval(environ)
    lm_eval.check_foreign_tasks(program, [task.name for task in tasks if not task.is_built_in])
    return replace(prepared, program=program)


def evaluate(
    prepared: PreparedAccuracy,
    target: EvaluationTarget,
    *,
    on_progress: OnProgress,
    keep: Keep,
    sweep_id: str | None = None,
    name: str | None = None,
) -> Evaluation:
    """Evaluate the server and return all results; `keep` has those of each tool as soon as it ends. No file and no process is left.

    Raises UsageError for a server that lacks what a task needs or a tokenizer that is not known, ServerError for one that stops
    answering, and what `keep` raises.
    """
    here = cast(EnvironmentDocument, environment())
    provenance = series_on(target.server, here, is_simulated=target.facts.simulated).provenance
    evaluation_id, rows = new_id("a"), list[AccuracyRow]()
    for found in _found(prepared, target, on_progress):
        measured_at = datetime.now(UTC).isoformat()
        theirs = tuple(
            AccuracyRow(
                evaluation_id=evaluation_id,
                sweep_id=sweep_id,
                model=target.model,
                provenance=provenance,
                task=result.task,
                metric=result.metric,
                value=result.value,
                standard_error=result.standard_error,
                samples=result.samples,
                shots=result.shots,
                tool=found.tool,
                tool_version=found.version,
                settings=dict(found.settings),
                measured_at=measured_at,
            )
            for result in found.results
        )
        keep(Evaluation(target.server, theirs, name))
        rows += theirs
    return Evaluation(target.server, tuple(rows), name)


def _found(prepared: PreparedAccuracy, target: EvaluationTarget, on_progress: OnProgress) -> Iterator[_Found]:
    """What each tool finds, one after the other."""
    if prepared.program is not None:
        yield _by_lm_eval(prepared, prepared.program, target, on_progress=on_progress)
    if images := [task for task in prepared.tasks if task.kind == "image"]:
        yield _by_images(prepared, images, target, on_progress=on_progress)
    if prepared.vlmevalkit is not None:
        yield _by_command(prepared.vlmevalkit, target, environ=prepared.environ)


def _by_lm_eval(
    prepared: PreparedAccuracy, program: Path, target: EvaluationTarget, *, on_progress: OnProgress
) -> _Found:
    asked, tasks = prepared.asked, prepared.of_lm_eval
    own = [task for task in tasks if task.is_built_in]
    endpoint = _endpoint(prepared, target)
    lacks: str | None = None
    if not asked.chat and any(task.may_need_log_likelihoods for task in tasks):
        lacks = warm_up.log_likelihoods(target.facts, target.model, headers=target.headers, route=target.route)
        if lacks is not None and (needing := [task for task in tasks if _surely_needs(task)]):
            raise _lacks_log_likelihoods(target, lacks, needing)
    options = ["--seed", str(asked.seed)]
    if len(own) < len(tasks) and asked.limit is not None:
        options += ["--limit", str(asked.limit)]
    if asked.shots is not None:
        options += ["--num_fewshot", str(asked.shots)]
    with tempfile.TemporaryDirectory(prefix="loadgen-accuracy-") as made:
        folder = Path(made)
        try:
            write_tasks(
                folder,
                own,
                samples=asked.limit or DEFAULT_SAMPLES,
                seed=asked.seed,
                shots=asked.shots or _DEFAULT_SHOTS,
            )
        except ValueError as error:
            raise UsageError(f"{error}, with --limit") from None
        try:
            document = lm_eval.evaluate(
                program,
                endpoint,
                [PREFIX + task.name if task.is_built_in else task.name for task in tasks],
                folder=folder,
                options=options,
                environ=_variables(prepared.environ, endpoint, folder, is_offline=len(own) == len(tasks)),
                on_progress=lambda done, planned: on_progress("lm-eval", done, planned),
                tokenizer_by=prepared.tokenizer_by,
            )
        except UsageError:
            if lacks is not None:
                raise _lacks_log_likelihoods(target, lacks, tasks) from None
            raise
    settings = _settings(asked, tasks) | {"tokenizer": endpoint.tokenizer}
    return _Found("lm-eval", version_of(document), read_results(document), settings)


def _lacks_log_likelihoods(target: EvaluationTarget, why: str, tasks: Sequence[AskedTask]) -> UsageError:
    return UsageError(
        f"{target.facts.base_url} gives no log-likelihoods of a prompt ({why}), which {tasks[0].name} needs; ask for tasks that are "
        "answered in words, such as copy"
    )


def _surely_needs(task: AskedTask) -> bool:
    return task.kind == "choice" or task.name in PAPER


def _endpoint(prepared: PreparedAccuracy, target: EvaluationTarget) -> lm_eval.Endpoint:
    """Where lm-eval asks, with the model's tokenizer if log-likelihoods may be asked for. Raises UsageError if it is not known."""
    asked, source = prepared.asked, (target.server.get("launch") or {}).get("model_source")
    return lm_eval.Endpoint(
        url=target.facts.completions_url("chat" if asked.chat else "completions"),
        model=target.model,
        is_chat=asked.chat,
        tokenizer=prepared.tokenizer(target.model, source),
        max_length=target.facts.max_model_len,
        concurrency=asked.concurrency,
        key=target.key,
    )


def _variables(
    environ: Mapping[str, str], endpoint: lm_eval.Endpoint, folder: Path, *, is_offline: bool
) -> dict[str, str]:
    """lm-eval's environment: without a network if nothing needs one, and past any proxy to the server."""
    found = dict(environ)
    if is_offline:
        found |= {"HF_DATASETS_OFFLINE": "1", "HF_DATASETS_CACHE": str(folder / "cache")}
        if endpoint.tokenizer is None or Path(endpoint.tokenizer).is_dir():
            found |= _OFFLINE
    host = endpoint.url.split("/")[2].rpartition("@")[2].partition(":")[0]
    found["NO_PROXY"] = found["no_proxy"] = ",".join(
        filter(None, (environ.get("NO_PROXY") or environ.get("no_proxy"), host))
    )
    return found


def _settings(asked: Accuracy, tasks: Iterable[AskedTask]) -> dict[str, object]:
    """How it was asked, for the record. `tasks` tells whether an evaluation is on record already."""
    return {
        "tasks": [task.name for task in tasks],
        "chat": asked.chat,
        "limit": asked.limit,
        "seed": asked.seed,
        "concurrency": asked.concurrency,
    }


def _by_images(
    prepared: PreparedAccuracy, tasks: Sequence[AskedTask], target: EvaluationTarget, *, on_progress: OnProgress
) -> _Found:
    asked = prepared.asked
    results = image_answers.evaluate(
        [task.name for task in tasks],
        image_answers.ChatServer(target.facts.completions_url("chat"), target.model, target.headers, target.route),
        samples=asked.limit or DEFAULT_SAMPLES,
        seed=asked.seed,
        concurrency=asked.concurrency,
        on_progress=lambda done, planned: on_progress("images", done, planned),
    )
    return _Found("loadgen", image_answers.VERSION, results, _settings(asked, tasks) | {"chat": True})


def _by_command(template: str, target: EvaluationTarget, *, environ: Mapping[str, str]) -> _Found:
    with tempfile.TemporaryDirectory(prefix="loadgen-accuracy-") as made:
        results = external.evaluate(
            template,
            Path(made),
            url=target.facts.completions_url("chat"),
            model=target.model,
            environ=environ,
            key=target.key,
        )
    return _Found("VLMEvalKit", None, results, {"command": template})
