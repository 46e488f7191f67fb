"""Where arrays lie: their addresses, and whether their memory is shared."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from graphc.ir import TensorType


@cache
def address_reader() -> "Callable[[np.ndarray[Any, Any]], int]":
    """How the address of an array is read; the first compilation loads the back wing for it."""
    from graphc.backends.c import address_of

    return address_of


def extent(array: "np.ndarray[Any, Any]") -> tuple[int, int]:
    """First and last address (exclusive) of an array's memory."""
    low = high = address_reader()(array)
    if array.size == 0:
        return low, low
    for size, stride in zip(array.shape, array.strides, strict=True):
        if stride < 0:
            low += stride * (size - 1)
        else:
            high += stride * (size - 1)
    return low, high + array.itemsize


def apart(lows: Sequence[int], highs: Sequence[int], written: Sequence[bool]) -> bool:
    """Whether no written range overlaps another range."""
    ranges = sorted(zip(lows, highs, written, strict=True))
    end, end_written = -1, -1  # how far any range, and any written range, has reached
    for low, high, is_written in ranges:
        if low == high:
            continue
        if low < end_written or (is_written and low < end):
            return False
        end = max(end, high)
        if is_written:
            end_written = max(end_written, high)
    return True


def bytes_of(type_: TensorType) -> int:
    """The size of a contiguous value of this type."""
    count = type_.dtype.itemsize
    for size in type_.shape:
        assert isinstance(size, int)
        count *= size
    return count
