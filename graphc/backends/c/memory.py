"""Addresses of arrays, and arenas that programs keep their intermediates in."""

import math
import sys
from typing import Any

import _cffi_backend
import numpy as np

from graphc.backends.c.interface import libc

_HUGE = 2 << 20
_MADV_HUGEPAGE = 14

_ffi = _cffi_backend.FFI()  # for casts, which need no declarations

Array = np.ndarray[Any, Any]


class Arena:
    """Uninitialised memory at a fixed ``address``, freed with the object.

    Aligned to 64 bytes; from 2 MB on to 2 MB, and the system is asked for huge pages. Raises
    MemoryError.
    """

    __slots__ = ("address", "memory", "size")

    def __init__(self, size: int) -> None:
        alignment = _HUGE if size >= _HUGE else 64
        place = _ffi.new("void **")
        if libc().posix_memalign(place, alignment, max(size, 64)) != 0:
            raise MemoryError(f"no memory for an arena of {size / 2**20:.1f} MB")
        self.memory = _ffi.gc(place[0], libc().free, max(size, 64))
        self.address = int(_ffi.cast("uintptr_t", place[0]))
        self.size = size
        if alignment == _HUGE:
            # A hint: kernels without huge pages refuse it, and nothing is lost.
            libc().madvise(place[0], size, _MADV_HUGEPAGE)


def array_at(address: int, shape: tuple[Any, ...], dtype: Any) -> Array:
    """The memory at an address as an array, for as long as its owner keeps it."""
    count = math.prod(shape)
    memory = _ffi.buffer(_ffi.cast("char *", address), max(count, 1) * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype, count).reshape(shape)


def _slow_address_of(array: Array) -> int:
    return int(array.__array_interface__["data"][0])


# CPython's ndarray object begins with PyObject_HEAD and then the pointer to its data, as NumPy's
# C API declares it. Reading it there takes 0.07 us, the attributes that tell it 0.8 us.
_words = _ffi.cast("uintptr_t *", 8)
_offset = object.__basicsize__ - 8


def _fast_address_of(array: Array) -> int:
    """The address of the first element of ``array``, which must be a NumPy array."""
    address: int = _words[(id(array) + _offset) >> 3]
    return address


def _trustworthy() -> bool:
    """Whether this Python and NumPy lay arrays out so; a differing one gets the slow way."""
    if sys.implementation.name != "cpython" or _ffi.sizeof("void *") != 8:
        return False
    whole = np.arange(24.0).reshape(4, 6)
    probes = (whole, whole[1:, ::2], whole.T, np.zeros(()), np.empty((0, 3)), whole[::-1])
    return all(_fast_address_of(probe) == _slow_address_of(probe) for probe in probes)


address_of = _fast_address_of if _trustworthy() else _slow_address_of
