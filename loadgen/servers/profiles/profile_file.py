"""From files to profiles: where they lie, what `extends` means, and which mistakes no single value shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loadgen.errors import UsageError
from loadgen.inputs import FileLine, NamedFiles, Origin, read_yaml
from loadgen.servers.profiles.flag_syntax import canonical
from loadgen.servers.profiles.plugins import wrong_plugins
from loadgen.servers.profiles.schema import ServerProfile, merged

PROFILES = NamedFiles("server_profiles", kind="server profile", listing="loadgen profiles list")

_NOT_INHERITED = ("abstract", "description")  # each file speaks of itself
_OUR_FLAGS = {"host": "host", "port": "port", "served-model-name": "served_model_name", "revision": "revision"}


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile, and where each of its keys stands: in its own file, or in one that it extends."""

    profile: ServerProfile
    origin: Origin
    path: Path


def profile_names(*, abstract: bool = False) -> tuple[str, ...]:
    """The names of all profiles to be served, in order; `abstract`: of those that are only extended as well."""
    names = PROFILES.names()
    return tuple(name for name in names if abstract or _read(_path_of(name))[0].get("abstract") is not True)


def read_profile(name_or_path: str) -> ProfileFile:
    """A profile by name, or by the path of its file, with the place of each key. Raises UsageError, one sentence with file and line."""
    path = _path_of(name_or_path)
    values, places = _resolved(path, ())
    if "name" in values:
        raise UsageError(f"unknown key 'name' in {places['name']}; a profile is called as its file is")
    origin = Origin(places, path)
    profile = origin.validated(ServerProfile, values | {"name": path.stem})
    for sentence in _mistakes(profile, origin):
        raise UsageError(sentence)
    return ProfileFile(profile, origin, path)


def _path_of(name_or_path: str) -> Path:
    return PROFILES.path_of(name_or_path, known=profile_names)


def _read(path: Path) -> tuple[dict[str, object], dict[str, FileLine]]:
    return read_yaml(path, "server profile", example="extends: mixtral-8x7b")


def _resolved(path: Path, extending: tuple[Path, ...]) -> tuple[dict[str, object], dict[str, FileLine]]:
    """The file's keys over those of the profile that it extends, nulls gone, arguments of vLLM in one spelling."""
    layers = list(_layers(path, extending))
    engine = next((values["engine"] for values, _ in reversed(layers) if "engine" in values), "vllm")
    resolved: dict[str, object] = {}
    all_places: dict[str, FileLine] = {}
    for values, places in layers:
        for key in _NOT_INHERITED:
            resolved.pop(key, None)
        if engine == "vllm":  # other engines may tell `a_b` from `a-b`
            values, places = _in_one_spelling(values), _with_one_spelling(places)
        resolved = merged(resolved, values)
        all_places |= places
    return resolved, all_places


def _layers(path: Path, extending: tuple[Path, ...]) -> Iterator[tuple[dict[str, object], dict[str, FileLine]]]:
    """The keys of each file, the one that is extended first."""
    values, places = _read(path)
    parent = values.pop("extends", None)
    if parent is not None:
        if not isinstance(parent, str):
            raise UsageError(f"'extends' in {places['extends']} must name one other profile, not {parent}")
        beside = path.parent / f"{parent}.yaml"
        chain = (*extending, path.resolve())
        try:
            parent_path = beside if beside.is_file() else _path_of(parent)
        except UsageError as error:
            raise UsageError(f"'extends' in {places['extends']}: {error}") from None
        if parent_path.resolve() in chain:
            names = " → ".join(file.stem for file in (*chain, parent_path))
            raise UsageError(f"'extends' in {places['extends']} goes in a circle: {names}")
        yield from _layers(parent_path, chain)
    yield values, places


def _in_one_spelling(values: dict[str, object]) -> dict[str, object]:
    """The same with its arguments as `canonical` has them; what is of a wrong type is left to the schema."""
    changed = dict(values)
    arguments, special = values.get("arguments"), values.get("for_releases")
    if isinstance(arguments, dict):
        changed["arguments"] = _canonical(arguments)
    if isinstance(special, list):
        changed["for_releases"] = [
            {**each, "arguments": _canonical(each["arguments"])}
            if isinstance(each, dict) and isinstance(each.get("arguments"), dict)
            else each
            for each in special
        ]
    return changed


def _canonical(arguments: dict[str, object]) -> dict[str, object]:
    if not all(isinstance(name, str) and name and not name.startswith("-") for name in arguments):
        return arguments  # which the schema refuses
    return canonical(arguments)


def _with_one_spelling(places: dict[str, FileLine]) -> dict[str, FileLine]:
    """The places by the names that `canonical` gives as well."""
    further: dict[str, FileLine] = {}
    for key, place in places.items():
        start, found, name = key.partition("arguments.")
        if found:
            flag, dot, rest = name.partition(".")
            canonical_name = f"{start}{found}{flag.replace('_', '-')}"
            further.setdefault(canonical_name, place)
            further[canonical_name + dot + rest] = place
    return further | places


def _mistakes(profile: ServerProfile, origin: Origin) -> Iterator[str]:
    """Combinations that no single value shows to be wrong."""
    name = origin.name
    yield from (f"{name('plugins')} {wrong}" for wrong in wrong_plugins(profile.plugins))
    if profile.abstract:  # which need not be whole
        return
    if profile.plugins and (profile.engine, profile.launcher) != ("vllm", "local"):
        yield (
            f"{name('plugins')} is for vLLM on this machine ('engine: vllm', 'launcher: local'); docs/unfused.md says how a "
            "container gets them"
        )
    if not profile.description:
        yield f"{name('description')} is missing; say in a line what is served, and how"
    if not profile.model:
        yield f"{name('model')} is missing; say what is served: an id, or a path"
    if profile.launcher == "external":
        if profile.url is None:
            yield f"{name('url')} is missing; say where the external server is"
        for key in ("arguments", "environment", "for_releases", "executable"):
            if getattr(profile, key):
                yield f"{name(key)} is of no use: {name('launcher')} says that the server is external"
    elif profile.url is not None:
        yield f"{name('url')} needs 'launcher: external'; of a server that loadgen starts, 'host' and 'port' say where it is"
    if profile.launcher in ("local", "compose") and profile.needs is None and profile.unservable is None:
        yield f"{name('needs')} is missing; say what the server runs on, such as 'needs: {{gpus: 1, gpu_memory_gb: 80}}'"
    if profile.needs is not None and profile.needs.gpus and profile.needs.gpu_memory_gb is None:
        yield f"{name('needs')} lacks 'gpu_memory_gb', the memory of each GPU"
    given = profile.arguments.keys() | {flag for special in profile.for_releases for flag in special.arguments}
    for flag, key in _OUR_FLAGS.items():
        if flag in given:
            yield f"{name(f'arguments.{flag}')} is a key of the profile itself: say '{key}' beside 'arguments'"
    for key in ("url", "model"):
        if key in profile.sweep:
            yield f"{name(f'sweep.{key}')} is a key of the profile itself, which its sweep takes from there"
