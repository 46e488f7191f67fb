"""Scans: each element of the result joins all elements up to its own place along one dim.

Every row here takes the attributes ``dim`` (counted from the front) and ``reverse`` (from the last
element to the first), and keeps the shape. ``recurrence`` is the general linear one,
``y[j] = a[j] * y[j - 1] + b[j]``: the gradients of products and of logarithms of sums are
recurrences, and so is its own, which makes them right where elements are zero, and linear in time,
at any order.

float32 accumulates in float64 and is rounded once for each element; float16 and bfloat16 likewise.
"""

import math
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.ir import Named, Op, Sample, TensorType, Work, register
from graphc.ops.evaluation import Quiet
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    check_kind,
    integers,
    normalise_dim,
    row,
    same_device,
    same_dtype,
    special,
    spread,
)

FEW_ROWS = 16  # below which plain Python numbers are faster than short NumPy operations


def _check(name: str, x: TensorType, dim: int, kind: Kind) -> None:
    check_kind(name, x, kind)
    if not x.ndim:
        raise ShapeError(f"{name} expects a tensor with at least one dimension")
    if normalise_dim(dim, x.ndim) != dim:
        raise ShapeError(f"{name}: dim {dim} is not counted from the front")


# ------------------------------------------------------------------------------------ neighbours


def _shifted(x: Any, dim: int, by: int, fill: float) -> Any:
    """``x`` moved by one place along ``dim``; what comes in is ``fill``."""
    amounts = tuple(by if d == dim else 0 for d in range(len(x.shape)))
    return row.pad(x, before=amounts, after=tuple(-n for n in amounts), value=fill)


def before(x: Any, dim: int, reverse: bool, fill: float) -> Any:
    """For each element the one that the scan meets before it; ``fill`` at the first."""
    return _shifted(x, dim, -1 if reverse else 1, fill) if x.shape[dim] != 0 else x


def after(x: Any, dim: int, reverse: bool, fill: float) -> Any:
    """For each element the one that the scan meets after it; ``fill`` at the last."""
    return before(x, dim, not reverse, fill)


# ------------------------------------------------------------------------------------ evaluation


def _directed(x: Array, dim: int, reverse: bool) -> Array:
    return np.flip(x, dim) if reverse else x


def _scanned(join: Callable[[Array, int], Any]) -> Callable[..., Array]:
    """``join(x, axis)`` in float64 for float32, in the direction asked for."""

    def evaluate(x: Array, *, dim: int, reverse: bool) -> Array:
        wide = x.astype(np.float64) if x.dtype == np.float32 else x
        found = _directed(join(_directed(wide, dim, reverse), dim), dim, reverse)
        return np.ascontiguousarray(found, x.dtype)

    return Quiet(evaluate)


def _last_record(ufunc: np.ufunc) -> Callable[..., Array]:
    """Where the extreme so far is found: the last of equal ones; from the first NaN on, NaN."""

    def evaluate(x: Array, *, dim: int, reverse: bool) -> Array:
        forward = _directed(x, dim, reverse)
        record = (forward == ufunc.accumulate(forward, dim)) | (forward != forward)
        count = x.shape[dim]
        column = tuple(-1 if d == dim else 1 for d in range(x.ndim))
        steps = np.arange(count).reshape(column)
        last = np.maximum.accumulate(np.where(record, steps, 0), dim)
        places = _directed(count - 1 - last if reverse else last, dim, reverse)
        return np.ascontiguousarray(places, np.int64)

    return evaluate


def _recurrence(a: Array, b: Array, *, dim: int, reverse: bool) -> Array:
    wide = np.float64 if a.dtype == np.float32 else a.dtype
    scales, terms = (
        np.moveaxis(_directed(x, dim, reverse), dim, 0).astype(wide, order="C") for x in (a, b)
    )
    result: Array = np.empty_like(terms)
    if terms[:1].size < FEW_ROWS:
        for at in np.ndindex(*terms.shape[1:]):
            place: tuple[Any, ...] = (slice(None), *at)
            pairs = zip(scales[place].tolist(), terms[place].tolist(), strict=True)
            states = accumulate(pairs, lambda y, ab: (y[1], ab[0] * y[1] + ab[1]))
            result[place] = [y for _, y in states]
    else:
        result[:1] = terms[:1]
        for j in range(1, len(terms)):
            np.multiply(scales[j], result[j - 1], out=result[j])
            result[j] += terms[j]
    found = _directed(np.moveaxis(result, 0, dim), dim, reverse)
    return np.ascontiguousarray(found, a.dtype)


# --------------------------------------------------------------------------------------- samples

_CASES: tuple[tuple[tuple[int, ...], int, bool], ...] = (
    ((2, 3, 4), 0, False),
    ((2, 3, 4), 1, True),
    ((2, 3, 4), 2, False),
    ((7,), 0, True),
    ((1, 5), 0, False),
    ((3, 1), 1, True),
    ((0, 3), 0, False),
    ((3, 0), 0, True),
)


