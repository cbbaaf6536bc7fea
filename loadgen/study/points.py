"""The points of a study: each load on each of its servers, and the coordinates by which charts and claims find them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loadgen.analysis.document.spec import SpecDocument
from loadgen.errors import UsageError, hint, listed
from loadgen.inputs import Origin
from loadgen.load.shapes import value_in_json
from loadgen.load.spec import RunSpec
from loadgen.spec.parse import sweep_on
from loadgen.spec.runs import resolve
from loadgen.spec.sweep_spec import SweepSpec
from loadgen.study.claims import Value, Where
from loadgen.study.served import ON_ONE_GPU
from loadgen.study.study_file import StudyFile, read_study
from loadgen.study.tiny import Scale, at_scale
from loadgen.study.tiny_loads import tiny_loads
from loadgen.study.variants import StudyVariant, variants_of

STUDY_TAG = "study:"
"""What the tag of a sweep begins with that was measured for a study; the rest is the study's name."""

_LENGTHS = frozenset({"lengths", "input_tokens", "output_tokens", "dataset", "trace"})
"""Keys of a load that say how long its requests are."""

_SIZES = ("wave", "concurrency", "rate")
"""Keys of a load whose value is the coordinate `batch`."""

_OF_SERVERS = (
    "gpus",
    "precision",
    "kv_precision",
    "top_k",
    "experts",
    "ffn_size",
    "expert_parallel",
    "pipeline",
    "tensor",
    "data",
    "draft_model",
    "draft_tokens",
    "acceptance_length",
    "profile",  # of servers that differ in nothing else but in other arguments
)
"""In the order in which they are asked whether they tell two points apart."""


@dataclass(frozen=True, slots=True)
class Point:
    """One load on one server. `coordinates`: those of the server and of the load; of a tiny model, as at full size."""

    variant: StudyVariant
    load: int  # its place among the study's loads
    run: RunSpec  # of the first repeat
    coordinates: Mapping[str, Value]


def load_specs(file: StudyFile, variant: StudyVariant) -> tuple[SweepSpec, ...]:
    """One sweep for each of the study's loads, on this server; on a tiny model, of loads to match.

    Raises UsageError, with file and line.
    """
    specs = _loads_at_full_size(file, variant)
    return specs if variant.stands_for is None else tiny_loads(specs)


def points_of(file: StudyFile, variants: tuple[StudyVariant, ...]) -> tuple[Point, ...]:
    """Every point of the study, by server and then by load; each once, whatever the number of repeats."""
    points: list[Point] = []
    for variant in variants:
        specs = zip(load_specs(file, variant), _loads_at_full_size(file, variant), strict=True)
        for at, (spec, full) in enumerate(specs):
            for run, full_run in zip(resolve(spec), resolve(full), strict=True):
                if run.seed == spec.seed:
                    points.append(Point(variant, at, run, {**variant.coordinates, **load_coordinates(full_run)}))
    return tuple(points)


def _loads_at_full_size(file: StudyFile, variant: StudyVariant) -> tuple[SweepSpec, ...]:
    served = variant.variant.served
    if variant.cannot_run is not None:  # a provider's rate limits would refuse points that nobody sends
        served = replace(served, profile=served.profile.model_copy(update={"limits": None}))
    specs = []
    for at, load in enumerate(file.study.loads):
        if not load.keys() & _LENGTHS:
            raise UsageError(
                f"{file.origin.name(f'loads.{at}')} does not say how long prompts and replies are; add lengths, such as "
                "'lengths: [128, 1024/128]'"
            )
        asked: dict[str, Any] = {
            "repeats": file.study.repeats,
            "name": file.study.name,
            "tag": f"{STUDY_TAG}{file.study.name}",
            **({} if file.study.accuracy is None else {"accuracy": file.study.accuracy}),
        } | load
        origin = Origin(file.origin.under(f"loads.{at}").places, file.path)
        specs.append(sweep_on(served, variant.variant.url, asked, origin, takes_grid=False))
    return tuple(specs)


def compared_points(file: StudyFile, *, scale: Scale = "full") -> tuple[Point, ...]:
    """The points of the other studies that its claims compare with. Raises UsageError for a study that does not exist."""
    try:
        others = [read_study(name) for name in file.study.compared_with]
    except UsageError as error:
        raise UsageError(f"{file.origin.name('compared_with')}: {error}") from None
    return tuple(point for other in others for point in points_of(other, at_scale(scale, variants_of(other))))


