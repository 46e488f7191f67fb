"""``as_strided``: any regular walk through flat memory, as a view of it.

The operand is one-dimensional: the elements of a storage in their order. Element ``i`` of the
result is element ``offset + sum(i[d] * stride[d])``; walks may meet themselves, so the gradient
adds up, and a write through such a view keeps the last value written in row-major order.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.ir import OPS, IndexMap, Op, Sample, Source, TensorType, register
from graphc.ops.rules import Array, row, zeros_like
from graphc.ops.views import Amounts, Index, arrays_of
from graphc.sizes import Int


def _type(x: TensorType, *, size: Amounts, stride: Amounts, offset: int) -> TensorType:
    if x.ndim != 1:
        raise ShapeError(f"as_strided: memory is one-dimensional, not {list(x.shape)}")
    if len(size) != len(stride):
        raise ShapeError(
            f"mismatch in length of strides and shape: {len(stride)} strides, {len(size)} sizes"
        )
    if any(n < 0 for n in size):
        raise ShapeError(f"as_strided: sizes must not be negative, but got {list(size)}")
    if any(s < 0 for s in stride):
        raise ShapeError(
            "as_strided: Negative strides are not supported at the moment, got strides: "
            f"{list(stride)}"
        )
    if offset < 0:
        raise ShapeError(f"Tensor: invalid storage offset {offset}")
    needed = 1 + offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    have = x.shape[0]
    if 0 not in size and isinstance(have, int) and needed > have:
        raise ShapeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {offset}, and "
            f"itemsize {x.dtype.itemsize} requiring a storage size of "
            f"{needed * x.dtype.itemsize} are out of bounds for storage of size "
            f"{have * x.dtype.itemsize}"
        )
    return x.with_shape(size)


def _evaluate(x: Array, *, size: Amounts, stride: Amounts, offset: int) -> Array:
    (step,) = x.strides
    return np.lib.stride_tricks.as_strided(x[offset:], size, [s * step for s in stride])


def _rule(
    index: Index, _x: TensorType, *, size: Amounts, stride: Amounts, offset: int
) -> tuple[Source, ...]:
    del size
    place: Int = offset
    for i, step in zip(index, stride, strict=True):
        place = place + i * step
    return (Source(0, (place,)),)


def _places(like: Any, size: Amounts, stride: Amounts, offset: int) -> Any:
    """The positions in memory, an int64 operand of shape ``size``."""
    attrs = {"dtype": dtypes.int64, "device": like.device}
    total = like.__apply__(OPS["full"], (), {"value": offset, "shape": size, **attrs})
    for d, step in enumerate(stride):
        walk = {"shape": size, "dim": d, "start": 0, "step": step, **attrs}
        total = total + like.__apply__(OPS["iota"], (), walk)
    return total


def _vjp(g: Any, _y: Any, _x: Any, **attrs: Any) -> tuple[Any]:
    return (row.put_index(zeros_like(_x), _places(_x, **attrs), g, dim=0, add=True),)


def _put(base: Any, value: Any, **attrs: Any) -> Any:
    return row.put_index(base, _places(base, **attrs), value, dim=0, add=False)


_WALKS: tuple[tuple[Amounts, Amounts, int], ...] = (
    ((3, 4), (4, 1), 0),
    ((4, 3), (1, 4), 0),
    ((2, 3), (6, 2), 1),
    ((5,), (2,), 2),
    ((), (), 7),
    ((0, 3), (1, 1), 12),
    ((2, 1, 2), (5, 3, 1), 3),
)


def _samples() -> Iterable[Sample]:
    for size, stride, offset in _WALKS:
        for x in arrays_of((12,)):
            yield Sample((x,), {"size": size, "stride": stride, "offset": offset})
    for x in arrays_of((6,)):  # walks that meet themselves
        yield Sample((x,), {"size": (4, 3), "stride": (1, 1), "offset": 0})
        yield Sample((x,), {"size": (2, 3), "stride": (0, 2), "offset": 1})


def _reference(x: Array, *, size: Amounts, stride: Amounts, offset: int) -> Array:
    places = [
        offset + sum(i * s for i, s in zip(at, stride, strict=True)) for at in np.ndindex(*size)
    ]
    return np.array([x[p] for p in places], x.dtype).reshape(size)


AS_STRIDED = register(
    Op("as_strided", _type, _evaluate, IndexMap(_rule), _vjp, _put, _samples, _reference)
)
