"""The outline of a run as one BLOB, and back.

Layout: version u8, then JSON compressed by zlib: numbers of one column after the other, of which a third is left.
"""

import json
import zlib
from typing import Any

from loadgen.errors import StoreError
from loadgen.store import plain

VERSION = 1


def encode(outline: dict[str, Any]) -> bytes:
    """Pack an outline (`analysis.outline`)."""
    return bytes([VERSION]) + zlib.compress(plain.write_json(outline).encode())


def decode(blob: bytes) -> dict[str, Any]:
    """The inverse of `encode`. Raises `StoreError` on a BLOB of another version, or a damaged one."""
    if blob[:1] != bytes([VERSION]):
        raise StoreError(
            f"The outline of a run is in format {blob[0] if blob else 'none'}, and this loadgen reads format {VERSION}: "
            "upgrade loadgen."
        )
    try:
        found: dict[str, Any] = json.loads(zlib.decompress(blob[1:]))
    except (ValueError, zlib.error) as error:
        raise StoreError(
            f"The outline of a run is damaged ({len(blob)} bytes): restore the database from a copy."
        ) from error
    return found
