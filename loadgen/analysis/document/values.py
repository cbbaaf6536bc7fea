"""The kinds of text in the documents; a text of no kind stands in one line of a terminal. The importers hold texts to it."""

from typing import Annotated, Literal

SCHEMA_VERSION: Literal[1] = 1

Words = Annotated[str, "words"]
"""Free text: it may quote a server, line ends and all."""
Id = Annotated[str, "id"]
"""The id of a sweep or a run, like s261123-152901-4f2a."""
Timestamp = Annotated[str, "timestamp"]
"""UTC, ISO 8601."""
