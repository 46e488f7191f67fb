"""Normalisation by batch, by group of channels, and by root mean square.

``x`` is (N, C, *S). ``weight`` and ``bias`` hold one number for each channel, or are zero-dim where
the user has none. ``batch_norm`` is that of training, by the batch's own statistics; the running
ones are moved above, with ``mean`` and ``var``. ``batch_norm_inference`` uses given ones.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.ir import Sample, TensorType
from graphc.ops.normalize import count
from graphc.ops.reduce import accurate_sum
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    check_dims,
    check_kind,
    composite,
    row,
    same_device,
    same_dtype,
    spread,
)

Dims = tuple[int, ...]


def _check(name: str, x: TensorType, channels: int, **vectors: TensorType) -> None:
    """``x`` is floating-point with a channel dim; vectors hold one entry each, or are zero-dim."""
    same_device(x, *vectors.values())
    same_dtype(name, x, *vectors.values())
    check_kind(name, x, Kind.FLOAT)
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected at least 2D input (got {x.ndim}D input)")
    for what, vector in vectors.items():
        if vector.ndim and vector.shape != (x.shape[channels],):
            raise ShapeError(
                f"{name}: {what} should contain {x.shape[channels]} elements not "
                f"{'x'.join(map(str, vector.shape))}"
            )


def _by_channel(vector: Any, x: Any) -> Any:
    """A vector of channels in a shape that broadcasts over ``x``."""
    if not vector.shape:
        return vector
    return row.reshape(vector, shape=(1, vector.shape[0], *(1,) * (len(x.shape) - 2)))


def _to_vector(g: Any, vector: Any, x: Any) -> Any:
    """A cotangent summed over all dims that ``vector`` does not have."""
    rank = len(x.shape)
    dims = tuple(d for d in range(rank) if d != 1) if vector.shape else tuple(range(rank))
    return row.sum(g, dims=dims, keepdim=False)


def _moments(x: Any, dims: Dims, eps: float) -> tuple[Any, Any]:
    """``(x - mean) / sqrt(var + eps)`` and ``1 / sqrt(var + eps)`` over ``dims``."""
    centred = x - row.mean(x, dims=dims, keepdim=True)
    scale = row.rsqrt(row.mean(row.square(centred), dims=dims, keepdim=True) + eps)
    return centred * scale, scale


def _through_moments(g: Any, normal: Any, scale: Any, dims: Dims) -> Any:
    """The cotangent of ``x`` from that of ``normal``: its mean and its part along it are lost."""
    number = count(normal, dims)
    mean = row.sum(g, dims=dims, keepdim=True) / number
    along = row.sum(g * normal, dims=dims, keepdim=True) / number
    return scale * (g - mean - normal * along)


# ------------------------------------------------------------------------------------ batch norm


def _batch_dims(x: Any) -> Dims:
    return tuple(d for d in range(len(x.shape)) if d != 1)


def _batch_norm_type(
    x: TensorType, weight: TensorType, bias: TensorType, *, eps: float
) -> TensorType:
    del eps
    _check("batch_norm", x, 1, weight=weight, bias=bias)
    return x


def _batch_norm(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    normal, _ = _moments(x, _batch_dims(x), eps)
    return normal * _by_channel(weight, x) + _by_channel(bias, x)


def _batch_norm_vjp(
    g: Any, _y: Any, x: Any, weight: Any, _bias: Any, *, eps: float
) -> tuple[Any, Any, Any]:
    dims = _batch_dims(x)
    normal, scale = _moments(x, dims, eps)

    def to_x() -> Any:
        # The weight is the same for a whole channel, so the sums are those of the other gradients.
        return _by_channel(weight, x) * _through_moments(g, normal, scale, dims)

    return (
        to_x,
        lambda: _to_vector(g * normal, weight, x),
        lambda: _to_vector(g, _bias, x),
    )


def _channel_means(x: Array) -> Array:
    """Means over all dims but 1, kept: contiguous parts first, their sums in float64."""
    lead, inner = x.shape[:2], math.prod(x.shape[2:])
    parts = accurate_sum(x.reshape(*lead, inner), (2,)) if inner > 8 else x
    dims = tuple(d for d in range(parts.ndim) if d != 1)
    total = np.add.reduce(parts, axis=dims, dtype=np.float64)
    mean = (total / np.float64(lead[0] * inner)).astype(x.dtype)
    return np.asarray(mean.reshape(1, -1, *(1,) * (x.ndim - 2)))


def _shaped(vector: Array, x: Array) -> Array:
    return vector.reshape(1, -1, *(1,) * (x.ndim - 2)) if vector.ndim else vector


def _fast_batch_norm(x: Array, weight: Array, bias: Array, *, eps: float) -> Array:
    result = x - _channel_means(x)
    scale = 1 / np.sqrt(_channel_means(np.square(result)) + x.dtype.type(eps))
    result *= scale * _shaped(weight, x)
    result += _shaped(bias, x)
    return np.asarray(result)


def _vectors(channels: int, dtype: Any, number: int = 2) -> tuple[Array, ...]:
    return tuple(spread((channels,), 0.5 if i != 1 else -1, 2, dtype, i + 1) for i in range(number))


def _nothing(dtype: Any) -> tuple[Array, Array]:
    return np.ones((), dtype), np.zeros((), dtype)


def _batch_norm_samples() -> Iterable[Sample]:
    for shape in ((5, 3), (4, 2, 3), (3, 2, 2, 3), (2, 2, 4, 5)):
        for dtype in (np.float64, np.float32):
            x = spread(shape, -2, 2, dtype)
            yield Sample((x, *_vectors(shape[1], dtype)), {"eps": 1e-5})
            yield Sample((x, *_nothing(dtype)), {"eps": 1e-3})
    yield Sample((spread((0, 3), -2, 2, np.float32), *_nothing(np.float32)), {"eps": 1e-5})
    for half in sorted(HALVES, key=str):
        yield Sample((spread((4, 3), -2, 2, half), *_vectors(3, half)), {"eps": 1e-5})


def _normal(x: Array, mean: Any, var: Any, eps: float) -> Any:
    return (x.astype(np.float64) - mean) / np.sqrt(var + eps)


def _affine(normal: Any, weight: Array, bias: Array, x: Array) -> Array:
    wide = (_shaped(v.astype(np.float64), x) for v in (weight, bias))
    return np.asarray(normal * next(wide) + next(wide)).astype(x.dtype)


def _batch_norm_reference(x: Array, weight: Array, bias: Array, *, eps: float) -> Array:
    dims, wide = _batch_dims(x), x.astype(np.float64)
    number = np.float64(x.size // x.shape[1])
    mean = wide.sum(dims, keepdims=True) / number
    var = ((wide - mean) ** 2).sum(dims, keepdims=True) / number
    return _affine(_normal(x, mean, var, eps), weight, bias, x)


BATCH_NORM = composite(
    "batch_norm",
    _batch_norm,
    _batch_norm_vjp,
    infer=_batch_norm_type,
    numpy=_fast_batch_norm,
    wide=True,
    samples=_batch_norm_samples,
    reference=_batch_norm_reference,
)


def _inference_type(
    x: TensorType,
    mean: TensorType,
    var: TensorType,
    weight: TensorType,
    bias: TensorType,
    *,
    eps: float,
) -> TensorType:
    del eps
    vectors = {"running_mean": mean, "running_var": var, "weight": weight, "bias": bias}
    _check("batch_norm", x, 1, **vectors)
    return x


def _inference(x: Any, mean: Any, var: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    """One multiplication and one addition for each element; the rest is done by channel."""
    scale = row.rsqrt(var + eps) * weight
    shift = bias - mean * scale
    return x * _by_channel(scale, x) + _by_channel(shift, x)


def _inference_vjp(
    g: Any, _y: Any, x: Any, mean: Any, var: Any, weight: Any, _bias: Any, *, eps: float
) -> tuple[Any, ...]:
    scale = row.rsqrt(var + eps)

    def centred() -> Any:
        return _to_vector(g * (x - _by_channel(mean, x)), var, x)

    return (
        lambda: g * _by_channel(scale * weight, x),
        lambda: -(_to_vector(g, mean, x) * (scale * weight)),
        lambda: centred() * (scale * scale * scale * weight * -0.5),
        lambda: centred() * scale,
        lambda: _to_vector(g, _bias, x),
    )


def _inference_samples() -> Iterable[Sample]:
    for shape in ((5, 3), (2, 3, 4), (2, 3, 2, 2)):
        for dtype in (np.float64, np.float32):
            x = spread(shape, -2, 2, dtype)
            mean, bias, var, weight = _vectors(3, dtype, 4)
            yield Sample((x, mean, var, weight, bias), {"eps": 1e-5})
            yield Sample((x, mean, var, *_nothing(dtype)), {"eps": 1e-5})
    for half in sorted(HALVES, key=str):
        mean, bias, var, weight = _vectors(3, half, 4)
        yield Sample((spread((4, 3), -1, 1, half), bias, var, weight, bias), {"eps": 1e-5})


def _inference_reference(
    x: Array, mean: Array, var: Array, weight: Array, bias: Array, *, eps: float
) -> Array:
    wide = [_shaped(v.astype(np.float64), x) for v in (mean, var)]
    return _affine(_normal(x, wide[0], wide[1], eps), weight, bias, x)


BATCH_NORM_INFERENCE = composite(
    "batch_norm_inference",
    _inference,
    _inference_vjp,
    infer=_inference_type,
    wide=True,
    samples=_inference_samples,
    reference=_inference_reference,
)

# ------------------------------------------------------------------------------------ group norm


def _group_norm_type(
    x: TensorType, weight: TensorType, bias: TensorType, *, groups: int, eps: float
) -> TensorType:
    del eps
    _check("group_norm", x, 1, weight=weight, bias=bias)
    if groups < 1 or x.shape[1] % groups != 0:
        raise ShapeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(x.shape)} and num_groups={groups}"
        )
    return x


def _in_groups(x: Any, groups: int) -> tuple[Any, Dims]:
    """(N, groups, C / groups, *S), and the dims that a group joins."""
    shape = tuple(x.shape)
    split = row.reshape(x, shape=(shape[0], groups, shape[1] // groups, *shape[2:]))
    return split, tuple(range(2, len(shape) + 1))


def _group_norm(x: Any, weight: Any, bias: Any, *, groups: int, eps: float) -> Any:
    split, dims = _in_groups(x, groups)
    normal = row.reshape(_moments(split, dims, eps)[0], shape=tuple(x.shape))
    return normal * _by_channel(weight, x) + _by_channel(bias, x)


def _group_norm_vjp(
    g: Any, _y: Any, x: Any, weight: Any, _bias: Any, *, groups: int, eps: float
) -> tuple[Any, Any, Any]:
    shape = tuple(x.shape)
    split, dims = _in_groups(x, groups)
    normal, scale = _moments(split, dims, eps)

    def to_x() -> Any:
        arriving, _ = _in_groups(g * _by_channel(weight, x), groups)
        return row.reshape(_through_moments(arriving, normal, scale, dims), shape=shape)

    return (
        to_x,
        lambda: _to_vector(g * row.reshape(normal, shape=shape), weight, x),
        lambda: _to_vector(g, _bias, x),
    )


def _fast_group_norm(x: Array, weight: Array, bias: Array, *, groups: int, eps: float) -> Array:
    size = x.dtype.type(math.prod(x.shape[1:]) // groups)
    split = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    result = split - accurate_sum(split, (2,), True) / size
    result /= np.sqrt(accurate_sum(np.square(result), (2,), True) / size + x.dtype.type(eps))
    result = result.reshape(x.shape)
    result *= _shaped(weight, x)
    result += _shaped(bias, x)
    return np.asarray(result)


def _group_norm_samples() -> Iterable[Sample]:
    for shape, groups in (((3, 4), 2), ((2, 4, 3), 4), ((2, 4, 2, 3), 2), ((2, 3, 2, 2), 1)):
        attrs = {"groups": groups, "eps": 1e-5}
        for dtype in (np.float64, np.float32):
            x = spread(shape, -2, 2, dtype)
            yield Sample((x, *_vectors(shape[1], dtype)), attrs)
            yield Sample((x, *_nothing(dtype)), attrs)
    yield Sample((spread((0, 4, 2), -2, 2, np.float32), *_nothing(np.float32)), attrs)
    for half in sorted(HALVES, key=str):
        yield Sample((spread((2, 6), -2, 2, half), *_vectors(6, half)), {**attrs, "groups": 2})


def _group_norm_reference(
    x: Array, weight: Array, bias: Array, *, groups: int, eps: float
) -> Array:
    wide = x.astype(np.float64).reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
    normal = _normal(wide, wide.mean(2, keepdims=True), wide.var(2, keepdims=True), eps)
    return _affine(normal.reshape(x.shape), weight, bias, x)


GROUP_NORM = composite(
    "group_norm",
    _group_norm,
    _group_norm_vjp,
    infer=_group_norm_type,
    numpy=_fast_group_norm,
    wide=True,
    samples=_group_norm_samples,
    reference=_group_norm_reference,
)

# -------------------------------------------------------------------------------------- rms norm


def _rms_norm_type(x: TensorType, weight: TensorType, *, dims: Dims, eps: float) -> TensorType:
    del eps
    same_device(x, weight)
    same_dtype("rms_norm", x, weight)
    check_kind("rms_norm", x, Kind.FLOAT)
    check_dims("rms_norm", dims, x.ndim)
    if weight.ndim and weight.shape != x.shape[x.ndim - weight.ndim :]:
        raise ShapeError(
            f"rms_norm: a weight of shape {list(weight.shape)} does not fit the last dimensions of "
            f"{list(x.shape)}"
        )
    return x


def _scale_of(x: Any, dims: Dims, eps: float) -> Any:
    return row.rsqrt(row.mean(row.square(x), dims=dims, keepdim=True) + eps)


def _rms_norm(x: Any, weight: Any, *, dims: Dims, eps: float) -> Any:
    return x * _scale_of(x, dims, eps) * weight


def _rms_norm_vjp(
    g: Any, _y: Any, x: Any, weight: Any, *, dims: Dims, eps: float
) -> tuple[Any, Any]:
    scale = _scale_of(x, dims, eps)
    normal = x * scale

    def to_x() -> Any:
        gw = g * weight
        return scale * (gw - normal * row.mean(gw * normal, dims=dims, keepdim=True))

    return to_x, lambda: g * normal


def _rms_norm_samples() -> Iterable[Sample]:
    for dims in ((2,), (1, 2)):
        for dtype in (np.float64, np.float32):
            x = spread((2, 3, 4), -2, 2, dtype)
            weight = spread((2, 3, 4)[dims[0] :], 0.5, 2, dtype, 1)
            yield Sample((x, weight), {"dims": dims, "eps": 1e-5})
            yield Sample((x, np.ones((), dtype)), {"dims": dims, "eps": 1e-3})
    for half in sorted(HALVES, key=str):
        arrays = (spread((2, 6), -2, 2, half), spread((6,), 0.5, 2, half, 1))
        yield Sample(arrays, {"dims": (1,), "eps": 1e-5})


RMS_NORM = composite(
    "rms_norm",
    _rms_norm,
    _rms_norm_vjp,
    infer=_rms_norm_type,
    wide=True,
    samples=_rms_norm_samples,
    reference=lambda x, weight, *, dims, eps: np.asarray(
        x.astype(np.float64)
        / np.sqrt((x.astype(np.float64) ** 2).mean(dims, keepdims=True) + eps)
        * weight.astype(np.float64)
    ).astype(x.dtype),
)
