"""`loadgen moe experts`: how often each expert was chosen, of stored runs or files, or counted now."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from loadgen.cli.commands.ids import full_id
from loadgen.cli.commands.plot import drawing_format
from loadgen.cli.console.output_file import write_file
from loadgen.cli.console.terminal import Terminal, show, show_json
from loadgen.cli.flags import options
from loadgen.cli.flags.signature import Flag, command
from loadgen.errors import UsageError

if TYPE_CHECKING:
    from loadgen.moe.expert_counts import ExpertCounts
    from loadgen.report.charts.drawing import DrawingFormat
    from loadgen.report.charts.experts import NamedCounts

_COUNTING, _PROMPTS = "Counting", "Prompts"
_FLAGS = (
    Flag("url", "URL", "Count now, from the replies of the vLLM there (--enable-return-routed-experts).", _COUNTING),
    Flag("model", "NAME", "With --url: model name (default: the only one that the server lists).", _COUNTING),
    Flag("checkpoint", "DIR", "Folder of the model: its config.json says which layers have experts.", _COUNTING, type=Path | None),
    Flag("transformers", "", "Count now, by running --checkpoint with transformers.", _COUNTING, type=bool, default=False),
    Flag("python", "PATH", "Python with torch and transformers (default: .venv-vllm/bin/python).", _COUNTING, type=Path | None),
    Flag("trust_remote_code", "", "Let transformers run the code in --checkpoint.", _COUNTING, type=bool, default=False),
    Flag("dataset", "FILE", "Prompts from a file, one object a line (JSON Lines).", _PROMPTS, type=Path | None),
    Flag("tasks", "NAME,NAME", "Prompts of loadgen's own tasks, such as copy or sort.", _PROMPTS),
    Flag("requests", "N", "Number of prompts.", _PROMPTS, type=int, default=64),
    Flag("output_tokens", "N", "Tokens by which each prompt is continued.", _PROMPTS, type=int, default=32),
    Flag("seed", "N", "Seed by which the prompts are chosen.", _PROMPTS, type=int, default=0),
    Flag("output", "FILE", "Write the counts as JSON.", type=Path | None, short="-o"),
    Flag("plot", "FILE", "Draw the heat maps: .svg, .pdf or .png.", type=Path | None),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Count:
    """What is to be counted now, by the flags of that name."""

    transformers: bool
    trust_remote_code: bool
    requests: int
    output_tokens: int
    seed: int
    url: str | None = None
    model: str | None = None
    checkpoint: Path | None = None
    python: Path | None = None
    dataset: Path | None = None
    tasks: str | None = None

    @property
    def without_counting(self) -> str | None:
        """The first flag given that has no effect unless experts are counted now; None if there is none."""
        given = {
            "model": self.model,
            "checkpoint": self.checkpoint,
            "python": self.python,
            "dataset": self.dataset,
            "tasks": self.tasks,
            "trust-remote-code": self.trust_remote_code or None,
        }
        return next((name for name, value in given.items() if value is not None), None)

    def __post_init__(self) -> None:
        """Raise UsageError for numbers that are too small."""
        least = {"requests": 1, "output_tokens": 0 if self.transformers else 1, "seed": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise UsageError(f"--{name.replace('_', '-')} must be at least {value}, not {getattr(self, name)}")


@command(_FLAGS)
def experts(
    terminal: Terminal,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE…",
            help="Sweeps or runs with counts (ids, names, 'latest'), or files of this command; two are compared.",
            show_default=False,
        ),
    ] = None,
    *,
    output: Path | None,
    plot: Path | None,
    as_json: options.Json = False,
    **flags: Any,
) -> None:
    """Show how often each expert of each layer was chosen, in one workload or in two.

    For example: loadgen moe experts latest -o counts.json
    """
    form = None if plot is None else drawing_format(plot)
    asked = _Count(**flags)
    counts_now = asked.url is not None or asked.transformers
    if counts_now and sources:
        raise UsageError(
            "--url and --transformers count now: leave the stored runs and files out, and compare afterwards"
        )
    if not counts_now and (unused := asked.without_counting):
        raise UsageError(f"--{unused} is for counting now; add --url URL or --transformers, or leave it out")
    named = [_counted_now(terminal, asked)] if counts_now else _stored(terminal, sources or ["latest"])
    if output is not None:
        if len(named) > 1:
            raise UsageError("-o writes one file of counts; name one run, sweep or file")
        write_file(output, (json.dumps(named[0].counts.to_json()) + "\n").encode())
    if plot is not None and form is not None:
        write_file(plot, _drawn(named, form))
    _show(named, as_json=as_json)
    for path in (output, plot):
        if path is not None:
            terminal.note(f"wrote {path}")


def _drawn(named: "Sequence[NamedCounts]", form: "DrawingFormat") -> bytes:
    """The heat maps. Raises UsageError if no token was counted."""
    from loadgen.report.charts.drawing import draw
    from loadgen.report.charts.experts import expert_map

    chart = expert_map(named)
    if chart is None:
        raise UsageError("there is nothing to draw: no token was counted")
    return draw(chart, form)


def _show(named: "Sequence[NamedCounts]", *, as_json: bool) -> None:
    from loadgen.cli.tables.experts import comparison_table, experts_tables

    if as_json:
        documents = [{"name": each.name, **each.counts.to_json(), "figures": _figures(each.counts)} for each in named]
        show_json({"schema_version": 1, "experts": documents})
        return
    for letter, each in zip("AB", named, strict=False):
        if len(named) > 1:
            show(f"{letter}: {each.name}\n")
        for table in experts_tables(each):
            show(table)
    if len(named) > 1:
        show(comparison_table(*named))


def _figures(counts: "ExpertCounts") -> list[dict[str, object]]:
    from dataclasses import asdict

    return [asdict(each) for each in counts.figures()]


def _stored(terminal: Terminal, sources: Sequence[str]) -> "list[NamedCounts]":
    """The counts of files, and of runs and sweeps in the database. Raises UsageError for more than two, or one without counts."""
    from loadgen.moe.expert_counts import read_expert_counts
    from loadgen.report.charts.experts import NamedCounts

    found: list[NamedCounts] = []
    for source in sources:
        if source.endswith(".json"):
            found.append(NamedCounts(Path(source).stem, read_expert_counts(Path(source))))
        else:
            found += _of_runs(terminal, source)
    if len(found) > 2:
        raise UsageError(
            f"two counts are compared, and these are {len(found)}: {', '.join(each.name for each in found)}"
        )
    return found


def _of_runs(terminal: Terminal, source: str) -> "list[NamedCounts]":
    from loadgen.report.charts.experts import counts_of_runs
    from loadgen.report.run_selection import gather

    with terminal.open() as store:
        selection = gather(store, [full_id(store, source)])
    counted = counts_of_runs(selection.runs, selection.names)
    if not counted:
        raise UsageError(
            f"no experts were counted in {source}; measure with `loadgen run --experts` or `sweep --experts`"
        )
    return counted


def _counted_now(terminal: Terminal, asked: _Count) -> "NamedCounts":
    """Count by the replies of a server or with transformers. Raises UsageError and ServerError."""
    from loadgen.report.charts.experts import NamedCounts

    if not asked.transformers:
        return NamedCounts(asked.url or "", _from_replies(terminal, asked))
    if asked.url is not None:
        raise UsageError("--url and --transformers exclude each other; give one of them")
    return NamedCounts("transformers", _with_transformers(terminal, asked))


def _with_transformers(terminal: Terminal, asked: _Count) -> "ExpertCounts":
    from loadgen.checkpoints.expert_counting import PYTHON, check_can_count, count_with_transformers
    from loadgen.cli.progress.live_line import CountProgress

    if asked.checkpoint is None:
        raise UsageError("--transformers needs --checkpoint DIR, the folder of the model")
    python, prompts = asked.python or PYTHON, _prompts(asked)
    check_can_count(asked.checkpoint, python)
    terminal.note(f"passing {len(prompts)} prompts through {asked.checkpoint} …")
    with CountProgress(terminal, str(asked.checkpoint), len(prompts), "prompts") as progress:
        return count_with_transformers(
            asked.checkpoint,
            prompts,
            output_tokens=asked.output_tokens,
            python=python,
            trust_remote_code=asked.trust_remote_code,
            on_progress=lambda passed: progress(passed, len(prompts)),
        )


def _from_replies(terminal: Terminal, asked: _Count) -> "ExpertCounts":
    from loadgen.checkpoints.expert_counting import experts_of_checkpoint
    from loadgen.cli.progress.live_line import CountProgress
    from loadgen.errors import ServerError
    from loadgen.servers.endpoint import list_models
    from loadgen.servers.routed_experts import counts_of_replies, experts_of_replies
    from loadgen.servers.server_url import parse_url

    if asked.checkpoint is None:
        raise UsageError("--url needs --checkpoint DIR, whose config.json says which layers have how many experts")
    sparse = experts_of_checkpoint(asked.checkpoint)
    base_url = parse_url(asked.url or "").base
    model = asked.model or _only_model(list_models(base_url, ()))
    prompts = _prompts(asked)
    with CountProgress(terminal, base_url, len(prompts), "prompts") as progress:
        replies = experts_of_replies(
            f"{base_url}/v1/completions",
            model,
            prompts,
            asked.output_tokens,
            on_reply=lambda done: progress(done, len(prompts)),
        )
    try:
        return counts_of_replies(model, replies, experts=sparse.experts, layers=sparse.layers)
    except ValueError as error:
        raise ServerError(f"the routed experts of {base_url} do not fit {asked.checkpoint}: {error}") from None


def _only_model(names: Sequence[str]) -> str:
    if len(names) != 1:
        raise UsageError(f"--model is missing and the server lists {len(names)} models: {', '.join(names[:5])}")
    return names[0]


def _prompts(asked: _Count) -> list[str]:
    """The prompts that the flags ask for. Raises UsageError."""
    from loadgen.load.dataset import read_dataset

    if asked.dataset is not None and asked.tasks is None:
        entries = read_dataset(asked.dataset, "completions").drawn(asked.requests, asked.seed)
        return [str(entry.prompt) for entry in entries]
    if asked.tasks is not None and asked.dataset is None:
        return _task_prompts(asked.tasks, asked.requests, asked.seed)
    if asked.tasks is not None:
        raise UsageError("--dataset and --tasks exclude each other; give one of them")
    raise UsageError("the prompts are missing; name either --dataset FILE or --tasks NAME")


def _task_prompts(names: str, requests: int, seed: int) -> list[str]:
    """Prompts of these tasks, equally many of each, from those that no model is trained on. Raises UsageError."""
    from loadgen.load.tasks import TASKS, examples

    chosen = [name.strip() for name in names.split(",") if name.strip()]
    unknown = next((name for name in chosen if name not in TASKS), None)
    if not chosen or unknown is not None:
        raise UsageError(f"--tasks {names}: there is no task '{unknown or ''}'; there are {', '.join(TASKS)}")
    each = -(-requests // len(chosen))
    prompts = [example.prompt for name in chosen for example in examples(name, "test", seed=seed, count=each)]
    return prompts[:requests]
