"""Vector norms over dims, and Euclidean distances of all pairs of points.

Where a norm has no derivative (at zero, for the 2-norm) the gradient is the subgradient 0.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import DtypeError, ShapeError
from graphc.ir import Sample, TensorType
from graphc.ops.reduce import accurate_sum
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    check_dims,
    check_kind,
    composite,
    kept,
    reduced_shape,
    row,
    same_dtype,
    spread,
    zeros_like,
)

Dims = tuple[int, ...]


def _norm_type(x: TensorType, *, p: float, dims: Dims, keepdim: bool) -> TensorType:
    check_dims("vector_norm", dims, x.ndim)
    if not x.dtype.is_floating_point:
        raise DtypeError(
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got "
            f"{x.dtype.type_name}"
        )
    if (p < 0 or p == math.inf) and any(x.shape[d] == 0 for d in dims):
        raise ShapeError(
            f"linalg.vector_norm cannot compute the {p} norm on an empty tensor because the "
            "operation does not have an identity"
        )
    return x.with_shape(reduced_shape(x.shape, dims, keepdim))


def _norm(x: Any, *, p: float, dims: Dims, keepdim: bool) -> Any:
    """``sum(|x|^p)^(1/p)`` and its limits: p 0 counts, infinite p takes the extreme."""
    if p == 2:
        return row.sqrt(row.sum(x * x, dims=dims, keepdim=keepdim))
    if p == 0:
        return row.sum(row.cast(row.ne(x, 0), dtype=x.dtype), dims=dims, keepdim=keepdim)
    size = row.abs(x)
    if p == math.inf:
        return row.amax(size, dims=dims, keepdim=keepdim)
    if p == -math.inf:
        return row.amin(size, dims=dims, keepdim=keepdim)
    if p == 1:
        return row.sum(size, dims=dims, keepdim=keepdim)
    return row.pow(row.sum(row.pow(size, p), dims=dims, keepdim=keepdim), 1 / p)


def _fast_norm(x: Array, *, p: float, dims: Dims, keepdim: bool) -> Any:
    if p == 2:
        return np.sqrt(accurate_sum(x * x, dims, keepdim))
    if p == 0:
        return accurate_sum((x != 0).astype(x.dtype), dims, keepdim)
    size = np.abs(x)
    if p == math.inf:
        return size.max(axis=dims, keepdims=keepdim)
    if p == -math.inf:
        return size.min(axis=dims, keepdims=keepdim)
    if p == 1:
        return accurate_sum(size, dims, keepdim)
    exponent, inverse = x.dtype.type(p), x.dtype.type(1 / p)
    return np.power(accurate_sum(np.power(size, exponent), dims, keepdim), inverse)


def _nonzero(y: Any) -> tuple[Any, Any]:
    """Where ``y`` is zero, and ``y`` with ones there, so that nothing is divided by zero."""
    zero = row.eq(y, 0)
    return zero, row.where(zero, 1, y)


def _norm_vjp(g: Any, y: Any, x: Any, *, p: float, dims: Dims, keepdim: bool) -> tuple[Any]:
    if p == 0:
        return (zeros_like(x),)
    g, y = kept(g, x, dims, keepdim), kept(y, x, dims, keepdim)
    if p == 1:
        return (g * row.sign(x),)
    if math.isinf(p):  # those of the extreme size share the cotangent
        size = row.abs(x)
        winners = row.cast(row.logical_or(row.eq(size, y), row.isnan(size)), dtype=x.dtype)
        return (row.sign(x) * (winners * (g / row.sum(winners, dims=dims, keepdim=True))),)
    zero, safe = _nonzero(y)
    if p == 2:
        return (g * row.where(zero, 0, x / safe),)
    at_zero, inside = _nonzero(x)
    part = row.where(at_zero, 0, row.sign(x) * row.pow(row.abs(inside), p - 1))
    return (part * row.where(zero, 0, g / row.pow(safe, p - 1)),)


def _norm_samples() -> Iterable[Sample]:
    for p in (2, 1, 3, 2.5, 1.5, 0.5, -1, 0, math.inf, -math.inf):
        for dims, keepdim in (((1,), True), ((0, 2), False), ((0, 1, 2), False)):
            attrs = {"p": p, "dims": dims, "keepdim": keepdim}
            yield Sample((spread((2, 3, 4), 0.3, 2, np.float64),), attrs)
            yield Sample((spread((3, 2, 4), -2, 2, np.float32),), attrs)
        last = {"p": p, "dims": (1,), "keepdim": False}
        for half in sorted(HALVES, key=str):
            yield Sample((spread((3, 9), -2, 2, half),), last)
        yield Sample((spread((0, 3), -2, 2, np.float32),), last)
        yield Sample((spread((), 0.5, 2, np.float64),), {"p": p, "dims": (), "keepdim": False})
        for values in ([0.0, 0.0], [np.inf, 1.0], [np.nan, -3.0], [-0.0, 2.0]):
            yield Sample((np.array([values], np.float32),), last, differentiable=False)


def _norm_reference(x: Array, *, p: float, dims: Dims, keepdim: bool) -> Array:
    """NumPy's vector norm of each group of elements, in float64."""
    others = [i for i in range(x.ndim) if i not in dims]
    lead = tuple(x.shape[i] for i in others)
    groups = x.astype(np.float64).transpose(*others, *dims).reshape(-1, _volume(x, dims))
    values = np.array([np.linalg.norm(group, p) for group in groups], np.float64).reshape(lead)
    return np.asarray(np.expand_dims(values, dims) if keepdim else values).astype(x.dtype)


