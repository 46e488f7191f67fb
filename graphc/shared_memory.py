"""Memory without a name that several processes map: nothing can be left behind, whoever dies.

Such memory lives as long as some process maps it or holds its file descriptor, which the kernel
closes when a process ends, however it ends. Names under ``/dev/shm`` would stay.
"""

import ctypes
import mmap
import os
import weakref
from typing import Any

import numpy as np

from graphc.tensor import Array

AVAILABLE = hasattr(os, "preadv")  # not on Windows

_libc: Any = None


def create(size: int) -> int:
    """The file descriptor of ``size`` bytes of zeros."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("graphc", os.MFD_CLOEXEC)
    else:  # macOS: a file that has lost its name
        import tempfile  # loads much

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        os.ftruncate(descriptor, size)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write(descriptor: int, data: memoryview, start: int) -> None:
    """Copies bytes to where they belong."""
    while data:
        count = os.pwrite(descriptor, data, start)
        data, start = data[count:], start + count


class _Pages:
    """A mapping that ends with this object. Python's own would keep the descriptor open as well."""

    def __init__(self, descriptor: int, size: int) -> None:
        libc = _library()
        address = libc.mmap(
            None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, descriptor, 0
        )
        if address == ctypes.c_void_p(-1).value:
            code = ctypes.get_errno()
            raise OSError(code, f"cannot map {size} bytes: {os.strerror(code)}")
        self.__array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
            "version": 3,
        }
        # At exit the kernel unmaps; arrays may still be in use then.
        weakref.finalize(self, libc.munmap, address, size).atexit = False


def _library() -> Any:
    global _libc
    if _libc is None:
        libc = ctypes.CDLL(None, use_errno=True)
        size, integer, pointer = ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p
        libc.mmap.restype = pointer
        libc.mmap.argtypes = (pointer, size, integer, integer, integer, ctypes.c_long)
        libc.munmap.argtypes = (pointer, size)
        _libc = libc
    return _libc


class Held:
    """Memory whose descriptor stays open, to be given to other processes."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        weakref.finalize(self, os.close, descriptor)

    def mapped(self) -> Array:
        """All bytes. Raises OSError when the process has no room for another mapping."""
        return np.asarray(_Pages(self.descriptor, self.size))


def mapped_or_copied(descriptor: int, size: int) -> Array:
    """All bytes, shared with whoever else maps them; the descriptor may be closed afterwards.

    A process that has no room for another mapping (Linux allows some 65,000) gets a copy.
    """
    try:
        return np.asarray(_Pages(descriptor, size))
    except OSError:
        copied: Array = np.empty(size, np.uint8)
        view, done = memoryview(copied), 0  # type: ignore[arg-type]
        while done < size:
            count = os.preadv(descriptor, [view[done:]], done)
            if count == 0:
                raise EOFError(f"shared memory of {size} bytes ends after {done}") from None
            done += count
        return copied
