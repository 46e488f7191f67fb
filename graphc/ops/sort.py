"""Sorting: the row ``argsort``, on which everything that orders elements is built; medians.

``argsort(x, dim, descending, first)`` gives the places of the ``first`` elements in order along a
dimension; all of them with ``first`` equal to its size. Equal elements keep their order (zeros of
both signs are equal), and NaN is larger than everything else. Values follow by ``gather``, and
their gradients with them. ``lexsort(x)`` is the order of the rows of a matrix, compared element by
element from the first.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DimensionError, ShapeError
from graphc.ir import Host, Named, Op, Sample, TensorType, Work, register
from graphc.ops.rules import (
    HALVES,
    Array,
    composite,
    integers,
    normalise_dim,
    row,
    special,
    spread,
)
from graphc.sizes import Int

FEW = 8  # times fewer elements wanted than there are: a heap of them is faster than sorting all


def _argsort_type(x: TensorType, *, dim: int, descending: bool, first: Int) -> TensorType:
    del descending
    if not x.ndim:
        raise ShapeError("argsort needs a tensor with at least one dimension")
    if normalise_dim(dim, x.ndim) != dim:
        raise DimensionError(f"argsort: dim {dim} is not counted from the front")
    size = x.shape[dim]
    if isinstance(size, int) and isinstance(first, int) and not 0 <= first <= size:
        raise ShapeError(f"selected index {first} out of range for a dimension of size {size}")
    return x.with_shape((*x.shape[:dim], first, *x.shape[dim + 1 :])).with_dtype(dtypes.int64)


def argsorted(x: Array, dim: int, descending: bool) -> Array:
    """The stable order along a dimension; NaN is the largest."""
    if x.dtype in HALVES:
        x = x.astype(np.float32)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    # Turning the row around before and after keeps equal elements in their order.
    turned = np.argsort(np.flip(x, dim), axis=dim, kind="stable")
    return np.asarray(x.shape[dim] - 1 - np.flip(turned, dim))


def _selected(rows: Array, descending: bool, first: int) -> Array:
    """The same for the first few along the last dim, without sorting the others."""
    size = rows.shape[-1]
    edge_at = size - first if descending else first - 1
    edge = np.partition(rows, edge_at)[..., edge_at : edge_at + 1]
    nan, edge_nan = rows != rows, edge != edge
    greater = (rows > edge) | (nan & ~edge_nan)
    equal = (rows == edge) | (nan & edge_nan)
    better = greater if descending else ~(greater | equal)
    wanted = first - better.sum(-1, keepdims=True)
    chosen = better | (equal & (np.cumsum(equal, -1) <= wanted))
    places = chosen.nonzero()[-1].reshape(*rows.shape[:-1], first)  # in ascending order
    order = argsorted(np.take_along_axis(rows, places, -1), -1, descending)
    return np.take_along_axis(places, order, -1)


def _argsort(x: Array, *, dim: int, descending: bool, first: int) -> Array:
    if 0 < first * FEW <= x.shape[dim]:
        wide = x.astype(np.float32) if x.dtype in HALVES else x
        found = np.moveaxis(_selected(np.moveaxis(wide, dim, -1), descending, first), -1, dim)
        return np.ascontiguousarray(found, np.int64)
    order = argsorted(x, dim, descending)
    kept: tuple[slice, ...] = (*(slice(None),) * dim, slice(first))
    return np.array(order[kept], np.int64, order="C")


def _work(x: TensorType, *, dim: int, descending: bool, first: Int) -> Work:
    """Items of 8 bytes, of 16 where the key alone needs 8; to sort them, as many once more."""
    del descending
    size = x.shape[dim]
    known = isinstance(size, int) and isinstance(first, int)
    select = known and first * FEW <= size  # type: ignore[operator]
    wide = x.dtype.itemsize == 8
    bytes_ = 16 if wide else 8
    scratch = first * bytes_ if select else size * (2 * bytes_)
    return Work(6 if select else 80 if wide else 40, scratch, {"select": select})


def _samples() -> Iterable[Sample]:
    names = ("int64", "int32", "int16", "int8", "uint8")
    for descending in (False, True):
        for dtype in (np.float64, np.float32, *sorted(HALVES, key=str)):
            x = spread((4, 9, 3), -9, 9, dtype)
            for dim in (0, 1, 2):
                for first in (x.shape[dim], 1):
                    yield Sample((x,), {"dim": dim, "descending": descending, "first": first})
        for dtype in (np.float64, np.float32):
            ties = np.concatenate([special(dtype), special(dtype)[::-1]])
            yield Sample((ties,), {"dim": 0, "descending": descending, "first": ties.size})
            yield Sample((ties,), {"dim": 0, "descending": descending, "first": 3})
        for size in (200, 1001):  # past what is inserted one by one
            long = np.round(spread((2, size), -40, 40, np.float32))
            for first in (size, size // 2, 70, 3):
                attrs = {"dim": 1, "descending": descending, "first": first}
                yield Sample((long,), attrs)
                yield Sample((long.astype(np.float64) * 1e200,), attrs)
                yield Sample((long.astype(np.int64) * 2**40,), attrs)
        for name in names:
            yield Sample(
                (integers(name),),
                {"dim": 0, "descending": descending, "first": integers(name).size},
            )
        mask = np.array([[True, False], [False, False], [True, True]])
        yield Sample((mask,), {"dim": 0, "descending": descending, "first": 3})
        empty = np.empty((2, 0), np.float32)
        yield Sample((empty,), {"dim": 0, "descending": descending, "first": 2})
        yield Sample((empty,), {"dim": 1, "descending": descending, "first": 0})


def _reference(x: Array, *, dim: int, descending: bool, first: int) -> Array:
    """Python's own sort, which is stable also in reverse."""

    def order(row: Any) -> Any:
        values = row.astype(np.float64).tolist() if row.dtype.kind not in "iub" else row.tolist()
        keys = [(v != v, 0 if v != v else v) for v in values]
        return sorted(range(len(keys)), key=keys.__getitem__, reverse=descending)[:first]

    shape = (*x.shape[:dim], first, *x.shape[dim + 1 :])
    if not x.size:
        return np.empty(shape, np.int64)
    return np.apply_along_axis(order, dim, x).astype(np.int64).reshape(shape)