def _volume(x: Array, dims: Dims) -> int:
    return math.prod(x.shape[d] for d in dims)


VECTOR_NORM = composite(
    "vector_norm",
    _norm,
    _norm_vjp,
    infer=_norm_type,
    numpy=_fast_norm,
    wide=True,
    samples=_norm_samples,
    reference=_norm_reference,
)

# ------------------------------------------------------------------------------ all pairs of points


def _distances_type(a: TensorType, b: TensorType) -> TensorType:
    check_kind("euclidean_distances", a, Kind.FLOAT)
    same_dtype("euclidean_distances", a, b)
    if a.ndim < 2 or a.ndim != b.ndim or a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            f"euclidean_distances: points of shapes {list(a.shape)} and {list(b.shape)}"
        )
    return a.with_shape((*a.shape[:-1], b.shape[-2]))


def _turned(x: Any) -> Any:
    n = len(x.shape)
    return row.permute(x, dims=(*range(n - 2), n - 1, n - 2))


def _distances(a: Any, b: Any) -> Any:
    """|a - b|^2 = |a|^2 + |b|^2 - 2 a.b: one matrix product instead of all the differences."""
    last = (len(a.shape) - 1,)
    squares = row.sum(a * a, dims=last, keepdim=True) + _turned(
        row.sum(b * b, dims=last, keepdim=True)
    )
    return row.sqrt(row.clamp_min(squares - row.matmul(a, _turned(b)) * 2, 0))


def _distances_vjp(g: Any, y: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """The sums over the pairs of ``(a - b) g / y``; nothing where the distance is zero."""
    zero, safe = _nonzero(y)
    ratio = row.where(zero, 0, g / safe)
    last = (len(a.shape) - 1,)

    def part(ratio: Any, mine: Any, other: Any) -> Any:
        return lambda: mine * row.sum(ratio, dims=last, keepdim=True) - row.matmul(ratio, other)

    return part(ratio, a, b), part(_turned(ratio), b, a)


def _distances_samples() -> Iterable[Sample]:
    for a, b in (((3, 4), (2, 4)), ((2, 3, 2), (2, 4, 2)), ((0, 3), (2, 3))):
        for dtype in (np.float64, np.float32):
            yield Sample((spread(a, -2, 2, dtype), spread(b, 3, 5, dtype, 1)))


EUCLIDEAN_DISTANCES = composite(
    "euclidean_distances",
    _distances,
    _distances_vjp,
    infer=_distances_type,
    samples=_distances_samples,
    reference=lambda a, b: np.asarray(
        np.sqrt(((a[..., :, None, :].astype(np.float64) - b[..., None, :, :]) ** 2).sum(-1)),
        a.dtype,
    ),
)
