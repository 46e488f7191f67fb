"""Reductions over the attribute ``dims`` (ascending, non-negative).

``keepdim`` keeps them with size 1. Reductions keep the dtype of their operand (small integers are
widened before), except ``any``/``all`` (bool) and ``argmax``/``argmin`` (int64).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DimensionError
from graphc.expressions import Combine
from graphc.ir import Op, Reduce, Sample, TensorType, register
from graphc.ops.evaluation import Quiet
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    check_dims,
    check_kind,
    integers,
    kept,
    reduced_shape,
    restored,
    row,
    spread,
)

Dims = tuple[int, ...]


def accurate_sum(x: Array, dims: Dims, keepdim: bool = False) -> Array:
    """A sum whose rounding error hardly grows with the length, for any layout.

    NumPy adds pairwise only along contiguous memory; of float32, what is left after such sums is
    added in halves where it is whole rows, and else in float64.
    """
    if x.dtype != np.float32 or not dims or not x.flags.c_contiguous:
        kind = np.float64 if x.dtype == np.float32 else x.dtype
        total = np.asarray(np.sum(x, axis=dims, keepdims=keepdim, dtype=kind))
        return total.astype(x.dtype, copy=False)
    rank, first = x.ndim, x.ndim
    while first > 0 and first - 1 in dims:
        first -= 1
    part = x
    if first < rank:
        part = np.asarray(
            np.add.reduce(x.reshape(*x.shape[:first], math.prod(x.shape[first:])), -1)
        )
    left = tuple(d for d in dims if d < first)
    if left == tuple(range(len(left))) and left and part.size > _FEW:
        part = _in_halves(part.reshape(math.prod(part.shape[: len(left)]), -1))
    elif left:
        part = np.asarray(np.sum(part, axis=left, dtype=np.float64), np.float32)
    return part.reshape(reduced_shape(x.shape, dims, keepdim))


_FEW = 4096  # elements, for which one call counts more than conversions


def _in_halves(rows: Array) -> Array:
    """The sum of rows: the second half is added to the first until one row is left."""
    if len(rows) == 1:
        return np.array(rows[0])
    half = len(rows) // 2
    total = rows[:half] + rows[half : 2 * half]
    if len(rows) % 2:
        total[0] += rows[-1]
    while half > 1:
        odd = half % 2
        last = total[half - 1] if odd else None
        half //= 2
        np.add(total[:half], total[half : 2 * half], out=total[:half])
        if last is not None:
            total[0] += last
    return np.array(total[0])


# -------------------------------------------------------------------------------------- samples


def _reduce_samples(kind: Kind, empty: bool, halves: bool = True) -> Callable[[], Iterable[Sample]]:
    def samples() -> Iterable[Sample]:
        for dims, keepdim in (((0,), False), ((1,), True), ((0, 2), False), ((0, 1, 2), True)):
            attrs = {"dims": dims, "keepdim": keepdim}
            yield Sample((spread((2, 3, 4), -2, 2, np.float64),), attrs)
            yield Sample((spread((3, 4, 2), -2, 2, np.float32, 1).transpose(2, 0, 1),), attrs)
        yield Sample((spread((5, 3), -2, 2, np.float32),), {"dims": (), "keepdim": False})
        yield Sample((spread((), -2, 2, np.float64),), {"dims": (), "keepdim": False})
        yield Sample((spread((0, 3), -2, 2, np.float32),), {"dims": (1,), "keepdim": False})
        if empty:
            yield Sample((spread((2, 0), -2, 2, np.float32),), {"dims": (1,), "keepdim": True})
        for values in ([1.0, np.nan, 3.0], [np.inf, 1.0, 0.0], [-np.inf, -0.0, 0.0], [-np.inf] * 3):
            yield Sample((np.array(values, np.float32),), {"dims": (0,), "keepdim": False}, False)
        for half in sorted(HALVES, key=str) if halves else ():
            yield Sample((spread((3, 40), -2, 2, half),), {"dims": (1,), "keepdim": False})
        if kind is not Kind.FLOAT:
            for name in ("int64", "int32", "int8", "uint8"):
                yield Sample((integers(name),), {"dims": (0,), "keepdim": False})
        if kind is Kind.ANY:
            mask = np.array([[True, False], [False, False], [True, True]])
            yield Sample((mask,), {"dims": (1,), "keepdim": False})

    return samples


def _by_elements(join: Callable[[list[Any]], Any], result: Any = None) -> Callable[..., Array]:
    """An independent reference: Python's own ``join`` of the elements of each group."""

    def reference(x: Array, *, dims: Dims, keepdim: bool) -> Array:
        out_shape = reduced_shape(x.shape, dims, keepdim)
        others = [i for i in range(x.ndim) if i not in dims]
        rows = x.transpose(*others, *dims).reshape(
            math.prod(x.shape[i] for i in others), math.prod(x.shape[i] for i in dims)
        )
        plain = rows.astype(np.float64) if x.dtype in HALVES else rows
        joined = [join(group) for group in plain.tolist()]
        kind = result or x.dtype
        if np.dtype(kind).kind in "iu":
            return np.array(joined, object).astype(np.int64).astype(kind).reshape(out_shape)
        return np.array(joined, np.float64).astype(kind).reshape(out_shape)

    return reference


