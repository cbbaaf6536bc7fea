"""Images of a stated size as a chat message carries them: PNG files in base64 within a URL.

Noise, so that no two are alike and no server can have one in its cache. Noise does not compress, so it is stored as it is: a
file is as large as its pixels, and that size is known before one is made.
"""

import base64
import struct
import zlib

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_URL_PREFIX = "data:image/png;base64,"
_BITS_PER_CHANNEL, _RGB = 8, 2
_BYTES_AROUND_PIXELS = len(_SIGNATURE) + 3 * 12 + 13 + 11  # three chunks, the header's content, zlib's own bytes
_STORED_RATIO = 1.0005  # deflate's stored blocks: five more bytes to each of 16 KiB or more


def png(width: int, height: int, rng: np.random.Generator) -> bytes:
    """An RGB file of `width` × `height` pixels of noise, after the PNG specification (ISO/IEC 15948)."""
    rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # each row begins with its filter: 0, none
    rows[:, 1:] = rng.integers(0, 256, size=(height, 3 * width), dtype=np.uint8)
    header = struct.pack(">IIBBBBB", width, height, _BITS_PER_CHANNEL, _RGB, 0, 0, 0)
    pixels = zlib.compress(rows.tobytes(), level=0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def data_url(width: int, height: int, rng: np.random.Generator) -> str:
    """A new image as a `data:` URL."""
    return _URL_PREFIX + base64.b64encode(png(width, height, rng)).decode("ascii")


def url_bytes(width: int, height: int) -> int:
    """How long such a URL is, to a thousandth."""
    file_bytes = _BYTES_AROUND_PIXELS + height * (1 + 3 * width) * _STORED_RATIO
    return len(_URL_PREFIX) + round(file_bytes * 4 / 3)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
