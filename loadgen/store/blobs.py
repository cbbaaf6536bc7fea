"""What is stored as BLOBs, packed and back: the arrivals of a request, the readings of a GPU, the outline of a run.

The first byte of each is the version of its format. Arrivals and readings come back bit for bit; differences wrap around like
the int64 they come from, so that any value survives.

Arrivals, little-endian:

version u8 | stamp width u8 (4, 8) | token width u8 (0, 1, 4) | flags u8 | count u32
    first stamp i64 (when count > 0) | count - 1 differences of stamps | tokens | coalesced, one bit each | choices i16

A token width of 0 says that each arrival carried one token. Flag 1 says that some arrival was coalesced, flag 2 that some
belongs to a choice other than 0; without its flag a column is left out. One arrival costs 4 bytes in the usual case.

GPU readings: version u8, then compressed by zlib: count u32, number of columns u8, for each its name (length u8, ASCII) and
its values as differences of int64, little-endian. What a GPU tells changes little from one reading to the next: an hour at ten
a second, 36,000 readings of nine columns, came to 0.3 MB instead of 2.6 (power and energy as a random walk, the clocks nearly
still).

Outlines: version u8, then JSON compressed by zlib: numbers of one column after the other, of which a third is left.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import numpy as np

from loadgen.analysis.outline.run_outline import Outline
from loadgen.engine.records.record import Bool, Int16, Int32, Int64
from loadgen.errors import StoreError
from loadgen.store import plain

VERSION = 1
_ARRIVALS_HEADER = struct.Struct("<BBBBI")
_READINGS_HEADER = struct.Struct("<IB")
_INT32 = np.iinfo(np.int32)
_COALESCED, _CHOICES = 1, 2


def encode_arrivals(arrival_ns: Int64, arrival_tokens: Int32, arrival_coalesced: Bool, arrival_choice: Int16) -> bytes:
    """Pack columns of equal length n: stamps in ns, tokens of each chunk, whether it was coalesced, which choice it is of."""
    count = len(arrival_ns)
    if count == 0:
        return _ARRIVALS_HEADER.pack(VERSION, 4, 0, 0, 0)
    gaps = arrival_ns[1:] - arrival_ns[:-1]
    narrow = count == 1 or (gaps.min() >= _INT32.min and gaps.max() <= _INT32.max)
    low, high = arrival_tokens.min(), arrival_tokens.max()
    token_width = 0 if low == high == 1 else 1 if low >= 0 and high <= 255 else 4
    flags = _COALESCED * bool(arrival_coalesced.any()) | _CHOICES * bool(arrival_choice.any())
    parts = [
        _ARRIVALS_HEADER.pack(VERSION, 4 if narrow else 8, token_width, flags, count),
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


def decode_arrivals(blob: bytes) -> tuple[Int64, Int32, Bool, Int16]:
    """The inverse of `encode_arrivals`. Raises `StoreError` on a BLOB of another version or of the wrong length."""
    with _decoding(blob, "the arrivals of a request are"):
        return _arrivals(blob)


def _arrivals(blob: bytes) -> tuple[Int64, Int32, Bool, Int16]:
    _, stamp_width, token_width, flags, count = _ARRIVALS_HEADER.unpack_from(blob)
    stamps = np.zeros(count, np.int64)
    tokens = np.ones(count, np.int32)
    coalesced = np.zeros(count, np.bool_)
    choices = np.zeros(count, np.int16)
    at = _ARRIVALS_HEADER.size
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


def encode_readings(columns: Mapping[str, Int64]) -> bytes:
    """Pack columns of equal length under ASCII names of at most 255 characters."""
    count = len(next(iter(columns.values()), np.empty(0)))
    parts = [_READINGS_HEADER.pack(count, len(columns))]
    for name, values in columns.items():
        parts += [
            bytes([len(name)]),
            name.encode("ascii"),
            np.diff(values, prepend=np.int64(0)).astype("<i8").tobytes(),
        ]
    return bytes([VERSION]) + zlib.compress(b"".join(parts))


def decode_readings(blob: bytes) -> dict[str, Int64]:
    """The inverse of `encode_readings`. Raises `StoreError` on a BLOB of another version, or a damaged one."""
    with _decoding(blob, "the GPU readings of a run are"):
        return _readings(zlib.decompress(blob[1:]))


def _readings(packed: bytes) -> dict[str, Int64]:
    count, width = _READINGS_HEADER.unpack_from(packed)
    columns: dict[str, Int64] = {}
    at = _READINGS_HEADER.size
    for _ in range(width):
        name = packed[at + 1 : at + 1 + packed[at]].decode("ascii")
        at += 1 + len(name)
        columns[name] = np.cumsum(np.frombuffer(packed, "<i8", count, at), dtype=np.int64)
        at += 8 * count
    if at != len(packed):
        raise ValueError(f"{len(packed) - at} bytes too many")
    return columns


def encode_outline(outline: Outline) -> bytes:
    return bytes([VERSION]) + zlib.compress(plain.write_json(outline).encode())


def decode_outline(blob: bytes) -> Outline:
    """The inverse of `encode_outline`. Raises `StoreError` on a BLOB of another version, or a damaged one."""
    with _decoding(blob, "the outline of a run is"):
        return cast(Outline, json.loads(zlib.decompress(blob[1:])))


@contextmanager
def _decoding(blob: bytes, what: str) -> Iterator[None]:
    """Raise StoreError for a BLOB of another version, and for what cannot be decoded within the block."""
    if blob[:1] != bytes([VERSION]):
        raise StoreError(
            f"{what} in format {blob[0] if blob else 'none'}, and this loadgen reads format {VERSION}: upgrade loadgen"
        )
    try:
        yield
    except (struct.error, ValueError, zlib.error) as error:
        raise StoreError(f"{what} damaged ({len(blob)} bytes): restore the database from a copy") from error
