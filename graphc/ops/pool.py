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
from graphc.errors import ShapeError
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
    zeros_like,
)
from graphc.ops.selection import kept
from graphc.sizes import Int, floordiv

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
    if min(stride, default=1) < 1:
        raise ShapeError("stride should not be zero")
    if not len(stride) == len(padding) == len(dilation) == n:
        raise ShapeError(
            f"{name}: kernel={kernel}, stride={stride}, padding={padding} and dilation={dilation} "
            "need one entry for each spatial dimension"
        )
    if min(kernel) < 1:
        raise ShapeError(f"kernel size should be greater than zero, but got {kernel}")
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

# ---------------------------------------------------------------------------- which place it was


def _iota(like: Any, shape: Shape, dim: int, start: int, step: int) -> Any:
    """int64 numbers that grow along one dim."""
    attrs = {"shape": shape, "dim": dim, "start": start, "step": step}
    return like.__apply__(row.iota, (), {**attrs, "dtype": dtypes.int64, "device": like.device})


def _begins(like: Any, counts: Shape, stride: Amounts, padding: Amounts) -> list[Any]:
    """Where the windows of each dim begin, in a shape that broadcasts over all windows."""
    n = len(counts)
    shapes = [(1, 1, *(counts[d] if d == axis else 1 for d in range(n))) for axis in range(n)]
    return [_iota(like, shapes[d], 2 + d, -padding[d], stride[d]) for d in range(n)]


def _along_dims(place: Any, kernel: Amounts) -> list[Any]:
    """A place within the window as one number for each dim."""
    numbers = []
    for axis, size in enumerate(kernel):
        step = math.prod(kernel[axis + 1 :])
        k = row.floor_divide(place, step) if step != 1 else place
        numbers.append(row.remainder(k, size) if axis else k)
    return numbers


def _place(x: Any, last_nan: bool = False, **attrs: Any) -> Any:
    """The place of the chosen element within each window (int64, row-major).

    The border holds the lowest value, which only ties with the same value inside: a choice there
    stands for the first element that is no border. ``last_nan`` prefers the last NaN to the first.
    """
    kernel, stride, padding, dilation = (
        attrs[k] for k in ("kernel", "stride", "padding", "dilation")
    )
    windows = framed_windows(x, _lowest(x.dtype), **attrs)
    inner = inner_dims(windows, len(kernel))
    place = row.argmax(windows, dims=inner, keepdim=False)
    if last_nan and x.dtype.is_floating_point:
        within = row.reshape(_iota(x, (math.prod(kernel),), 0, 0, 1), shape=kernel)
        last = row.amax(row.where(row.isnan(windows), within, -1), dims=inner, keepdim=False)
        place = row.where(row.ge(last, 0), last, place)
    if not any(padding):
        return place
    first: Any = 0
    for axis, begin in enumerate(_begins(x, tuple(place.shape[2:]), stride, padding)):
        d = dilation[axis]
        before = row.maximum(-begin, 0)
        steps = row.floor_divide(before + (d - 1), d) if d != 1 else before
        first = steps * math.prod(kernel[axis + 1 :]) + first
    highest = row.amax(windows, dims=inner, keepdim=False)
    return row.where(row.eq(highest, _lowest(x.dtype)), first, place)


def _max_index(x: Any, **attrs: Any) -> Any:
    """From the place within the window to the place within the image."""
    place = _place(x, True, **attrs)
    begins = _begins(x, tuple(place.shape[2:]), attrs["stride"], attrs["padding"])
    result: Any = None
    for axis, k in enumerate(_along_dims(place, attrs["kernel"])):
        spot = begins[axis] + k * attrs["dilation"][axis]
        result = spot if result is None else result * x.shape[2 + axis] + spot
    return result


def _fast_place(x: Array, last_nan: bool = False, **attrs: Any) -> Array:
    """Forwards through the window, so that the first of equal elements stays.

    Sums of masks, since NumPy branches at every element of a masked copy.
    """
    shown, _ = shifted(x, _fill(x), **attrs)
    best = np.array(shown[0][1], order="C")
    for _, view in shown[1:]:
        np.maximum(best, view, out=best)
    nan = bool((best != best).any())
    small = np.min_scalar_type(len(shown))
    place: Array = np.zeros(best.shape, small)
    free: Array = np.ones(best.shape, np.bool_)
    for number, (at, view) in enumerate(shown):
        chosen = view == best
        if nan:
            chosen |= view != view
        chosen &= _inside(at, best.shape[2:], attrs)
        chosen &= free
        free ^= chosen
        place += chosen * small.type(number)
    if nan and last_nan:
        for number, (_, view) in enumerate(shown):
            place[view != view] = number
    return place