def _attrs(dim: int, reverse: bool = False) -> dict[str, Any]:
    return {"dim": dim, "reverse": reverse}


def _samples(kind: Kind, halves: bool = True) -> Callable[[], Iterable[Sample]]:
    def samples() -> Iterable[Sample]:
        for shape, dim, reverse in _CASES:
            for dtype in (np.float64, np.float32):
                yield Sample((spread(shape, -2, 2, dtype, dim),), _attrs(dim, reverse))
        yield Sample((spread((11, 33), -1.3, 1.3, np.float32),), _attrs(1))
        yield Sample((spread((33, 150), -1.3, 1.3, np.float32),), _attrs(0))
        yield Sample((spread((3, 5, 131), -1.3, 1.3, np.float32),), _attrs(1, True))
        yield Sample((spread((5, 4), -2, 2, np.float32).T,), _attrs(1))
        zeros = np.array([[1.5, 0, 2, 0, 3], [0, 1, 2, 3, 4]])
        yield Sample((zeros,), _attrs(1))
        for dtype in (np.float64, np.float32):
            for turned in (special(dtype), np.flip(special(dtype)), np.roll(special(dtype), 3)):
                yield Sample((turned[:9],), _attrs(0), differentiable=False)
        for half in sorted(HALVES, key=str) if halves else ():
            yield Sample((spread((3, 9), -2, 2, half),), _attrs(1))
        if kind is not Kind.FLOAT:
            for name in ("int64", "int32", "int16", "int8", "uint8"):
                yield Sample((integers(name),), _attrs(0))
                yield Sample((np.stack([integers(name)[:6]] * 3, 1) % 3,), _attrs(0, True))
        if kind is Kind.ANY:
            yield Sample((np.array([[True, False, True], [False, False, True]]),), _attrs(1))

    return samples


def _stepwise(step: Callable[[list[Any]], Any], result: Any = None) -> Callable[..., Array]:
    """An independent reference: ``step(elements met so far)`` with Python's own numbers."""

    def reference(x: Array, *, dim: int, reverse: bool) -> Array:
        kind = np.dtype(result or x.dtype)
        places: Array = np.empty(x.shape, object)
        plain = x.astype(np.float64) if x.dtype in HALVES else x
        for at in np.ndindex(*x.shape):
            line: tuple[Any, ...] = (*at[:dim], slice(None), *at[dim + 1 :])
            elements = plain[line].tolist()
            met = elements[at[dim] :][::-1] if reverse else elements[: at[dim] + 1]
            found = step(met)
            if result is not None and reverse:
                found = x.shape[dim] - 1 - found
            places[at] = found
        if kind.kind in "iu":
            bits = 8 * kind.itemsize
            wrapped = [int(v) % 2**bits for v in places.ravel().tolist()]
            return np.asarray(np.array(wrapped, np.uint64).astype(kind).reshape(x.shape))
        return np.asarray(places.astype(np.float64).astype(kind))

    return reference


def _plain_sum(values: list[Any]) -> Any:
    exact = isinstance(values[0], float) and all(map(math.isfinite, values))
    return math.fsum(values) if exact else sum(values)


def _plain_log(values: list[Any]) -> float:
    largest = max(values)
    if any(v != v for v in values):
        return math.nan
    if math.isinf(largest):
        return float(largest)
    return float(largest + math.log(math.fsum(math.exp(v - largest) for v in values)))


def _last_extreme(sign: int) -> Callable[[list[Any]], int]:
    def step(values: list[Any]) -> int:
        nans = [j for j, v in enumerate(values) if v != v]
        return nans[-1] if nans else max(range(len(values)), key=lambda j: (sign * values[j], j))

    return step


# ------------------------------------------------------------------------------------------ rows


def _named(combine: str, cost: float = 4) -> Named:
    """The template of all scans, told how to join."""
    return Named("scan", lambda *_types, **_attrs: Work(cost, fields={"combine": combine}))


def _scan(
    name: str,
    lower: Named,
    evaluate: Callable[..., Array],
    vjp: Callable[..., tuple[Any, ...]] | None,
    reference: Callable[..., Array],
    kind: Kind,
    result: dtypes.dtype | None = None,
) -> Op:
    """A registered scan of one operand."""

    def infer(x: TensorType, *, dim: int, reverse: bool) -> TensorType:
        del reverse
        _check(name, x, dim, kind)
        return x if result is None else x.with_dtype(result)

    return register(
        Op(
            name,
            infer,
            evaluate,
            lower,
            vjp,
            samples=_samples(kind),
            reference=reference,
        )
    )


def _cumprod_vjp(g: Any, y: Any, x: Any, *, dim: int, reverse: bool) -> tuple[Any]:
    """d/dx[j] = (product before j) * s[j], where s[j] = g[j] + x[j + 1] * s[j + 1]."""
    rest = row.recurrence(after(x, dim, reverse, 0), g, dim=dim, reverse=not reverse)
    return (before(y, dim, reverse, 1) * rest,)


