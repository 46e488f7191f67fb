"""Pools over one to three spatial dims: the largest element of each window, or their average.

``max_pool`` gives the values, ``max_pool_index`` where they are, counted through the spatial dims
of an image as PyTorch counts. Both choose as PyTorch does: the first of equal elements, the last
NaN, and never the border. Windows may reach over the far edge when ``ceil_mode`` rounds their
number up.
"""

import math
from collections.abc import Iterable
from itertools import product as combinations
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.ir import Sample, TensorType
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    Shape,
    check_kind,
    composite,
    row,
    special,
    spread,
)
from graphc.sizes import Int, floordiv, product

Amounts = tuple[int, ...]

# ---------------------------------------------------------------------------------- output sizes


def pooled_size(
    size: Int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool
) -> Int:
    """The number of windows; with ``ceil_mode`` the last may reach over the padded end.

    A window that would begin behind the input and its first border is not counted.
    """
    reach = dilation * (kernel - 1) + 1
    room = size + 2 * padding - reach
    count = floordiv(room + stride - 1 if ceil_mode else room, stride) + 1
    if ceil_mode and isinstance(size, int) and isinstance(count, int):
        return count - 1 if (count - 1) * stride >= size + padding else count
    return count


def pooled_shape(
    name: str,
    x: Shape,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    ceil_mode: bool,
) -> Shape:
    n = len(kernel)
    if n not in (1, 2, 3) or len(x) != n + 2:
        raise ShapeError(
            f"{name}{n}d: expected a tensor (batch, channels, {n} spatial dimensions), but got "
            f"size {list(x)}"
        )
    if not len(stride) == len(padding) == len(dilation) == n:
        raise ShapeError(
            f"{name}: kernel={kernel}, stride={stride}, padding={padding} and dilation={dilation} "
            "need one entry for each spatial dimension"
        )
    if min(kernel) < 1:
        raise ShapeError(f"kernel size should be greater than zero, but got {kernel}")
    if min(stride) < 1:
        raise ShapeError("stride should not be zero")
    if min(dilation) < 1:
        raise ShapeError(f"dilation should be greater than zero, but got {dilation}")
    for k, p, d in zip(kernel, padding, dilation, strict=True):
        if p < 0:
            raise ShapeError(f"pad must be non-negative, but got pad: {p}")
        if p > (d * (k - 1) + 1) // 2:
            raise ShapeError(
                f"pad should be at most half of effective kernel size, but got pad={p}, "
                f"kernel_size={k} and dilation={d}"
            )
    settings = zip(x[2:], kernel, stride, padding, dilation, strict=True)
    sizes = tuple(pooled_size(*each, ceil_mode) for each in settings)
    if any(isinstance(size, int) and size < 1 for size in sizes):
        given = "x".join(map(str, x[1:]))
        found = "x".join(map(str, (x[1], *(max(s, 0) for s in sizes if isinstance(s, int)))))
        raise ShapeError(
            f"Given input size: ({given}). Calculated output size: ({found}). Output size is too "
            "small"
        )
    return (*x[:2], *sizes)


def _borders(
    sizes: Shape,
    counts: Shape,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
) -> tuple[Amounts, Shape]:
    """Elements to add before and after, so that exactly ``counts`` windows fit."""
    after: list[Int] = []
    for size, count, k, s, p, d in zip(
        sizes, counts, kernel, stride, padding, dilation, strict=True
    ):
        need = (count - 1) * s + d * (k - 1) + 1 - size - p
        after.append(max(need, 0) if isinstance(need, int) else p)
    return padding, tuple(after)


def _framed(x: Any, before: Shape, after: Shape, value: float) -> Any:
    if not any(before) and not any(after):
        return x
    lead = (0,) * (len(x.shape) - len(before))
    return row.pad(x, before=(*lead, *before), after=(*lead, *after), value=value)


def _lowest(dtype: Any) -> float:
    """What never wins: -inf, or the smallest integer."""
    return -math.inf if dtype.is_floating_point else int(np.iinfo(dtype.numpy).min)


