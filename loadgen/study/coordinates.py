"""Whether the coordinates that the panels and claims of a study name are those of its points."""

from collections.abc import Iterator, Mapping, Sequence

from loadgen.errors import UsageError, listed
from loadgen.study.claims import Value
from loadgen.study.points import Point, coordinate_hint, coordinate_values
from loadgen.study.schema import Panel
from loadgen.study.study_file import StudyFile

_OF_EVERY_POINT = ("hardware",)  # known once it is measured
_SELECTIONS = ("where", "a", "b", "points", "at")  # keys of a comparison whose values are coordinates


def check_coordinates(file: StudyFile, points: Sequence[Point]) -> None:
    """Raise UsageError, with file and line, for a name or a value that no point has.

    `points` are all of the study, and of those that it is compared with.
    """
    known: dict[str, tuple[Value, ...]] = {**dict.fromkeys(_OF_EVERY_POINT, ()), **coordinate_values(points)}
    for at, panel in enumerate(file.study.panels):
        for key, name in _axes(panel):
            _check_name(name, known, file.origin.name(f"panels.{at}.{key}"))
        for name, given in panel.where.items():
            where = file.origin.name(f"panels.{at}.where.{name}")
            _check_name(name, known, where)
            _check_values(given if isinstance(given, list) else [given], known[name], where)
    for at, claim in enumerate(file.study.claims):
        place = f"claims.{at}.compare"
        comparison = {} if claim.compare.kind == "fact" else claim.compare.model_dump(exclude_defaults=True)
        for name, values, key in _named(comparison):
            where = file.origin.name(f"{place}.{key}")
            _check_name(name, known, where)
            _check_values(values, known[name], where)


def _axes(panel: Panel) -> Iterator[tuple[str, str]]:
    for key in ("x", "colour", "facet"):
        name = getattr(panel, key)
        if name is not None:
            yield key, name


def _named(comparison: Mapping[str, object], under: str = "") -> Iterator[tuple[str, Sequence[Value], str]]:
    """Yield each coordinate that a comparison names, the values that it gives, and the key at which it does."""
    for key, value in comparison.items():
        path = f"{under}{key}"
        if key == "axis":
            yield str(value), (), path
        elif key in _SELECTIONS and isinstance(value, list):
            for at, each in enumerate(value):
                yield from _selected(each, f"{path}.{at}")
        elif key in _SELECTIONS:
            yield from _selected(value, path)
        elif isinstance(value, Mapping):
            yield from _named(value, f"{path}.")


def _selected(selection: object, path: str) -> Iterator[tuple[str, Sequence[Value], str]]:
    if isinstance(selection, Mapping):
        for name, given in selection.items():
            yield name, given if isinstance(given, list) else [given], f"{path}.{name}"


def _check_name(name: str, known: Mapping[str, object], where: str) -> None:
    if name in known:
        return
    raise UsageError(f"unknown coordinate '{name}' at {where}; {coordinate_hint(name, known)}")


def _check_values(given: Sequence[Value], known: Sequence[Value], where: str) -> None:
    wrong = next((value for value in given if known and value not in known), None)
    if wrong is not None:
        raise UsageError(f"{where} is {wrong}, which no point has; {listed(known)}")
