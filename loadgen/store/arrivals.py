"""The arrivals of one request as one BLOB, and back, bit for bit.

Layout, little-endian:

version u8 | stamp width u8 (4, 8) | token width u8 (0, 1, 4) | flags u8 | count u32
    first stamp i64 (when count > 0) | count - 1 differences of stamps | tokens | coalesced, one bit each | choices i16

A token width of 0 says that each arrival carried one token. Flag 1 says that some arrival was coalesced, flag 2 that some
belongs to a choice other than 0; without its flag a column is left out. Differences
wrap around like the int64 they come from, so that any stamp survives. One arrival costs 4 bytes in the usual case.
"""

import struct

import numpy as np

from loadgen.engine.records.record import Bool, Int16, Int32, Int64
from loadgen.errors import StoreError

VERSION = 1
_HEADER = struct.Struct("<BBBBI")
_INT32 = np.iinfo(np.int32)
_COALESCED, _CHOICES = 1, 2


def encode(arrival_ns: Int64, arrival_tokens: Int32, arrival_coalesced: Bool, arrival_choice: Int16) -> bytes:
    """Pack columns of equal length n: stamps in ns, tokens of each chunk, whether it was coalesced, which choice it is of."""
    count = len(arrival_ns)
    if count == 0:
        return _HEADER.pack(VERSION, 4, 0, 0, 0)
    gaps = arrival_ns[1:] - arrival_ns[:-1]
    narrow = count == 1 or (gaps.min() >= _INT32.min and gaps.max() <= _INT32.max)
    low, high = arrival_tokens.min(), arrival_tokens.max()
    token_width = 0 if low == high == 1 else 1 if low >= 0 and high <= 255 else 4
    flags = _COALESCED * bool(arrival_coalesced.any()) | _CHOICES * bool(arrival_choice.any())
    parts = [
        _HEADER.pack(VERSION, 4 if narrow else 8, token_width, flags, count),
        arrival_ns[:1].astype("<i8").tobytes(),
        gaps.astype("<i4" if narrow else "<i8").tobytes(),
    ]
    if token_width:
        parts.append(arrival_tokens.astype("<u1" if token_width == 1 else "<i4").tobytes())
    if flags & _COALESCED:
        parts.append(np.packbits(arrival_coalesced).tobytes())
    if flags & _CHOICES:
        parts.append(arrival_choice.astype("<i2").tobytes())
    return b"".join(parts)


def decode(blob: bytes) -> tuple[Int64, Int32, Bool, Int16]:
    """The inverse of `encode`. Raises `StoreError` on a BLOB of another version or of the wrong length."""
    if blob[:1] != bytes([VERSION]):
        raise StoreError(
            f"The arrivals of a request are in format {blob[0] if blob else 'none'}, and this loadgen reads format "
            f"{VERSION}: upgrade loadgen."
        )
    try:
        return _decode(blob)
    except (struct.error, ValueError) as error:
        raise StoreError(
            f"The arrivals of a request are damaged ({len(blob)} bytes): restore the database from a copy."
        ) from error


def _decode(blob: bytes) -> tuple[Int64, Int32, Bool, Int16]:
    _, stamp_width, token_width, flags, count = _HEADER.unpack_from(blob)
    stamps = np.zeros(count, np.int64)
    tokens = np.ones(count, np.int32)
    coalesced = np.zeros(count, np.bool_)
    choices = np.zeros(count, np.int16)
    at = _HEADER.size
    if count:
        stamps[0] = np.frombuffer(blob, "<i8", 1, at)[0]
        at += 8
        stamps[1:] = np.frombuffer(blob, f"<i{stamp_width}", count - 1, at) if count > 1 else 0
        at += (count - 1) * stamp_width
        np.cumsum(stamps, out=stamps)
    if token_width:
        tokens[:] = np.frombuffer(blob, "<u1" if token_width == 1 else "<i4", count, at)
        at += count * token_width
    if flags & _COALESCED:
        bits = np.frombuffer(blob, np.uint8, (count + 7) // 8, at)
        coalesced[:] = np.unpackbits(bits, count=count)
        at += len(bits)
    if flags & _CHOICES:
        choices[:] = np.frombuffer(blob, "<i2", count, at)
        at += count * 2
    if at != len(blob):
        raise ValueError(f"{len(blob) - at} bytes too many")
    return stamps, tokens, coalesced, choices
