"""`loadgen study`: the paper's figures, and studies of your own: list them, show one, run it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from loadgen.cli.console.terminal import Terminal, show, show_json, warn
from loadgen.cli.flags import options
from loadgen.cli.flags.options import argument
from loadgen.cli.flags.signature import Command, Flag, command, group
from loadgen.errors import ExitCode, UsageError, listed

if TYPE_CHECKING:
    from loadgen.experiments.study.on_record import OnRecord
    from loadgen.moe.hardware import Hardware
    from loadgen.study.claims import Value, Where
    from loadgen.study.points import Point
    from loadgen.study.study_file import StudyFile
    from loadgen.study.variants import StudyVariant

study = group("Studies: every figure of the paper, and your own, planned, measured, predicted, judged.")

StudyName = Annotated[str, argument("NAME", "A study by name, or the path of its file.")]
ONLY = Flag(
    "only",
    "K=V",
    "Only points with this coordinate, such as model=olmoe-1b-7b or batch=64; may be repeated.",
    type=list[str] | None,
)
WEIGHTS = Flag(
    "weights",
    "real|dummy",
    "dummy: make weights up and draw experts at random, from configuration and tokenizer alone (default: as the study says).",
)
_SCALE = Flag(
    "scale", "full|tiny", "tiny: replace each model by a tiny one of its family, for a processor (default: full)."
)
_HARDWARE = Flag(
    "hardware",
    "NAME",
    "Accelerator to plan for, whatever this machine has: a100, h100 (the paper's), h200 or mi300x.",
    default="h100",
)
_WITHOUT_VLLM = ("cs3",)
_PLAN_FLAGS = (
    _HARDWARE,
    ONLY,
    WEIGHTS,
    _SCALE,
    Flag("repeats", "N", "Plan every point N times (default: as the study says).", type=int | None),
)
_RUN_FLAGS = (
    ONLY,
    WEIGHTS,
    Flag("models", "DIR", "Take each model from the folder of its name in DIR."),
    _SCALE,
    Flag("repeats", "N", "Measure every point N times, each with its own seed (default: as the study says).", type=int | None),
    Flag(
        "resume",
        "",
        "Continue the newest run of the study: measure the points that it lacks, but no server that lacked memory.",
        type=bool,
        default=False,
    ),
    Flag("again", "", "Measure also what another study has on record.", type=bool, default=False),
    Flag("url", "URL", "Measure the server that runs there, as the one variant that --only names."),
)  # fmt: skip


@study.command("list", cls=Command)
def list_studies(as_json: options.Json = False) -> None:
    """List the studies, with their servers and claims."""
    from loadgen.cli.tables.study import server_count, studies_table
    from loadgen.report.study.library import readable_studies
    from loadgen.study.study_file import study_names

    files, problems = readable_studies(study_names())
    if as_json:
        rows = [
            {
                "name": each.study.name,
                "title": each.study.title,
                "place": each.study.place,
                "servers": server_count(each.study),
                "claims": len(each.study.claims),
                "path": str(each.path),
            }
            for each in files
        ]
        show_json({"schema_version": 1, "studies": rows})
    else:
        show(studies_table(files))
    for problem in problems:
        warn(problem)
    if problems:
        raise typer.Exit(ExitCode.USAGE)


@study.command("show", cls=Command)
def show_study(name: StudyName, as_json: options.Json = False) -> None:
    """Show a study: its question, servers, loads, repeats, coordinates and claims."""
    from loadgen.cli.tables.study import study_tables
    from loadgen.study.points import coordinate_values, points_of
    from loadgen.study.study_file import read_study
    from loadgen.study.variants import variants_of

    file = read_study(name)
    variants = variants_of(file)
    points = points_of(file, variants)
    if as_json:
        coordinates = {name: list(values) for name, values in coordinate_values(points).items()}
        study = file.study.model_dump(mode="json", exclude_defaults=True)
        show_json({"schema_version": 1, **study, "coordinates": coordinates})
        return
    show(study_tables(file, variants, points))


@study.command("plan", cls=Command)
@command(_PLAN_FLAGS)
def plan_study(
    terminal: Terminal, name: StudyName, *, hardware: str, as_json: options.Json = False, **flags: Any
) -> None:
    """Show the servers, points, memory, time and GPU-hours that a study needs, without starting anything."""
    from contextlib import nullcontext

    from loadgen.cli.tables.study_plan import study_plan_table
    from loadgen.experiments.study import study_plan
    from loadgen.study.study_file import read_study

    file, on = read_study(name), gpus(hardware)
    if "repeats" in flags:
        file = file.with_repeats(flags["repeats"])
    points = chosen_points(file, servers_of(file, flags), where(flags.get("only")))
    with terminal.open() if terminal.has_database else nullcontext() as store:
        planned = study_plan.plan_study(file, points, on, store)
    if as_json:
        show_json(planned.to_json())
    else:
        show(study_plan_table(planned))


@study.command("run", cls=Command)
@command(_RUN_FLAGS)
def run_study(
    terminal: Terminal,
    name: StudyName,
    *,
    resume: bool,
    again: bool,
    as_json: options.Json = False,
    **flags: Any,
) -> None:
    """Start each server of a study, measure every load on it, and stop it."""
    from loadgen.cli.commands.execution import show_measured
    from loadgen.experiments.study import run
    from loadgen.study.study_file import read_study

    file, only, url = read_study(name), where(flags.get("only")), flags.get("url")
    if "repeats" in flags:
        file = file.with_repeats(flags["repeats"])
    variants = servers_of(file, flags)
    points = chosen_points(file, variants, only) if file.study.needs_server else ()
    if only:
        run.check_can_start(points)
    chosen = variants if url is None else run.at_only(variants, only)
    loads = run.planned_loads(file, chosen, url)
    with terminal.open_to_write() as store:
        recorded = run.NOT_RECORDED if again or url is not None else run.recorded_here(file, loads, store)
        found = run.on_record_at(loads, only, recorded)
        if found is not None and _leave_out(terminal, found, as_json=as_json):
            return
        show_measured(
            terminal,
            store,
            lambda stop, on_event: run.run_study(
                loads,
                store,
                environ=os.environ,
                stop=stop,
                on_event=on_event,
                only=only,
                recorded=recorded,
                resume=resume,
            ),
            as_json=as_json,
            resume=resume,
        )


def _leave_out(terminal: Terminal, found: "OnRecord", *, as_json: bool) -> bool:
    """Say what other studies have on record, which is not measured again. Return whether that is all."""
    from loadgen.report.format import plural

    if found.runs:
        terminal.note(f"{found.sentence}; {plural(found.runs, 'run')} left to measure (--again measures all)")
        return False
    terminal.note(f"{found.sentence}: nothing is left to measure (--again measures all)")
    if as_json:
        show_json({"schema_version": 1, "group_id": None, "sweeps": []})
    return True


def chosen_points(file: "StudyFile", variants: "tuple[StudyVariant, ...]", only: "Where") -> "tuple[Point, ...]":
    """Return the points of a study at `only`. Raises UsageError for coordinates that no point has, in the file too."""
    from loadgen.study.coordinates import check_coordinates
    from loadgen.study.points import compared_points, points_at, points_of

    points = points_of(file, variants)
    check_coordinates(file, (*points, *compared_points(file)))
    return points_at(points, only)


def gpus(name: str) -> "Hardware":
    """Return the accelerator that --hardware names. Raises UsageError for one that vLLM does not run on."""
    from loadgen.moe.hardware import ACCELERATORS, hardware

    found = hardware(name)
    if found.name in _WITHOUT_VLLM:
        known = listed((each.name for each in ACCELERATORS if each.name not in _WITHOUT_VLLM), "accelerators")
        raise UsageError(f"--hardware {name}: vLLM does not run on {found.title}; {known}")
    return found


def where(given: list[str] | None) -> "Where":
    """Return the coordinates that `--only` gives; a comma list, or the flag again, is several values of one. Raises UsageError."""
    found: Where = {}
    for text in given or ():
        key, equals, values = text.partition("=")
        if not equals or not key.strip() or not values.strip():
            raise UsageError(f"--only '{text}' is not KEY=VALUE; write it like --only model=olmoe-1b-7b")
        known = found.setdefault(key.strip(), [])
        assert isinstance(known, list)
        known += [_value(value.strip()) for value in values.split(",")]
    return found


def _value(text: str) -> "Value":
    """A number, a truth value or a word, as a study file would have it."""
    import yaml

    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return value if isinstance(value, bool | int | float | str) else text


def servers_of(file: "StudyFile", flags: Mapping[str, Any]) -> "tuple[StudyVariant, ...]":
    """Return the servers of a study as --weights, --models and --scale have them. Raises UsageError."""
    from loadgen.study.tiny import at_tiny_scale
    from loadgen.study.variants import variants_of

    scale, made_up = flags.get("scale"), weights(flags.get("weights"))
    if scale not in (None, "full", "tiny"):
        raise UsageError(f"--scale must be full or tiny, not {scale}")
    if scale != "tiny":
        return variants_of(file, weights=made_up, models=Path(flags["models"]) if "models" in flags else None)
    for flag in ("weights", "models"):
        if flags.get(flag) is not None:
            raise UsageError(
                f"--scale tiny and --{flag} exclude each other: tiny models have weights and folders of their own"
            )
    return at_tiny_scale(variants_of(file))


def weights(given: str | None) -> Literal["dummy"] | None:
    """Return `dummy`, or None for the weights that the profiles have. Raises UsageError."""
    if given not in (None, "real", "dummy"):
        raise UsageError(f"--weights must be real or dummy, not {given}")
    return "dummy" if given == "dummy" else None
