"""Which measured points a claim compares with which: those that differ only in what the claim names."""

from collections.abc import Iterable, Mapping, Sequence

from loadgen.study.claims import Value, Where, coordinate_words, value_words
from loadgen.study.measured import MeasuredPoint
from loadgen.study.points import is_at

_LENGTHS = ("length", "input_tokens", "output_tokens")
_OF_THE_LOAD = ("load", "batch", *_LENGTHS)

_SPREAD = ("tensor", "pipeline", "data")
_OF_A_MODEL = ("experts", "top_k", "ffn_size")
_FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "model": (*_OF_A_MODEL, "profile"),
    "gpus": (*_SPREAD, "profile"),
    **dict.fromkeys(_SPREAD, ("gpus", *_SPREAD, "profile")),
    "expert_parallel": ("profile",),
    "precision": ("kv_precision", "profile"),
    "kv_precision": ("profile",),
    "draft_model": ("draft_tokens", "acceptance_length", "profile"),
    "acceptance_length": ("profile",),
}
"""What follows from a coordinate that a comparison is over, and so need not agree. From a profile all of the server does."""
_OF_A_SETTING = (*_SPREAD, "expert_parallel", *_OF_A_MODEL, "draft_model", "acceptance_length", "profile")
"""What follows from a setting that the study has a name of its own for, such as a scheme."""

Setting = tuple[tuple[str, Value], ...]
"""The coordinates in which compared points agree, by name: what tells one comparison from another."""


def selected(points: Iterable[MeasuredPoint], *wheres: Where) -> list[MeasuredPoint]:
    """Return the points at all of `wheres`."""
    return [point for point in points if all(is_at(point.coordinates, where) for where in wheres)]


def by_setting(points: Iterable[MeasuredPoint], named: Iterable[str]) -> dict[Setting, list[MeasuredPoint]]:
    """Group points that agree in all that a comparison may leave open; `named` are the coordinates that it compares over."""
    groups: dict[Setting, list[MeasuredPoint]] = {}
    for point in points:
        groups.setdefault(setting(point, named), []).append(point)
    return groups


def setting(point: MeasuredPoint, named: Iterable[str]) -> Setting:
    """The point's model and load, and what its study names of it, without the coordinates that a comparison is over.

    So are coordinates that tell servers of the study apart, such as the GPUs of one model on two and on four of them. What
    follows from those that it is over (the experts of a model, the pipeline stages of a scheme) need not agree.
    """
    over, own = set(named), point.point.variant.settings
    distinguished_by = set(point.distinguished_by)
    for name in over:
        distinguished_by -= distinguished_by if name == "profile" else set(_follows(name, own))
    kept = {"model", *_OF_THE_LOAD, *own, *distinguished_by} - _with_lengths(over)
    coordinates = point.coordinates
    return tuple(sorted((key, coordinates[key]) for key in kept if key in coordinates))


def _follows(name: str, own: Mapping[str, Value]) -> tuple[str, ...]:
    is_of_the_server = name in _FOLLOWS or name in _OF_A_MODEL or name in _OF_THE_LOAD or name == "draft_tokens"
    return _OF_A_SETTING if name in own and not is_of_the_server else _FOLLOWS.get(name, ())


def without(chosen: Setting, named: Iterable[str]) -> Setting:
    """The setting without these coordinates; one of the lengths stands for all of them."""
    gone = _with_lengths(named)
    return tuple((key, value) for key, value in chosen if key not in gone)


def _with_lengths(named: Iterable[str]) -> set[str]:
    over = set(named)
    return over | set(_LENGTHS) if over & set(_LENGTHS) else over


def names_in(*wheres: Where) -> set[str]:
    """The coordinates that are named in any of these."""
    return {key for where in wheres for key in where}


def described(chosen: Setting, *, besides: Where) -> str:
    """`deepseek-v2-lite, batch 64`: a setting in words, without what is said `besides` as a single value."""
    known = {key for key, value in besides.items() if not isinstance(value, list)}
    if "length" in known or any(key == "length" for key, _ in chosen):
        known |= {"input_tokens", "output_tokens"}
    return ", ".join(coordinate_words(key, value_words(value)) for key, value in chosen if key not in known)


def along(points: Sequence[MeasuredPoint], axis: str) -> list[MeasuredPoint]:
    """The points in ascending order of an axis that is a number."""
    return sorted(points, key=lambda point: float(point.coordinates[axis]))


def has(coordinates: Mapping[str, Value], axis: str) -> bool:
    """Whether a point has a number at this coordinate."""
    value = coordinates.get(axis)
    return isinstance(value, int | float) and not isinstance(value, bool)
