"""Overlapping windows and their sums, in any number of dims.

``window`` shows every window of a tensor, ``fold`` adds windows back where they came from; each is
the other's gradient. Window ``w`` of a dim begins at ``w * stride``; its element ``k`` lies
``k * dilation`` further. Convolutions and pools are written with these two.

``fold`` has to add, so it is no index map itself: ``spread_windows`` is one, which gives every
element of the folded tensor a column of what the windows put there, and a sum finishes it.
"""

from collections.abc import Iterable, Iterator
from itertools import product as combinations
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.expressions import Condition, Divisible, InRange
from graphc.ir import Decompose, IndexMap, Op, Sample, Source, TensorType, register
from graphc.ops.evaluation import Quiet
from graphc.ops.rules import Array, Shape, check_dims, full_like, row, spread
from graphc.sizes import Int, floordiv

Index = tuple[Int, ...]
Amounts = tuple[int, ...]


def windows_in(size: Int, window: int, stride: int, dilation: int) -> Int:
    """How many whole windows a dim of ``size`` elements has."""
    return floordiv(size - dilation * (window - 1) - 1, stride) + 1


def _window_shape(
    name: str, shape: Shape, dims: Amounts, sizes: Amounts, strides: Amounts, dilations: Amounts
) -> Shape:
    check_dims(name, dims, len(shape))
    if not len(dims) == len(sizes) == len(strides) == len(dilations):
        raise ShapeError(
            f"{name}: dims={dims}, sizes={sizes}, strides={strides} and dilations={dilations} "
            "need one entry for each dim"
        )
    result = list(shape)
    for d, window, stride, dilation in zip(dims, sizes, strides, dilations, strict=True):
        if window < 1 or stride < 1 or dilation < 1:
            raise ShapeError(
                f"{name}: size, stride and dilation must be greater than zero, but got {window}, "
                f"{stride} and {dilation} for dimension {d}"
            )
        size, extent = shape[d], dilation * (window - 1) + 1
        if isinstance(size, int) and size < extent:
            raise ShapeError(
                f"maximum size for tensor at dimension {d} is {size} but size is {extent}"
            )
        result[d] = windows_in(size, window, stride, dilation)
    return (*result, *sizes)


# ---------------------------------------------------------------------------------------- window


def _window_type(x: TensorType, **attrs: Any) -> TensorType:
    return x.with_shape(_window_shape("window", x.shape, **attrs))


def _window(
    x: Array, *, dims: Amounts, sizes: Amounts, strides: Amounts, dilations: Amounts
) -> Array:
    shape, steps = list(x.shape), list(x.strides)
    inner = []
    for d, window, stride, dilation in zip(dims, sizes, strides, dilations, strict=True):
        shape[d] = (x.shape[d] - dilation * (window - 1) - 1) // stride + 1
        inner.append(x.strides[d] * dilation)
        steps[d] = x.strides[d] * stride
    return np.lib.stride_tricks.as_strided(x, (*shape, *sizes), (*steps, *inner))


def _window_rule(
    index: Index,
    x: TensorType,
    *,
    dims: Amounts,
    sizes: Amounts,
    strides: Amounts,
    dilations: Amounts,
) -> tuple[Source, ...]:
    del sizes
    place = list(index[: x.ndim])
    inner = index[x.ndim :]
    for d, k, stride, dilation in zip(dims, inner, strides, dilations, strict=True):
        place[d] = place[d] * stride + k * dilation
    return (Source(0, tuple(place)),)


def _window_vjp(g: Any, _y: Any, _x: Any, **attrs: Any) -> tuple[Any]:
    return (row.fold(g, shape=tuple(_x.shape), **attrs),)


def _window_put(base: Any, value: Any, **attrs: Any) -> Any:
    """Windows that do not overlap can be written to; elements between them stay."""
    for window, stride, dilation in zip(
        attrs["sizes"], attrs["strides"], attrs["dilations"], strict=True
    ):
        # Two elements meet where (k - k') * dilation is a multiple of the stride.
        if any(k * dilation % stride == 0 for k in range(1, window)):
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor refers to "
                "a single memory location. Please clone() the tensor before performing the "
                "operation."
            )
    shape = tuple(base.shape)
    if base.dtype is dtypes.bool:  # truth values are joined as numbers
        numbers = [row.cast(x, dtype=dtypes.uint8) for x in (base, value)]
        return row.cast(_window_put(*numbers, **attrs), dtype=dtypes.bool)
    written = row.fold(full_like(value, 1), shape=shape, **attrs)
    return row.where(row.ne(written, 0), row.fold(value, shape=shape, **attrs), base)


