"""All studies that there are, with what the store has of them; kept until a file or the store changes."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadgen.errors import LoadgenError, NotFoundError
from loadgen.report.study.record import PlannedStudy, Record, sweeps_on_record
from loadgen.report.study.results import StudyResults, results_of
from loadgen.report.study.site import in_order
from loadgen.servers.profiles.profile_file import PROFILES
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from loadgen.study.study_file import STUDIES, StudyFile, read_study, study_names

Files = tuple[tuple[str, int], ...]
Sweeps = tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Studies in the order of the pages, and a sentence for each that cannot be read."""

    studies: tuple[StudyResults, ...]
    problems: tuple[str, ...]

    def study(self, name: str) -> StudyResults:
        """The study of this name. Raises NotFoundError."""
        for each in self.studies:
            if each.file.study.name == name:
                return each
        raise NotFoundError(f"there is no study '{name[:60]}'; /studies lists those that exist")


@dataclass(slots=True)
class StudyLibrary:
    """Reading all studies takes seconds: of each is kept what was read, while study files, profiles and its sweeps stay as they are."""

    names: Callable[[], Sequence[str]] = study_names
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _files: Files | None = None
    _planned: tuple[PlannedStudy, ...] = ()
    _problems: tuple[str, ...] = ()
    _sweeps: Sweeps | None = None
    _shelf: Shelf | None = None
    # By study, with the sweeps it was read from.
    _read: dict[str, tuple[Sweeps, StudyResults]] = field(default_factory=dict)

    def shelf(self, store: Store | None) -> Shelf:
        """All studies; without a store, nothing was measured. Raises StoreError."""
        with self._lock:
            files = _files()
            if files != self._files:
                self._planned, self._problems = planned_studies(self.names())
                self._files, self._shelf = files, None
                self._read.clear()
            sweeps = () if store is None else tuple(map(_state, sweeps_on_record(store)))
            if self._shelf is None or sweeps != self._sweeps:
                record = None if store is None else Record.of(store)
                if record is not None and record.has_tiny_models:
                    self._planned = tuple(each if each.tiny else each.with_tiny_models() for each in self._planned)
                found = tuple(self._results(planned, record) for planned in self._planned)
                self._shelf, self._sweeps = Shelf(found, self._problems), sweeps
            return self._shelf

    def _results(self, planned: PlannedStudy, record: Record | None) -> StudyResults:
        sweeps = [] if record is None else record.sweeps_on(point.variant for point in planned.all_points)
        states = tuple(_state(sweep) for sweep, _ in sweeps)
        name = planned.file.study.name
        if name not in self._read or self._read[name][0] != states:
            self._read[name] = states, results_of(planned, record)
        return self._read[name][1]


def readable_studies(names: Iterable[str]) -> tuple[list[StudyFile], list[str]]:
    """The files of these studies in the order of the pages, and a sentence for each that cannot be read."""
    files: list[StudyFile] = []
    problems: list[str] = []
    for name in names:
        try:
            files.append(read_study(name))
        except LoadgenError as error:
            problems.append(str(error))
    return in_order(files), problems


def planned_studies(names: Iterable[str]) -> tuple[tuple[PlannedStudy, ...], tuple[str, ...]]:
    files, problems = readable_studies(names)
    planned: list[PlannedStudy] = []
    for file in files:
        try:
            planned.append(PlannedStudy.of(file))
        except LoadgenError as error:
            problems.append(str(error))
    return tuple(planned), tuple(problems)


def _files() -> Files:
    """Study files and profiles, each with the time of its last change."""
    folders: tuple[Path, ...] = (*STUDIES.folders(), *PROFILES.folders())
    found = sorted(path for folder in folders for path in folder.glob("*.yaml"))
    return tuple((str(path), path.stat().st_mtime_ns) for path in found)


def _state(sweep: SweepRow) -> tuple[str, int, str]:
    return sweep.sweep_id, sweep.runs, sweep.status