def _inside(at: Amounts, counts: Amounts, attrs: dict[str, Any]) -> Any:
    """Which windows have their element ``at`` behind the first border."""
    result: Any = np.True_
    for axis, k in enumerate(at):
        s, p, d = (attrs[name][axis] for name in ("stride", "padding", "dilation"))
        if k * d < p:
            here = np.arange(counts[axis]) * s - p + k * d >= 0
            result = result & here.reshape((-1,) + (1,) * (len(at) - 1 - axis))
    return result


def _fast_index(x: Array, **attrs: Any) -> Array:
    place = _fast_place(x, True, **attrs).astype(np.int64)
    result: Any = 0
    for axis, k in enumerate(np.unravel_index(place, attrs["kernel"])):
        s, p, d = (attrs[name][axis] for name in ("stride", "padding", "dilation"))
        begin = np.arange(place.shape[axis + 2]) * s - p
        begin = begin.reshape((-1,) + (1,) * (x.ndim - 3 - axis))
        result = result * x.shape[2 + axis] + begin + k * d
    return np.asarray(result, np.int64)


MAX_POOL_INDEX = composite(
    "max_pool_index",
    _max_index,
    infer=lambda x, **attrs: _max_type(x, **attrs).with_dtype(dtypes.int64),
    numpy=_fast_index,
    samples=_max_samples,
    reference=lambda x, **attrs: _chosen(x, **attrs)[1],
)

# -------------------------------------------------------------------------------------- gradient


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


def _is_chosen(x: Any, **attrs: Any) -> Any:
    """For each element of each window whether it is the chosen one; of several NaN the first.

    A place within the window is all it takes, so kernels keep one small integer a window.
    """
    kernel = attrs["kernel"]
    place = row.cast(_place(x, **attrs), dtype=dtypes.int32)
    within = row.reshape(_iota(x, (math.prod(kernel),), 0, 0, 1), shape=kernel)
    column = row.reshape(place, shape=(*place.shape, *(1,) * len(kernel)))
    return row.eq(column, row.cast(within, dtype=dtypes.int32))


def _backward(g: Any, x: Any, **attrs: Any) -> Any:
    kernel = attrs["kernel"]
    ones = (1,) * len(kernel)
    parts = row.where(_is_chosen(x, **attrs), row.reshape(g, shape=(*g.shape, *ones)), 0)
    return folded(parts, tuple(x.shape), **attrs)


def _fast_backward(g: Array, x: Array, **attrs: Any) -> Array:
    place = _fast_place(x, **attrs)
    target: Array = np.zeros(x.shape, g.dtype)
    shown, before = shifted(target, 0, **attrs)
    wide = target if shown[0][1].base is target else shown[0][1].base
    g = np.ascontiguousarray(g)
    for number, (_, view) in enumerate(shown):
        view += kept(g, place == number)
    assert wide is not None
    inside = (slice(b, b + n) for b, n in zip(before, x.shape[2:], strict=True))
    middle: tuple[Any, ...] = (slice(None), slice(None), *inside)
    return np.ascontiguousarray(wide[middle])


def _backward_vjp(h: Any, _y: Any, _g: Any, x: Any, **attrs: Any) -> tuple[Any, Any]:
    """Each window reads at its chosen place; which one that is does not change by little."""

    def to_g() -> Any:
        windows = framed_windows(h, 0.0, **attrs)
        inner = inner_dims(windows, len(attrs["kernel"]))
        return row.sum(row.where(_is_chosen(x, **attrs), windows, 0), dims=inner, keepdim=False)

    return to_g, lambda: zeros_like(x)


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
    index = _chosen(x, **attrs)[1]
    result: Array = np.zeros(x.shape, np.float64)
    for at in np.ndindex(*g.shape):
        place = (*at[:2], *np.unravel_index(int(index[at]), x.shape[2:]))
        result[place] += float(g[at])
    return result.astype(g.dtype)


MAX_POOL_BACKWARD = composite(
    "max_pool_backward",
    _backward,
    _backward_vjp,
    infer=_backward_type,
    numpy=_fast_backward,
    samples=_backward_samples,
    reference=_backward_reference,
)
