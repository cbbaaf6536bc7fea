"""What a command asks to be measured, and on which servers: at a URL, on named profiles, or on the running server.

Starts nothing.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from loadgen.errors import UsageError, hint, nearest
from loadgen.experiments.sweep_record import sweep_hash
from loadgen.inputs import Origin
from loadgen.servers.launcher.state import ServerState
from loadgen.servers.launcher.variant import OURS, Overrides, Variant
from loadgen.servers.profiles.plugins import EXPERT_COUNTS
from loadgen.servers.profiles.schema import Argument, FlagName
from loadgen.spec.parse import SERVERS, make_spec, read_keys, sweep_on
from loadgen.spec.runs import resolve
from loadgen.spec.sweep_spec import SweepSpec
from loadgen.store.repository import Store

_NO_SERVER = (
    "no server is running; start one with `loadgen serve up PROFILE`, or say with --url where yours is "
    "(--url simulator tries loadgen out)"
)

HashOf = Callable[[SweepSpec, Variant], str]
"""By what a sweep is recognised."""


def _names(value: object) -> object:
    """`a,b` or a list of names, as a list."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _values(value: object) -> object:
    """One value of an argument, as the list of its values."""
    return value if isinstance(value, list) else [value]


class _Matrix(BaseModel):
    """Every profile with every combination of arguments."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: Annotated[list[str], BeforeValidator(_names), Field(min_length=1)]
    arguments: dict[FlagName, Annotated[list[Argument | None], BeforeValidator(_values), Field(min_length=1)]] = Field(
        default_factory=dict
    )


class _Servers(BaseModel):
    """The keys besides those of a spec."""

    profile: Annotated[list[str] | None, BeforeValidator(_names)] = None
    matrix: _Matrix | None = None
    interleave: bool = False


class KeptServer:
    """A server that several sweeps on one variant use in turn. It is stopped with the block, or when `stop` is called."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._server: ServerState | None = None

    def __enter__(self) -> "KeptServer":
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def started(self, start_it: Callable[[], AbstractContextManager[ServerState]]) -> ServerState:
        """Return the server, started now unless it is there already. Raises what starting it raises."""
        if self._server is None:
            self._server = self._stack.enter_context(start_it())
        return self._server

    def stop(self) -> None:
        self._server = None
        self._stack.close()


