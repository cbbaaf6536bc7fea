"""What the store has of studies, read once for any number of them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from loadgen.analysis.document.run import RunDocument
from loadgen.store.repository import Store
from loadgen.store.rows import SweepRow
from loadgen.store.sweep_progress import SweepsProgress
from loadgen.study.coordinates import check_coordinates
from loadgen.study.measured import series_on
from loadgen.study.points import Point, compared_points, on_one_gpu, points_of
from loadgen.study.served import served_of
from loadgen.study.study_file import StudyFile
from loadgen.study.tiny import at_tiny_scale
from loadgen.study.variants import StudyVariant, variants_of

Identity = tuple[object, ...]
"""Of a server's variant: `Served.identity`."""


@dataclass(frozen=True, slots=True)
class PlannedStudy:
    """A study with its servers and points. `beside`: points of other studies that its claims compare with.

    `one_gpu` are points that are planned over several GPUs as one GPU measures them, which may have the memory.
    `tiny` and `tiny_beside` are those of tiny models in their place, which are series of their own; empty unless asked for.
    """

    file: StudyFile
    variants: tuple[StudyVariant, ...]
    points: tuple[Point, ...]
    beside: tuple[Point, ...] = ()
    one_gpu: tuple[Point, ...] = ()
    tiny: tuple[Point, ...] = ()
    tiny_beside: tuple[Point, ...] = ()

    @classmethod
    def of(cls, file: StudyFile) -> "PlannedStudy":
        """Raises UsageError for a mistake in the file, or in another study that it names."""
        variants = variants_of(file)
        points = points_of(file, variants) if variants else ()
        beside = compared_points(file)
        check_coordinates(file, (*points, *beside))
        return cls(file, variants, points, beside, on_one_gpu(points))

    def with_tiny_models(self) -> "PlannedStudy":
        """The same, with the points of tiny models. Raises UsageError."""
        return replace(
            self,
            tiny=_of_tiny_models(points_of(self.file, at_tiny_scale(self.variants))),
            tiny_beside=_of_tiny_models(compared_points(self.file, scale="tiny")),
        )

    @property
    def own(self) -> tuple[Point, ...]:
        """The study's points, on its servers, on one GPU and on tiny models."""
        return self.points + self.one_gpu + self.tiny

    @property
    def others(self) -> tuple[Point, ...]:
        """The points of other studies likewise."""
        return self.beside + on_one_gpu(self.beside) + self.tiny_beside

    @property
    def all_points(self) -> tuple[Point, ...]:
        """Those of the study, then those that its claims compare with."""
        return self.own + self.others


def sweeps_on_record(store: Store) -> list[SweepRow]:
    """Return all sweeps, newest first. The latest of a group whose next server is starting counts as running."""
    going_on = SweepsProgress(store).going_on()
    return [replace(each, status="running") if each.sweep_id in going_on else each for each in store.sweeps()]


def _of_tiny_models(points: Iterable[Point]) -> tuple[Point, ...]:
    return tuple(point for point in points if point.variant.stands_for is not None)


@dataclass(slots=True)
class Record:
    """The sweeps on record whose server is known, newest first, and the runs of those that were asked for."""

    store: Store
    sweeps: tuple[tuple[SweepRow, Identity], ...]
    _runs: dict[str, list[RunDocument]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store) -> "Record":
        """Raises StoreError."""
        served = ((sweep, served_of(sweep.server)) for sweep in sweeps_on_record(store))
        return cls(store, tuple((sweep, each.identity) for sweep, each in served if each is not None))

    @property
    def has_tiny_models(self) -> bool:
        return any(
            series_on(sweep.server, sweep.environment, is_simulated=sweep.simulated).provenance == "tiny"
            for sweep, _ in self.sweeps
        )

    def sweeps_on(self, variants: Iterable[StudyVariant]) -> list[tuple[SweepRow, Identity]]:
        ours = {variant.served.identity for variant in variants}
        return [(sweep, identity) for sweep, identity in self.sweeps if identity in ours]

    def runs(self, sweep_id: str) -> list[RunDocument]:
        """The runs of a sweep. Raises StoreError."""
        if sweep_id not in self._runs:
            self._runs[sweep_id] = self.store.runs(sweep_id)
        return self._runs[sweep_id]
