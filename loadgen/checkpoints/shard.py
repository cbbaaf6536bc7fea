"""Safetensors files as raw bytes: the length of the header in 8 bytes, the header as JSON, the tensors one after the other.

The format is that of https://huggingface.co/docs/safetensors#format. No tensor is converted; a tensor is mapped into memory
while it is used, so that memory is bounded by the largest tensor.
"""

import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import FileIO
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeInt, TypeAdapter, ValidationError

from loadgen.errors import UsageError, first_problem
from loadgen.load.disk import write_all

Raw = NDArray[np.unsignedinteger]
"""Elements of a tensor as unsigned integers of the same size."""

ELEMENT_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 8),
}

_MAX_HEADER_BYTES = 100_000_000  # the limit of the format's own library
_PIECE_BYTES = 4 << 20
_METADATA = "__metadata__"


class _Entry(BaseModel):
    dtype: str
    shape: tuple[NonNegativeInt, ...]
    data_offsets: tuple[NonNegativeInt, NonNegativeInt]


_HEADER = TypeAdapter(dict[str, _Entry])
_NOTES = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a file, which begins at byte `offset`."""

    name: str
    dtype: str  # as the header has it: `BF16`
    shape: tuple[int, ...]
    path: Path
    offset: int

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.dtype, self.shape)

    def raw(self) -> Raw:
        """Map the elements into memory. The array must not outlive its use, or the file's pages stay in memory."""
        kind = np.dtype(f"u{ELEMENT_BYTES[self.dtype]}")
        if self.size_bytes == 0:
            return np.empty(self.shape, kind)
        return np.memmap(self.path, kind, "r", self.offset, self.shape)


@dataclass(frozen=True, slots=True)
class ShardFile:
    """One file of a checkpoint: its tensors in the order of their bytes."""

    path: Path
    metadata: Mapping[str, str]
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class NewTensor:
    """A tensor to write: `pieces` makes its elements, in order."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[Raw]]

    @property
    def size_bytes(self) -> int:
        return size_bytes(self.dtype, self.shape)


def size_bytes(dtype: str, shape: Sequence[int]) -> int:
    return math.prod(shape) * ELEMENT_BYTES[dtype]


def copied(tensor: Tensor, name: str) -> NewTensor:
    """Return the whole of a tensor to write, under another name."""
    return NewTensor(name, tensor.dtype, tensor.shape, partial(_whole, tensor))


def _whole(tensor: Tensor) -> Iterator[Raw]:
    yield tensor.raw()


def read_shard(path: Path) -> ShardFile:
    """Read the header of a file. Raises UsageError for one that is cut short or does not describe its bytes."""
    try:
        length = path.stat().st_size
        with path.open("rb") as file:
            begin = file.read(8)
            header_bytes = struct.unpack("<Q", begin)[0] if len(begin) == 8 else None
            if header_bytes is None or header_bytes > min(length - 8, _MAX_HEADER_BYTES):
                raise UsageError(f"{path} is no safetensors file, or is cut short in its header; download it again")
            header = file.read(header_bytes)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    metadata, entries = _parsed(path, header)
    tensors = [_tensor(path, 8 + header_bytes, length, name=name, entry=entry) for name, entry in entries.items()]
    tensors.sort(key=lambda tensor: (tensor.offset, tensor.size_bytes))
    for before, after in pairwise(tensors):
        if before.offset + before.size_bytes > after.offset:
            raise UsageError(
                f"{path} is damaged: the bytes of {before.name} and {after.name} overlap; download it again"
            )
    return ShardFile(path, metadata, tuple(tensors))


def _parsed(path: Path, header: bytes) -> tuple[dict[str, str], dict[str, _Entry]]:
    try:
        document = json.loads(header)
        if not isinstance(document, dict):
            raise ValueError
        metadata = _NOTES.validate_python(document.pop(_METADATA, None) or {})
        return metadata, _HEADER.validate_python(document)
    except ValidationError as error:
        problem = first_problem(error.errors())
        raise UsageError(f"{path} has a header that cannot be read: {problem}; download it again") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{path} has a header that is not a JSON object; download it again") from None


def _tensor(path: Path, payload: int, length: int, *, name: str, entry: _Entry) -> Tensor:
    begin, end = entry.data_offsets
    if entry.dtype not in ELEMENT_BYTES:
        raise UsageError(f"{path} has elements of type {entry.dtype} in {name}, whose size is not known here")
    expected = size_bytes(entry.dtype, entry.shape)
    if end - begin != expected:
        raise UsageError(
            f"{path} is damaged: {name} of shape {list(entry.shape)} takes {expected:,} bytes and has {end - begin:,}; "
            "download it again"
        )
    if payload + end > length:
        raise UsageError(
            f"{path} is cut short: {name} ends at byte {payload + end:,} and the file has {length:,}; download it again"
        )
    return Tensor(name, entry.dtype, entry.shape, path, payload + begin)


def header_of(metadata: Mapping[str, str], tensors: Iterable[NewTensor]) -> bytes:
    """Return what stands before the bytes of the tensors: the length and the header, a multiple of 8 bytes."""
    document: dict[str, object] = {_METADATA: dict(metadata)} if metadata else {}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.size_bytes
        document[tensor.name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": (offset, end)}
        offset = end
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write_shard(path: Path, metadata: Mapping[str, str], tensors: Sequence[NewTensor]) -> None:
    """Write a file, a tensor at a time; what is zero becomes a hole where the file system has holes. Raises OSError."""
    with FileIO(path, "x") as file:
        write_all(file, header_of(metadata, tensors))
        for tensor in tensors:
            end = file.tell() + tensor.size_bytes
            for piece in tensor.pieces():
                _write(file, piece)
            if file.tell() != end:
                raise AssertionError(f"{tensor.name} has another size than planned")
        file.truncate(file.tell())


def _write(file: FileIO, elements: Raw) -> None:
    flat = np.ascontiguousarray(elements).reshape(-1).view(np.uint8)
    for begin in range(0, len(flat), _PIECE_BYTES):
        piece = flat[begin : begin + _PIECE_BYTES]
        if piece[:16].any() or piece.any():
            write_all(file, piece.data)
        else:
            file.seek(len(piece), 1)
