"""`loadgen moe experts`: how often each expert was chosen, of stored runs or files, or counted now."""

import json
from collections.abc import Mapping, Sequence
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
    counts_now = flags.get("url") is not None or flags["transformers"]
    if counts_now and sources:
        raise UsageError(
            "--url and --transformers count now: leave the stored runs and files out, and compare afterwards"
        )
    named = [_counted_now(terminal, flags)] if counts_now else _stored(terminal, sources or ["latest"])
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
            found.append(NamedCounts(source, read_expert_counts(Path(source))))
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


def _counted_now(terminal: Terminal, flags: Mapping[str, Any]) -> "NamedCounts":
    """Count by the replies of a server or with transformers. Raises UsageError and ServerError."""
    from loadgen.report.charts.experts import NamedCounts

    if flags["transformers"]:
        return NamedCounts("transformers", _with_transformers(terminal, flags))
    return NamedCounts(str(flags["url"]), _from_replies(flags))


def _with_transformers(terminal: Terminal, flags: Mapping[str, Any]) -> "ExpertCounts":
    from loadgen.checkpoints.expert_counting import PYTHON, check_can_count, count_with_transformers

    if flags.get("url") is not None:
        raise UsageError("--url and --transformers exclude each other; give one of them")
    if flags.get("checkpoint") is None:
        raise UsageError("--transformers needs --checkpoint DIR, the folder of the model")
    checkpoint, python, prompts = flags["checkpoint"], flags.get("python") or PYTHON, _prompts(flags)
    check_can_count(checkpoint, python)
    terminal.note(f"passing {len(prompts)} prompts through {checkpoint} …")
    return count_with_transformers(
        checkpoint,
        prompts,
        output_tokens=_at_least(flags, "output_tokens", 0),
        python=python,
        trust_remote_code=flags["trust_remote_code"],
    )


def _from_replies(flags: Mapping[str, Any]) -> "ExpertCounts":
    from loadgen.checkpoints.expert_counting import experts_of_checkpoint
    from loadgen.errors import ServerError
    from loadgen.servers.endpoint import list_models
    from loadgen.servers.routed_experts import ReplyCollector, counts_of_replies
    from loadgen.servers.server_url import parse_url

    if flags.get("checkpoint") is None:
        raise UsageError("--url needs --checkpoint DIR, whose config.json says which layers have how many experts")
    sparse = experts_of_checkpoint(flags["checkpoint"])
    base_url = parse_url(flags["url"]).base
    model = flags.get("model") or _only_model(list_models(base_url, ()))
    collector = ReplyCollector(f"{base_url}/v1/completions", model, _at_least(flags, "output_tokens", 1))
    replies = collector.collect(_prompts(flags))
    try:
        return counts_of_replies(model, replies, experts=sparse.experts, layers=sparse.layers)
    except ValueError as error:
        raise ServerError(f"the routed experts of {base_url} do not fit {flags['checkpoint']}: {error}") from None


def _only_model(names: Sequence[str]) -> str:
    if len(names) != 1:
        raise UsageError(f"--model is missing and the server lists {len(names)} models: {', '.join(names[:5])}")
    return names[0]


def _prompts(flags: Mapping[str, Any]) -> list[str]:
    """The prompts that the flags ask for. Raises UsageError."""
    from loadgen.load.dataset import read_dataset

    requests, seed = _at_least(flags, "requests", 1), _at_least(flags, "seed", 0)
    dataset, tasks = flags.get("dataset"), flags.get("tasks")
    if (dataset is None) == (tasks is None):
        raise UsageError("the prompts are missing; name --dataset FILE or --tasks NAME")
    if dataset is not None:
        entries = read_dataset(dataset, "completions").drawn(requests, seed)
        return [str(entry.prompt) for entry in entries]
    return _task_prompts(str(tasks), requests, seed)


def _at_least(flags: Mapping[str, Any], name: str, least: int) -> int:
    value = flags[name]
    if value < least:
        raise UsageError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")
    return int(value)


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