def load_coordinates(run: RunSpec) -> dict[str, Value]:
    """Return `load`, `batch`, the lengths, and `length` where both are the same."""
    return _load_coordinates(run.shape.kind, value_in_json(run.shape.to_json()), run.input_tokens, run.output_tokens)


def load_coordinates_of(spec: SpecDocument) -> dict[str, Value]:
    """The same, from the spec of a run on record."""
    shape = spec["shape"]
    return _load_coordinates(shape["kind"], value_in_json(shape), spec["input_tokens"], spec["output_tokens"])


def _load_coordinates(kind: str, size: float, input_tokens: int | None, output_tokens: int) -> dict[str, Value]:
    found: dict[str, Value] = {"load": kind, "batch": size, "output_tokens": output_tokens}
    if input_tokens is not None:
        found["input_tokens"] = input_tokens
    if input_tokens == output_tokens:
        found["length"] = output_tokens
    return found


def coordinate_hint(name: str, known: Collection[str]) -> str:
    """Return what to write in place of a coordinate that no point has."""
    if name in _SIZES and "batch" in known:
        return f"the '{name}' of a load is the coordinate 'batch'"
    return hint(name, known, kind="coordinates")


def is_at(coordinates: Mapping[str, Value], where: Where) -> bool:
    """Whether a point has one of the values for every coordinate of `where`."""
    return all(
        key in coordinates and coordinates[key] in (value if isinstance(value, list) else [value])
        for key, value in where.items()
    )


def telling_apart(points: Iterable[Point]) -> frozenset[str]:
    """Return the coordinates of servers without which points of the same model, load and settings would be the same.

    Two servers that differ in the number of GPUs alone are told apart by `gpus`; if the study names a setting for it, by that.
    """
    groups: dict[object, list[Point]] = {}
    for point in points:
        load = load_coordinates(point.run)
        named = {
            key: point.coordinates[key] for key in ("model", *load, *point.variant.settings) if key in point.coordinates
        }
        groups.setdefault(tuple(sorted(named.items())), []).append(point)
    found = []
    for name in _OF_SERVERS:
        values = {group: {point.coordinates.get(name) for point in members} for group, members in groups.items()}
        if any(len(each) > 1 for each in values.values()):
            found.append(name)
            split: dict[object, list[Point]] = {}
            for group, members in groups.items():
                for point in members:
                    split.setdefault((group, point.coordinates.get(name)), []).append(point)
            groups = split
    return frozenset(found)


def on_one_gpu(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the points of servers over several GPUs as they are on one, unless the study has that server as well.

    Where two planned servers become the same, as with studies of parallelism, neither is returned.
    """
    planned = {point.variant.served.identity for point in points}
    alike: dict[object, list[Point]] = {}
    for point in points:
        served = point.variant.served.on_one_gpu
        if served.identity in planned:
            continue
        gpus = point.coordinates.get("gpus")
        variant = replace(point.variant, served=served, planned_gpus=gpus if isinstance(gpus, int) else None)
        twin = replace(point, variant=variant, coordinates={**point.coordinates, **ON_ONE_GPU})
        load = tuple(sorted(load_coordinates(point.run).items()))
        alike.setdefault((served.identity, load), []).append(twin)
    return tuple(twins[0] for twins in alike.values() if len(twins) == 1)


def coordinate_values(points: Iterable[Point]) -> dict[str, tuple[Value, ...]]:
    """Return the values of each coordinate that a point has, in the order of the points."""
    found: dict[str, dict[Value, None]] = {}
    for point in points:
        for name, value in point.coordinates.items():
            found.setdefault(name, {})[value] = None
    return {name: tuple(values) for name, values in found.items()}


def points_at(points: Sequence[Point], only: Where) -> tuple[Point, ...]:
    """Return the points at `only`. Raises UsageError, which names the known coordinates and values, if there are none."""
    values = coordinate_values(points)
    for key, given in only.items():
        known = values.get(key)
        if known is None:
            raise UsageError(f"unknown coordinate '{key}' in --only; {coordinate_hint(key, values)}")
        for value in given if isinstance(given, list) else [given]:
            if value not in known:
                raise UsageError(f"no point of the study has {key} {value}; {listed(known)}")
    found = tuple(point for point in points if is_at(point.coordinates, only))
    if only and not found:
        asked = " and ".join(f"{key} {values_shown(value)}" for key, value in only.items())
        raise UsageError(f"no point of the study has {asked} together")
    return found


def values_shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
