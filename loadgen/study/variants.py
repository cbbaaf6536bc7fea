"""The servers of a study: each profile with each combination of its matrix."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Literal

from loadgen.checkpoints.selection import Pruning
from loadgen.errors import LoadgenError, ModelError, UsageError
from loadgen.servers.launcher.variant import Overrides, Variant
from loadgen.servers.profiles.layout import UNIFORM_ROUTING
from loadgen.servers.profiles.subject import architecture_of, folder_of
from loadgen.study.claims import Value
from loadgen.study.pruned import PrunedCheckpoint, pruned_configuration
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
    tiny: str | None = None  # the profile that stands for it at tiny scale, if the study names one
    stands_for: "StudyVariant | None" = None  # of a tiny model: the server in whose place it is
    planned_gpus: int | None = None  # of a server on one GPU: those of the planned one in whose place it is
    pruning: Pruning | None = None
    checkpoint: PrunedCheckpoint | None = None  # to make before it starts; None: it is there, or weights are made up

    @property
    def label(self) -> str:
        """`mixtral-8x7b with num_experts_per_tok 4`."""
        return self.variant.label

    @property
    def coordinates(self) -> dict[str, Value]:
        """Those of what is served, under those that the study names; of a tiny model those of what it stands for."""
        if self.stands_for is not None:
            return self.stands_for.coordinates
        return {"model": self.served.model, "profile": self.variant.name, **self.served.coordinates, **self.settings}


def variants_of(
    file: StudyFile, *, weights: Literal["dummy"] | None = None, models: Path | None = None
) -> tuple[StudyVariant, ...]:
    """The servers of the study in order, each once.

    `weights` "dummy" has the engine make its weights up and draw the experts of each token at random, since the routers of
    made-up weights may send all tokens to the same few. `models` is a folder with one folder for each model, by the name that
    requests use. Raises UsageError for a profile or a model that does not exist, or for two variants that are the same.
    """
    found: list[StudyVariant] = []
    for at, server in enumerate(file.study.servers):
        try:
            variants = tuple(_of_server(file.study, server, weights, models))
        except ModelError as error:
            place = _place_of_mistake(file.study, at)
            raise UsageError(f"{file.origin.name(place)}: {_sentence(error)}") from None
        except LoadgenError as error:
            raise UsageError(f"{file.origin.name(f'servers.{at}.profile')}: {error}") from None
        for variant in variants:
            _check_axes(file, at, variant)
        found += variants
    labels = [each.label for each in found]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UsageError(f"{file.origin.name('servers')} lists {twice} twice")
    return tuple(found)


def _check_axes(file: StudyFile, at: int, variant: StudyVariant) -> None:
    """Refuse an axis with the name of what is served, but with another value than what is served has."""
    server = file.study.servers[at]
    for name, setting in matrix_of(file.study, server).items():
        served, given = variant.served.coordinates.get(name), variant.settings[name]
        has_name_of_its_own = setting.values[given] != given
        if served is None or served == given or has_name_of_its_own:
            continue
        place = f"servers.{at}.matrix.{name}" if name in server.matrix else f"matrix.{name}"
        raise UsageError(
            f"{file.origin.name(place)} is {given} for a server whose {name} is {served}: '{setting.argument}' does not set it; "
            "correct the argument, or give the axis another name"
        )


def _place_of_mistake(study: Study, at: int) -> str:
    """The key of the value that makes a server impossible by itself; that of its profile if none does."""
    server, base = study.servers[at], Variant.of(study.servers[at].profile)
    given = [(f"servers.{at}.arguments.{name}", name, [value]) for name, value in server.arguments.items()]
    for name, setting in matrix_of(study, server).items():
        where = f"servers.{at}.matrix" if name in server.matrix else "matrix"
        given.append((f"{where}.{name}.values", setting.argument, list(setting.values.values())))
    if _can_be(base):
        for place, argument, values in given:
            if not all(_can_be(replace(base, overrides=Overrides(arguments={argument: value}))) for value in values):
                return place
    return f"servers.{at}.profile"


def _can_be(variant: Variant) -> bool:
    try:
        served_by(variant.served.profile)
    except ModelError:
        return False
    return True


def _sentence(error: ModelError) -> str:
    text = str(error).removesuffix(".")
    return text[:1].lower() + text[1:]


def _of_server(
    study: Study, server: StudyServer, weights: Literal["dummy"] | None, models: Path | None
) -> Iterator[StudyVariant]:
    base = Variant.of(server.profile)
    if base.profile.abstract:
        raise UsageError(
            f"'{server.profile}' is only there to be extended; `loadgen profiles list` shows those to serve"
        )
    cannot_run = server.cannot_run or base.profile.unservable
    folder = None if models is None or cannot_run is not None else _folder(models, base.profile.request_model)
    matrix = matrix_of(study, server)
    fixed = dict(server.arguments)
    if server.pruned is not None:
        sizes = pruned_configuration(architecture_of(base.profile, {}), server.pruned.pruning)
        fixed |= {f"hf-overrides.{key}": size for key, size in sizes.items()}
    for combination in product(*(setting.values.items() for setting in matrix.values())):
        named = dict(zip(matrix, (label for label, _ in combination), strict=True))
        changed = dict(fixed)
        changed |= {setting.argument: value for setting, (_, value) in zip(matrix.values(), combination, strict=True)}
        if weights == "dummy":
            changed["load-format"] = "dummy"
        checkpoint, why_not = _checkpoint(server, base, folder, is_dummy=changed.get("load-format") == "dummy")
        served_folder = folder if checkpoint is None else str(checkpoint.target)
        variant = replace(base, overrides=Overrides(model=served_folder, arguments=changed))
        if weights == "dummy":
            variant = _with_uniform_routing(variant)
        settings = {**server.settings, **named}
        yield StudyVariant(
            variant,
            served_by(variant.served.profile),
            settings,
            cannot_run or why_not,
            tiny=server.tiny,
            pruning=None if server.pruned is None else server.pruned.pruning,
            checkpoint=checkpoint,
        )


def _checkpoint(
    server: StudyServer, base: Variant, folder: str | None, *, is_dummy: bool
) -> tuple[PrunedCheckpoint | None, str | None]:
    """The checkpoint to make for a server, if it needs one; or why it cannot be made."""
    if server.pruned is None or is_dummy:
        return None, None
    source = folder_of(folder or base.profile.model)
    if source is None:
        return None, f"its checkpoint is pruned from one of {base.profile.model} in a folder: name that with --models"
    return PrunedCheckpoint(source, server.pruned.pruning), None


def _with_uniform_routing(variant: Variant) -> Variant:
    profile = variant.file.profile
    environment = {**profile.environment, **UNIFORM_ROUTING}
    return replace(variant, file=replace(variant.file, profile=profile.model_copy(update={"environment": environment})))


def _folder(models: Path, name: str) -> str:
    folder = models / name
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; put the model there, or a link to it")
    return str(folder)
