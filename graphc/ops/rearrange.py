"""Rearrangements that are new memory: flips, padding, dilation, joins.

Every element of the result is an element of an operand, or a constant: each row is an index map.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.expressions import Divisible, InRange
from graphc.ir import IndexMap, Number, Op, Sample, Source, TensorType, register
from graphc.ops.rules import (
    Array,
    check_dims,
    integers,
    row,
    same_device,
    same_dtype,
    special,
    spread,
)
from graphc.ops.views import Amounts, Index, arrays_of, per_dim
from graphc.sizes import Int, floordiv

# ------------------------------------------------------------------------------------------ flip


def _flip_type(x: TensorType, *, dims: Amounts) -> TensorType:
    check_dims("flip", dims, x.ndim)
    return x


def _flip_rule(index: Index, x: TensorType, *, dims: Amounts) -> tuple[Source, ...]:
    place = tuple(
        n - 1 - i if d in dims else i for d, (i, n) in enumerate(zip(index, x.shape, strict=True))
    )
    return (Source(0, place),)


def _flip_samples() -> Iterable[Sample]:
    for dims in ((), (0,), (1,), (0, 2), (0, 1, 2)):
        for x in arrays_of((2, 3, 4)):
            yield Sample((x,), {"dims": dims})
    yield Sample((spread((0, 2), -1, 1, np.float32),), {"dims": (0,)})


FLIP = register(
    Op(
        "flip",
        _flip_type,
        lambda x, *, dims: np.flip(x, dims).copy(),
        IndexMap(_flip_rule),
        lambda g, _y, _x, *, dims: (row.flip(g, dims=dims),),
        samples=_flip_samples,
        reference=lambda x, *, dims: x[
            tuple(slice(None, None, -1 if d in dims else 1) for d in range(x.ndim))
        ],
    )
)

# ------------------------------------------------------------------------------------------- pad


def _pad_type(x: TensorType, *, before: Index, after: Index, value: Number) -> TensorType:
    """Negative amounts crop."""
    del value
    per_dim("pad", x, before=before, after=after)
    shape = tuple(a + n + b for a, n, b in zip(before, x.shape, after, strict=True))
    for d, size in enumerate(shape):
        if isinstance(size, int) and size < 0:
            raise ShapeError(
                f"The input size {x.shape[d]}, plus negative padding {before[d]} and {after[d]}, "
                f"resulted in a negative output size, which is invalid. Check dimension {d} of "
                "your input."
            )
    return x.with_shape(shape)


def _pad(x: Array, *, before: Amounts, after: Amounts, value: Number) -> Array:
    shape = tuple([a + n + b for a, n, b in zip(before, x.shape, after, strict=True)])
    result: Array = np.zeros(shape, x.dtype) if value == 0 else np.full(shape, value, x.dtype)
    inside = tuple(
        [slice(max(a, 0), n - max(b, 0)) for a, n, b in zip(before, shape, after, strict=True)]
    )
    if min(before, default=0) < 0 or min(after, default=0) < 0:
        x = x[
            tuple(
                [
                    slice(max(-a, 0), max(n + min(b, 0), 0))
                    for a, n, b in zip(before, x.shape, after, strict=True)
                ]
            )
        ]
    result[inside] = x
    return result


def _pad_rule(
    index: Index, x: TensorType, *, before: Index, after: Index, value: Number
) -> tuple[Source, ...]:
    del value
    place = tuple(i - a for i, a in zip(index, before, strict=True))
    conditions = tuple(
        InRange(i, n)
        for i, n, a, b in zip(place, x.shape, before, after, strict=True)
        if not (isinstance(a, int) and a <= 0 and isinstance(b, int) and b <= 0)
    )
    return (Source(0, place, conditions),)


def _pad_vjp(g: Any, _y: Any, _x: Any, *, before: Index, after: Index, value: Number) -> tuple[Any]:
    del value
    if all(not isinstance(n, int) or n >= 0 for n in (*before, *after)):
        stops = tuple(a + n for a, n in zip(before, _x.shape, strict=True))
        return (row.slice(g, starts=tuple(before), stops=stops, steps=(1,) * len(stops)),)
    back = {"before": tuple(-a for a in before), "after": tuple(-b for b in after)}
    return (row.pad(g, **back, value=0),)


def _pad_samples() -> Iterable[Sample]:
    for before, after, value in (
        ((0, 1), (2, 0), 0),
        ((1, 1), (1, 1), 1),
        ((-1, 2), (0, -1), 0),
        ((0, 0), (0, 0), 0),
    ):
        for x in arrays_of((3, 4)):
            yield Sample((x,), {"before": before, "after": after, "value": value})
    for fill in (0.5, -0.0, math.inf, -math.inf, math.nan):
        x = special(np.float32)
        yield Sample((x,), {"before": (2,), "after": (1,), "value": fill}, differentiable=False)
    yield Sample((integers("int8"),), {"before": (1,), "after": (0,), "value": -3})
    yield Sample((spread((), 0, 1, np.float64),), {"before": (), "after": (), "value": 1})
    yield Sample(
        (spread((0, 2), 0, 1, np.float64),), {"before": (1, 0), "after": (1, 0), "value": 2.5}
    )


def _pad_reference(x: Array, *, before: Amounts, after: Amounts, value: Number) -> Array:
    grown = [(max(a, 0), max(b, 0)) for a, b in zip(before, after, strict=True)]
    wide = np.pad(x, grown, constant_values=x.dtype.type(value)) if x.ndim else x
    return wide[
        tuple(
            slice(max(-a, 0), n - max(-b, 0))
            for a, b, n in zip(before, after, wide.shape, strict=True)
        )
    ]


PAD = register(
    Op(
        "pad",
        _pad_type,
        _pad,
        IndexMap(_pad_rule, fill="value"),
        _pad_vjp,
        samples=_pad_samples,
        reference=_pad_reference,
    )
)

# ---------------------------------------------------------------------------------------- dilate


def _dilated(size: Int, step: int) -> Int:
    return 0 if size == 0 else (size - 1) * step + 1


def _dilate_type(x: TensorType, *, steps: Amounts) -> TensorType:
    per_dim("dilate", x, steps=steps)
    if any(step < 1 for step in steps):
        raise ShapeError(f"dilate: steps must be greater than zero, not {steps}")
    return x.with_shape(_dilated(n, step) for n, step in zip(x.shape, steps, strict=True))


def _dilate(x: Array, *, steps: Amounts) -> Array:
    shape = [(n - 1) * step + 1 if n else 0 for n, step in zip(x.shape, steps, strict=True)]
    result: Array = np.zeros(shape, x.dtype)
    result[tuple([slice(None, None, step) for step in steps])] = x
    return result


def _dilate_rule(index: Index, _x: TensorType, *, steps: Amounts) -> tuple[Source, ...]:
    conditions = tuple(
        Divisible(i, step) for i, step in zip(index, steps, strict=True) if step != 1
    )
    place = tuple(floordiv(i, step) for i, step in zip(index, steps, strict=True))
    return (Source(0, place, conditions),)


def _dilate_vjp(g: Any, _y: Any, _x: Any, *, steps: Amounts) -> tuple[Any]:
    shape = tuple(g.shape)
    return (row.slice(g, starts=(0,) * len(shape), stops=shape, steps=steps),)


def _dilate_samples() -> Iterable[Sample]:
    for steps in ((1, 2), (3, 1), (2, 4), (1, 1)):
        for x in arrays_of((3, 4), (1, 2)):
            yield Sample((x,), {"steps": steps})
    yield Sample((spread((0, 2), 0, 1, np.float64),), {"steps": (2, 3)})


def _dilate_reference(x: Array, *, steps: Amounts) -> Array:
    for axis, step in enumerate(steps):
        places = [i * step for i in range(x.shape[axis])]
        out = np.zeros(
            (*x.shape[:axis], max(places, default=-1) + 1, *x.shape[axis + 1 :]), x.dtype
        )
        for i, place in enumerate(places):
            np.moveaxis(out, axis, 0)[place] = np.moveaxis(x, axis, 0)[i]
        x = out
    return x


DILATE = register(
    Op(
        "dilate",
        _dilate_type,
        _dilate,
        IndexMap(_dilate_rule),
        _dilate_vjp,
        samples=_dilate_samples,
        reference=_dilate_reference,
    )
)

# ------------------------------------------------------------------------------------------- cat


def _cat_type(*xs: TensorType, dim: int) -> TensorType:
    if not xs:
        raise ShapeError("cat: expected a non-empty list of Tensors")
    first = xs[0]
    if first.ndim == 0:
        raise ShapeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    check_dims("cat", (dim,), first.ndim)
    same_device(*xs)
    total: Int = 0
    for number, x in enumerate(xs):
        if x.ndim != first.ndim:
            raise ShapeError(
                f"Tensors must have same number of dimensions: got {first.ndim} and {x.ndim}"
            )
        for d, (size, other) in enumerate(zip(first.shape, x.shape, strict=True)):
            if d != dim and size != other:
                raise ShapeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {size} "
                    f"but got size {other} for tensor number {number} in the list."
                )
        total = total + x.shape[dim]
    shape = (*first.shape[:dim], total, *first.shape[dim + 1 :])
    return TensorType(shape, same_dtype("cat", *xs), first.device)


def _cat_rule(index: Index, *xs: TensorType, dim: int) -> tuple[Source, ...]:
    """The last part needs no condition: it is what is left."""
    sources = []
    offset: Int = 0
    for number, x in enumerate(xs):
        inside = index[dim] - offset
        place = (*index[:dim], inside, *index[dim + 1 :])
        last = number == len(xs) - 1
        sources.append(Source(number, place, () if last else (InRange(inside, x.shape[dim]),)))
        offset = offset + x.shape[dim]
    return tuple(sources)


def _cat_vjp(g: Any, _y: Any, *_xs: Any, dim: int) -> tuple[Any, ...]:
    shape = tuple(g.shape)
    parts = []
    offset: Int = 0
    for x in _xs:
        end = offset + x.shape[dim]
        starts = tuple(offset if d == dim else 0 for d in range(len(shape)))
        stops = tuple(end if d == dim else n for d, n in enumerate(shape))
        parts.append(row.slice(g, starts=starts, stops=stops, steps=(1,) * len(shape)))
        offset = end
    return tuple(parts)


def _cat_samples() -> Iterable[Sample]:
    for dim in (0, 1, 2):
        shapes = [tuple(k if d == dim else n for d, n in enumerate((2, 3, 2))) for k in (1, 3, 0)]
        for dtype in (np.float64, np.float32, np.int64, np.bool_):
            arrays = tuple(spread(s, -9, 9, dtype, i) for i, s in enumerate(shapes))
            yield Sample(arrays, {"dim": dim})
            yield Sample(arrays[:1], {"dim": dim})
    yield Sample((special(np.float32), special(np.float32)), {"dim": 0}, differentiable=False)


CAT = register(
    Op(
        "cat",
        _cat_type,
        lambda *xs, dim: np.concatenate(xs, axis=dim),
        IndexMap(_cat_rule),
        _cat_vjp,
        samples=_cat_samples,
        reference=lambda *xs, dim: np.moveaxis(
            np.array([part for x in xs for part in np.moveaxis(x, dim, 0)], xs[0].dtype), 0, dim
        ),
    )
)