def _fsum(values: list[Any]) -> Any:
    if values and isinstance(values[0], float):
        return math.fsum(values) if all(map(math.isfinite, values)) else sum(values)
    return _wrap64(sum(values))


def _product(values: list[Any]) -> Any:
    return (
        math.prod(values)
        if not values or isinstance(values[0], float)
        else _wrap64(math.prod(values))
    )


def _wrap64(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def _largest(sign: int) -> Callable[[list[Any]], Any]:
    def pick(values: list[Any]) -> Any:
        return next((v for v in values if v != v), None) or max(values, key=lambda v: sign * v)

    return pick


def _where_largest(sign: int) -> Callable[[list[Any]], int]:
    def pick(values: list[Any]) -> int:
        nans = [i for i, v in enumerate(values) if v != v]
        return nans[0] if nans else max(range(len(values)), key=lambda i: (sign * values[i], -i))

    return pick


# ----------------------------------------------------------------------------------------- rows


def _reduction(
    name: str,
    combine: Combine,
    numpy: Callable[..., Any],
    vjp: Callable[..., tuple[Any, ...]] | None,
    reference: Callable[..., Array],
    *,
    kind: Kind = Kind.ANY,
    result: dtypes.dtype | None = None,
    empty: bool = True,
) -> Op:
    """A registered reduction; with ``empty`` false, joining no elements is an error."""

    def infer(x: TensorType, *, dims: Dims, keepdim: bool) -> TensorType:
        check_dims(name, dims, x.ndim)
        check_kind(name, x, kind)
        if not empty:
            for dim in dims:
                if x.shape[dim] == 0 and isinstance(x.shape[dim], int):
                    raise DimensionError(
                        f"{name}(): Expected reduction dim {dim} to have non-zero size."
                    )
        reduced = x.with_shape(reduced_shape(x.shape, dims, keepdim))
        return reduced if result is None else reduced.with_dtype(result)

    return register(
        Op(
            name,
            infer,
            Quiet(numpy),
            Reduce(combine),
            vjp,
            samples=_reduce_samples(kind, empty),
            reference=reference,
        )
    )


def _sum(x: Array, *, dims: Dims, keepdim: bool) -> Array:
    return accurate_sum(x, dims, keepdim)


SUM = _reduction(
    "sum",
    Combine.SUM,
    _sum,
    lambda g, _y, _x, *, dims, keepdim: (restored(g, _x, dims, keepdim),),
    _by_elements(_fsum),
    kind=Kind.NUMBER,
)


def _prod(x: Array, *, dims: Dims, keepdim: bool) -> Array:
    return np.asarray(np.prod(x, axis=dims, keepdims=keepdim, dtype=x.dtype))


def _prod_vjp(g: Any, _y: Any, x: Any, *, dims: Dims, **_keepdim: bool) -> tuple[Any]:
    """Each element's cotangent is the product of the others, found without dividing.

    The product is written as a tree of halves; its gradient walks down again. So zeros are
    nothing special, in gradients of gradients neither.
    """
    others = tuple(i for i in range(x.ndim) if i not in dims)
    order = (*others, *dims)
    lead = tuple(x.shape[i] for i in others)
    joined = tuple(x.shape[i] for i in dims)
    count = math.prod(joined)
    level = row.reshape(row.permute(x, dims=order), shape=(*lead, count))
    width = 1 << max(count - 1, 0).bit_length()
    level = _padded(level, len(lead), width - count)
    halves = []
    while width > 1:
        width //= 2
        halves.append((_part(level, 0, width), _part(level, width, 2 * width)))
        level = halves[-1][0] * halves[-1][1]
    down = row.reshape(g, shape=(*lead, 1))
    for left, right in reversed(halves):
        down = row.cat(down * right, down * left, dim=len(lead))
    down = row.reshape(_part(down, 0, count), shape=(*lead, *joined))
    return (row.permute(down, dims=tuple(order.index(i) for i in range(x.ndim))),)


def _padded(x: Any, dim: int, more: int) -> Any:
    none = (0,) * dim
    return row.pad(x, before=(*none, 0), after=(*none, more), value=1) if more else x


def _part(x: Any, start: int, stop: int) -> Any:
    """The last dim from ``start`` to ``stop``."""
    lead = tuple(x.shape[:-1])
    if start == 0 and stop == x.shape[-1]:
        return x
    return row.slice(x, starts=(*(0,) * len(lead), start), stops=(*lead, stop), steps=(1,) * x.ndim)


PROD = _reduction("prod", Combine.PROD, _prod, _prod_vjp, _by_elements(_product), kind=Kind.NUMBER)


def _extreme_vjp(g: Any, y: Any, x: Any, *, dims: Dims, keepdim: bool) -> tuple[Any]:
    """Ties share the cotangent evenly; where the extreme is NaN, so is the gradient."""
    winners = row.cast(row.eq(x, kept(y, x, dims, keepdim)), dtype=x.dtype)
    share = winners / row.sum(winners, dims=dims, keepdim=True)
    return (kept(g, x, dims, keepdim) * share,)


AMAX = _reduction(
    "amax",
    Combine.MAX,
    lambda x, *, dims, keepdim: np.maximum.reduce(x, axis=dims, keepdims=keepdim),
    _extreme_vjp,
    _by_elements(_largest(1)),
    empty=False,
)
AMIN = _reduction(
    "amin",
    Combine.MIN,
    lambda x, *, dims, keepdim: np.minimum.reduce(x, axis=dims, keepdims=keepdim),
    _extreme_vjp,
    _by_elements(_largest(-1)),
    empty=False,
)
ANY = _reduction(
    "any",
    Combine.ANY,
    lambda x, *, dims, keepdim: np.any(x != 0, axis=dims, keepdims=keepdim),
    None,
    _by_elements(any, np.bool_),
    result=dtypes.bool,
)
ALL = _reduction(
    "all",
    Combine.ALL,
    lambda x, *, dims, keepdim: np.all(x != 0, axis=dims, keepdims=keepdim),
    None,
    _by_elements(all, np.bool_),
    result=dtypes.bool,
)


def _arg(find: Callable[..., Any]) -> Callable[..., Array]:
    """The position of the first extreme, counted through the reduced dims in row-major order."""

    def evaluate(x: Array, *, dims: Dims, keepdim: bool) -> Array:
        others = [i for i in range(x.ndim) if i not in dims]
        lead = tuple(x.shape[i] for i in others)
        count = math.prod(x.shape[i] for i in dims)
        flat = x.transpose(*others, *dims).reshape(*lead, count)
        where = np.asarray(find(flat, axis=-1), np.int64)
        return where.reshape(reduced_shape(x.shape, dims, keepdim))

    return evaluate


ARGMAX = _reduction(
    "argmax",
    Combine.ARGMAX,
    _arg(np.argmax),
    None,
    _by_elements(_where_largest(1), np.int64),
    result=dtypes.int64,
    empty=False,
)
ARGMIN = _reduction(
    "argmin",
    Combine.ARGMIN,
    _arg(np.argmin),
    None,
    _by_elements(_where_largest(-1), np.int64),
    result=dtypes.int64,
    empty=False,
)
