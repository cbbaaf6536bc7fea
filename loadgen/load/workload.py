"""What the requests of a run are made of besides their lengths: a shared prefix, images, a dataset, sessions.

Pure data. Everything left out means independent prompts of exactly the lengths asked.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """Each prompt begins with one of `groups` beginnings of `tokens` tokens, as users of one system prompt do.

    The prefix counts as part of the prompt's length.
    """

    tokens: int
    groups: int = 1

    @property
    def label(self) -> str:
        return f"{self.tokens:,} tokens shared" + (f" in {self.groups:,} groups" if self.groups > 1 else "")


@dataclass(frozen=True, slots=True)
class Images:
    """`per_request` images of noise in each prompt, each unlike all others; sizes in pixels."""

    width: int
    height: int
    per_request: int = 1

    @property
    def label(self) -> str:
        several = f"{self.per_request} images" if self.per_request > 1 else "an image"
        return f"{several} of {self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """Prompts of the user's own: the name of their file, the hash of its content, how many, and bytes a prompt in it.

    `skipped_rows` had no prompt, the first of them for the reason in `first_skipped`; `left_out_keys` were not sent.
    """

    name: str
    hash: str
    prompts: int
    mean_bytes: int
    skipped_rows: int = 0
    first_skipped: str | None = None
    left_out_keys: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        skipped = f" ({self.skipped_rows:,} of its rows skipped)" if self.skipped_rows else ""
        return f"{self.prompts:,} of {self.name}{skipped}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the file was not used, a sentence each."""
        kept = ", ".join(self.left_out_keys)
        left_out = (f"{self.name}: these keys of its entries are not sent: {kept}",) if kept else ()
        return (*notes_of_skipped(self.name, self.skipped_rows, self.first_skipped), *left_out)

    def to_json(self) -> dict[str, object]:
        """What was skipped or left out is there only where something was."""
        document = asdict(self) | {"left_out_keys": list(self.left_out_keys)}
        return {key: value for key, value in document.items() if value or key not in FILE_NOTES}


FILE_NOTES = ("skipped_rows", "first_skipped", "left_out_keys")
"""What a source reports of its reading: it follows from the file's content, whose hash names it, and is no part of a spec's hash."""


def notes_of_skipped(name: str, rows: int, first: str | None) -> tuple[str, ...]:
    """A sentence on the rows of a file that were skipped; none if there are none."""
    if not rows:
        return ()
    count = "1 row was" if rows == 1 else f"{rows:,} rows were"
    return (f"{count} skipped in {name}, the first because {first}",)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Conversations of `turns` requests, each with all that was said before; a user thinks for `think_time_s` on average.

    Times to think are exponential, and constant only at 0.
    """

    turns: int
    think_time_s: float = 0.0

    @property
    def label(self) -> str:
        thought = f", {self.think_time_s:g} s to think" if self.think_time_s else ""
        return f"conversations of {self.turns:,} turns{thought}"

    def cached_ratio(self, input_tokens: int, output_tokens: int, prefix_tokens: int = 0) -> float:
        """The share (0..1) of a whole conversation's prompt tokens that were part of an earlier request or its answer.

        `input_tokens` a turn adds and `output_tokens` its answer; `prefix_tokens` of the first turn are shared with other conversations.
        """
        pairs = self.turns * (self.turns - 1) // 2
        again = pairs * (input_tokens + output_tokens)
        return (again + prefix_tokens) / (self.turns * input_tokens + again)


@dataclass(frozen=True, slots=True)
class Workload:
    """What the requests of a run consist of. `range_ratio` r spreads both lengths evenly over ±r of what is asked.

    `choices` are how many answers each asks for side by side, each of them of the output tokens asked.
    """

    range_ratio: float = 0.0
    prefix: SharedPrefix | None = None
    images: Images | None = None
    dataset: DatasetSource | None = None
    sessions: Sessions | None = None
    choices: int = 1

    def to_json(self) -> dict[str, object]:
        """Only what differs from independent prompts of exact length, so that the plain workload is an empty object."""
        plain = {field.name: field.default for field in fields(self)}
        document = {key: value for key, value in asdict(self).items() if value != plain[key]}
        if self.dataset is not None:
            document["dataset"] = self.dataset.to_json()
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Workload":
        """The inverse of `to_json`."""
        parts: dict[str, type[Any]] = {
            "prefix": SharedPrefix,
            "images": Images,
            "dataset": DatasetSource,
            "sessions": Sessions,
        }
        made = cls(**{key: parts[key](**value) if key in parts else value for key, value in document.items()})
        if made.dataset is None:
            return made
        return replace(made, dataset=replace(made.dataset, left_out_keys=tuple(made.dataset.left_out_keys)))

    @property
    def turns(self) -> int:
        """Requests of one conversation; 1 where each stands by itself."""
        return 1 if self.sessions is None else self.sessions.turns

    @property
    def label(self) -> str:
        """What is special about the prompts, for a person: `±20 % of length, an image of 512x512`; empty when nothing is."""
        parts = [f"±{self.range_ratio * 100:g} % of length"] if self.range_ratio else []
        others = (self.sessions, self.dataset, self.prefix, self.images)
        answers = [f"{self.choices:,} choices each"] if self.choices > 1 else []
        return ", ".join([*parts, *(part.label for part in others if part is not None), *answers])


PLAIN = Workload()
"""Independent prompts of exactly the lengths asked."""