_WINDOWS: tuple[tuple[tuple[int, ...], Amounts, Amounts, Amounts, Amounts], ...] = (
    ((5,), (0,), (2,), (1,), (1,)),
    ((6,), (0,), (2,), (2,), (1,)),
    ((7,), (0,), (2,), (3,), (1,)),
    ((7,), (0,), (2,), (2,), (3,)),
    ((2, 5, 6), (1, 2), (3, 2), (1, 2), (1, 1)),
    ((2, 5, 6), (1, 2), (2, 2), (3, 2), (2, 3)),
    ((3, 4), (0, 1), (3, 4), (1, 1), (1, 1)),
    ((2, 3, 4, 3), (1, 2, 3), (2, 3, 1), (1, 1, 2), (1, 1, 1)),
    ((0, 4), (1,), (2,), (1,), (1,)),
)


def _window_samples() -> Iterable[Sample]:
    for shape, *rest in _WINDOWS:
        attrs = dict(zip(("dims", "sizes", "strides", "dilations"), rest, strict=True))
        for dtype in (np.float64, np.float32, np.int64):
            yield Sample((spread(shape, -9, 9, dtype),), attrs)
    yield Sample(
        (spread((6, 5), -1, 1, np.float32).T,),
        {"dims": (1,), "sizes": (3,), "strides": (2,), "dilations": (1,)},
    )