ARGSORT = register(
    Op(
        "argsort",
        _argsort_type,
        _argsort,
        Named("sort", _work),
        samples=_samples,
        reference=_reference,
    )
)


# --------------------------------------------------------------------------- rows of a matrix


def _lexsort_type(x: TensorType) -> TensorType:
    if x.ndim != 2:
        raise ShapeError(f"lexsort sorts the rows of a matrix, not of {list(x.shape)}")
    return x.with_shape(x.shape[:1]).with_dtype(dtypes.int64)


def _lexsort(x: Array) -> Array:
    """NumPy sorts by the last key first."""
    keys = x.astype(np.float32) if x.dtype in HALVES else x
    order = np.lexsort(keys.T[::-1]) if x.shape[1] else np.arange(len(x))
    return np.asarray(order, np.int64)


def _lexsort_samples() -> Iterable[Sample]:
    kinds: tuple[Any, ...] = (np.float64, np.float32, np.int64, *sorted(HALVES, key=str))
    for dtype in kinds:
        for shape in ((1, 1), (40, 1), (40, 3), (5, 0), (0, 2)):
            yield Sample((np.round(spread(shape, -2, 2, np.float32)).astype(dtype),))
    nan = np.nan
    yield Sample((np.array([[nan, 0], [1, nan], [-0.0, 2], [1, 5], [0, 1]], np.float32),))
    yield Sample((np.array([[True, False], [False, True], [False, False]]),))


def _lexsort_reference(x: Array) -> Array:
    plain = x.astype(np.float64) if x.dtype in HALVES else x
    rows = [[(v != v, 0 if v != v else v) for v in row] for row in plain.tolist()]
    return np.array(sorted(range(len(rows)), key=rows.__getitem__), np.int64)


LEXSORT = register(
    Op(
        "lexsort",
        _lexsort_type,
        _lexsort,
        Host(),
        samples=_lexsort_samples,
        reference=_lexsort_reference,
    )
)

