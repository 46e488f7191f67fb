"""Diagonals: the view of one, and the write through it.

``diagonal(x, offset, dim1, dim2)`` drops two dims and adds one at the end that runs along both, as
``torch.diagonal``; a positive offset lies above the main diagonal. ``put_diagonal`` is the tensor
with that diagonal replaced.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.expressions import InRange
from graphc.ir import IndexMap, Op, Sample, Source, TensorType, register
from graphc.ops.rules import Array, Shape, check_dims, row, same_device, same_dtype, zeros_like
from graphc.ops.views import Index, arrays_of
from graphc.sizes import Int


def diagonal_length(rows: Int, columns: Int, offset: int) -> Int:
    """How many elements the diagonal of a matrix has."""
    above, below = max(offset, 0), max(-offset, 0)
    if isinstance(rows, int) and isinstance(columns, int):
        return max(0, min(rows - below, columns - above))
    if rows - below != columns - above:
        raise ShapeError(
            f"diagonal: which of {rows} and {columns} is smaller has to be known to say how long "
            "the diagonal is"
        )
    return rows - below


def _rest(x: TensorType, dim1: int, dim2: int) -> list[int]:
    return [d for d in range(x.ndim) if d not in (dim1, dim2)]


def _shape(name: str, x: TensorType, offset: int, dim1: int, dim2: int) -> Shape:
    if dim1 == dim2:
        raise ShapeError(f"{name}: diagonal dimensions cannot be identical {dim1}, {dim2}")
    check_dims(name, tuple(sorted((dim1, dim2))), x.ndim)
    length = diagonal_length(x.shape[dim1], x.shape[dim2], offset)
    return (*(x.shape[d] for d in _rest(x, dim1, dim2)), length)


# -------------------------------------------------------------------------------------- diagonal


def _diagonal_type(x: TensorType, *, offset: int, dim1: int, dim2: int) -> TensorType:
    return x.with_shape(_shape("diagonal", x, offset, dim1, dim2))


def _diagonal(x: Array, *, offset: int, dim1: int, dim2: int) -> Array:
    shown: Array = np.diagonal(x, offset, dim1, dim2)
    if x.flags.writeable:
        shown.flags.writeable = True
    return shown


def _diagonal_rule(
    index: Index, x: TensorType, *, offset: int, dim1: int, dim2: int
) -> tuple[Source, ...]:
    place: list[Int] = [0] * x.ndim
    for d, i in zip(_rest(x, dim1, dim2), index, strict=False):
        place[d] = i
    place[dim1] = index[-1] + max(-offset, 0)
    place[dim2] = index[-1] + max(offset, 0)
    return (Source(0, tuple(place)),)


def _diagonal_vjp(g: Any, _y: Any, _x: Any, **attrs: Any) -> tuple[Any]:
    return (row.put_diagonal(zeros_like(_x), g, **attrs),)


_DIAGONALS: tuple[tuple[tuple[int, ...], int, int, int], ...] = (
    ((3, 4), 0, 0, 1),
    ((3, 4), 1, 0, 1),
    ((4, 3), -2, 0, 1),
    ((3, 4), 1, 1, 0),
    ((2, 3, 4), 0, 0, 2),
    ((2, 3, 4), -1, 2, 1),
    ((2, 3, 3, 2), 2, 1, 2),
    ((3, 4), 9, 0, 1),
    ((0, 3), 0, 0, 1),
)


def _diagonal_samples() -> Iterable[Sample]:
    for shape, offset, dim1, dim2 in _DIAGONALS:
        for x in arrays_of(shape):
            yield Sample((x,), {"offset": offset, "dim1": dim1, "dim2": dim2})


def _diagonal_reference(x: Array, *, offset: int, dim1: int, dim2: int) -> Array:
    moved = np.moveaxis(x, (dim1, dim2), (-2, -1))
    rows, columns = moved.shape[-2:]
    parts = [moved[..., i, i + offset] for i in range(rows) if 0 <= i + offset < columns]
    return np.stack(parts, -1) if parts else np.empty((*moved.shape[:-2], 0), x.dtype)


DIAGONAL = register(
    Op(
        "diagonal",
        _diagonal_type,
        _diagonal,
        IndexMap(_diagonal_rule),
        _diagonal_vjp,
        lambda base, value, **attrs: row.put_diagonal(base, value, **attrs),
        _diagonal_samples,
        _diagonal_reference,
    )
)

# ---------------------------------------------------------------------------------- put_diagonal


def _put_diagonal_type(
    base: TensorType, value: TensorType, *, offset: int, dim1: int, dim2: int
) -> TensorType:
    same_device(base, value)
    same_dtype("put_diagonal", base, value)
    shape = _shape("put_diagonal", base, offset, dim1, dim2)
    if value.shape != shape:
        raise ShapeError(
            f"put_diagonal: a value of shape {list(value.shape)} cannot replace a diagonal of "
            f"shape {list(shape)}"
        )
    return base


def _put_diagonal(base: Array, value: Array, *, offset: int, dim1: int, dim2: int) -> Array:
    result: Array = base.copy()
    _diagonal(result, offset=offset, dim1=dim1, dim2=dim2)[...] = value
    return result


def _put_diagonal_rule(
    index: Index, base: TensorType, value: TensorType, *, offset: int, dim1: int, dim2: int
) -> tuple[Source, ...]:
    step = index[dim1] - max(-offset, 0)
    across = index[dim2] - max(offset, 0) - step  # 0 on the diagonal
    place = (*(index[d] for d in _rest(base, dim1, dim2)), step)
    inside = (InRange(step, value.shape[-1]), InRange(across, 1))
    return (Source(1, place, inside), Source(0, index))


def _put_diagonal_vjp(g: Any, _y: Any, _base: Any, _value: Any, **attrs: Any) -> tuple[Any, Any]:
    return lambda: row.put_diagonal(g, zeros_like(_value), **attrs), lambda: row.diagonal(
        g, **attrs
    )


def _put_diagonal_samples() -> Iterable[Sample]:
    for shape, offset, dim1, dim2 in _DIAGONALS:
        attrs = {"offset": offset, "dim1": dim1, "dim2": dim2}
        for x in arrays_of(shape):
            yield Sample((x, (_diagonal_reference(x, **attrs) * 0 + 1).astype(x.dtype)), attrs)


def _put_diagonal_reference(
    base: Array, value: Array, *, offset: int, dim1: int, dim2: int
) -> Array:
    result: Array = base.copy()
    moved = np.moveaxis(result, (dim1, dim2), (-2, -1))
    rows, columns = moved.shape[-2:]
    places = [(i, i + offset) for i in range(rows) if 0 <= i + offset < columns]
    for k, (i, j) in enumerate(places):
        moved[..., i, j] = value[..., k]
    return result


PUT_DIAGONAL = register(
    Op(
        "put_diagonal",
        _put_diagonal_type,
        _put_diagonal,
        IndexMap(_put_diagonal_rule),
        _put_diagonal_vjp,
        samples=_put_diagonal_samples,
        reference=_put_diagonal_reference,
    )
)
