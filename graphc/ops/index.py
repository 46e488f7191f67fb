"""Elements at computed places: ``take`` and ``gather`` read, ``put_index`` and ``scatter`` write.

``take(x, index, dim)`` puts a whole index tensor in the place of one dim; negative entries count
from the end, as in PyTorch's ``x[index]``. ``gather(x, index, dim)`` picks one element for each
entry of an index of equal rank, which PyTorch wants non-negative. ``put_index`` and ``scatter`` are
their duals. Places that occur more than once: additions all count, in row-major order, and of
plain writes the last one stays; so results never depend on chance.

Indices are checked before anything is read or written. IndexError names the first one that is out
of range.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.ir import Gather, Op, Sample, Scatter, TensorType, register
from graphc.ops.rules import (
    HALVES,
    Array,
    Shape,
    normalise_dim,
    quiet,
    row,
    same_device,
    spread,
    zeros_like,
)
from graphc.sizes import Int

Index = tuple[Int, ...]


def _check_index(name: str, x: TensorType, index: TensorType, dim: int) -> None:
    same_device(x, index)
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise DtypeError(f"{name}(): Expected dtype int32/int64 for index")
    if not x.ndim:
        raise ShapeError(f"{name}() expects a tensor with at least one dimension")
    if normalise_dim(dim, x.ndim) != dim:
        raise ShapeError(f"{name}: dim {dim} is not counted from the front")


def _check_dtype(name: str, x: TensorType, values: TensorType) -> None:
    same_device(x, values)
    if x.dtype is not values.dtype:
        raise DtypeError(f"{name}(): Expected self.dtype to be equal to src.dtype")


def _refuse_outside(index: Array, dim: int, size: int, wrap: bool) -> None:
    """Raises IndexError for the first entry outside of ``[0, size)``, or ``[-size, size)``."""
    if index.size == 0:
        return
    low = -size if wrap else 0
    if index.min() >= low and index.max() < size:
        return
    wrong = index[(index < low) | (index >= size)].flat[0]
    raise IndexError(f"index {wrong} is out of bounds for dimension {dim} with size {size}")


# ------------------------------------------------------------------------------------------ take


def _replaced(shape: Shape, index: Shape, dim: int) -> Shape:
    return (*shape[:dim], *index, *shape[dim + 1 :])


def _take_type(x: TensorType, index: TensorType, *, dim: int) -> TensorType:
    _check_index("take", x, index, dim)
    return x.with_shape(_replaced(x.shape, index.shape, dim))


def _take(x: Array, index: Array, *, dim: int) -> Array:
    try:
        return np.asarray(np.take(x, index, axis=dim))
    except IndexError:
        _refuse_outside(index, dim, x.shape[dim], True)
        raise


def _take_rule(
    place: Index, _x: TensorType, index: TensorType, *_values: TensorType, dim: int, **_attrs: Any
) -> tuple[Index, int]:
    """Which entry of the index an element of the result (or of ``values``) belongs to."""
    return place[dim : dim + index.ndim], dim


def _take_vjp(g: Any, _y: Any, _x: Any, index: Any, *, dim: int) -> tuple[Any, None]:
    return row.put_index(zeros_like(_x), index, g, dim=dim, add=True), None


def _indices(shape: tuple[int, ...], size: int, wrap: bool) -> Array:
    """Some indices, repeated ones among them."""
    values = np.arange(math.prod(shape)) * 7 + 1
    return np.asarray(values % (2 * size) - size if wrap else values % size).reshape(shape)


def _take_samples() -> Iterable[Sample]:
    for dtype in (np.float64, np.float32, np.int64, *sorted(HALVES, key=str)):
        x = spread((4, 5, 3), -9, 9, dtype)
        for dim in (0, 1, 2):
            for shape in ((), (3,), (2, 4), (0,)):
                yield Sample((x, _indices(shape, x.shape[dim], True)), {"dim": dim})
    yield Sample((x, _indices((6,), 4, False).astype(np.int32)), {"dim": 0})
    yield Sample((spread((0, 2), 0, 1, np.float32), _indices((0,), 1, False)), {"dim": 0})


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
    _check_index("put_index", x, index, dim)
    _check_dtype("put_index", x, values)
    expected = _replaced(x.shape, index.shape, dim)
    if values.shape != expected:
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(values.shape)} cannot be broadcast to "
            f"indexing result of shape {list(expected)}"
        )
    return x


def _put(x: Array, index: Array, values: Array, *, dim: int, add: bool) -> Array:
    size = x.shape[dim]
    _refuse_outside(index, dim, size, True)
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
                index = _indices(shape, x.shape[dim], True)
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
        quiet(_put),
        Scatter(_take_rule),
        _put_vjp,
        samples=_put_samples,
        reference=_put_reference,
    )
)

# ---------------------------------------------------------------------------------------- gather


def _check_fit(index: TensorType, x: TensorType, dim: int) -> int | None:
    """The first dim, other than ``dim``, in which the index is larger than ``x``."""
    if index.ndim != x.ndim:
        raise ShapeError("Index tensor must have the same number of dimensions as input tensor")
    for d, (mine, limit) in enumerate(zip(index.shape, x.shape, strict=True)):
        known = isinstance(mine, int) and isinstance(limit, int)
        if d != dim and (mine > limit if known else mine != limit):  # type: ignore[operator]
            return d
    return None


def _gather_type(x: TensorType, index: TensorType, *, dim: int) -> TensorType:
    _check_index("gather", x, index, dim)
    wrong = _check_fit(index, x, dim)
    if wrong is not None:
        raise ShapeError(
            f"Size does not match at dimension {wrong} expected index {list(index.shape)} to be no "
            f"larger than self {list(x.shape)} apart from dimension {dim}"
        )
    return x.with_shape(index.shape)


def _cropped(x: Array, index: Array, dim: int) -> Array:
    """The part of ``x`` that an index of this shape can reach."""
    if all(n == m for d, (n, m) in enumerate(zip(x.shape, index.shape, strict=True)) if d != dim):
        return x
    return x[tuple(slice(None if d == dim else n) for d, n in enumerate(index.shape))]


def _gather(x: Array, index: Array, *, dim: int) -> Array:
    _refuse_outside(index, dim, x.shape[dim], False)
    return np.asarray(np.take_along_axis(_cropped(x, index, dim), index, dim))


def _gather_rule(
    place: Index, _x: TensorType, _index: TensorType, *_values: TensorType, dim: int, **_attrs: Any
) -> tuple[Index, int]:
    """Every element has its own entry of the index."""
    return place, dim


def _gather_vjp(g: Any, _y: Any, _x: Any, index: Any, *, dim: int) -> tuple[Any, None]:
    return row.scatter(zeros_like(_x), index, g, dim=dim, add=True), None


def _gather_samples() -> Iterable[Sample]:
    for dtype in (np.float64, np.float32, np.int64, *sorted(HALVES, key=str)):
        x = spread((4, 5, 3), -9, 9, dtype)
        for dim in (0, 1, 2):
            for shape in ((4, 5, 3), (2, 3, 1), (4, 0, 3)):
                yield Sample((x, _indices(shape, x.shape[dim], False)), {"dim": dim})
        longer = _indices((4, 9, 3), 5, False)
        yield Sample((x, longer), {"dim": 1})
    yield Sample((x[0, 0], _indices((7,), 3, False).astype(np.int32)), {"dim": 0})


def _gather_reference(x: Array, index: Array, *, dim: int) -> Array:
    result: Array = np.empty(index.shape, x.dtype)
    for at in np.ndindex(*index.shape):
        result[at] = x[tuple(int(index[at]) if d == dim else i for d, i in enumerate(at))]
    return result


GATHER = register(
    Op(
        "gather",
        _gather_type,
        _gather,
        Gather(_gather_rule),
        _gather_vjp,
        samples=_gather_samples,
        reference=_gather_reference,
    )
)

# --------------------------------------------------------------------------------------- scatter


def _scatter_type(
    x: TensorType, index: TensorType, values: TensorType, *, dim: int, add: bool
) -> TensorType:
    del add
    _check_index("scatter", x, index, dim)
    _check_dtype("scatter", x, values)
    if _check_fit(index, x, dim) is not None or values.shape != index.shape:
        raise ShapeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(x.shape)} apart "
            f"from dimension {dim} and to be no larger size than src {list(values.shape)}"
        )
    return x


def _scatter(x: Array, index: Array, values: Array, *, dim: int, add: bool) -> Array:
    _refuse_outside(index, dim, x.shape[dim], False)
    result: Array = np.array(x, order="C")
    if not add:
        np.put_along_axis(_cropped(result, index, dim), index, values, dim)
        return result
    place: Any = 0
    for d in range(x.ndim):
        shape = tuple(-1 if other == d else 1 for other in range(x.ndim))
        step = math.prod(x.shape[d + 1 :])
        place = place + (index if d == dim else np.arange(index.shape[d]).reshape(shape)) * step
    np.add.at(result.reshape(-1), np.reshape(place, -1), values.reshape(-1))
    return result


def _scatter_vjp(
    g: Any, _y: Any, _x: Any, index: Any, _values: Any, *, dim: int, add: bool
) -> tuple[Any, None, Any]:
    def to_x() -> Any:
        return g if add else row.scatter(g, index, zeros_like(_values), dim=dim, add=False)

    return to_x, None, lambda: row.gather(g, index, dim=dim)


def _scatter_samples() -> Iterable[Sample]:
    for dtype in (np.float64, np.float32, np.int64, *sorted(HALVES, key=str)):
        x = spread((4, 5, 3), -9, 9, dtype)
        for dim in (0, 1, 2):
            for shape in ((4, 5, 3), (2, 3, 1), (4, 0, 3)):
                index = _indices(shape, x.shape[dim], False)
                arrays = (x, index, spread(shape, -9, 9, dtype, 1))
                yield Sample(arrays, {"dim": dim, "add": True})
                yield Sample(arrays, {"dim": dim, "add": False}, differentiable=False)
        distinct = np.argsort(spread((4, 5, 3), 0, 1, np.float64, 2), 1)
        arrays = (x, distinct, spread((4, 5, 3), -9, 9, dtype, 1))
        yield Sample(arrays, {"dim": 1, "add": False})


def _scatter_reference(x: Array, index: Array, values: Array, *, dim: int, add: bool) -> Array:
    result = x.astype(np.float64 if x.dtype in HALVES else x.dtype)
    for at in np.ndindex(*index.shape):
        place = tuple(int(index[at]) if d == dim else i for d, i in enumerate(at))
        value = result.dtype.type(values[at])
        result[place] = result[place] + value if add else value
    return result.astype(x.dtype)


SCATTER = register(
    Op(
        "scatter",
        _scatter_type,
        quiet(_scatter),
        Scatter(_gather_rule),
        _scatter_vjp,
        samples=_scatter_samples,
        reference=_scatter_reference,
    )
)
