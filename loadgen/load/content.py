"""What the requests of a run are made of besides their lengths: a shared prefix, images, a dataset, sessions.

Pure data, imports nothing of the project. Everything left out means independent prompts of exactly the lengths asked.
"""

from dataclasses import asdict, dataclass
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
        """For a person."""
        return f"{self.tokens:,} tokens shared" + (f" in {self.groups:,} groups" if self.groups > 1 else "")


@dataclass(frozen=True, slots=True)
class Images:
    """`per_request` images of noise in each prompt, each unlike all others; sizes in pixels."""

    width: int
    height: int
    per_request: int = 1

    @property
    def label(self) -> str:
        """For a person."""
        several = f"{self.per_request} images" if self.per_request > 1 else "an image"
        return f"{several} of {self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class DatasetSource:
    """Prompts of the user's own: the name of their file, the hash of its content, how many, and bytes a prompt in it."""

    name: str
    hash: str
    prompts: int
    mean_bytes: int

    @property
    def label(self) -> str:
        """For a person."""
        return f"{self.prompts:,} of {self.name}"


@dataclass(frozen=True, slots=True)
class Workload:
    """What the prompts of a run consist of. `range_ratio` r spreads both lengths evenly over ±r of what is asked."""

    range_ratio: float = 0.0
    prefix: SharedPrefix | None = None
    images: Images | None = None
    dataset: DatasetSource | None = None

    def to_json(self) -> dict[str, Any]:
        """Only what differs from independent prompts of exact length, so that the plain workload is an empty object."""
        return {key: value for key, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Workload":
        """The inverse of `to_json`."""
        parts: dict[str, type[Any]] = {"prefix": SharedPrefix, "images": Images, "dataset": DatasetSource}
        return cls(**{key: parts[key](**value) if key in parts else value for key, value in document.items()})

    @property
    def label(self) -> str:
        """What is special about the prompts, for a person: `±20 % of length, an image of 512x512`; empty when nothing is."""
        parts = [f"±{self.range_ratio * 100:g} % of length"] if self.range_ratio else []
        return ", ".join(
            [*parts, *(part.label for part in (self.dataset, self.prefix, self.images) if part is not None)]
        )


PLAIN = Workload()
"""Independent prompts of exactly the lengths asked."""
