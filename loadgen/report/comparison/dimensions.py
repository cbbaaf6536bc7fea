"""What runs can differ in, besides the load: the model, the server, how it was started, what it runs on, when, and their tags.

Of a server that loadgen did not start most of it is not known, and reads as a dash.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from loadgen.analysis.compare import question
from loadgen.analysis.document.run import RunDocument
from loadgen.analysis.document.server import LaunchDocument
from loadgen.analysis.server.served_gpus import gpu_count
from loadgen.load.shapes import SHAPES
from loadgen.load.spec import RunSpec
from loadgen.load.workload import Workload
from loadgen.report.format import MISSING_FIGURE
from loadgen.report.points import INPUT_TOKENS, LOAD, OTHERS, OUTPUT_TOKENS, Dimension
from loadgen.servers.profiles.flag_syntax import flat, short_name

Tags = Mapping[str, Sequence[str]]  # of each sweep, by its id

_PARALLELISM = ("tensor", "pipeline", "data")
_ENGINE_SAYS = {  # of arguments that were left to the engine, as it prints its configuration
    "dtype": re.compile(r"\bdtype=(?:torch\.)?(\w+)"),
    "quantization": re.compile(r"\bquantization=(\w+)"),
    **{f"{kind}-parallel-size": re.compile(rf"\b{kind}_parallel_size=(\d+)") for kind in _PARALLELISM},
}
_HAVE_DIMENSIONS = {*_ENGINE_SAYS, "enable-expert-parallel"}

# Names of servers and places: they tell lines apart only where that is asked for.
_NAMES = ("sweep", "url", "client_host", "day", "tag")
_COLOR_FIRST = ("model", "precision", "profile", "tp", "ep", "gpu", "engine", "version")


def _launch(run: RunDocument) -> LaunchDocument:
    return run["server"].get("launch") or {}


def _argument(run: RunDocument, name: str) -> Any:
    """What the server was started with, else what its engine says it took; None where neither is known."""
    launch = _launch(run)
    given = {**(launch.get("arguments") or {}), **((launch.get("overrides") or {}).get("arguments") or {})}.get(name)
    if given is not None:
        return given
    pattern = _ENGINE_SAYS.get(name)
    found = pattern.search(str((launch.get("engine_says") or {}).get("engine_config") or "")) if pattern else None
    if found is None or found[1] == "None":
        return None
    return int(found[1]) if found[1].isdigit() else found[1]


def _gpu_name(run: RunDocument) -> str:
    return ", ".join(sorted({str(gpu["name"]) for gpu in _launch(run).get("gpus") or ()}))


def _measured_by(run: RunDocument) -> str:
    mark = run.get("imported") or {}
    return str(mark["tool"]) if mark.get("tool") else "loadgen"


def _dash(read: Callable[[RunDocument], Any]) -> Callable[[RunDocument], Any]:
    """The same, a dash where nothing is known."""

    def known(run: RunDocument) -> Any:
        try:
            value = read(run)
        except KeyError:  # a foreign run may not say
            return MISSING_FIGURE
        return MISSING_FIGURE if value is None or value == "" else value

    return known


def _flag(key: str, short: str, name: str) -> Dimension:
    """Return the dimension of an engine's argument, labelled as the flag is written."""
    return Dimension(key, name, short, lambda run: _argument(run, name))


_SERVER = (
    Dimension("profile", "Profile", "{}", lambda run: run["server"].get("profile")),
    Dimension("precision", "Precision", "{}", lambda run: _argument(run, "quantization") or _argument(run, "dtype")),
    _flag("tp", "TP {}", "tensor-parallel-size"),
    _flag("pp", "PP {}", "pipeline-parallel-size"),
    _flag("dp", "DP {}", "data-parallel-size"),
    _flag("ep", "EP {}", "enable-expert-parallel"),
    Dimension("gpus", "GPUs", "{} GPU", gpu_count),
    Dimension("gpu", "GPU", "{}", _gpu_name),
    Dimension("engine", "Engine", "{}", lambda run: run["server"].get("name")),
    Dimension("version", "Engine version", "{}", lambda run: run["server"].get("version")),
    Dimension("weights", "Weights", "{} weights", lambda run: _launch(run).get("weights")),
    Dimension("simulated", "Server kind", "{}", lambda run: "SIMULATED" if run["simulated"] else "real"),
    Dimension("measured_by", "Measured by", "{}", _measured_by),
    Dimension("client_host", "Client", "{}", lambda run: (run["environment"].get("host") or {}).get("name")),
    Dimension("day", "Day", "{}", lambda run: str(run["started_at"])[:10]),
)
# What `question` holds that a dimension of a better name tells already.
_ASKED_ALREADY = {
    *("model", "endpoint", "input_tokens", "output_tokens", "simulated"),
    *(f"shape.{name}" for name in ("kind", "arrivals", "max_in_flight")),
    *(f"shape.{shape.value_key}" for shape in SHAPES.values()),
}


