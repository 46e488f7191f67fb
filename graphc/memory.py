"""Memory of large results: used again when nobody holds the result any more.

The system clears the pages of fresh memory, which takes about as long as writing them, so a
function that is called in a loop would pay for its results twice. At most 128 MB wait.
"""

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

LARGE = 1 << 20  # bytes, from which it pays
_LINE = 64
_MOST_BYTES = 1 << 27
_MOST_BLOCKS = 8
_waiting: dict[
    int, Array
] = {}  # by identity, the longest first; its single steps are atomic, lists of it too


class _Bytes(Array):
    """Memory. A class of its own: NumPy looks through views of plain arrays to their owner."""


class _Block(Array):
    """A view of the memory, for one result. The memory waits for the next one when it is gone."""

    def __del__(self) -> None:
        memory = self.base
        if memory is None or _waiting is None:  # Python ends
            return
        _waiting[id(memory)] = memory
        while len(_waiting) > _MOST_BLOCKS or _bytes() > _MOST_BYTES:
            oldest = next(iter(list(_waiting)), None)
            if oldest is None:
                break  # another thread was faster
            _waiting.pop(oldest, None)


def _bytes() -> int:
    return sum(memory.nbytes for memory in list(_waiting.values()))


def empty(shape: tuple[Any, ...], dtype: "np.dtype[Any]") -> Array:
    """An uninitialised array, in memory that waits if it is large. Raises MemoryError."""
    size = math.prod(shape) * dtype.itemsize
    return reused(shape, dtype, size) if size >= LARGE else np.empty(shape, dtype)


def reused(shape: tuple[Any, ...] | int, dtype: Any, size: int) -> Array:
    """An uninitialised array of ``size`` bytes (at least LARGE), aligned to a cache line.

    Raises MemoryError.
    """
    for key in list(_waiting):
        memory = _waiting.get(key)
        if memory is not None and memory.nbytes == size and _waiting.pop(key, None) is not None:
            break
    else:
        whole = np.empty(size + _LINE, np.uint8)
        start = -whole.ctypes.data % _LINE
        memory = whole[start : start + size].view(_Bytes)
    array: Array = np.ndarray(shape, dtype, memory.view(_Block))
    return array


def owns_memory(array: Array) -> bool:
    """Whether an array is no view of what somebody else may write."""
    return array.base is None or type(array.base) is _Block
