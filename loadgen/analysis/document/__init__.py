"""The contract: the JSON of a run and of a sweep. docs/run-document.md is made from these types by scripts/run_document.py.

A type's docstring and the comments beside its fields say what each key means. Units are in the keys: `_s` seconds, `_ns` nanoseconds,
`_at` UTC in ISO 8601, `_bytes`, `_tokens`, `_requests`, `_per_s` rates, `_ratio` shares from 0 to 1. A figure that is not known is
null, never 0. A key that may be absent (`NotRequired`) is one that earlier versions did not write, or that other clients do not know.

The kinds of text below mark what a text may hold; one of no kind stands in one line of a terminal. The importers hold texts to it.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated

Words = Annotated[str, "words"]
"""Free text: it may quote a server, line ends and all."""
Id = Annotated[str, "id"]
"""The id of a sweep or a run, like s261123-152901-4f2a."""
Timestamp = Annotated[str, "timestamp"]
"""UTC, ISO 8601."""


def leaves(document: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield (dotted key, value) of all in a nested document that is no object, in its own order."""
    for key, value in document.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
