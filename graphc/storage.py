"""Storages: the flat memory behind a tensor and its views, as bytes or as elements."""

import sys
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from graphc import dtypes, layouts, shared_memory
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.functions.registry import tensor_function
from graphc.ir import CPU
from graphc.tape import Storage
from graphc.tensor import Array, Tensor


def _memory(tensor: Tensor) -> Array:
    """All elements between the first and the last of a tensor's base, in the order of memory."""
    array = (tensor if tensor._base is None else tensor._base)._array()
    if not array.size:
        return np.empty(0, array.dtype)
    item = array.itemsize
    extent = 1 + sum(s // item * (n - 1) for s, n in zip(array.strides, array.shape, strict=True))
    return np.lib.stride_tricks.as_strided(array, (extent,), (item,))


class _Memory:
    """What both kinds have in common; ``_flat`` are the elements, ``_count`` whose writes count."""

    _flat: Array
    _count: Storage

    def __len__(self) -> int:
        return int(self._flat.size)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())

    def __getitem__(self, index: Any) -> Any:
        found = self._flat[index]
        return type(self)._of(found, self._count) if isinstance(index, slice) else found.item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._flat[index] = value
        self._count.version += 1

    @classmethod
    def _of(cls, flat: Array, count: Storage) -> Any:
        made = object.__new__(cls)
        made._flat, made._count = flat, count
        return made

    @property
    def device(self) -> Device:
        """Where the memory is."""
        return CPU

    def size(self) -> int:
        """How many elements (bytes, of an untyped storage) there are."""
        return len(self)

    def nbytes(self) -> int:
        """How many bytes there are."""
        return int(self._flat.nbytes)

    def element_size(self) -> int:
        """Bytes per element."""
        return int(self._flat.itemsize)

    def data_ptr(self) -> int:
        """The address of the first byte."""
        return int(self._flat.__array_interface__["data"][0]) if self._flat.size else 0

    def tolist(self) -> list[Any]:
        """The elements as Python numbers."""
        flat = self._flat
        found: list[Any] = (flat.astype(np.float32) if flat.dtype.kind == "V" else flat).tolist()
        return found

    def clone(self) -> Any:
        """A storage with a copy of the elements."""
        return type(self)._of(self._flat.copy(), Storage())

    def cpu(self) -> Any:
        """The storage itself, which is in main memory."""
        return self

    def fill_(self, value: Any) -> Any:
        """Writes one number everywhere."""
        self[:] = value
        return self

    def copy_(self, source: Any, non_blocking: bool = False) -> Any:
        """Writes the elements of another storage of the same size."""
        del non_blocking
        if len(source) != len(self):
            raise RuntimeError(f"size mismatch: {len(self)} elements cannot hold {len(source)}")
        self[:] = source._flat if isinstance(source, _Memory) else list(source)
        return self

    def is_shared(self) -> bool:
        """Whether child processes see writes."""
        return self._count in _SHARED

    def _tensor(self, dtype: DType, offset: int, size: Any, stride: Any) -> Tensor:
        """A tensor on this memory; all of it unless a size is given."""
        raw = self._flat.view(np.uint8)
        shape = (raw.size // dtype.itemsize - offset,) if size is None else tuple(size)
        steps = layouts.dense_strides(shape, range(len(shape))) if stride is None else tuple(stride)
        if (shape and min(shape) < 0) or len(shape) != len(steps) or offset < 0:
            raise RuntimeError(
                f"no tensor of size {list(shape)}, strides {list(steps)} and offset {offset}"
            )
        last = offset + 1 + sum(s * (n - 1) for n, s in zip(shape, steps, strict=True))
        if 0 not in shape and last * dtype.itemsize > raw.size:
            raise RuntimeError(
                f"setStorage: sizes {list(shape)}, strides {list(steps)} and offset {offset} need "
                f"{last * dtype.itemsize} bytes, the storage has {raw.size}"
            )
        array: Array = np.ndarray(
            shape,
            dtype.numpy,
            raw if raw.size else None,
            offset * dtype.itemsize if 0 not in shape else 0,
            tuple(s * dtype.itemsize for s in steps),
        )
        return Tensor._make(array, None, self._count)  # type: ignore[no-any-return]


class UntypedStorage(_Memory):
    """Memory as bytes: ``x.untyped_storage()``, or zeros of a number of bytes."""

    def __init__(self, size: Any = 0) -> None:
        given = size if isinstance(size, int) else list(size)
        self._flat = np.zeros(given, np.uint8) if isinstance(given, int) else np.array(given, "u1")
        self._count = Storage()

    def __repr__(self) -> str:
        lines = "".join(f" {byte}\n" for byte in self.tolist())
        return f"{lines}[graphc.storage.UntypedStorage(device=cpu) of size {len(self)}]"


class TypedStorage(_Memory):
    """Memory as elements of one dtype: ``x.storage()``."""

    def __init__(self, size: Any = 0, *, dtype: DType | None = None) -> None:
        kind = (dtype or dtypes.get_default_dtype()).numpy
        given = size if isinstance(size, int) else list(size)
        self._flat = (
            np.zeros(given, kind) if isinstance(given, int) else np.array(given).astype(kind)
        )
        self._count = Storage()

    @property
    def dtype(self) -> DType:
        """The dtype of the elements."""
        return dtypes.from_numpy_dtype(self._flat.dtype)

    def untyped(self) -> UntypedStorage:
        """The same memory as bytes."""
        return UntypedStorage._of(self._flat.view(np.uint8), self._count)  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        lines = "".join(f" {value}\n" for value in self.tolist())
        kind = f"dtype={self.dtype!r}, device=cpu"
        return f"{lines}[graphc.storage.TypedStorage({kind}) of size {len(self)}]"


@tensor_function(public=False)
def untyped_storage(self: Tensor) -> UntypedStorage:
    """The memory that the tensor shares with its views, as bytes."""
    raw = _memory(self).view(np.uint8)
    return UntypedStorage._of(raw, self._storage)  # type: ignore[no-any-return]


@tensor_function(public=False)
def storage(self: Tensor) -> TypedStorage:
    """The memory that the tensor shares with its views, as elements."""
    warnings.warn(
        "TypedStorage is deprecated, as it is in PyTorch; use tensor.untyped_storage() instead of "
        "tensor.storage()",
        stacklevel=3,
    )
    flat = untyped_storage(self)._flat.view(self.dtype.numpy)
    return TypedStorage._of(flat, self._storage)  # type: ignore[no-any-return]


@tensor_function(method=False)
def is_storage(obj: Any) -> bool:
    """Whether ``obj`` is a storage."""
    return isinstance(obj, _Memory)


# ------------------------------------------------------------------------------- between processes

_SHARED: "weakref.WeakKeyDictionary[Storage, shared_memory.Held]" = weakref.WeakKeyDictionary()
_ALONE = 3  # references to the storage of a tensor without views, while share_memory_ looks


@tensor_function(public=False)
def is_shared(self: Tensor) -> bool:
    """Whether child processes see what is written to the tensor: see ``share_memory_``."""
    return self._storage in _SHARED


@tensor_function(public=False)
def share_memory_(self: Tensor) -> Tensor:
    """Moves the elements to memory that other processes can share.

    Those that are forked see it; others get it through ``graphc.multiprocessing``.
    Raises RuntimeError when other tensors share the old memory, which would stay behind.
    """
    count = self._storage
    if count in _SHARED:
        return self
    if self._base is not None or sys.getrefcount(count) > _ALONE:
        raise RuntimeError(
            "share_memory_ cannot move memory that other tensors share: share it before taking "
            "views of it, or share a clone()"
        )
    held = self._array()
    pages = shared_memory.Held(shared_memory.create(max(held.nbytes, 1)), max(held.nbytes, 1))
    moved: Array = np.ndarray(held.shape, held.dtype, pages.mapped())
    np.copyto(moved, held)
    self._value = moved
    count.address = None
    _SHARED[count] = pages
    return self


def held_memory(tensor: Tensor) -> "shared_memory.Held | None":
    """The shared memory that is all of the tensor's storage, if it has such memory."""
    return _SHARED.get(tensor._storage)


def on_shared_memory(pages: "shared_memory.Held", dtype: DType, shape: tuple[int, ...]) -> Tensor:
    """A tensor on memory that another process shares."""
    array: Array = np.ndarray(shape, dtype.numpy, pages.mapped())
    made: Tensor = Tensor._make(array)
    _SHARED[made._storage] = pages
    return made