@dataclass(frozen=True, slots=True)
class PlannedSweep:
    spec: SweepSpec
    variant: Variant | None = None  # that it runs on; None: the server is at the URL of the spec
    takes_running: bool = False  # a running server of this variant is measured as it is
    kept: KeptServer | None = None  # holds the server for the next sweep on the same variant
    addresses: tuple[str, ...] = ()  # the only ones at which to reach the server, if any are given; see `Route`


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What is asked: `values` by keys of a spec, and where each came from. `variants` None: no profile is named."""

    values: Mapping[str, object]
    origin: Origin
    variants: tuple[Variant, ...] | None
    interleave: bool

    @property
    def names_server(self) -> bool:
        """Whether it names a server; else the running one is measured."""
        return self.variants is not None or "url" in self.values

    @property
    def is_group(self) -> bool:
        """Whether several servers are started, or one several times."""
        return self.interleave or (self.variants is not None and len(self.variants) > 1)

    def sweeps(self) -> tuple[PlannedSweep, ...]:
        """One sweep for each profile that is named, or the one at the URL. Raises UsageError."""
        if self.variants is None:
            return (PlannedSweep(make_spec(self.values, self.origin)),)
        sweeps = tuple(planned_on(variant, self.on(variant)) for variant in self.variants)
        if self.interleave and all(sweep.spec.repeats < 2 for sweep in sweeps):
            raise UsageError(
                f"{self.origin.name('interleave')} needs --repeats of 2 or more, between which servers are started anew"
            )
        return sweeps

    def on(self, variant: Variant, *, takes_grid: bool = True) -> SweepSpec:
        """Return what is asked, for a variant of a server. Raises UsageError."""
        return sweep_on(variant.served, variant.url, self.values, self.origin, takes_grid=takes_grid)

    def on_running(
        self,
        server: ServerState | None,
        store: Store | None = None,
        *,
        takes_grid: bool = True,
        hash_of: HashOf | None = None,
    ) -> PlannedSweep:
        """Return the sweep on the running server; to resume one of `store`, the sweep on the server that it began on.

        Raises UsageError when there is no such server, and when another server than that one is running.
        """
        hash_of = hash_of or (lambda spec, variant: sweep_hash(resolve(spec), variant))
        sweep = None
        if server is not None:
            variant = Variant.of_running(server)
            sweep = PlannedSweep(self.on(variant, takes_grid=takes_grid), variant, takes_running=True)
            spec_hash = hash_of(sweep.spec, variant)
            if store is None or store.resumable(spec_hash) or store.finished(spec_hash):
                return sweep
        begun = None if store is None else self._begun(store, takes_grid, hash_of)
        if begun is None:
            if sweep is None:
                raise UsageError(_NO_SERVER)
            return sweep
        sweep_id, elsewhere = begun
        if server is not None:
            assert elsewhere.variant is not None
            raise UsageError(
                f"the sweep {sweep_id} began on {elsewhere.variant.label}, and {server.profile} is running: "
                "end it with `loadgen serve down`, or begin a new sweep without --resume"
            )
        return elsewhere

    def _begun(self, store: Store, takes_grid: bool, hash_of: HashOf) -> tuple[str, PlannedSweep] | None:
        """Return the id of the newest sweep on record that is asked for here on some profile, and the sweep that resumes it."""
        for row in store.sweeps():
            is_of_group, has_no_run = row.group_id is not None, row.start_failure is not None
            if "profile" not in row.spec or is_of_group or has_no_run or row.imported is not None:
                continue
            try:
                variant = Variant.from_json(row.spec)
                sweep = PlannedSweep(self.on(variant, takes_grid=takes_grid), variant, takes_running=True)
                is_it = hash_of(sweep.spec, variant) == row.spec_hash
            except UsageError:  # its profile is gone, or has another grid by now
                continue
            if is_it:
                return row.sweep_id, sweep
        return None


def read_request(flags: Mapping[str, object], path: Path | None = None) -> SweepRequest:
    """Read what flags and a file ask; flags take precedence. Raises UsageError."""
    values, origin = read_keys(flags, path)
    for key in values.keys() - SweepSpec.model_fields.keys() - _Servers.model_fields.keys():
        if nearest(key, _Servers.model_fields) is not None:
            raise UsageError(f"unknown key {origin.name(key)}; {hint(key, _Servers.model_fields, kind='keys')}")
    named = [key for key in SERVERS if key in values]
    if len(named) > 1:
        raise UsageError(f"{origin.name(named[0])} and {origin.name(named[1])} exclude each other; give one of them")
    ours = {key: values.pop(key) for key in _Servers.model_fields if key in values}
    servers = origin.validated(_Servers, ours)
    variants = _variants(servers, origin)
    if servers.interleave and variants is None:
        raise UsageError(f"{origin.name('interleave')} needs --profile, whose server is started anew for each repeat")
    return SweepRequest(values, origin, variants, servers.interleave)


def planned_on(variant: Variant, spec: SweepSpec) -> PlannedSweep:
    """The sweep on a variant that is started for it, with what counting experts takes if they are to be counted."""
    adds_plugin = spec.experts and variant.profile.launcher != "external"
    return PlannedSweep(spec, variant.with_plugin(EXPERT_COUNTS) if adds_plugin else variant)


def _variants(servers: _Servers, origin: Origin) -> tuple[Variant, ...] | None:
    if servers.profile is not None:
        return _once([Variant.of(name) for name in servers.profile], origin.name("profile"))
    if servers.matrix is None:
        return None
    arguments = servers.matrix.arguments
    for flag in arguments:
        if flag.replace("_", "-") in OURS:
            raise UsageError(
                f"{origin.name(f'matrix.arguments.{flag}')} is a key of the profile itself; make a profile for each"
            )
    return _once(
        [
            Variant.of(name, Overrides(arguments=dict(zip(arguments, values, strict=True))))
            for name in servers.matrix.profile
            for values in product(*arguments.values())
        ],
        origin.name("matrix"),
    )


def _once(variants: list[Variant], where: str) -> tuple[Variant, ...]:
    labels = [variant.label for variant in variants]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise UsageError(f"{where} lists {twice} twice")
    return tuple(variants)