# --------------------------------------------------------------------------------------- medians


def _median_place(x: Any, *, dim: int, ignore_nan: bool) -> Any:
    """The rank of the lower of two medians; NaN, when it is not ignored, is the median."""
    size = x.shape[dim]
    half = (size + 1) // 2
    order = row.argsort(x, dim=dim, descending=False, first=half)
    if not x.dtype.is_floating_point or not ignore_nan:
        lead, behind = (0,) * dim, (0,) * (x.ndim - dim - 1)
        stops = (*order.shape[:dim], half, *order.shape[dim + 1 :])
        middle = row.slice(
            order, starts=(*lead, half - 1, *behind), stops=stops, steps=(1,) * x.ndim
        )
        if not x.dtype.is_floating_point:
            return middle
        wrong = row.isnan(row.amax(x, dims=(dim,), keepdim=True))
        return row.where(wrong, row.argmax(x, dims=(dim,), keepdim=True), middle)
    known = row.sum(row.cast(row.eq(x, x), dtype=dtypes.int64), dims=(dim,), keepdim=True)
    rank = row.floor_divide(row.maximum(known, 1) - 1, 2)
    return row.gather(order, rank, dim=dim)


def _nan_samples(one: bool) -> Iterable[Sample]:
    for ignore_nan in (False, True):
        attrs: dict[str, Any] = {"ignore_nan": ignore_nan}
        for dim in () if one else (0, 1, 2):
            for dtype in (np.float64, np.float32, np.int64, *sorted(HALVES, key=str)):
                yield Sample((spread((4, 5, 3), -9, 9, dtype),), {**attrs, "dim": dim})
        along = attrs if one else {**attrs, "dim": 0}
        for size in (1, 2, 7):
            yield Sample((spread((size,), -9, 9, np.float64),), along)
        nan = np.nan
        for values in ([nan, 1, 3, 2], [nan, nan, 5, 1, 2], [nan], [1, 1, 2, 1], [np.inf, nan, 0]):
            yield Sample((np.array(values, np.float32),), along, differentiable=False)


def _plain_median_place(x: Array, *, dim: int, ignore_nan: bool) -> Array:
    def place(values: Any) -> int:
        nans = [i for i, v in enumerate(values) if v != v]
        if nans and not ignore_nan:
            return nans[0]
        order = sorted(range(len(values)), key=lambda i: (values[i] != values[i], values[i]))
        return order[max(len(values) - len(nans) - 1, 0) // 2]

    plain = x.astype(np.float64) if x.dtype in HALVES else x
    found = np.apply_along_axis(place, dim, plain).astype(np.int64)
    return np.expand_dims(found, dim)


MEDIAN_PLACE = composite(
    "median_place",
    _median_place,
    samples=lambda: _nan_samples(False),
    reference=_plain_median_place,
)


def _median(x: Any, *, ignore_nan: bool) -> Any:
    place = row.median_place(x, dim=0, ignore_nan=ignore_nan)
    return row.reshape(row.gather(x, place, dim=0), shape=())


def _median_of(x: Array, *, ignore_nan: bool) -> Array:
    known = x[x == x]
    if known.size < x.size and (not ignore_nan or not known.size):
        return np.asarray(x[x != x][0])
    middle = (known.size - 1) // 2
    return np.asarray(np.partition(known, middle)[middle])


def _median_vjp(g: Any, y: Any, x: Any, *, ignore_nan: bool) -> tuple[Any]:
    """All elements equal to the median share the cotangent evenly, NaN being equal to NaN."""
    del ignore_nan
    both_nan = row.logical_and(row.isnan(x), row.isnan(y))
    share = row.cast(row.logical_or(row.eq(x, y), both_nan), dtype=x.dtype)
    return (g * share / row.sum(share, dims=(0,), keepdim=True),)


MEDIAN = composite(
    "median",
    _median,
    _median_vjp,
    numpy=_median_of,
    samples=lambda: _nan_samples(True),
    reference=lambda x, *, ignore_nan: x[
        int(_plain_median_place(x, dim=0, ignore_nan=ignore_nan)[0])
    ],
)