def _windows(x: Any, kernel: Amounts, stride: Amounts, dilation: Amounts) -> Any:
    n = len(kernel)
    dims = tuple(range(len(x.shape) - n, len(x.shape)))
    return row.window(x, dims=dims, sizes=kernel, strides=stride, dilations=dilation)


def inner_dims(x: Any, n: int) -> Amounts:
    return tuple(range(len(x.shape) - n, len(x.shape)))


# -------------------------------------------------------------------------------------- max pool


def _max_type(
    x: TensorType,
    *,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    ceil_mode: bool,
) -> TensorType:
    check_kind("max_pool", x, Kind.NUMBER)
    return x.with_shape(
        pooled_shape("max_pool", x.shape, kernel, stride, padding, dilation, ceil_mode)
    )


def framed_windows(
    x: Any,
    fill: float,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    ceil_mode: bool,
) -> Any:
    """The windows of the last dims of ``x``, their borders filled."""
    sizes = tuple(x.shape[-len(kernel) :])
    settings = (kernel, stride, padding, dilation)
    counts = tuple(pooled_size(*each, ceil_mode) for each in zip(sizes, *settings, strict=True))
    before, after = _borders(sizes, counts, *settings)
    return _windows(_framed(x, before, after, fill), kernel, stride, dilation)


def _max_pool(x: Any, **attrs: Any) -> Any:
    windows = framed_windows(x, _lowest(x.dtype), **attrs)
    return row.amax(windows, dims=inner_dims(windows, len(attrs["kernel"])), keepdim=False)


def _max_vjp(g: Any, _y: Any, x: Any, **attrs: Any) -> tuple[Any]:
    return (row.max_pool_backward(g, x, **attrs),)


def shifted(
    x: Array,
    fill: float,
    *,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    ceil_mode: bool,
) -> tuple[list[tuple[Amounts, Array]], Amounts]:
    """Views of ``x``, one for each place in a window: that element of every window.

    With each comes its place; after them, how far ``x`` lies behind its border.
    """
    sizes = x.shape[2:]
    settings = (kernel, stride, padding, dilation)
    counts: Any = tuple(
        pooled_size(*each, ceil_mode) for each in zip(sizes, *settings, strict=True)
    )
    before, after = _borders(sizes, counts, *settings)
    if any(before) or any(after):
        wide = np.full(
            (*x.shape[:2], *(b + n + a for b, n, a in zip(before, sizes, after, strict=True))),
            fill,
            x.dtype,
        )
        middle = (slice(b, b + n) for b, n in zip(before, sizes, strict=True))
        inside: tuple[Any, ...] = (slice(None), slice(None), *middle)
        wide[inside] = x
        x = wide
    shown = []
    for at in np.ndindex(*kernel):
        spots = (
            slice(k * d, k * d + (count - 1) * s + 1, s)
            for k, d, count, s in zip(at, dilation, counts, stride, strict=True)
        )
        place: tuple[Any, ...] = (..., *spots)
        shown.append((at, x[place]))
    return shown, before


def _fast_max(x: Array, **attrs: Any) -> Array:
    (_, first), *others = shifted(x, _fill(x), **attrs)[0]
    result: Array = np.array(first, order="C")
    for _, view in others:
        np.maximum(result, view, out=result)
    return result


def _fill(x: Array) -> float:
    return -math.inf if x.dtype.kind not in "iu" else int(np.iinfo(x.dtype).min)


