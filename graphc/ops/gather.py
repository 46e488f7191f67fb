"""One element for each entry of an index: ``gather`` reads; ``scatter`` and ``scatter_fold`` write.

The index has the rank of the data, and PyTorch wants its entries non-negative. Where several
entries name one place, additions, products and extremes count them all, in row-major order, and of
plain writes the last one stays; so results never depend on chance.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import Gather, Op, Sample, Scatter, TensorType, register
from graphc.ops.evaluation import Quiet
from graphc.ops.index import Index, check_dtype, check_index, indices, refuse_outside
from graphc.ops.rules import HALVES, Array, full_like, row, spread, zeros_like

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
    check_index("gather", x, index, dim)
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
    refuse_outside(index, dim, x.shape[dim], False)
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
                yield Sample((x, indices(shape, x.shape[dim], False)), {"dim": dim})
        longer = indices((4, 9, 3), 5, False)
        yield Sample((x, longer), {"dim": 1})
    yield Sample((x[0, 0], indices((7,), 3, False).astype(np.int32)), {"dim": 0})


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
    check_index("scatter", x, index, dim)
    check_dtype("scatter", x, values)
    if _check_fit(index, x, dim) is not None or values.shape != index.shape:
        raise ShapeError(
            f"Expected index {list(index.shape)} to be no larger than self {list(x.shape)} apart "
            f"from dimension {dim} and to be no larger size than src {list(values.shape)}"
        )
    return x


def _flat_places(index: Array, shape: tuple[int, ...], dim: int) -> Array:
    """Where each entry of the index stands in the flattened data."""
    place: Any = 0
    for d in range(len(shape)):
        along = tuple(-1 if other == d else 1 for other in range(len(shape)))
        step = math.prod(shape[d + 1 :])
        place = place + (index if d == dim else np.arange(index.shape[d]).reshape(along)) * step
    return np.reshape(place, -1)


def _scatter(x: Array, index: Array, values: Array, *, dim: int, add: bool) -> Array:
    refuse_outside(index, dim, x.shape[dim], False)
    result: Array = np.array(x, order="C")
    if not add:
        np.put_along_axis(_cropped(result, index, dim), index, values, dim)
        return result
    np.add.at(result.reshape(-1), _flat_places(index, x.shape, dim), values.reshape(-1))
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
                index = indices(shape, x.shape[dim], False)
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
        Quiet(_scatter),
        Scatter(_gather_rule),
        _scatter_vjp,
        samples=_scatter_samples,
        reference=_scatter_reference,
    )
)

# ---------------------------------------------------------------------------------- scatter_fold

_JOINS = {"prod": np.multiply, "max": np.maximum, "min": np.minimum}


def _fold_type(
    x: TensorType, index: TensorType, values: TensorType, *, dim: int, how: str
) -> TensorType:
    if how not in _JOINS:
        raise ShapeError(f"scatter_fold joins by {', '.join(_JOINS)}, not by {how}")
    return _scatter_type(x, index, values, dim=dim, add=False)


def _fold(x: Array, index: Array, values: Array, *, dim: int, how: str) -> Array:
    refuse_outside(index, dim, x.shape[dim], False)
    result: Array = np.array(x, order="C")
    _JOINS[how].at(result.reshape(-1), _flat_places(index, x.shape, dim), values.reshape(-1))
    return result


def _fold_vjp(
    g: Any, y: Any, x: Any, index: Any, values: Any, *, dim: int, how: str
) -> tuple[Any, None, Any]:
    """Extremes share the cotangent among all that attain them.

    A product is ``y / v`` in every other factor, except where ``v`` is the only zero that was
    written to its place: there it is the product with that zero left out.
    """
    at: dict[str, Any] = {"dim": dim}
    if how == "prod":
        ones = full_like(x, 1)
        to_x = g * row.scatter_fold(ones, index, values, how="prod", **at)
        zero = row.eq(values, 0)
        number = row.cast(zero, dtype=values.dtype)
        zeros = row.gather(row.scatter(zeros_like(x), index, number, add=True, **at), index, **at)
        alone = row.logical_and(zero, row.eq(zeros, 1))
        others = row.where(alone, full_like(values, 1), values)
        without = row.gather(g * row.scatter_fold(x, index, others, how="prod", **at), index, **at)
        quotient = row.gather(g * y, index, **at) / row.where(zero, full_like(values, 1), values)
        return to_x, None, row.where(alone, without, quotient)
    kept = row.cast(row.eq(x, y), dtype=x.dtype)
    attained = row.cast(row.eq(row.gather(y, index, **at), values), dtype=x.dtype)
    count = row.scatter(kept, index, attained, add=True, **at)
    share = row.where(row.eq(count, 0), zeros_like(g), g / row.maximum(count, full_like(count, 1)))
    return kept * share, None, attained * row.gather(share, index, **at)


def _fold_samples() -> Iterable[Sample]:
    for how in _JOINS:
        for dtype in (np.float64, np.float32, np.int64, np.int8, *sorted(HALVES, key=str)):
            x = spread((4, 5, 3), -3, 3, dtype)
            for dim in (0, 1, 2):
                for shape in ((4, 5, 3), (2, 3, 1), (4, 0, 3)):
                    index = indices(shape, x.shape[dim], False)
                    arrays = (x, index, spread(shape, -2, 2, dtype, 1))
                    yield Sample(arrays, {"dim": dim, "how": how})
    for zeros in ((1.0, 0.0, 2.0), (0.0, 3.0, 0.0)):  # one zero at a place, and several
        arrays = (spread((2,), 1, 2, np.float64), np.array([1, 1, 1]), np.array(zeros))
        yield Sample(arrays, {"dim": 0, "how": "prod"}, differentiable=zeros.count(0.0) == 1)
    odd = np.array([np.nan, np.inf, 1.0, -np.inf, 0.0])
    for how in _JOINS:
        arrays = (odd[::-1].copy(), np.array([0, 1, 1, 3, 4]), odd)
        yield Sample(arrays, {"dim": 0, "how": how}, differentiable=False)


def _fold_reference(x: Array, index: Array, values: Array, *, dim: int, how: str) -> Array:
    result = x.astype(np.float64 if x.dtype in HALVES else x.dtype)
    for at in np.ndindex(*index.shape):
        place = tuple(int(index[at]) if d == dim else i for d, i in enumerate(at))
        value = values[at].astype(result.dtype)
        if how == "prod":
            result[place] = result[place] * value
        elif not np.isnan(result[place]):
            better = value > result[place] if how == "max" else value < result[place]
            result[place] = value if better or np.isnan(value) else result[place]
    return result.astype(x.dtype)


SCATTER_FOLD = register(
    Op(
        "scatter_fold",
        _fold_type,
        Quiet(_fold),
        Scatter(_gather_rule),
        _fold_vjp,
        samples=_fold_samples,
        reference=_fold_reference,
    )
)
