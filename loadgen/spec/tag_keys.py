"""The key of a sweep by which it is found again. Imports nothing of the project."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field

LONGEST_TAG = 60
MOST_TAGS = 20


def as_tags(value: object) -> object:
    """A word or a list of words, each once. Raises ValueError for one that no list could show."""
    tags = value if isinstance(value, list | tuple) else [value]
    kept = [str(tag).strip() for tag in tags]
    for tag in kept:
        if not tag:
            raise ValueError("must not be empty")
        if len(tag) > LONGEST_TAG:
            raise ValueError(f"is longer than {LONGEST_TAG} characters")
        if "," in tag or not tag.isprintable():
            raise ValueError(f"must be of printable characters without a comma, not {tag!r}")
    if len(set(kept)) > MOST_TAGS:
        raise ValueError(f"gives more than {MOST_TAGS}")
    return list(dict.fromkeys(kept))


class TagKeys(BaseModel):
    """What somebody wants to find the sweep by. They are no part of what is measured, and so of no hash."""

    tag: Annotated[list[str], BeforeValidator(as_tags), Field(default_factory=list)]
