"""One mapping over another, as `extends` and `for_releases` mean it."""

from collections.abc import Mapping
from typing import Any


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings key by key at any depth, None taking a key away; anything else replaces."""
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
