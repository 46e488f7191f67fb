"""Sorting: one row, ``argsort``, on which everything that orders elements is built.

``argsort(x, dim, descending, first)`` gives the places of the ``first`` elements in order along a
dimension; all of them with ``first`` equal to its size. Equal elements keep their order (zeros of
both signs are equal), and NaN is larger than everything else. Values follow by ``gather``, and
their gradients with them.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DimensionError, ShapeError
from graphc.ir import Named, Op, Sample, TensorType, Work, register
from graphc.ops.rules import HALVES, Array, integers, normalise_dim, special, spread
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


def _argsort(x: Array, *, dim: int, descending: bool, first: int) -> Array:
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
            for first in (size, size // 2, 70):
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
