"""Whole slices at computed places: ``take`` reads them, ``put_index`` writes them.

``take(x, index, dim)`` puts a whole index tensor in the place of one dim; negative entries count
from the end, as in PyTorch's ``x[index]``; ``put_index`` is its dual. Places that occur more than
once: additions all count, in row-major order, and of plain writes the last one stays; so results
never depend on chance.

Indices are checked before anything is read or written. IndexError names the first one that is out
of range.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DtypeError, PositionError, ShapeError
from graphc.ir import Gather, Op, Sample, Scatter, TensorType, register
from graphc.ops.evaluation import Quiet
from graphc.ops.rules import (
    HALVES,
    Array,
    Shape,
    normalise_dim,
    row,
    same_device,
    spread,
    zeros_like,
)
from graphc.sizes import Int

Index = tuple[Int, ...]


def check_index(name: str, x: TensorType, index: TensorType, dim: int) -> None:
    same_device(x, index)
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise DtypeError(f"{name}(): Expected dtype int32/int64 for index")
    if not x.ndim:
        raise ShapeError(f"{name}() expects a tensor with at least one dimension")
    if normalise_dim(dim, x.ndim) != dim:
        raise ShapeError(f"{name}: dim {dim} is not counted from the front")


def check_dtype(name: str, x: TensorType, values: TensorType) -> None:
    same_device(x, values)
    if x.dtype is not values.dtype:
        raise DtypeError(f"{name}(): Expected self.dtype to be equal to src.dtype")


def refuse_outside(index: Array, dim: int, size: int, wrap: bool) -> None:
    """Raises IndexError for the first entry outside of ``[0, size)``, or ``[-size, size)``."""
    if index.size == 0:
        return
    low = -size if wrap else 0
    if index.min() >= low and index.max() < size:
        return
    wrong = index[(index < low) | (index >= size)].flat[0]
    raise PositionError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")


# ------------------------------------------------------------------------------------------ take


def _replaced(shape: Shape, index: Shape, dim: int) -> Shape:
    return (*shape[:dim], *index, *shape[dim + 1 :])


def _take_type(x: TensorType, index: TensorType, *, dim: int) -> TensorType:
    check_index("take", x, index, dim)
    return x.with_shape(_replaced(x.shape, index.shape, dim))


def _take(x: Array, index: Array, *, dim: int) -> Array:
    try:
        return np.asarray(np.take(x, index, axis=dim))
    except IndexError:
        refuse_outside(index, dim, x.shape[dim], True)
        raise


def _take_rule(
    place: Index, _x: TensorType, index: TensorType, *_values: TensorType, dim: int, **_attrs: Any
) -> tuple[Index, int]:
    """Which entry of the index an element of the result (or of ``values``) belongs to."""
    return place[dim : dim + index.ndim], dim


def _take_vjp(g: Any, _y: Any, _x: Any, index: Any, *, dim: int) -> tuple[Any, None]:
    return row.put_index(zeros_like(_x), index, g, dim=dim, add=True), None


def indices(shape: tuple[int, ...], size: int, wrap: bool) -> Array:
    """Some indices, repeated ones among them."""
    values = np.arange(math.prod(shape)) * 7 + 1
    return np.asarray(values % (2 * size) - size if wrap else values % size).reshape(shape)


def _take_samples() -> Iterable[Sample]:
    for dtype in (np.float64, np.float32, np.int64, *sorted(HALVES, key=str)):
        x = spread((4, 5, 3), -9, 9, dtype)
        for dim in (0, 1, 2):
            for shape in ((), (3,), (2, 4), (0,)):
                yield Sample((x, indices(shape, x.shape[dim], True)), {"dim": dim})
    yield Sample((x, indices((6,), 4, False).astype(np.int32)), {"dim": 0})
    yield Sample((spread((0, 2), 0, 1, np.float32), indices((0,), 1, False)), {"dim": 0})


def _take_reference(x: Array, index: Array, *, dim: int) -> Array:
    parts = [np.moveaxis(x, dim, 0)[i] for i in index.ravel().tolist()]
    rest = np.moveaxis(x, dim, 0).shape[1:]
    joined = np.array(parts, x.dtype).reshape(*index.shape, *rest)
    order = (
        *range(index.ndim, index.ndim + dim),
        *range(index.ndim),
        *range(index.ndim + dim, joined.ndim),
    )
    return np.asarray(joined.transpose(order))


TAKE = register(
    Op(
        "take",
        _take_type,
        _take,
        Gather(_take_rule),
        _take_vjp,
        samples=_take_samples,
        reference=_take_reference,
    )
)

# ------------------------------------------------------------------------------------- put_index


def _put_type(
    x: TensorType, index: TensorType, values: TensorType, *, dim: int, add: bool
) -> TensorType:
    del add
    check_index("put_index", x, index, dim)
    check_dtype("put_index", x, values)
    expected = _replaced(x.shape, index.shape, dim)
    if values.shape != expected:
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to "
            f"indexing result of shape {list(expected)}"
        )
    return x


def _put(x: Array, index: Array, values: Array, *, dim: int, add: bool) -> Array:
    size = x.shape[dim]
    refuse_outside(index, dim, size, True)
    result: Array = np.array(x, order="C")
    if not add:
        target: tuple[Any, ...] = (*(slice(None),) * dim, index)
        result[target] = values
        return result
    lead, inner = math.prod(x.shape[:dim]), math.prod(x.shape[dim + 1 :])
    wrapped = np.where(index < 0, index + size, index).reshape(1, -1, 1)
    place = (np.arange(lead).reshape(-1, 1, 1) * size + wrapped) * inner + np.arange(inner)
    np.add.at(result.reshape(-1), place.reshape(-1), values.reshape(-1))
    return result


def _put_vjp(
    g: Any, _y: Any, _x: Any, index: Any, _values: Any, *, dim: int, add: bool
) -> tuple[Any, None, Any]:
    def to_x() -> Any:
        return g if add else row.put_index(g, index, zeros_like(_values), dim=dim, add=False)

    return to_x, None, lambda: row.take(g, index, dim=dim)


def _put_samples() -> Iterable[Sample]:
    for dtype in (np.float64, np.float32, np.int64, *sorted(HALVES, key=str)):
        x = spread((4, 5, 3), -9, 9, dtype)
        for dim in (0, 1, 2):
            for shape in ((), (3,), (2, 4), (0,)):
                index = indices(shape, x.shape[dim], True)
                values: Any = _replaced(x.shape, index.shape, dim)
                arrays = (x, index, spread(values, -9, 9, dtype, 1))
                yield Sample(arrays, {"dim": dim, "add": True})
                # Where several writes meet only one counts, but the gradient flows to all.
                once = len({i % x.shape[dim] for i in index.ravel().tolist()}) == index.size
                yield Sample(arrays, {"dim": dim, "add": False}, differentiable=once)


def _put_reference(x: Array, index: Array, values: Array, *, dim: int, add: bool) -> Array:
    result = x.astype(np.float64 if x.dtype in HALVES else x.dtype)
    moved = np.moveaxis(result, dim, 0)
    for at in np.ndindex(*index.shape):
        part: tuple[Any, ...] = (*(slice(None),) * dim, *at)
        value = values[part].astype(result.dtype)
        moved[int(index[at])] = moved[int(index[at])] + value if add else value
    return result.astype(x.dtype)


PUT_INDEX = register(
    Op(
        "put_index",
        _put_type,
        Quiet(_put),
        Scatter(_take_rule),
        _put_vjp,
        samples=_put_samples,
        reference=_put_reference,
    )
)
