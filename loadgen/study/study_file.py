"""Study files: where they lie, and what is wrong with one, by file and line."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from loadgen.errors import ModelError, UsageError, hint, nearest
from loadgen.inputs import FileLine, NamedFiles, Origin, read_yaml
from loadgen.moe.models import model
from loadgen.study.accuracy import STUDY_FIGURES
from loadgen.study.claims import Fact
from loadgen.study.schema import Study

STUDIES = NamedFiles("studies", kind="study", listing="loadgen study list")

_OF_POINTS = ("servers", "matrix", "loads", "repeats")  # what `points_of` takes over from another study


@dataclass(frozen=True, slots=True)
class StudyFile:
    """A study, and where each of its keys stands."""

    study: Study
    origin: Origin
    path: Path

    def with_repeats(self, repeats: int) -> "StudyFile":
        """The same study, each point measured so often. Raises UsageError below 1."""
        if repeats < 1:
            raise UsageError(f"--repeats must be at least 1, not {repeats}")
        return replace(self, study=self.study.model_copy(update={"repeats": repeats}))


def study_names() -> tuple[str, ...]:
    return STUDIES.names()


def read_study(name_or_path: str) -> StudyFile:
    """A study by name, or by the path of its file. Raises UsageError, one sentence with file and line."""
    path = _path_of(name_or_path)
    values, places = _resolved(path)
    if "name" in values:
        raise UsageError(f"unknown key 'name' in {places['name']}; a study is called as its file is")
    origin = Origin(places, path)
    study = origin.validated(Study, values | {"name": path.stem})
    _check(study, origin)
    return StudyFile(study, origin, path)


def _resolved(path: Path) -> tuple[dict[str, object], dict[str, FileLine]]:
    """The keys of the file, and those that say what is measured of the study whose points it shares."""
    values, places = read_yaml(path, "study", example="title: Throughput by batch size")
    other = values.pop("points_of", None)
    if other is None:
        return values, places
    where = f"'points_of' in {places['points_of']}"
    if not isinstance(other, str):
        raise UsageError(f"{where} must name one other study, not {other}")
    try:
        shared, shared_places = read_yaml(_path_of(other), "study", example="title: Throughput by batch size")
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None
    for key in _OF_POINTS:
        if key in values:
            raise UsageError(f"'{key}' in {places[key]} and {where} exclude each other; give one of them")
        if key in shared:
            values[key] = shared[key]
            places |= {name: line for name, line in shared_places.items() if name.split(".")[0] == key}
    return values, places


def _path_of(name_or_path: str) -> Path:
    same = next((name for name in study_names() if _plain(name) == _plain(name_or_path)), None)
    return STUDIES.path_of(name_or_path, meant=same, known=study_names)


def _plain(name: str) -> str:
    """`fig6` of `fig06`, `Fig. 6` and `figure 6`."""
    return re.sub(r"[^a-z0-9]|0+(?=[0-9])", "", name.lower().replace("figure", "fig"))


def _check(study: Study, origin: Origin) -> None:
    """Raise UsageError for what no single value shows to be wrong."""
    if study.servers and not study.loads:
        raise UsageError(
            f"{origin.name('loads')} is missing; say what to send, such as '- {{wave: [1, 16], lengths: [128]}}'"
        )
    if not study.servers and not study.models:
        raise UsageError(
            f"{origin.name('servers')} is missing; name profiles to start, such as '- profile: olmoe-tp1', or 'models' for "
            "a study of their sizes alone"
        )
    for at, panel in enumerate(study.panels):
        _check_figure(panel.y, origin.name(f"panels.{at}.y"))
    seen: set[str] = set()
    for at, claim in enumerate(study.claims):
        if claim.id in seen:
            raise UsageError(f"{origin.name(f'claims.{at}.id')} is '{claim.id}', which another claim has")
        seen.add(claim.id)
        if claim.compare.kind not in ("fact", "none", "oom"):
            _check_figure(claim.metric, origin.name(f"claims.{at}.metric"))
        if isinstance(claim.compare, Fact):
            _check_models(claim.compare.models, origin.name(f"claims.{at}.compare.model"))
    _check_models(study.models, origin.name("models"))


def _check_models(names: Iterable[str], where: str) -> None:
    for name in names:
        try:
            model(name)
        except ModelError as error:
            raise UsageError(f"{where}: {error}") from None


def _check_figure(key: str, where: str) -> None:
    if key in STUDY_FIGURES:
        return
    near = nearest(key, STUDY_FIGURES, similarity=0.5)  # `e2e_s` is short for `e2e_latency_s`
    raise UsageError(f"unknown figure '{key}' at {where}; {hint(near or key, STUDY_FIGURES, kind='figures')}")
