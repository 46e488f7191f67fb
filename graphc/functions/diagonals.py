"""Diagonals and triangles of matrices."""

from typing import Any

import numpy as np

from graphc import dtypes
from graphc.device import device as Device
from graphc.functions.dims import normalise_dim
from graphc.functions.literals import literal
from graphc.functions.promotion import cast, supported
from graphc.functions.registry import tensor_function
from graphc.functions.shape import reshaped
from graphc.ops import OPS
from graphc.tensor import Tensor, apply, number


def _full(shape: tuple[int, ...], value: Any, like: Tensor) -> Tensor:
    attrs = {"value": value, "shape": shape, "dtype": like.dtype, "device": like.device}
    return apply(OPS["full"], (), attrs)


# -------------------------------------------------------------------------------------- diagonals


def diagonal_attrs(name: str, ndim: int, offset: int, dim1: int, dim2: int) -> dict[str, int]:
    """The attributes of the rows ``diagonal`` and ``put_diagonal``."""
    a, b = normalise_dim(dim1, ndim), normalise_dim(dim2, ndim)
    if a == b:
        raise RuntimeError(f"{name}: diagonal dimensions cannot be identical {dim1}, {dim2}")
    return {"offset": offset, "dim1": a, "dim2": b}


@tensor_function
def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of a diagonal of two dimensions, as a new last one."""
    attrs = diagonal_attrs("diagonal", input.ndim, offset, dim1, dim2)
    return apply(OPS["diagonal"], (input,), attrs)


@tensor_function(name="linalg_diagonal", method=False, public=False)
def linalg_diagonal(
    A: Tensor,  # noqa: N803
    *,
    offset: int = 0,
    dim1: int = -2,
    dim2: int = -1,
) -> Tensor:
    """A view of the diagonals of matrices, as a new last dimension."""
    return diagonal(A, offset, dim1, dim2)  # type: ignore[no-any-return]


@tensor_function
def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last dimension on a diagonal and zeros elsewhere."""
    if not input.ndim:
        normalise_dim(dim1, 1)
    ndim = input.ndim + 1
    attrs = diagonal_attrs("diag_embed", ndim, offset, dim1, dim2)
    size = input.shape[-1] + abs(offset)
    rest = iter(input.shape[:-1])
    ends = (attrs["dim1"], attrs["dim2"])
    shape = tuple(size if d in ends else next(rest) for d in range(ndim))
    return apply(OPS["put_diagonal"], (_full(shape, 0, input), input), attrs)


@tensor_function(out=True)
def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector on its diagonal; a copy."""
    if input.ndim not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.ndim}D")
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    attrs = {"offset": diagonal, "dim1": 0, "dim2": 1}
    return apply(OPS["clone"], (apply(OPS["diagonal"], (input,), attrs),), {})


@tensor_function
def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements on a diagonal."""
    return diag_embed(reshaped(input, (input.numel(),)), offset)


@tensor_function
def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy with ``src`` on a diagonal."""
    attrs = diagonal_attrs("diagonal_scatter", input.ndim, offset, dim1, dim2)
    shown = tuple(apply(OPS["diagonal"], (input,), attrs).shape)
    if tuple(src.shape) != shown:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(shown)}"
        )
    return apply(OPS["put_diagonal"], (input, cast(src, input.dtype)), attrs)


@tensor_function(public=False)
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Writes a number to the main diagonal; with ``wrap`` it starts anew below tall matrices."""
    if self.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    shape = tuple(self.shape)
    if self.ndim > 2 and len(set(shape)) != 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    places = [_positions(self, shape, d) for d in range(self.ndim)]
    if self.ndim == 2 and wrap and shape[0] > shape[1]:
        period = number(shape[1] + 1, dtypes.int64)
        places[0] = apply(OPS["remainder"], (places[0], period), {})
    keep = apply(OPS["eq"], (places[0], places[1]), {})
    for other in places[2:]:
        keep = apply(OPS["logical_and"], (keep, apply(OPS["eq"], (places[0], other), {})), {})
    value = number(fill_value, self.dtype) if not isinstance(fill_value, Tensor) else fill_value
    return self._write(apply(OPS["where"], (keep, cast(value, self.dtype), self), {}))


# -------------------------------------------------------------------------------------- triangles


def _positions(input: Tensor, shape: tuple[int, ...], dim: int) -> Tensor:
    attrs = {"shape": shape, "dim": dim, "dtype": dtypes.int64, "start": 0, "step": 1,
             "device": input.device}  # fmt: skip
    return apply(OPS["iota"], (), attrs)


def _triangle(name: str, lower: bool) -> None:
    def function(input: Tensor, diagonal: int = 0) -> Tensor:
        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        matrix = tuple(input.shape)[-2:]
        rows, columns = (_positions(input, matrix, d) for d in (0, 1))
        offset = apply(OPS["sub"], (columns, rows), {})
        keep = apply(OPS["le" if lower else "ge"], (offset, diagonal), {})
        return apply(OPS["where"], (keep, input, 0), {})

    function.__name__ = name
    function.__doc__ = f"The {'lower' if lower else 'upper'} triangle of matrices, zeros elsewhere."
    tensor_function(function, inplace=True, out=True)


_triangle("tril", True)
_triangle("triu", False)


def _triangle_indices(name: str, lower: bool) -> None:
    def function(
        row: int, col: int, offset: int = 0, *, dtype: Any = dtypes.int64, device: Any = None,
        layout: Any = None,
    ) -> Tensor:  # fmt: skip
        del layout
        supported(Device("cpu" if device is None else device))
        if row < 0 or col < 0:
            raise RuntimeError(f"{'row' if row < 0 else 'col'} must be non-negative, got {row}")
        if dtype not in (dtypes.int64, dtypes.int32):
            raise RuntimeError(f'"{name}" not implemented for {dtype}')
        rows, columns = np.indices((row, col)).reshape(2, -1)
        inside = columns - rows <= offset if lower else columns - rows >= offset
        places = np.stack([rows[inside], columns[inside]])
        return literal(places.astype(dtype.numpy))

    function.__name__ = name
    function.__doc__ = (
        f"Rows and columns of the {'lower' if lower else 'upper'} triangle of a matrix, in "
        "row-major order, as the two rows of a tensor."
    )
    tensor_function(function, method=False)


_triangle_indices("tril_indices", True)
_triangle_indices("triu_indices", False)
