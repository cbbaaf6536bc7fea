"""The keys of a sweep that say what its requests are made of. Imports `load`, `inputs` and `errors`."""

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, Field

from loadgen.errors import UsageError
from loadgen.inputs.origin import Origin
from loadgen.load.content import Images, SharedPrefix, Workload
from loadgen.load.dataset import Dataset
from loadgen.load.lengths import bounds

if TYPE_CHECKING:
    from loadgen.spec.sweep_spec import SweepSpec

Whole = Annotated[int, Field(ge=1)]

_LONGEST_SIDE_PIXELS = 8192
_MOST_CHOICES = 128  # the most that OpenAI's own API takes


def _as_size(value: object) -> object:
    """`512x384` as (512, 384)."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", str(value))
    if match is None or max(int(side) for side in match.groups()) > _LONGEST_SIDE_PIXELS:
        raise ValueError(
            f"must be width x height in pixels like 512x512, up to {_LONGEST_SIDE_PIXELS} each, not {value}"
        )
    return tuple(int(side) for side in match.groups())


class WorkloadKeys(BaseModel):
    """What prompts are made of besides their lengths, as flags and files say it."""

    range_ratio: Annotated[float, Field(ge=0, lt=1)] = 0.0
    prefix_tokens: Whole | None = None
    prefix_groups: Whole = 1
    image: Annotated[tuple[int, int] | None, BeforeValidator(_as_size)] = None
    images_per_request: Whole = 1

    dataset: str | None = None
    choices: Annotated[int, Field(ge=1, le=_MOST_CHOICES)] = 1

    def workload_of(self, dataset: Dataset | None) -> Workload:
        """The same for a run; `dataset` is what `dataset` names, if it names one."""
        return Workload(
            range_ratio=self.range_ratio,
            prefix=None if self.prefix_tokens is None else SharedPrefix(self.prefix_tokens, self.prefix_groups),
            images=None if self.image is None else Images(*self.image, self.images_per_request),
            dataset=None if dataset is None else dataset.source,
            choices=self.choices,
        )

    @property
    def unused_keys(self) -> set[str]:
        """Keys whose defaults say nothing, for want of what they belong to."""
        unused = set() if self.range_ratio else {"range_ratio"}
        if self.prefix_tokens is None:
            unused.add("prefix_groups")
        if self.image is None:
            unused.add("images_per_request")
        if self.choices == 1:
            unused.add("choices")
        return unused


def check_workload(spec: "SweepSpec", origin: Origin) -> None:
    """Combinations that no single value shows to be wrong. Raises UsageError."""
    name = origin.name
    for key, needed in (("prefix_groups", "prefix_tokens"), ("images_per_request", "image")):
        if key in spec.model_fields_set and getattr(spec, needed) is None:
            raise UsageError(f"{name(key)} needs --{needed.replace('_', '-')}")
    if spec.dataset is not None:
        for key in ("input_tokens", "range_ratio", "prefix_tokens", "image"):
            if key in spec.model_fields_set:
                raise UsageError(f"{name(key)} does not go with {name('dataset')}, which has the prompts as they are")
    if spec.image is not None and spec.endpoint != "chat":
        raise UsageError(f"{name('image')} needs --endpoint chat, since images are parts of a chat message")
    if spec.prefix_tokens is not None and spec.input_tokens is not None:
        shortest = bounds(min(spec.input_tokens), spec.range_ratio)[0]
        if spec.prefix_tokens >= shortest:
            raise UsageError(
                f"{name('prefix_tokens')} is {spec.prefix_tokens} and counts as part of the prompt, which has "
                f"{shortest} tokens at its shortest: ask for fewer, or for longer prompts"
            )
