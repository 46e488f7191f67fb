"""The average of each window, over one to three spatial dims.

A window counts its elements, those of the border included or not, or a number that is given; what
``ceil_mode`` lets reach over the padded end never counts. Of integers only the whole part stays.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.ir import Sample, TensorType
from graphc.ops.pool import (
    CASES,
    Amounts,
    folded,
    framed_windows,
    inner_dims,
    pooled_shape,
    settings_of,
    shifted,
)
from graphc.ops.rules import HALVES, Array, Kind, Shape, check_kind, composite, row, spread
from graphc.sizes import Int


def _avg_type(
    x: TensorType,
    *,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> TensorType:
    del count_include_pad
    check_kind("avg_pool", x, Kind.NUMBER)
    if divisor_override == 0:
        raise ShapeError("divisor must be not zero")
    ones = (1,) * len(kernel)
    return x.with_shape(pooled_shape("avg_pool", x.shape, kernel, stride, padding, ones, ceil_mode))


def _counts(
    size: int, windows: int, kernel: int, stride: int, padding: int, include: bool
) -> list[int]:
    """How many elements each window of one dim counts: those inside, or the border's too."""
    low, high = (-padding, size + padding) if include else (0, size)
    starts = [i * stride - padding for i in range(windows)]
    return [min(start + kernel, high) - max(start, low) for start in starts]


def _divided(
    total: Any,
    sizes: Shape,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """A value for each window divided by what the window counts; integers lose the fraction."""
    divide = row.div if total.dtype.is_floating_point else row.trunc_divide
    if divisor_override is not None:
        return divide(total, divisor_override)
    n = len(kernel)
    whole = 1
    for axis in range(n):
        size, windows = sizes[axis], total.shape[2 + axis]
        k, s, p = kernel[axis], stride[axis], padding[axis]
        if isinstance(size, int) and isinstance(windows, int):
            counts = _counts(size, windows, k, s, p, count_include_pad)
            if set(counts) <= {k}:
                whole *= k
                continue
        elif p == 0 or count_include_pad:
            whole *= k
            continue
        total = divide(total, _count_operand(total, axis, size, k, s, p, count_include_pad))
    return divide(total, whole) if whole != 1 else total


def _count_operand(
    total: Any, axis: int, size: Int, kernel: int, stride: int, padding: int, include: bool
) -> Any:
    """The counts of one dim as an operand that broadcasts over the others."""
    shape = tuple(total.shape[d] if d == 2 + axis else 1 for d in range(len(total.shape)))
    attrs = {"shape": shape, "dim": 2 + axis, "dtype": dtypes.int64, "step": stride}
    low, high = (-padding, size + padding) if include else (0, size)
    device = {"device": total.device}
    start = total.__apply__(row.iota, (), {**attrs, "start": -padding, **device})
    inside = row.minimum(start + kernel, high) - row.maximum(start, low)
    return row.cast(inside, dtype=total.dtype)


def _average(
    x: Any,
    *,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    ones = (1,) * len(kernel)
    windows = framed_windows(x, 0, kernel, stride, padding, ones, ceil_mode)
    total = row.sum(windows, dims=inner_dims(windows, len(kernel)), keepdim=False)
    sizes = tuple(x.shape[2:])
    return _divided(total, sizes, kernel, stride, padding, count_include_pad, divisor_override)


def _average_vjp(
    g: Any,
    _y: Any,
    _x: Any,
    *,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> tuple[Any]:
    shape = tuple(_x.shape)
    share = _divided(g, shape[2:], kernel, stride, padding, count_include_pad, divisor_override)
    ones = (1,) * len(kernel)
    spread_out = row.expand(
        row.reshape(share, shape=(*share.shape, *ones)), shape=(*share.shape, *kernel)
    )
    return (
        folded(
            spread_out,
            shape,
            kernel=kernel,
            stride=stride,
            padding=padding,
            dilation=ones,
            ceil_mode=ceil_mode,
        ),
    )


def _fast_average(
    x: Array,
    *,
    kernel: Amounts,
    stride: Amounts,
    padding: Amounts,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    (_, first), *others = shifted(
        x,
        0,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=(1,) * len(kernel),
        ceil_mode=ceil_mode,
    )[0]
    total: Array = np.array(first, order="C")
    for _, view in others:
        total += view
    divide = row.div if x.dtype.kind not in "iu" else row.trunc_divide
    if divisor_override is not None:
        return np.asarray(divide.evaluate(total, x.dtype.type(divisor_override)))
    divisor: Any = np.ones((), x.dtype)
    for axis, (k, s, p) in enumerate(zip(kernel, stride, padding, strict=True)):
        counts = _counts(x.shape[2 + axis], total.shape[2 + axis], k, s, p, count_include_pad)
        divisor = np.multiply.outer(divisor, np.array(counts, x.dtype))
    return np.asarray(divide.evaluate(total, divisor))


def _avg_samples() -> Iterable[Sample]:
    for i, case in enumerate(CASES):
        if case[4] != (1,) * len(case[4]):
            continue
        attrs = settings_of(case)
        del attrs["dilation"]
        for include, override in ((True, None), (False, None), (True, 3)):
            more = {**attrs, "count_include_pad": include, "divisor_override": override}
            for dtype in (np.float64, np.float32, *(sorted(HALVES, key=str) if i == 4 else ())):
                yield Sample((spread(case[0], -5, 5, dtype),), more)
            if i in (1, 5):
                yield Sample((spread(case[0], -99, 99, np.int64),), more)


def _avg_reference(
    x: Array, *, count_include_pad: bool, divisor_override: int | None, **attrs: Any
) -> Array:
    kernel, stride, padding = attrs["kernel"], attrs["stride"], attrs["padding"]
    ones = (1,) * len(kernel)
    shape: Any = pooled_shape("avg_pool", x.shape, dilation=ones, **attrs)
    result: Array = np.empty(shape, x.dtype)
    for at in np.ndindex(*shape):
        low = [o * s - p for o, s, p in zip(at[2:], stride, padding, strict=True)]
        end = [
            min(i + k, n + p) for i, k, n, p in zip(low, kernel, x.shape[2:], padding, strict=True)
        ]
        inside = tuple(
            slice(max(a, 0), min(b, n)) for a, b, n in zip(low, end, x.shape[2:], strict=True)
        )
        values = x[at[:2]][inside].astype(np.float64)
        covered = math.prod(b - a for a, b in zip(low, end, strict=True))
        count = divisor_override or (covered if count_include_pad else values.size)
        mean = values.sum() / count
        result[at] = math.trunc(mean) if x.dtype.kind == "i" else mean
    return result


AVG_POOL = composite(
    "avg_pool",
    _average,
    _average_vjp,
    infer=_avg_type,
    numpy=_fast_average,
    samples=_avg_samples,
    reference=_avg_reference,
)
