"""One dim resampled: interpolation, area means, anti-aliased filters; and the gradient of that.

``resample`` and ``resample_back`` are each other's gradients. Both read their operand at places
from a table (see :mod:`graphc.ops.taps`) and weight what they read; where the places are regular
(whole factors of nearest neighbours, blocks of equal size) they are index maps instead. Bytes are
computed in fixed point, as image libraries do, and have no gradient.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.ir import CONSTANT, Literal, Sample, TensorType
from graphc.ops.operands import ByRule
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    Shape,
    check_kind,
    composite,
    normalise_dim,
    row,
    spread,
)
from graphc.ops.taps import (
    METHODS,
    Settings,
    Taps,
    backward,
    blocks,
    every,
    fixed_point,
    forward,
    repeats,
)

UNROLLED = 4  # taps that are written side by side; more of them become a sum over a dim


def _constant(like: Any, array: Array) -> Any:
    kind = TensorType(array.shape, dtypes.from_numpy_dtype(array.dtype), like.device)
    return like.__apply__(CONSTANT, (), {"value": Literal(array), "type": kind})


def _along(like: Any, array: Array, dim: int, rank: int) -> Any:
    """A table as an operand whose dims stand at ``dim`` of ``rank`` dims."""
    shape = (*(1,) * dim, *array.shape, *(1,) * (rank - dim - array.ndim))
    return row.reshape(_constant(like, array), shape=shape)


def _replaced(x: Any, dim: int, *sizes: Any) -> Shape:
    shape = tuple(x.shape)
    return (*shape[:dim], *sizes, *shape[dim + 1 :])


def _sized(x: Any, dim: int) -> int:
    size = x.shape[dim]
    if not isinstance(size, int):
        raise ShapeError(f"resample: the size of dim {dim} has to be a number, not {size}")
    return size


def _weighted(x: Any, dim: int, taps: Taps) -> Any:
    """``sum_k weight[o, k] * x[index[o, k]]`` along a dim, in the dtype of ``x``."""
    size, source = len(taps.index), _sized(x, dim)
    times = repeats(taps, source)
    if times is not None:
        column = row.reshape(x, shape=_replaced(x, dim, source, 1))
        wide = row.expand(column, shape=_replaced(x, dim, source, times))
        return row.reshape(wide, shape=_replaced(x, dim, size))
    picked = every(taps)
    if picked is not None:
        starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
        starts[dim], steps[dim] = picked
        stops[dim] = picked[0] + (size - 1) * picked[1] + 1
        return row.slice(x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
    weight = None if taps.is_exact else taps.weight.astype(x.dtype.numpy)
    total = _summed(x, dim, taps, weight)
    if taps.used.all():
        return total
    return row.where(_along(x, taps.used, dim, x.ndim), total, 0)


def _summed(x: Any, dim: int, taps: Taps, weight: Array | None) -> Any:
    size, source = len(taps.index), _sized(x, dim)
    if taps.width <= UNROLLED and not blocks(taps, source):
        return _side_by_side(x, dim, taps, weight)
    if blocks(taps, source):
        read = row.reshape(x, shape=_replaced(x, dim, size, taps.width))
    else:
        read = row.take(x, _constant(x, taps.index), dim=dim)
    if weight is not None:
        read = read * _along(x, weight, dim, read.ndim)
    return row.sum(read, dims=(dim + 1,), keepdim=False)


def _side_by_side(x: Any, dim: int, taps: Taps, weight: Array | None) -> Any:
    total: Any = None
    for k in range(taps.width):
        read = row.take(x, _constant(x, np.ascontiguousarray(taps.index[:, k])), dim=dim)
        if weight is not None:
            read = read * _along(x, np.ascontiguousarray(weight[:, k]), dim, x.ndim)
        total = read if total is None else total + read
    return total


def _bytes(x: Any, dim: int, taps: Taps) -> Any:
    """In fixed point, rounded to the nearest byte."""
    if taps.is_exact and taps.width == 1:
        return _weighted(x, dim, taps)
    weight, bits = fixed_point(taps)
    wide = row.cast(x, dtype=dtypes.int32)
    total = _weighted(wide, dim, Taps(taps.index, weight)) + (1 << (bits - 1))
    shifted = row.bitwise_right_shift(total, bits)
    return row.cast(row.minimum(row.maximum(shifted, 0), 255), dtype=dtypes.uint8)


def _evaluated(rule: Callable[..., Any]) -> Callable[..., Array]:
    """The rule on arrays; what is but a view of the operand becomes memory of its own."""
    evaluate = ByRule(rule)

    def run(x: Array, **attrs: Any) -> Array:
        result = evaluate(x, **attrs)
        return result.copy() if np.may_share_memory(result, x) else result

    return run


def _settings(
    x: Any, source: int, target: int, method: str, scale: float | None, align_corners: bool
) -> Settings:
    nearest = method.startswith("nearest")
    single = x.dtype is not dtypes.float64 and (nearest or x.dtype is not dtypes.uint8)
    return Settings(method, source, target, scale, align_corners, single)


def _resample(
    x: Any, *, dim: int, size: int, method: str, scale: float | None, align_corners: bool
) -> Any:
    taps = forward(_settings(x, _sized(x, dim), size, method, scale, align_corners))
    rule = _bytes if x.dtype is dtypes.uint8 else _weighted
    return rule(x, dim, taps)


def _resample_back(
    g: Any, *, dim: int, size: int, method: str, scale: float | None, align_corners: bool
) -> Any:
    taps = backward(_settings(g, size, _sized(g, dim), method, scale, align_corners))
    return _weighted(g, dim, taps)


def _type(name: str) -> Callable[..., TensorType]:
    def infer(
        x: TensorType,
        *,
        dim: int,
        size: int,
        method: str,
        scale: float | None,
        align_corners: bool,
    ) -> TensorType:
        del scale, align_corners
        if name == "resample_back" or x.dtype is not dtypes.uint8:
            check_kind(name, x, Kind.FLOAT)
        if normalise_dim(dim, x.ndim) != dim:
            raise ShapeError(f"{name}: dim {dim} is not counted from the front")
        if method not in METHODS:
            raise ShapeError(f"{name}: method is one of {', '.join(METHODS)}, not {method!r}")
        if _sized(x, dim) < 1 or size < 1:
            raise ShapeError(
                "Input and output sizes should be greater than 0, but got "
                f"{x.shape[dim]} and {size} in dim {dim}"
            )
        return x.with_shape(_replaced(x, dim, size))

    return infer


_CASES: tuple[tuple[str, int, int, float | None, bool], ...] = (
    ("nearest", 3, 6, None, False),
    ("nearest", 6, 3, None, False),
    ("nearest", 5, 7, 1.5, False),
    ("nearest-exact", 7, 3, None, False),
    ("nearest-exact", 4, 12, None, False),
    ("linear", 4, 8, None, False),
    ("linear", 5, 3, None, True),
    ("linear", 1, 4, None, True),
    ("linear", 3, 20, None, False),
    ("cubic", 4, 7, None, False),
    ("cubic", 6, 1, None, True),
    ("area", 6, 3, None, False),
    ("area", 5, 3, None, False),
    ("area", 3, 5, None, False),
    ("linear-antialias", 9, 4, None, False),
    ("cubic-antialias", 9, 4, None, True),
    ("lanczos-antialias", 5, 3, 0.7, False),
)


def _samples(back: bool) -> Iterable[Sample]:
    for method, source, target, scale, align_corners in _CASES:
        attrs = {"method": method, "scale": scale, "align_corners": align_corners}
        given, size = (target, source) if back else (source, target)
        for dim in (0, 1, 2):
            shape = tuple(given if d == dim else 2 for d in range(3))
            kinds: tuple[Any, ...] = (np.float64, np.float32)
            if dim == 1:
                kinds = (*kinds, *sorted(HALVES, key=str), *(() if back else (np.uint8,)))
            for dtype in kinds:
                low, high = (0, 255) if dtype is np.uint8 else (-5, 5)
                yield Sample(
                    (spread(shape, low, high, dtype),), {"dim": dim, "size": size, **attrs}
                )


def _dense(settings: Settings, bits: int = 0) -> Array:
    """The table as a matrix; with ``bits`` its weights in fixed point."""
    taps = forward(settings)
    matrix = np.zeros((settings.target, settings.source))
    for o in range(settings.target):
        for k in range(taps.width):
            weight = taps.weight[o, k]
            matrix[o, taps.index[o, k]] += weight
    return np.sign(matrix) * np.floor(abs(matrix) * 2**bits + 0.5) if bits else matrix


def _reference(back: bool) -> Callable[..., Array]:
    def reference(x: Array, *, dim: int, size: int, **attrs: Any) -> Array:
        ends = (size, x.shape[dim]) if back else (x.shape[dim], size)
        single = x.dtype != np.float64 and x.dtype != np.uint8
        settings = Settings(source=ends[0], target=ends[1], single=single, **attrs)
        bits = fixed_point(forward(settings))[1] if x.dtype == np.uint8 else 0
        matrix = _dense(settings, bits)
        moved = np.moveaxis(x.astype(np.float64), dim, -1)
        result = np.moveaxis(moved @ (matrix if back else matrix.T), -1, dim)
        if x.dtype == np.uint8:
            result = np.clip(np.floor(result / 2**bits + 0.5), 0, 255)
        return result.astype(x.dtype)

    return reference


def _vjp(dual: str) -> Callable[..., tuple[Any]]:
    def vjp(g: Any, _y: Any, _x: Any, *, size: int, dim: int, **attrs: Any) -> tuple[Any]:
        del size
        return (getattr(row, dual)(g, dim=dim, size=_x.shape[dim], **attrs),)

    return vjp


RESAMPLE = composite(
    "resample",
    _resample,
    _vjp("resample_back"),
    infer=_type("resample"),
    numpy=_evaluated(_resample),
    wide=True,
    samples=lambda: _samples(False),
    reference=_reference(False),
)
RESAMPLE_BACK = composite(
    "resample_back",
    _resample_back,
    _vjp("resample"),
    infer=_type("resample_back"),
    numpy=_evaluated(_resample_back),
    wide=True,
    samples=lambda: _samples(True),
    reference=_reference(True),
)