CASES: tuple[tuple[tuple[int, ...], Amounts, Amounts, Amounts, Amounts, bool], ...] = (
    ((2, 2, 8), (2,), (2,), (0,), (1,), False),
    ((2, 2, 8), (3,), (2,), (1,), (1,), False),
    ((1, 2, 7), (3,), (3,), (1,), (1,), True),
    ((1, 1, 9), (3,), (1,), (2,), (2,), False),
    ((2, 3, 4, 6), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((1, 2, 5, 6), (3, 2), (1, 2), (1, 0), (1, 2), False),
    ((1, 2, 5, 6), (2, 3), (2, 2), (1, 1), (1, 1), True),
    ((1, 2, 3, 4, 5), (2, 2, 3), (1, 2, 2), (1, 0, 1), (1, 1, 1), True),
    ((0, 2, 4), (2,), (2,), (0,), (1,), False),
)


def settings_of(case: tuple[Any, ...]) -> dict[str, Any]:
    names = ("kernel", "stride", "padding", "dilation", "ceil_mode")
    return dict(zip(names, case[1:], strict=True))


def _max_samples() -> Iterable[Sample]:
    for i, case in enumerate(CASES):
        attrs = settings_of(case)
        for dtype in (np.float64, np.float32, *(sorted(HALVES, key=str) if i == 4 else ())):
            yield Sample((spread(case[0], -5, 5, dtype),), attrs)
        if i in (1, 6):
            # Ties: the first wins.
            yield Sample((np.round(spread(case[0], -1, 1, np.float32)),), attrs, False)
            yield Sample((spread(case[0], -9, 9, np.int64),), attrs)
    attrs = settings_of(CASES[1])
    values = special(np.float32)[:8].reshape(1, 1, 8)
    yield Sample((values,), attrs, differentiable=False)
    yield Sample((np.full((1, 1, 8), -np.inf, np.float32),), attrs, differentiable=False)
    yield Sample((np.full((1, 1, 8), np.nan, np.float32),), attrs, differentiable=False)


def _chosen(x: Array, **attrs: Any) -> tuple[Array, Array]:
    """Values and places, found window by window as PyTorch's loop finds them."""
    stride, padding, dilation = attrs["stride"], attrs["padding"], attrs["dilation"]
    shape: Any = pooled_shape("max_pool", x.shape, **attrs)
    values: Array = np.empty(shape, x.dtype)
    places: Array = np.empty(shape, np.int64)
    for at in np.ndindex(*shape):
        image = x[at[:2]]
        best = None
        for k in combinations(*map(range, attrs["kernel"])):
            spot = tuple(
                o * s - p + i * d
                for o, s, p, i, d in zip(at[2:], stride, padding, k, dilation, strict=True)
            )
            if all(0 <= i < n for i, n in zip(spot, image.shape, strict=True)):
                value = image[spot]
                if best is None or value > best or value != value:
                    best, place = value, int(np.ravel_multi_index(spot, image.shape))
        values[at], places[at] = best, place
    return values, places


MAX_POOL = composite(
    "max_pool",
    _max_pool,
    _max_vjp,
    infer=_max_type,
    numpy=_fast_max,
    samples=_max_samples,
    reference=lambda x, **attrs: _chosen(x, **attrs)[0],
)

# -------------------------------------------------------------------------------- max pool: where


def _flat(like: Any, sizes: Shape) -> Any:
    """Every spatial place of an image by its number: shape (1, 1, *sizes)."""
    count = product(sizes)
    attrs = {"shape": (count,), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1}
    numbers = like.__apply__(row.iota, (), {**attrs, "device": like.device})
    return row.reshape(numbers, shape=(1, 1, *sizes))


def _index_type(x: TensorType, **attrs: Any) -> TensorType:
    return _max_type(x, **attrs).with_dtype(dtypes.int64)


def _max_index(x: Any, **attrs: Any) -> Any:
    """From the place within the window to the place within the image, dim by dim.

    The border holds -inf, which ties with -inf inside: a choice in the border stands for the
    first element inside.
    """
    kernel, stride, padding, dilation = (
        attrs[k] for k in ("kernel", "stride", "padding", "dilation")
    )
    n = len(kernel)
    windows = framed_windows(x, _lowest(x.dtype), **attrs)
    inner = inner_dims(windows, n)
    offset = row.argmax(windows, dims=inner, keepdim=False)
    if x.dtype.is_floating_point:
        within = _offsets(x, kernel)
        last = row.amax(row.where(row.isnan(windows), within, -1), dims=inner, keepdim=False)
        offset = row.where(row.ge(last, 0), last, offset)
    counts, sizes = tuple(offset.shape[2:]), tuple(x.shape[2:])
    place: Any = None
    inside: Any = None
    for axis in range(n):
        attrs_iota = {
            "shape": (1, 1, *(counts[d] if d == axis else 1 for d in range(n))),
            "dim": 2 + axis,
            "dtype": dtypes.int64,
            "start": -padding[axis],
            "step": stride[axis],
            "device": x.device,
        }
        start = x.__apply__(row.iota, (), attrs_iota)
        step = math.prod(kernel[axis + 1 :])
        k = row.floor_divide(offset, step) if step != 1 else offset
        if axis:
            k = row.remainder(k, kernel[axis])
        spot = start + k * dilation[axis]
        limit = sizes[axis]
        number = spot * product(sizes[axis + 1 :])
        place = number if place is None else place + number
        if any(padding):
            here = row.logical_and(row.ge(spot, 0), row.lt(spot, limit))
            inside = here if inside is None else row.logical_and(inside, here)
    if inside is None:
        return place
    outside = int(np.iinfo(np.int64).max)
    flat = framed_windows(_flat(x, sizes), outside, **attrs)
    first = row.amin(
        row.where(row.lt(flat, 0), outside, flat), dims=inner_dims(flat, n), keepdim=False
    )
    return row.where(inside, place, first)


def _offsets(x: Any, kernel: Amounts) -> Any:
    count = math.prod(kernel)
    attrs = {"shape": (count,), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1}
    numbers = x.__apply__(row.iota, (), {**attrs, "device": x.device})
    return row.reshape(numbers, shape=kernel)


def _fast_index(x: Array, **attrs: Any) -> Array:
    """Backwards through the window, so that the first of equal elements stays."""
    shown, before = shifted(x, _fill(x), **attrs)
    best = np.array(shown[0][1], order="C")
    for _, view in shown[1:]:
        np.maximum(best, view, out=best)
    number: Array = np.zeros(best.shape, np.int64)
    for position in range(len(shown) - 1, -1, -1):
        np.copyto(number, position, where=shown[position][1] == best)
    wrong = best != best
    if wrong.any():
        for position, (_, view) in enumerate(shown):
            number[view != view] = position
    stride, dilation, sizes = attrs["stride"], attrs["dilation"], x.shape[2:]
    place: Any = 0
    inside: Any = True
    spots = np.unravel_index(number, attrs["kernel"])
    for axis, k in enumerate(spots):
        shape = tuple(-1 if d == axis + 2 else 1 for d in range(x.ndim))
        start = (np.arange(best.shape[axis + 2]) * stride[axis] - before[axis]).reshape(shape)
        spot = start + k * dilation[axis]
        place = place * sizes[axis] + spot
        if before[axis]:
            inside = inside & (spot >= 0) & (spot < sizes[axis])
    if not np.all(inside):
        place = np.where(inside, place, _first_inside(best.shape, x.shape, attrs))
    return np.asarray(place, np.int64)


def _first_inside(shape: tuple[int, ...], x: tuple[int, ...], attrs: dict[str, Any]) -> Array:
    """The place of the first element of each window that is no border."""
    place: Any = 0
    for axis in range(len(shape) - 2):
        s, p, d = (attrs[k][axis] for k in ("stride", "padding", "dilation"))
        start = np.arange(shape[axis + 2]) * s - p
        start = np.where(start < 0, start + -(start // d) * d, start)
        place = place * x[axis + 2] + start.reshape((-1,) + (1,) * (len(shape) - 3 - axis))
    return np.asarray(place)


MAX_POOL_INDEX = composite(
    "max_pool_index",
    _max_index,
    infer=_index_type,
    numpy=_fast_index,
    samples=_max_samples,
    reference=lambda x, **attrs: _chosen(x, **attrs)[1],
)

# ----------------------------------------------------------------------------- max pool: gradient


def _grad_type(g: TensorType, index: TensorType, *, input_shape: Shape, **attrs: Any) -> TensorType:
    expected = pooled_shape("max_pool_grad", input_shape, **attrs)
    if g.shape != expected or index.shape != expected:
        raise ShapeError(
            f"max_pool_grad: expected a cotangent and an index of shape {list(expected)}, but got "
            f"{list(g.shape)} and {list(index.shape)}"
        )
    if index.dtype is not dtypes.int64:
        raise DtypeError(f"max_pool_grad: expected an index of dtype int64, not {index.dtype}")
    return g.with_shape(input_shape)


def _max_grad(g: Any, index: Any, *, input_shape: Shape, **attrs: Any) -> Any:
    """Each window's cotangent at its chosen place, and the windows added up."""
    n = len(attrs["kernel"])
    flat = framed_windows(_flat(g, input_shape[2:]), -1, **attrs)
    ones = (1,) * n
    chosen = row.eq(row.reshape(index, shape=(*index.shape, *ones)), flat)
    parts = row.where(chosen, row.reshape(g, shape=(*g.shape, *ones)), 0)
    return folded(parts, input_shape, **attrs)


def folded(
    parts: Any,
    input_shape: Shape,
    *,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    dilation: Amounts,
    ceil_mode: bool,
) -> Any:
    """Windows (N, C, *T, *K) added into (N, C, *S), what lies in the border dropped."""
    del ceil_mode
    n = len(kernel)
    sizes, counts = input_shape[2:], tuple(parts.shape[2 : 2 + n])
    before, after = _borders(sizes, counts, kernel, stride, padding, dilation)
    wide = tuple(b + size + a for b, size, a in zip(before, sizes, after, strict=True))
    whole = row.fold(
        parts,
        shape=(*input_shape[:2], *wide),
        dims=tuple(range(2, 2 + n)),
        sizes=kernel,
        strides=stride,
        dilations=dilation,
    )
    if wide == tuple(sizes):
        return whole
    stops = (*input_shape[:2], *(b + size for b, size in zip(before, sizes, strict=True)))
    return row.slice(whole, starts=(0, 0, *before), stops=stops, steps=(1,) * (n + 2))


def _fast_max_grad(g: Array, index: Array, *, input_shape: Amounts, **_attrs: Any) -> Array:
    images, places = math.prod(input_shape[:2]), math.prod(input_shape[2:])
    result: Array = np.zeros(images * places, g.dtype)
    first = (np.arange(images) * places).reshape(input_shape[:2] + (1,) * (g.ndim - 2))
    np.add.at(result, (index + first).reshape(-1), g.reshape(-1))
    return result.reshape(input_shape)


def _max_grad_vjp(
    h: Any, _y: Any, _g: Any, index: Any, *, input_shape: Shape, **_attrs: Any
) -> tuple[Any, None]:
    lead = input_shape[:2]
    flat = row.reshape(h, shape=(*lead, product(input_shape[2:])))
    number = row.reshape(index, shape=(*lead, product(index.shape[2:])))
    picked = row.gather(flat, number, dim=2)
    return row.reshape(picked, shape=tuple(index.shape)), None


def _max_grad_samples() -> Iterable[Sample]:
    for sample in _max_samples():
        (x,) = sample.arrays
        if x.dtype.kind == "i":
            continue
        index = _chosen(x, **sample.attrs)[1]
        g = spread(index.shape, -2, 2, x.dtype, 3)
        yield Sample((g, index), {"input_shape": x.shape, **sample.attrs})


def _max_grad_reference(g: Array, index: Array, *, input_shape: Amounts, **_attrs: Any) -> Array:
    result: Array = np.zeros(input_shape, np.float64)
    for at in np.ndindex(*g.shape):
        spot = np.unravel_index(int(index[at]), input_shape[2:])
        place = (*at[:2], *spot)
        result[place] += float(g[at])
    return result.astype(g.dtype)


MAX_POOL_GRAD = composite(
    "max_pool_grad",
    _max_grad,
    _max_grad_vjp,
    infer=_grad_type,
    numpy=_fast_max_grad,
    samples=_max_grad_samples,
    reference=_max_grad_reference,
)


# The gradient straight from the input: a place within the window is all it takes, so that kernels
# keep one small integer a window. Of several NaN the first gets the cotangent.


def _place(x: Any, **attrs: Any) -> Any:
    windows = framed_windows(x, _lowest(x.dtype), **attrs)
    inner = inner_dims(windows, len(attrs["kernel"]))
    return row.cast(row.argmax(windows, dims=inner, keepdim=False), dtype=dtypes.int32)


def _backward(g: Any, x: Any, **attrs: Any) -> Any:
    kernel = attrs["kernel"]
    ones = (1,) * len(kernel)
    place = _place(x, **attrs)
    within = row.cast(_offsets(g, kernel), dtype=dtypes.int32)
    chosen = row.eq(row.reshape(place, shape=(*place.shape, *ones)), within)
    parts = row.where(chosen, row.reshape(g, shape=(*g.shape, *ones)), 0)
    return folded(parts, tuple(x.shape), **attrs)


def _fast_backward(g: Array, x: Array, **attrs: Any) -> Array:
    shown, before = shifted(x, _fill(x), **attrs)
    best = np.array(shown[0][1], order="C")
    for _, view in shown[1:]:
        np.maximum(best, view, out=best)
    wrong = best != best
    rest = np.array(g, order="C")
    settings = (attrs["kernel"], attrs["stride"], attrs["padding"], attrs["dilation"])
    after = _borders(x.shape[2:], best.shape[2:], *settings)[1]
    sizes = zip(before, x.shape[2:], after, strict=True)
    wide = np.zeros((*x.shape[:2], *(b + n + int(a) for b, n, a in sizes)), g.dtype)  # type: ignore[call-overload]
    for at, view in shown:
        chosen = (view == best) | (wrong & (view != view))
        spots = (
            slice(k * d, k * d + (count - 1) * s + 1, s)
            for k, d, count, s in zip(
                at, attrs["dilation"], best.shape[2:], attrs["stride"], strict=True
            )
        )
        wide[(..., *spots)] += np.where(chosen, rest, 0)
        rest[chosen] = 0
    inside = (slice(b, b + n) for b, n in zip(before, x.shape[2:], strict=True))
    return np.ascontiguousarray(wide[(..., *inside)])


def _backward_vjp(h: Any, _y: Any, _g: Any, x: Any, **attrs: Any) -> tuple[Any, None]:
    kernel = attrs["kernel"]
    place = _place(x, **attrs)
    within = row.cast(_offsets(x, kernel), dtype=dtypes.int32)
    chosen = row.eq(row.reshape(place, shape=(*place.shape, *(1,) * len(kernel))), within)
    windows = framed_windows(h, 0.0, **attrs)
    inner = inner_dims(windows, len(kernel))
    return row.sum(row.where(chosen, windows, 0), dims=inner, keepdim=False), None


def _backward_type(g: TensorType, x: TensorType, **attrs: Any) -> TensorType:
    expected = pooled_shape("max_pool_backward", x.shape, **attrs)
    if g.shape != expected:
        raise ShapeError(
            f"max_pool_backward: expected a cotangent of shape {list(expected)}, but got "
            f"{list(g.shape)}"
        )
    return g.with_shape(x.shape)


def _backward_samples() -> Iterable[Sample]:
    for sample in _max_samples():
        (x,) = sample.arrays
        if x.dtype.kind == "i" or x.size == 0 or not np.isfinite(x.astype(np.float64)).all():
            continue
        g = spread(_chosen(x, **sample.attrs)[1].shape, -2, 2, x.dtype, 3)
        yield Sample((g, x), sample.attrs, sample.differentiable)


def _backward_reference(g: Array, x: Array, **attrs: Any) -> Array:
    return _max_grad_reference(g, _chosen(x, **attrs)[1], input_shape=x.shape)


MAX_POOL_BACKWARD = composite(
    "max_pool_backward",
    _backward,
    _backward_vjp,
    infer=_backward_type,
    numpy=_fast_backward,
    samples=_backward_samples,
    reference=_backward_reference,
)
