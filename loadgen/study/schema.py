"""What a study file says: a question, the servers and loads that answer it, how to draw it, and the claims to judge."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from loadgen.checkpoints.selection import Kind, Pruning
from loadgen.servers.profiles.schema import Argument, FlagName
from loadgen.spec.accuracy import Accuracy, as_accuracy
from loadgen.study.claims import Claim, Statistic, Value, Where


class _Part(BaseModel):
    """Files are checked strictly: an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _labelled(value: object) -> object:
    """A list of values, as a mapping of each to itself."""
    return {each: each for each in value} if isinstance(value, list) and all(map(_is_scalar, value)) else value


def _is_scalar(value: object) -> bool:
    return isinstance(value, bool | int | float | str)


class Setting(_Part):
    """One axis of a matrix: an argument of the server, and its values by the name that each has as a coordinate.

    `argument` is a flag, with dots into one whose value is a mapping: `hf-overrides.num_experts_per_tok`. A value of
    null takes the argument away.
    """

    argument: FlagName
    values: Annotated[dict[Value, Argument | None], BeforeValidator(_labelled), Field(min_length=1)]


class PrunedServer(_Part):
    """A server of a pruned model: without a share of its experts, or of the columns of each.

    With made-up weights the engine is given another configuration; otherwise it is given a checkpoint as `loadgen moe prune` writes it.
    """

    inter: Annotated[float, Field(gt=0, lt=1)] | None = None
    intra: Annotated[float, Field(gt=0, lt=1)] | None = None
    rule: Literal["norm", "random"] = "norm"
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.inter is None) == (self.intra is None):
            raise ValueError("one of inter and intra must be given, and not both")
        return self

    @property
    def pruning(self) -> Pruning:
        """The same for the checkpoint."""
        kind: Kind = "inter" if self.inter is not None else "intra"
        return Pruning(kind, self.inter or self.intra or 0.0, self.rule, seed=self.seed)


class StudyServer(_Part):
    """A server profile, what the study changes of it, and an axis of variants for each entry of `matrix`."""

    profile: str
    arguments: dict[FlagName, Argument | None] = Field(default_factory=dict)
    settings: dict[str, Value] = Field(default_factory=dict)  # coordinates that the arguments do not tell
    matrix: dict[str, Setting] = Field(default_factory=dict)
    pruned: PrunedServer | None = None
    cannot_run: str | None = None  # why no server of today can be started for it
    tiny: str | None = None  # the profile that stands for it at tiny scale, if not that of its model's family


class Panel(_Part):
    """One drawing: a figure over a coordinate. The others are told apart by colour and by facet, or fixed in `where`."""

    title: str
    y: str  # a figure's key
    statistic: Statistic = "p50"
    x: str
    colour: str | None = None
    facet: str | None = None
    where: Where = Field(default_factory=dict)
    log_x: bool = False
    log_y: bool = False
    kind: Literal["line", "bar", "heat map"] = "line"


class Study(_Part):
    """One study. `loads` are keys of a sweep; `servers` may be absent for a study that is arithmetic alone."""

    name: str  # the file's
    title: str
    place: str = ""  # in the paper that it repeats
    question: str
    setting: str = ""  # how the paper ran it: hardware, lengths, what it leaves out
    servers: tuple[StudyServer, ...] = ()
    matrix: dict[str, Setting] = Field(default_factory=dict)  # of every server
    loads: tuple[dict[str, Any], ...] = ()
    repeats: Annotated[int, Field(ge=1)] = 1
    accuracy: Annotated[Accuracy | None, BeforeValidator(as_accuracy)] = None  # of each server, once
    models: tuple[str, ...] = ()  # of a study that needs no server
    panels: tuple[Panel, ...] = ()
    claims: tuple[Claim, ...] = ()
    compared_with: tuple[str, ...] = ()  # other studies whose points the claims use as well
    notes: str | None = None

    @property
    def needs_server(self) -> bool:
        return bool(self.servers)


def matrix_of(study: Study, server: StudyServer) -> Mapping[str, Setting]:
    """The axes of one server: the study's, and its own in their place where both name one."""
    return {**study.matrix, **server.matrix}
