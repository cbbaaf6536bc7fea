"""The keys of a sweep by what they belong to, as flags and files give them: the parts that `SweepSpec` is made of."""

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, Field

from loadgen.analysis.figures.cost import Price
from loadgen.engine.wire.route import Route
from loadgen.errors import UsageError
from loadgen.load.dataset import Dataset
from loadgen.load.workload import Images, Sessions, SharedPrefix, Workload
from loadgen.servers.proxies import proxy_for
from loadgen.servers.server_url import query_secrets

MAX_TAG_CHARACTERS = 60
MAX_TAGS = 20
_MAX_SIDE_PIXELS = 8192
_MAX_CHOICES = 128  # the most that OpenAI's own API takes

Whole = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def api_key(variable: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the key in an environment variable. Raises UsageError if the variable is named and not set."""
    if variable is None:
        return None
    key = environ.get(variable, "").strip()
    if not key:
        raise UsageError(
            f"the environment variable {variable}, named by --api-key-env, is not set; export it with the key"
        )
    return key


def as_list(value: object) -> object:
    """`1,16,32`, a single value or a list, as a list without repetitions."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")] if value.strip() else []
        if "" in value:
            raise ValueError("has no value beside one of its commas; write the list like 1,2,4")
    elif not isinstance(value, list | tuple):
        value = [value]
    assert isinstance(value, list | tuple)
    if any(isinstance(item, bool) for item in value):
        raise ValueError("must be numbers")
    if not value:
        raise ValueError("must list at least one value")
    twice = next((item for position, item in enumerate(value) if item in value[:position]), None)
    if twice is not None:
        raise ValueError(f"lists {twice} twice")
    return value


def as_lengths(value: object) -> object:
    """`128,1024/256` or a list of such, as pairs of input and output tokens; one number is both."""
    if isinstance(value, list | tuple) and all(isinstance(each, list | tuple) for each in value):
        return value
    listed = as_list(value)
    assert isinstance(listed, list | tuple)
    return [_pair(each) for each in listed]


def _pair(value: object) -> tuple[object, object]:
    first, slash, second = (part.strip() for part in str(value).partition("/"))
    pair = (first, second) if slash else (value, value)
    if not all(str(each).strip().lstrip("+-").isdecimal() for each in pair):
        raise ValueError(f"has {value}; write tokens like 128, or of prompt and reply like 1024/128")
    return pair


def as_pairs(value: object) -> object:
    """`a=1,b=2`, a list of `a=1`, or a mapping, as a mapping."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        pairs: dict[str, str] = {}
        for part in value:
            key, equals, text = str(part).partition("=")
            if not equals or not key.strip():
                raise ValueError("must be given as NAME=VALUE")
            if key.strip() in pairs:
                raise ValueError(f"gives {key.strip()} twice")
            pairs[key.strip()] = text.strip()
        return pairs
    return value


def _as_size(value: object) -> object:
    """`512x384` as (512, 384)."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", str(value))
    if match is None or max(int(side) for side in match.groups()) > _MAX_SIDE_PIXELS:
        raise ValueError(f"must be width x height in pixels like 512x512, up to {_MAX_SIDE_PIXELS} each, not {value}")
    return tuple(int(side) for side in match.groups())


class WorkloadKeys(BaseModel):
    """What prompts consist of, apart from their lengths."""

    range_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    prefix_tokens: Whole | None = None
    prefix_groups: Whole = 1
    image: Annotated[tuple[int, int] | None, BeforeValidator(_as_size)] = None
    images_per_request: Whole = 1

    dataset: str | None = None
    choices: Annotated[int, Field(ge=1, le=_MAX_CHOICES)] = 1

    def workload_of(self, dataset: Dataset | None) -> Workload:
        """Return the workload of a run; `dataset` is the file named by the key `dataset`, if any."""
        return Workload(
            range_ratio=self.range_ratio,
            prefix=None if self.prefix_tokens is None else SharedPrefix(self.prefix_tokens, self.prefix_groups),
            images=None if self.image is None else Images(*self.image, self.images_per_request),
            dataset=None if dataset is None else dataset.source,
            choices=self.choices,
        )

    @property
    def unused_keys(self) -> set[str]:
        """Keys whose defaults mean nothing, because the key that they qualify is not given."""
        unused = set() if self.range_ratio else {"range_ratio"}
        if self.prefix_tokens is None:
            unused.add("prefix_groups")
        if self.image is None:
            unused.add("images_per_request")
        if self.choices == 1:
            unused.add("choices")
        return unused


class RateLimitKeys(BaseModel):
    """Rate limits of the provider, per minute."""

    requests_per_minute: Whole | None = None
    tokens_per_minute: Whole | None = None


class SessionKeys(BaseModel):
    """Conversations of several turns."""

    turns: Whole | None = None
    think_time_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @property
    def sessions(self) -> Sessions | None:
        """The conversations of a run; None if each request stands alone."""
        return None if self.turns in (None, 1) else Sessions(self.turns, self.think_time_s or 0.0)


class RouteKeys(BaseModel):
    """How the certificate of the server is verified."""

    ca_file: Annotated[str, Field(min_length=1)] | None = None
    insecure: bool | None = None

    def route_to(self, url: str, environ: Mapping[str, str], addresses: tuple[str, ...] = ()) -> Route:
        """Return the route to the server at `url`; with `addresses`, to these alone and without a proxy.

        Raises UsageError for a proxy variable that cannot be followed.
        """
        proxy = None if addresses else proxy_for(url, environ)
        query = urlsplit(url).query
        return Route(proxy, self.ca_file, bool(self.insecure), addresses, query, query_secrets(query))


class PriceKeys(BaseModel):
    """The price of the server: a mapping by the field names of `Price`."""

    price: Annotated[dict[str, Amount], BeforeValidator(as_pairs), Field(default_factory=dict)]

    @property
    def price_list(self) -> Price | None:
        """The price, None if none is given."""
        if not self.price:
            return None
        amounts = dict(self.price)
        gpus = int(amounts.pop("gpus", 1))
        return Price(**amounts, gpus=gpus)


def as_tags(value: object) -> object:
    """A word or a list of words, without repetitions. Raises ValueError for a word that a list cannot show."""
    tags = value if isinstance(value, list | tuple) else [value]
    kept = [str(tag).strip() for tag in tags]
    for tag in kept:
        if not tag:
            raise ValueError("must not be empty")
        if len(tag) > MAX_TAG_CHARACTERS:
            raise ValueError(f"is longer than {MAX_TAG_CHARACTERS} characters")
        if "," in tag or not tag.isprintable():
            raise ValueError(f"must be of printable characters without a comma, not {tag!r}")
    if len(set(kept)) > MAX_TAGS:
        raise ValueError(f"gives more than {MAX_TAGS}")
    return list(dict.fromkeys(kept))


class TagKeys(BaseModel):
    """Words to find the sweep by. They do not change what is measured, so no hash contains them."""

    tag: Annotated[list[str], BeforeValidator(as_tags), Field(default_factory=list)]