def _logcumsumexp_vjp(g: Any, y: Any, x: Any, *, dim: int, reverse: bool) -> tuple[Any]:
    """d/dx[j] = sum of g[k] exp(x[j] - y[k]) over k >= j = exp(x[j] - y[j]) * s[j], where
    s[j] = g[j] + exp(y[j] - y[j + 1]) * s[j + 1]; y grows, so no exponential overflows.
    """
    later = after(y, dim, reverse, math.inf)
    both = row.logical_and(row.isinf(later), row.eq(y, later))
    fall = row.exp(row.where(both, 0, y - row.where(both, 0, later)))
    rest = row.recurrence(fall, g, dim=dim, reverse=not reverse)
    return (row.exp(x - y) * rest,)


CUMSUM = _scan(
    "cumsum",
    _named("sum"),
    _scanned(lambda x, dim: np.cumsum(x, dim, dtype=x.dtype)),
    lambda g, _y, _x, *, dim, reverse: (row.cumsum(g, dim=dim, reverse=not reverse),),
    _stepwise(_plain_sum),
    Kind.NUMBER,
)
CUMPROD = _scan(
    "cumprod",
    _named("product"),
    _scanned(lambda x, dim: np.cumprod(x, dim, dtype=x.dtype)),
    _cumprod_vjp,
    _stepwise(math.prod),
    Kind.NUMBER,
)
LOGCUMSUMEXP = _scan(
    "logcumsumexp",
    _named("log", 30),
    _scanned(np.logaddexp.accumulate),
    _logcumsumexp_vjp,
    _stepwise(_plain_log),
    Kind.FLOAT,
)
CUMMAX_INDEX = _scan(
    "cummax_index",
    _named("max"),
    _last_record(np.maximum),
    None,
    _stepwise(_last_extreme(1), np.int64),
    Kind.ANY,
    dtypes.int64,
)
CUMMIN_INDEX = _scan(
    "cummin_index",
    _named("min"),
    _last_record(np.minimum),
    None,
    _stepwise(_last_extreme(-1), np.int64),
    Kind.ANY,
    dtypes.int64,
)


def _recurrence_type(a: TensorType, b: TensorType, *, dim: int, reverse: bool) -> TensorType:
    del reverse
    same_device(a, b)
    same_dtype("recurrence", a, b)
    _check("recurrence", a, dim, Kind.FLOAT)
    if a.shape != b.shape:
        raise ShapeError(
            f"recurrence needs operands of one shape, not {list(a.shape)} and {list(b.shape)}"
        )
    return b


def _recurrence_vjp(
    g: Any, y: Any, a: Any, _b: Any, *, dim: int, reverse: bool
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """d/db[j] = s[j] = g[j] + a[j + 1] * s[j + 1] and d/da[j] = s[j] * y[j - 1]."""

    def to_b() -> Any:
        return row.recurrence(after(a, dim, reverse, 0), g, dim=dim, reverse=not reverse)

    return lambda: to_b() * before(y, dim, reverse, 0), to_b


def _recurrence_samples() -> Iterable[Sample]:
    for shape, dim, reverse in (*_CASES, ((4, 40), 0, False), ((40, 6), 0, True)):
        for dtype in (np.float64, np.float32, *(sorted(HALVES, key=str) if dim == 2 else ())):
            arrays = (spread(shape, -1.2, 1.2, dtype, dim), spread(shape, -2, 2, dtype, dim + 5))
            yield Sample(arrays, _attrs(dim, reverse))
    scales = np.array([np.inf, 0, np.inf, 2, np.nan, 1], np.float32)
    terms = np.array([1, 2, 3, -np.inf, 0, 1], np.float32)
    yield Sample((scales, terms), _attrs(0), differentiable=False)
    yield Sample((scales, terms), _attrs(0, True), differentiable=False)


def _recurrence_reference(a: Array, b: Array, *, dim: int, reverse: bool) -> Array:
    """Each element from the beginning anew, in float64."""
    a, b = (np.moveaxis(np.flip(x, dim) if reverse else x, dim, 0) for x in (a, b))
    result: Array = np.empty(b.shape, np.float64)
    for j in range(len(b)):
        state = b[0].astype(np.float64)
        for i in range(1, j + 1):
            state = a[i].astype(np.float64) * state + b[i].astype(np.float64)
        result[j] = state
    moved = np.moveaxis(result, 0, dim)
    return (np.flip(moved, dim) if reverse else moved).astype(b.dtype)


RECURRENCE = register(
    Op(
        "recurrence",
        _recurrence_type,
        Quiet(_recurrence),
        _named("recurrence"),
        _recurrence_vjp,
        samples=_recurrence_samples,
        reference=_recurrence_reference,
    )
)
