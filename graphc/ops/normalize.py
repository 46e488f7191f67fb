"""Statistics along dims and what is built on them: mean, variance, softmax, layer norm."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import DtypeError
from graphc.ir import Op, Sample, TensorType
from graphc.ops.reduce import accurate_sum
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    check_dims,
    check_kind,
    composite,
    full_like,
    kept,
    normalise_dim,
    reduced_shape,
    restored,
    row,
    spread,
)
from graphc.sizes import product

Dims = tuple[int, ...]


def count(x: Any, dims: Dims) -> Any:
    """How many elements a reduction joins: a number, or an operand where sizes are named."""
    total = product(x.shape[d] for d in dims)
    if isinstance(total, int):
        return total
    return row.sum(full_like(x, 1), dims=dims, keepdim=True)


def _ratio(a: float, b: float) -> float:
    """``a / b`` as floating-point hardware divides."""
    return float(np.divide(np.float64(a), np.float64(b))) if b else math.copysign(math.inf, a)


def _float_reduction(name: str) -> Any:
    def infer(x: TensorType, *, dims: Dims, keepdim: bool, **_attrs: Any) -> TensorType:
        check_dims(name, dims, x.ndim)
        if not x.dtype.is_floating_point:
            raise DtypeError(
                f"{name}(): could not infer output dtype. Input dtype must be either a floating "
                f"point or complex dtype. Got: {x.dtype}"
            )
        return x.with_shape(reduced_shape(x.shape, dims, keepdim))

    return infer


def _samples(*attrs: dict[str, Any]) -> Iterable[Sample]:
    for more in attrs or ({},):
        for dims, keepdim in (((1,), True), ((0,), False), ((0, 2), False), ((0, 1, 2), False)):
            each = {"dims": dims, "keepdim": keepdim, **more}
            yield Sample((spread((2, 3, 4), -2, 2, np.float64),), each)
            yield Sample((spread((4, 5, 3), -2, 2, np.float32),), each)
        last = {"dims": (1,), "keepdim": False, **more}
        yield Sample((spread((0, 3), -2, 2, np.float32),), last)
        for half in sorted(HALVES, key=str):
            yield Sample((spread((2, 9), -2, 2, half),), last)
        values = np.array([[np.nan, 1.0], [np.inf, 1.0], [-np.inf, 0.5]], np.float32)
        yield Sample((values,), last, differentiable=False)


# ------------------------------------------------------------------------------------ statistics


def _mean(x: Any, *, dims: Dims, keepdim: bool) -> Any:
    number = count(x, dims)
    total = row.sum(x, dims=dims, keepdim=keepdim)
    if isinstance(number, int):
        return total / number
    return total / row.reshape(number, shape=tuple(total.shape))


def _fast_mean(x: Array, *, dims: Dims, keepdim: bool) -> Array:
    n = math.prod(x.shape[d] for d in dims)
    return np.asarray(accurate_sum(x, dims, keepdim) / x.dtype.type(n), x.dtype)


MEAN = composite(
    "mean",
    _mean,
    lambda g, _y, _x, *, dims, keepdim: (
        restored(g, _x, dims, keepdim) / count(_x, dims)
        if isinstance(count(_x, dims), int)
        else restored(g, _x, dims, keepdim) / row.sum(full_like(g, 1), dims=(), keepdim=True),
    ),
    infer=_float_reduction("mean"),
    numpy=_fast_mean,
    wide=True,
    samples=_samples,
    reference=lambda x, *, dims, keepdim: np.mean(
        x.astype(np.float64), axis=dims, keepdims=keepdim
    ).astype(x.dtype),
)


def _var(x: Any, *, dims: Dims, keepdim: bool, correction: float) -> Any:
    number = count(x, dims)
    centred = x - row.mean(x, dims=dims, keepdim=True)
    total = row.sum(row.square(centred), dims=dims, keepdim=keepdim)
    if isinstance(number, int):
        return total / max(number - correction, 0)
    return total / row.reshape(row.relu(number - correction), shape=tuple(total.shape))


def _fast_var(x: Array, *, dims: Dims, keepdim: bool, correction: float) -> Array:
    n = math.prod(x.shape[d] for d in dims)
    centred = x - _fast_mean(x, dims=dims, keepdim=True)
    total = accurate_sum(np.square(centred), dims, keepdim)
    return np.asarray(total / x.dtype.type(max(n - correction, 0)), x.dtype)


def _var_vjp(
    g: Any, _y: Any, x: Any, *, dims: Dims, keepdim: bool, correction: float
) -> tuple[Any]:
    number = count(x, dims)
    centred = x - row.mean(x, dims=dims, keepdim=True)
    if isinstance(number, int):
        return (kept(g, x, dims, keepdim) * centred * _ratio(2, max(number - correction, 0)),)
    return (kept(g, x, dims, keepdim) * centred * (2 / row.relu(number - correction)),)


VAR = composite(
    "var",
    _var,
    _var_vjp,
    infer=_float_reduction("var"),
    numpy=_fast_var,
    wide=True,
    samples=lambda: _samples({"correction": 1}, {"correction": 0}, {"correction": 0.5}),
    reference=lambda x, *, dims, keepdim, correction: (
        ((x.astype(np.float64) - x.astype(np.float64).mean(dims, keepdims=True)) ** 2).sum(
            dims, keepdims=keepdim
        )
        / (math.prod(x.shape[d] for d in dims) - correction)
    ).astype(x.dtype),
)

# --------------------------------------------------------------------------------------- softmax


def _along(name: str) -> Any:
    def infer(x: TensorType, *, dim: int) -> TensorType:
        check_kind(name, x, Kind.FLOAT)
        normalise_dim(dim, x.ndim)
        return x

    return infer


def _dim_samples() -> Iterable[Sample]:
    for dim in (0, 1, 2):
        yield Sample((spread((2, 3, 4), -2, 2, np.float64),), {"dim": dim})
        yield Sample((spread((3, 4, 2), -50, 50, np.float32),), {"dim": dim})
    yield Sample((spread((0, 3), -2, 2, np.float32),), {"dim": 1})
    yield Sample((np.array([1e30, -1e30, 3e38], np.float32),), {"dim": 0}, differentiable=False)
    values = np.array([[np.nan, 1.0], [np.inf, 1.0], [-np.inf, 0.5], [-np.inf, -np.inf]])
    yield Sample((values,), {"dim": 1}, differentiable=False)
    for half in sorted(HALVES, key=str):
        yield Sample((spread((2, 9), -2, 2, half),), {"dim": 1})


def _shifted(x: Any, dims: Dims) -> Any:
    """``x`` minus its largest element, so that the exponential cannot overflow."""
    return x - row.stop_gradient(row.amax(x, dims=dims, keepdim=True))


def _softmax(x: Any, *, dim: int) -> Any:
    e = row.exp(_shifted(x, (dim,)))
    # One division a row: the sum is at least 1, so its reciprocal costs half an ulp and no range.
    return e * (1.0 / row.sum(e, dims=(dim,), keepdim=True))


def _fast_softmax(x: Array, *, dim: int) -> Array:
    e = x - np.maximum.reduce(x, axis=dim, keepdims=True)
    np.exp(e, out=e)
    e /= accurate_sum(e, (dim,), True)
    return e


SOFTMAX = composite(
    "softmax",
    _softmax,
    lambda g, y, _x, *, dim: (y * (g - row.sum(g * y, dims=(dim,), keepdim=True)),),
    infer=_along("softmax"),
    numpy=_fast_softmax,
    wide=True,
    samples=_dim_samples,
)


def _log_softmax(x: Any, *, dim: int) -> Any:
    z = _shifted(x, (dim,))
    return z - row.log(row.sum(row.exp(z), dims=(dim,), keepdim=True))


def _fast_log_softmax(x: Array, *, dim: int) -> Array:
    z = x - np.maximum.reduce(x, axis=dim, keepdims=True)
    z -= np.log(accurate_sum(np.exp(z), (dim,), True))
    return z


LOG_SOFTMAX = composite(
    "log_softmax",
    _log_softmax,
    lambda g, y, _x, *, dim: (g - row.exp(y) * row.sum(g, dims=(dim,), keepdim=True),),
    infer=_along("log_softmax"),
    numpy=_fast_log_softmax,
    wide=True,
    samples=_dim_samples,
)


def _logsumexp(x: Any, *, dims: Dims, keepdim: bool) -> Any:
    """Infinite largest elements are not subtracted: inf - inf would be NaN."""
    most = row.stop_gradient(row.amax(x, dims=dims, keepdim=True))
    most = row.where(row.isinf(most), 0, most)
    total = row.log(row.sum(row.exp(x - most), dims=dims, keepdim=True)) + most
    if keepdim or not dims:
        return total
    return row.reshape(total, shape=reduced_shape(tuple(x.shape), dims, False))


LOGSUMEXP = composite(
    "logsumexp",
    _logsumexp,
    lambda g, y, x, *, dims, keepdim: (
        kept(g, x, dims, keepdim) * row.exp(x - kept(y, x, dims, keepdim)),
    ),
    infer=_float_reduction("logsumexp"),
    wide=True,
    samples=_samples,
    reference=lambda x, *, dims, keepdim: (
        np.logaddexp.reduce(
            x.astype(np.float64)
            .transpose(*(i for i in range(x.ndim) if i not in dims), *dims)
            .reshape(*(x.shape[i] for i in range(x.ndim) if i not in dims), -1)
            if dims and x.size
            else x.astype(np.float64),
            axis=-1 if x.size else dims[0],
        )
        .astype(x.dtype)
        .reshape(reduced_shape(x.shape, dims, keepdim))
    ),
)

# ------------------------------------------------------------------------------------ layer norm


def _moments(x: Any, dims: Dims, eps: float) -> tuple[Any, Any]:
    """``(x - mean) / sqrt(var + eps)`` and ``1 / sqrt(var + eps)``."""
    centred = x - row.mean(x, dims=dims, keepdim=True)
    scale = row.rsqrt(row.mean(row.square(centred), dims=dims, keepdim=True) + eps)
    return centred * scale, scale


def _layer_norm(x: Any, weight: Any, bias: Any, *, dims: Dims, eps: float) -> Any:
    return _moments(x, dims, eps)[0] * weight + bias


def _layer_norm_vjp(
    g: Any, _y: Any, x: Any, weight: Any, _bias: Any, *, dims: Dims, eps: float
) -> tuple[Any, Any, Any]:
    normal, scale = _moments(x, dims, eps)

    def to_x() -> Any:
        gw = g * weight
        mean = row.mean(gw, dims=dims, keepdim=True)
        along = row.mean(gw * normal, dims=dims, keepdim=True)
        return scale * (gw - mean - normal * along)

    return to_x, lambda: g * normal, g


def _layer_norm_type(
    x: TensorType, weight: TensorType, bias: TensorType, *, dims: Dims, eps: float
) -> TensorType:
    del weight, bias, eps
    check_kind("layer_norm", x, Kind.FLOAT)
    check_dims("layer_norm", dims, x.ndim)
    return x


def _layer_norm_samples() -> Iterable[Sample]:
    for dims in ((1,), (1, 2)):
        for dtype in (np.float64, np.float32):
            inner = tuple((2, 3, 4)[d] if d in dims else 1 for d in range(1, 3))
            arrays = (
                spread((2, 3, 4), -2, 2, dtype),
                spread(inner, 0.5, 2, dtype, 1),
                spread(inner, -1, 1, dtype, 2),
            )
            yield Sample(arrays, {"dims": dims, "eps": 1e-5})
    one, zero = np.ones((), np.float32), np.zeros((), np.float32)
    yield Sample((spread((5, 8), -2, 2, np.float32), one, zero), {"dims": (1,), "eps": 1e-3})
    yield Sample((spread((0, 8), -2, 2, np.float32), one, zero), {"dims": (1,), "eps": 1e-3})


def _layer_norm_reference(x: Array, weight: Array, bias: Array, *, dims: Dims, eps: float) -> Array:
    wide = x.astype(np.float64)
    normal = (wide - wide.mean(dims, keepdims=True)) / np.sqrt(wide.var(dims, keepdims=True) + eps)
    return np.asarray(normal * weight + bias, x.dtype)


LAYER_NORM = composite(
    "layer_norm",
    _layer_norm,
    _layer_norm_vjp,
    infer=_layer_norm_type,
    wide=True,
    samples=_layer_norm_samples,
    reference=_layer_norm_reference,
)

__all__ = ["LAYER_NORM", "LOGSUMEXP", "LOG_SOFTMAX", "MEAN", "SOFTMAX", "VAR", "Op", "count"]
