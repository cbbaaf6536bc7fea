"""What must not be repeated: the values of the headers that we send, wherever a server or a library puts them into words.

A server's error text may echo the request's headers; what we print and store of it goes through `redact`.
"""

import json
from collections.abc import Iterable

REDACTED = "[redacted]"
_SHORTEST_SECRET = 6  # shorter header values are ordinary words, and hiding them would garble messages


def redact(text: str, headers: Iterable[tuple[str, str]]) -> str:
    """`text` with every header value, and what follows the scheme in one like `Bearer KEY`, replaced by `[redacted]`."""
    for secret in _secrets(headers):
        text = text.replace(secret, REDACTED)
    return text


def _secrets(headers: Iterable[tuple[str, str]]) -> list[str]:
    """The texts to hide, the longest first, so that none leaves the rest of another behind."""
    found: set[str] = set()
    for _, value in headers:
        value = value.strip()
        scheme, _, rest = value.partition(" ")
        found |= {value, rest.strip() if scheme.isalpha() else ""}
    found |= {json.dumps(secret)[1:-1] for secret in found}  # as it stands inside a JSON text
    return sorted((secret for secret in found if len(secret) >= _SHORTEST_SECRET), key=len, reverse=True)