def _places(
    shape: tuple[int, ...],
    dims: Amounts,
    sizes: Amounts,
    strides: Amounts,
    dilations: Amounts,
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Every index of the windows of a shape, with the index it shows."""
    counts = list(shape)
    for d, window, stride, dilation in zip(dims, sizes, strides, dilations, strict=True):
        counts[d] = len(range(0, shape[d] - dilation * (window - 1), stride))
    for at in combinations(*map(range, counts)):
        for inner in combinations(*map(range, sizes)):
            place = list(at)
            for d, k, stride, dilation in zip(dims, inner, strides, dilations, strict=True):
                place[d] = at[d] * stride + k * dilation
            yield (*at, *inner), tuple(place)


def _window_reference(x: Array, **attrs: Any) -> Array:
    found = {at: x[place] for at, place in _places(x.shape, **attrs)}
    shape = _window_shape("window", x.shape, **attrs)
    return np.array([found[at] for at in np.ndindex(*shape)], x.dtype).reshape(shape)  # type: ignore[arg-type]


WINDOW = register(
    Op(
        "window",
        _window_type,
        _window,
        IndexMap(_window_rule),
        _window_vjp,
        _window_put,
        _window_samples,
        _window_reference,
    )
)

# ------------------------------------------------------------------------------------------ fold


def _fold_type(g: TensorType, *, shape: Shape, **attrs: Any) -> TensorType:
    expected = _window_shape("fold", shape, **attrs)
    if g.shape != expected:
        raise ShapeError(
            f"fold: expected windows of shape {list(expected)} for a result of shape "
            f"{list(shape)}, but got {list(g.shape)}"
        )
    return g.with_shape(shape)


def _fold(
    g: Array,
    *,
    shape: tuple[int, ...],
    dims: Amounts,
    sizes: Amounts,
    strides: Amounts,
    dilations: Amounts,
) -> Array:
    """One strided addition for each element of the window."""
    result: Array = np.zeros(shape, g.dtype)
    target: list[Any] = [slice(None)] * len(shape)
    for inner in np.ndindex(*sizes):
        for d, k, stride, dilation in zip(dims, inner, strides, dilations, strict=True):
            start = k * dilation
            target[d] = slice(start, start + (g.shape[d] - 1) * stride + 1, stride)
        source: tuple[Any, ...] = (Ellipsis, *inner)
        result[tuple(target)] += g[source]
    return result


def _fold_parts(g: Any, *, shape: Shape, dims: Amounts, sizes: Amounts, **attrs: Any) -> Any:
    parts = row.spread_windows(g, shape=shape, dims=dims, sizes=sizes, **attrs)
    return row.sum(parts, dims=tuple(range(len(shape), len(shape) + len(sizes))), keepdim=False)


def _fold_vjp(g: Any, _y: Any, _x: Any, *, shape: Shape, **attrs: Any) -> tuple[Any]:
    del shape
    return (row.window(g, **attrs),)


def _fold_samples(dtypes: Iterable[Any] = (np.float64, np.float32, np.int64)) -> Iterable[Sample]:
    for shape, *rest in _WINDOWS:
        attrs = dict(zip(("dims", "sizes", "strides", "dilations"), rest, strict=True))
        windows: Any = _window_shape("fold", shape, *rest)
        for dtype in dtypes:
            yield Sample((spread(windows, -9, 9, dtype),), {"shape": shape, **attrs})


def _fold_reference(g: Array, *, shape: tuple[int, ...], **attrs: Any) -> Array:
    result: Array = np.zeros(shape, g.dtype)
    for at, place in _places(shape, **attrs):
        result[place] += g[at]
    return result


FOLD = register(
    Op(
        "fold",
        _fold_type,
        Quiet(_fold),
        Decompose(_fold_parts),
        _fold_vjp,
        samples=_fold_samples,
        reference=_fold_reference,
    )
)

# ---------------------------------------------------------------- spread_windows, gather_windows


def _spread_type(g: TensorType, *, shape: Shape, sizes: Amounts, **attrs: Any) -> TensorType:
    return g.with_shape((*_fold_type(g, shape=shape, sizes=sizes, **attrs).shape, *sizes))


def _spread(g: Array, *, shape: tuple[int, ...], **attrs: Any) -> Array:
    """``result[p, k]`` is ``g[(p - k * dilation) / stride, k]`` where there is such a window."""
    result: Array = np.zeros((*shape, *attrs["sizes"]), g.dtype)
    _diagonal(result, **attrs)[...] = g
    return result


def _diagonal(
    x: Array, *, dims: Amounts, sizes: Amounts, strides: Amounts, dilations: Amounts
) -> Array:
    """The view ``[w, k]`` of ``x[w * stride + k * dilation, k]``."""
    rank = x.ndim - len(sizes)
    shape, steps = list(x.shape), list(x.strides)
    for n, (d, stride, dilation) in enumerate(zip(dims, strides, dilations, strict=True)):
        shape[d] = (x.shape[d] - dilation * (sizes[n] - 1) - 1) // stride + 1
        steps[d] = x.strides[d] * stride
        steps[rank + n] += x.strides[d] * dilation
    return np.lib.stride_tricks.as_strided(x, shape, steps)


def _spread_rule(
    index: Index,
    g: TensorType,
    *,
    shape: Shape,
    dims: Amounts,
    sizes: Amounts,
    strides: Amounts,
    dilations: Amounts,
) -> tuple[Source, ...]:
    rank = len(shape)
    place = list(index)
    conditions: list[Condition] = []
    for n, (d, stride, dilation) in enumerate(zip(dims, strides, dilations, strict=True)):
        begin = index[d] - index[rank + n] * dilation
        if sizes[n] > 1 or windows_in(shape[d], sizes[n], stride, dilation) * stride != shape[d]:
            conditions.append(InRange(begin, (g.shape[d] - 1) * stride + 1))
        if stride != 1:
            conditions.append(Divisible(begin, stride))
        place[d] = floordiv(begin, stride)
    return (Source(0, tuple(place), tuple(conditions)),)


def _gather_type(x: TensorType, *, shape: Shape, sizes: Amounts, **attrs: Any) -> TensorType:
    if x.shape != (*shape, *sizes):
        raise ShapeError(
            f"gather_windows: expected shape {[*shape, *sizes]}, but got {list(x.shape)}"
        )
    return x.with_shape(_window_shape("gather_windows", shape, sizes=sizes, **attrs))


def _gather_rule(
    index: Index,
    _x: TensorType,
    *,
    shape: Shape,
    dims: Amounts,
    sizes: Amounts,
    strides: Amounts,
    dilations: Amounts,
) -> tuple[Source, ...]:
    del sizes
    rank = len(shape)
    place = list(index)
    for n, (d, stride, dilation) in enumerate(zip(dims, strides, dilations, strict=True)):
        place[d] = index[d] * stride + index[rank + n] * dilation
    return (Source(0, tuple(place)),)


def _spread_reference(g: Array, *, shape: tuple[int, ...], **attrs: Any) -> Array:
    result: Array = np.zeros((*shape, *attrs["sizes"]), g.dtype)
    for at, place in _places(shape, **attrs):
        target = (*place, *at[len(shape) :])
        result[target] = g[at]
    return result


def _gather_samples() -> Iterable[Sample]:
    for shape, *rest in _WINDOWS:
        attrs = dict(zip(("dims", "sizes", "strides", "dilations"), rest, strict=True))
        for dtype in (np.float64, np.float32):
            x = spread((*shape, *attrs["sizes"]), -9, 9, dtype)
            yield Sample((x,), {"shape": shape, **attrs})


def _gather_reference(x: Array, *, shape: tuple[int, ...], **attrs: Any) -> Array:
    windows: Any = _window_shape("gather_windows", shape, **attrs)
    result: Array = np.empty(windows, x.dtype)
    for at, place in _places(shape, **attrs):
        source = (*place, *at[len(shape) :])
        result[at] = x[source]
    return result


SPREAD_WINDOWS = register(
    Op(
        "spread_windows",
        _spread_type,
        _spread,
        IndexMap(_spread_rule),
        lambda g, _y, _x, **attrs: (row.gather_windows(g, **attrs),),
        samples=_fold_samples,
        reference=_spread_reference,
    )
)
GATHER_WINDOWS = register(
    Op(
        "gather_windows",
        _gather_type,
        lambda x, *, shape, **attrs: _diagonal(x, **attrs).copy(),  # noqa: ARG005
        IndexMap(_gather_rule),
        lambda g, _y, _x, **attrs: (row.spread_windows(g, **attrs),),
        samples=_gather_samples,
        reference=_gather_reference,
    )
)
