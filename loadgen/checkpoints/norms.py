"""L2 norms of weights, straight from their bytes: bf16, fp16, fp32 and fp8 made float32 some rows at a time."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadgen.checkpoints.shard import Raw, Tensor
from loadgen.errors import UsageError

_PIECE_ELEMENTS = 2 << 20


def _from_bf16(raw: Raw) -> NDArray[np.float32]:
    return (raw.astype(np.uint32) << 16).view(np.float32)


def _eight_bit_values(exponent_bits: int, bias: int, *, has_infinity: bool) -> NDArray[np.float32]:
    """The 256 values of an 8-bit float (Micikevicius et al. 2022, table 1); NaN and infinity count as 0."""
    code = np.arange(256)
    mantissa_bits = 7 - exponent_bits
    exponent = (code >> mantissa_bits) & (2**exponent_bits - 1)
    fraction = (code & (2**mantissa_bits - 1)) / 2**mantissa_bits
    values = np.where(exponent == 0, fraction * 2.0 ** (1 - bias), (1 + fraction) * 2.0 ** (exponent - bias))
    is_finite = exponent < 2**exponent_bits - 1 if has_infinity else (code & 0x7F) != 0x7F
    return np.where(is_finite, np.where(code & 0x80, -values, values), 0).astype(np.float32)


_E4M3 = _eight_bit_values(4, 7, has_infinity=False)
_E5M2 = _eight_bit_values(5, 15, has_infinity=True)

_FLOATS: Mapping[str, Callable[[Raw], NDArray[np.float32]]] = {
    "BF16": _from_bf16,
    "F16": lambda raw: raw.view(np.float16).astype(np.float32),
    "F32": lambda raw: raw.view(np.float32),
    "F8_E4M3": lambda raw: _E4M3[raw],
    "F8_E5M2": lambda raw: _E5M2[raw],
}


def floats(tensor: Tensor, raw: Raw) -> NDArray[np.float32]:
    """Return the values of some elements of a tensor. Raises UsageError for elements that are no numbers by themselves."""
    convert = _FLOATS.get(tensor.dtype)
    if convert is None:
        raise UsageError(f"{tensor.name} has elements of type {tensor.dtype}, which have no norm; take the rule random")
    return convert(raw)


@dataclass(frozen=True, slots=True)
class Scale:
    """What the elements of a quantised matrix are multiplied by: `values` has one for each block of `rows` × `columns`."""

    values: NDArray[np.float32]
    rows: int
    columns: int

    def of_rows(self, begin: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the factors of the elements of some rows, from `begin`."""
        rows = np.arange(begin, begin + shape[0]) // self.rows
        return self.values[rows][:, np.arange(shape[1]) // self.columns]


def scale_of(tensor: Tensor, matrix: Sequence[int], block: tuple[int, int]) -> Scale:
    """Return the scale of a matrix of some shape: one for all of it, one for each row, or one for each `block`.

    Raises UsageError for a scale of another shape.
    """
    values = floats(tensor, np.ascontiguousarray(tensor.raw()))
    rows, columns = matrix
    for size in ((rows, columns), (1, columns), block):
        blocks = (-(-rows // size[0]), -(-columns // size[1]))
        if math.prod(blocks) == values.size and tensor.shape in (blocks, blocks[:1], ()):
            return Scale(values.reshape(blocks), *size)
    raise UsageError(
        f"{tensor.name} of shape {list(tensor.shape)} is no scale of a matrix of {rows} × {columns}; take the rule random"
    )


def squared_norms(tensor: Tensor, matrix: Raw, *, axis: int, scale: Scale | None = None) -> NDArray[np.float64]:
    """Return the squared L2 norm of each row (`axis` 1) or column (`axis` 0) of a matrix in `tensor`."""
    rows, columns = matrix.shape
    step = max(1, _PIECE_ELEMENTS // max(1, columns))
    found = np.zeros(columns if axis == 0 else rows)
    for begin in range(0, rows, step):
        values = floats(tensor, np.ascontiguousarray(matrix[begin : begin + step]))
        if scale is not None:
            values = values * scale.of_rows(begin, values.shape)
        squares = values.astype(np.float64) ** 2
        if axis == 0:
            found += squares.sum(axis=0)
        else:
            found[begin : begin + step] = squares.sum(axis=1)
    return found