def dimensions(runs: Sequence[RunDocument], names: Mapping[str, str], tags: Tags) -> dict[str, Dimension]:
    """Every dimension that these runs have, by its key. `names` are those of their sweeps, by id.

    What they differ in besides is one too: an argument of a server's start as `arg.NAME`, and anything else that was asked as
    `asked.FIELD`.
    """
    sweep = Dimension("sweep", "Sweep", "{}", lambda run: names.get(run["sweep_id"], run["sweep_id"]))
    tag = Dimension("tag", "Tags", "{}", lambda run: ", ".join(tags.get(run["sweep_id"], ())))
    found = [LOAD, *OTHERS, sweep, *_SERVER, tag, *_differing(_arguments(runs)), *_differing(_asked(runs))]
    return {each.key: Dimension(each.key, each.label, each.short, _dash(each.read)) for each in found}


_SPEC_FIELDS = {field.name for kind in (RunSpec, Workload) for field in fields(kind)}

Values = dict[str, dict[str, Any]]  # of each run, by its id: values by name


def _arguments(runs: Sequence[RunDocument]) -> tuple[str, Values]:
    values = {run["run_id"]: flat(_launch(run).get("arguments") or {}) for run in runs}
    for named in values.values():
        for name in _HAVE_DIMENSIONS:
            named.pop(name, None)
    return "arg", values


def _asked(runs: Sequence[RunDocument]) -> tuple[str, Values]:
    def is_new(field: str) -> bool:
        return field not in _ASKED_ALREADY and not field.startswith("shape.ramp.")

    return "asked", {run["run_id"]: {f: v for f, v in question(run).items() if is_new(f)} for run in runs}


def _differing(kind_and_values: tuple[str, Values]) -> Iterable[Dimension]:
    """A dimension for each name under which the runs have more than one value."""
    kind, values = kind_and_values
    names = sorted({name for named in values.values() for name in named})
    for name in names:
        if len({str(named.get(name)) for named in values.values()}) > 1:
            # Flags and keys are labelled as they are written, a nested argument by its own name.
            label = short_name(name, dict.fromkeys(names)) if kind == "arg" else _flag_or_key(name)

            def read(run: RunDocument, name: str = name) -> Any:
                value = values[run["run_id"]].get(name)
                return value if isinstance(value, int | float | str | None) else str(value)

            yield Dimension(f"{kind}.{name}", label, f"{label.replace('{', '').replace('}', '')} {{}}", read)


def _flag_or_key(field: str) -> str:
    """Return a field of a spec as its flag is written, without dashes before it; any other as the key of the run document."""
    name = field.removeprefix("workload.")
    return name.replace("_", "-") if name in _SPEC_FIELDS else field


def varying(known: Mapping[str, Dimension], runs: Sequence[RunDocument]) -> list[str]:
    """The keys of those in which the runs differ."""
    return [key for key, dimension in known.items() if len({str(dimension.read(run)) for run in runs}) > 1]


def default_x(differing: Sequence[str]) -> str:
    """What to draw along when nobody chose: the load when it varies, else a length."""
    return next((each.key for each in (LOAD, INPUT_TOKENS, OUTPUT_TOKENS) if each.key in differing), LOAD.key)


def default_color(known: Mapping[str, Dimension], differing: Sequence[str], runs: Sequence[RunDocument]) -> str:
    """What tells the runs apart when nobody chose: the first of these that tells each sweep from each other one, else the sweep."""
    sweeps = len({known["sweep"].read(run) for run in runs})
    for key in _COLOR_FIRST:
        if key in differing and len({str(known[key].read(run)) for run in runs}) == sweeps:
            return key
    return "sweep"


def remainder(
    known: Mapping[str, Dimension], runs: Sequence[RunDocument], chosen: Sequence[str]
) -> tuple[Dimension, ...]:
    """What else must be told apart so that no point mixes what was asked: the dimensions that differ within one place of `chosen`."""
    told = [known[key] for key in chosen]
    free: list[Dimension] = []
    for key, dimension in known.items():
        if key in chosen or key in _NAMES:
            continue
        values: dict[tuple[str, ...], str] = {}
        for run in runs:
            value = str(dimension.read(run))
            if values.setdefault(tuple(str(each.read(run)) for each in told), value) != value:
                free.append(dimension)
                told.append(dimension)
                break
    return tuple(free)
