"""What a server profile says.

A profile is the server's side of an experiment: what to start, or where it already is, and what it needs. Lengths are in
tokens, memory is in GB of 10⁹ bytes.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from loadgen.load.spec import Endpoint

Launcher = Literal["local", "compose", "external", "simulator"]
"""How the server comes to be: a process here, a container, somebody else's affair, or our own simulator."""

Argument = bool | int | float | str | list[str | int | float] | dict[str, object]
"""A flag's value: true and false switch it, a mapping becomes JSON, a list stands behind the flag item by item."""

Whole = Annotated[int, Field(ge=1)]
Money = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _checked_releases(text: str) -> str:
    """`text` as it is; ValueError where it is no set of versions."""
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        raise ValueError(f"must be a set of versions like '>=0.27' or '>=0.22,<0.27', not {text}") from None
    return text


def _as_text(value: object) -> object:
    """A number for an environment variable, as the text that it is."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _flag_name(name: str) -> str:
    if name.startswith("-") or "=" in name or not name.strip():
        raise ValueError(f"names the flag '{name}'; write it without its dashes, like 'max-model-len: 4224'")
    return name


Releases = Annotated[str, AfterValidator(_checked_releases)]
FlagName = Annotated[str, AfterValidator(_flag_name)]
Text = Annotated[str, BeforeValidator(_as_text)]


class _Part(BaseModel):
    """Files are checked strictly: a key that nobody reads is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ForReleases(_Part):
    """What differs where the engine is one of these releases; null takes an argument or a variable away."""

    releases: Releases
    arguments: dict[FlagName, Argument | None] = Field(default_factory=dict)
    environment: dict[str, Annotated[str | None, BeforeValidator(_as_text)]] = Field(default_factory=dict)


class Needs(_Part):
    """What the server runs on. No GPUs: it runs on the processor."""

    gpus: Annotated[int, Field(ge=0)]
    gpu_memory_gb: Annotated[float, Field(gt=0)] | None = None  # of each


class ProfileLimits(_Part):
    """What a provider lets one client send."""

    requests_per_minute: Whole | None = None
    tokens_per_minute: Whole | None = None


class Readiness(_Part):
    """How long the start may take until a request is answered."""

    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 900.0


class ProfilePrice(_Part):
    """By the hour of one GPU, or by tokens."""

    usd_per_gpu_hour: Money | None = None
    usd_per_million_input_tokens: Money | None = None
    usd_per_million_output_tokens: Money | None = None


class ServerProfile(_Part):
    """One way to launch and reach one server."""

    name: str  # the file's
    abstract: bool = False  # only there to be extended
    description: str = ""  # of an abstract profile; others must say it, and `model`
    launcher: Launcher = "local"
    engine: Annotated[str, Field(min_length=1)] = "vllm"  # what speaks there
    model: str = ""  # what is served: an id, or a path from the working directory
    served_model_name: Annotated[str, Field(min_length=1)] | None = None
    revision: str | None = None
    architecture: str | None = None  # a name in loadgen/moe/configs
    arguments: dict[FlagName, Argument] = Field(default_factory=dict)
    environment: dict[str, Text] = Field(default_factory=dict)
    releases: Releases = ""  # of the engine; empty: any
    for_releases: tuple[ForReleases, ...] = ()
    plugins: tuple[str, ...] = ()  # of loadgen, for the engine; see plugins.py
    needs: Needs | None = None  # None: not ours to provide
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8000
    executable: str | None = None  # None: the engine's command on PATH
    readiness: Readiness = Readiness()
    url: str | None = None
    endpoint: Endpoint = "completions"
    api_key_env: str | None = None
    header_names: tuple[str, ...] = ()  # whose values only the user can give
    limits: ProfileLimits | None = None
    sweep: dict[str, object] = Field(default_factory=dict)  # the grid that is measured where nobody asks for another
    price: ProfilePrice | None = None
    unservable: str | None = None  # why nothing here can serve it, and what can
    notes: str | None = None

    @property
    def request_model(self) -> str:
        """The name by which requests ask for the model."""
        return self.served_model_name or self.model

    @property
    def base_url(self) -> str:
        return self.url or f"http://{self.host}:{self.port}"

    @property
    def weights(self) -> Literal["real", "dummy"]:
        """Whether the server makes its weights up: figures of speed may still hold, answers mean nothing."""
        return "dummy" if self.arguments.get("load-format") == "dummy" else "real"


def fits(release: str, releases: str) -> bool:
    """Whether a release is one of a set. What is behind its `+` does not matter, and development versions count too.

    A release that is no version, as of a build from somebody's branch, fits only the set of all.
    """
    try:
        version = Version(release)
    except InvalidVersion:
        return not releases
    return SpecifierSet(releases).contains(version.public, prereleases=True)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """One mapping over another, as `extends` and `for_releases` mean it.

    Mappings key by key at any depth, None taking a key away; anything else replaces.
    """
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = merged(under if isinstance(under, dict) else {}, value)
        else:
            result[key] = value
    return result
