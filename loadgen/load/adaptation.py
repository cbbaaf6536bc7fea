"""How the body of every request differs from the usual one, where an endpoint refuses a field. Pure.

A change names the field as it is usually sent, `stream_options.include_usage` for one inside another.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that is sent under another name, or left out."""

    field: str
    sent_as: str | None = None  # None: left out

    def to_json(self) -> dict[str, Any]:
        """One entry of `server.adapted_fields` in the run document."""
        return {"field": self.field, "sent_as": self.sent_as}


Adaptation = tuple[FieldChange, ...]
"""The changes to every body; empty where the endpoint takes the usual one."""


def adapt(body: dict[str, Any], adaptation: Iterable[FieldChange]) -> None:
    """Change `body` in place. A change of a field that it does not have does nothing."""
    for change in adaptation:
        outer, _, inner = change.field.rpartition(".")
        holder = body.get(outer, {}) if outer else body
        if inner not in holder:
            continue
        value = holder.pop(inner)
        if change.sent_as is not None:
            holder[change.sent_as] = value
        if outer and not holder:
            del body[outer]


def is_sent(field: str, adaptation: Iterable[FieldChange]) -> bool:
    """Whether `field` is sent at all, under whatever name."""
    outer = field.rpartition(".")[0]
    return not any(change.sent_as is None and change.field in (field, outer) for change in adaptation)
