"""The servers of a study: each profile with each combination of its matrix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from loadgen.errors import LoadgenError, UsageError
from loadgen.servers.launcher.variant import Overrides, Variant
from loadgen.study.claims import Value
from loadgen.study.schema import Study, StudyServer, matrix_of
from loadgen.study.served import Served, served_by
from loadgen.study.study_file import StudyFile


@dataclass(frozen=True, slots=True)
class StudyVariant:
    """One server of a study. `settings` are the coordinates that the study itself names: those of its matrix among them."""

    variant: Variant
    served: Served
    settings: Mapping[str, Value] = field(default_factory=dict)
    cannot_run: str | None = None  # why no server can be started for it

    @property
    def label(self) -> str:
        """`mixtral-8x7b with num_experts_per_tok 4`."""
        return self.variant.label

    @property
    def coordinates(self) -> dict[str, Value]:
        """Those of what is served, under those that the study names."""
        return {"model": self.served.model, "profile": self.variant.name, **self.served.coordinates, **self.settings}


def variants_of(file: StudyFile, *, weights: str | None = None) -> tuple[StudyVariant, ...]:
    """The servers of the study in order, each once; `weights` "dummy" has the engine make its weights up.

    Raises UsageError for a profile that does not exist, or for two variants that are the same.
    """
    found: list[StudyVariant] = []
    for at, server in enumerate(file.study.servers):
        try:
            found += _of_server(file.study, server, weights)
        except LoadgenError as error:
            raise UsageError(f"{file.origin.name(f'servers.{at}.profile')}: {error}") from None
    labels = [each.label for each in found]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UsageError(f"{file.origin.name('servers')} lists {twice} twice")
    return tuple(found)


def _of_server(study: Study, server: StudyServer, weights: str | None) -> Iterator[StudyVariant]:
    matrix = matrix_of(study, server)
    for combination in product(*(setting.values.items() for setting in matrix.values())):
        named = dict(zip(matrix, (label for label, _ in combination), strict=True))
        changed = dict(server.arguments)
        changed |= {setting.argument: value for setting, (_, value) in zip(matrix.values(), combination, strict=True)}
        if weights == "dummy":
            changed["load-format"] = "dummy"
        variant = Variant.of(server.profile, Overrides(arguments=changed))
        profile = variant.served.profile
        yield StudyVariant(
            variant, served_by(profile), {**server.settings, **named}, server.cannot_run or profile.unservable
        )
