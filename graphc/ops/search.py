"""Places in sorted sequences, by bisection.

``searchsorted(values, sequences, dim=1)`` has rows of values, and a sorted sequence for each row or
one for all of them; the result is how many elements of the sequence come before each value.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.ir import Named, Op, Sample, TensorType, Work, register
from graphc.ops.evaluation import Quiet
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    check_kind,
    same_device,
    same_dtype,
    special,
    spread,
)


def _searchsorted_type(
    values: TensorType, sequences: TensorType, *, dim: int, right: bool
) -> TensorType:
    del right
    same_device(values, sequences)
    same_dtype("searchsorted", values, sequences)
    check_kind("searchsorted", values, Kind.NUMBER)
    fits = values.ndim == sequences.ndim == 2 and dim == 1
    if not fits or sequences.shape[0] not in (values.shape[0], 1):
        raise ShapeError(
            "searchsorted needs rows of values (dim 1), and as many sorted sequences or a single "
            f"one, not {list(values.shape)} and {list(sequences.shape)} with dim {dim}"
        )
    return values.with_dtype(dtypes.int64)


def _bisected(values: Array, sequences: Array, right: bool) -> Array:
    """All values at once, in as many steps as the sequences have binary digits.

    A comparison with NaN is false, which moves to the right: NaN counts as the largest value.
    """
    rows, length = np.arange(len(sequences)).reshape(-1, 1), sequences.shape[1]
    low: Array = np.zeros(values.shape, np.int64)
    high: Array = np.full(values.shape, length, np.int64)
    for _ in range(length.bit_length()):
        middle = (low + high) >> 1
        met: Array = sequences[rows, np.minimum(middle, length - 1)]
        left = np.asarray(met > values if right else met >= values)
        searching = low < high
        high = np.where(searching & left, middle, high)
        low = np.where(searching & ~left, middle + 1, low)
    return low


def _searchsorted(values: Array, sequences: Array, *, dim: int, right: bool) -> Array:
    del dim
    ordered = sequences.shape[1] and len(sequences) == 1 and sequences[0, -1] == sequences[0, -1]
    if not ordered:
        return _bisected(values, sequences, right)
    # NumPy knows an order with NaN in the middle, so that only ascending numbers are left to it.
    found = np.searchsorted(sequences[0], values.ravel(), "right" if right else "left")
    return np.asarray(np.reshape(found, values.shape), np.int64)


def _work(values: TensorType, sequences: TensorType, **_attrs: Any) -> Work:
    length = sequences.shape[1]
    steps = length.bit_length() if isinstance(length, int) else 16
    return Work(6 * steps, fields={"common": sequences.shape[0] != values.shape[0]})


def _samples() -> Iterable[Sample]:
    names = ("int64", "int32", "int16", "int8", "uint8")
    shapes = (
        (1, 5, 1, 1),
        (40, 1, 1, 13),
        (11, 3, 1, 8),
        (3, 11, 3, 8),
        (2, 3, 2, 0),
        (0, 2, 0, 3),
    )
    for right in (False, True):
        attrs = {"dim": 1, "right": right}
        kinds: tuple[Any, ...] = (np.float64, np.float32, *sorted(HALVES, key=str), *names)
        for dtype in kinds:
            for rows, count, sequences, length in shapes:
                ordered = np.sort(np.round(spread((sequences, length), 0, 20, np.float64)), 1)
                values = np.round(spread((rows, count), 0, 21, np.float64, 3) * 2) / 2
                yield Sample((values.astype(dtype), ordered.astype(dtype)), attrs)
        edges = np.sort(special(np.float32)).reshape(1, -1)  # NaN comes last
        for ordered in (edges, edges[:, :-1]):
            for dtype in (np.float64, np.float32):
                yield Sample((special(dtype).reshape(-1, 1), ordered.astype(dtype)), attrs)
                yield Sample((special(dtype).reshape(1, -1), ordered.astype(dtype)), attrs)


def _reference(values: Array, sequences: Array, *, dim: int, right: bool) -> Array:
    """PyTorch's bisection, value by value: it decides what NaN in the middle of an order means."""
    del dim
    result: Array = np.empty(values.shape, np.int64)
    for at in np.ndindex(*values.shape):
        ordered = sequences[at[0] % len(sequences)].tolist()
        value = values[at].item()
        low, high = 0, len(ordered)
        while low < high:
            middle = low + (high - low) // 2
            if ordered[middle] > value or (not right and ordered[middle] == value):
                high = middle
            else:
                low = middle + 1
        result[at] = low
    return result


SEARCHSORTED = register(
    Op(
        "searchsorted",
        _searchsorted_type,
        Quiet(_searchsorted),
        Named("search", _work),
        samples=_samples,
        reference=_reference,
    )
)
