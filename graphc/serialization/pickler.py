"""Writing objects as pickles that PyTorch reads: tensors by its names, their memory beside them."""

import pickle
import warnings
from collections import OrderedDict
from sys import intern
from typing import Any

import numpy as np

from graphc import layouts
from graphc.device import device
from graphc.dtypes import dtype as DType
from graphc.nn.module import Module
from graphc.nn.parameter import Parameter
from graphc.nn.structure import COUNTED
from graphc.serialization.names import (
    GET_LAYOUT,
    REBUILD_FROM_TYPE,
    REBUILD_PARAMETER,
    REBUILD_PARAMETER_WITH_STATE,
    REBUILD_TENSOR,
    REBUILD_TENSOR_OF_BYTES,
    STORAGE_OF,
    UNTYPED,
    WRITTEN,
    Named,
)
from graphc.storage import TypedStorage, UntypedStorage
from graphc.tape import Storage
from graphc.tensor import Array, Size, Tensor


class _Memory:
    """The memory of one storage: the addresses from ``low`` on that a file holds."""

    def __init__(self, key: str, dtype: DType | None, low: int, high: int, keep: Any) -> None:
        self.key, self.dtype = key, dtype
        self.low, self.high = low, high
        self.kept = [keep]  # the memory, and the ids that it is known by, stay

    def contents(self) -> Array:
        """Its bytes, without a copy."""
        if self.high == self.low:
            return np.empty(0, np.uint8)
        described = _Described(self.low, self.high - self.low, self.kept)
        return np.asarray(described)


class _Described:
    def __init__(self, address: int, size: int, keep: Any) -> None:
        self.kept = keep
        self.__array_interface__ = {
            "shape": (size,), "typestr": "|u1", "data": (address, True), "version": 3
        }  # fmt: skip


class Memories:
    """The storages that an object reaches, numbered in the order in which they are met.

    Tensors that share memory without one being a view of the other may each show a part of it. The
    file holds all that any of them shows; when a later one shows more than was noted, ``grew`` is
    set, and the object has to be written once more.
    """

    def __init__(self) -> None:
        self.found: dict[int, _Memory] = {}
        self.grew = False

    def note(self, count: Storage, array: Array, dtype: DType | None, keep: Any) -> _Memory:
        """The memory of a storage, of which ``array`` shows a part."""
        low, high = _extent(array)
        known = self.found.get(id(count))
        if known is None:
            known = _Memory(str(len(self.found)), dtype, low, high, (count, keep))
            self.found[id(count)] = known
        elif high > low:
            if known.dtype is not dtype and known.high > known.low:
                raise RuntimeError(
                    "Cannot save multiple tensors or storages that view the same data as "
                    "different types"
                )
            wider = (min(low, known.low), max(high, known.high))
            if known.low == known.high:
                wider = (low, high)
            if wider != (known.low, known.high):
                self.grew = True
                known.low, known.high = wider
            known.kept.append(keep)
        return known


def _extent(array: Array) -> tuple[int, int]:
    """First and last address (exclusive) of an array's memory."""
    low = high = int(array.__array_interface__["data"][0])
    if not array.size:
        return low, low
    for size, stride in zip(array.shape, array.strides, strict=True):
        low += min(stride, 0) * (size - 1)
        high += max(stride, 0) * (size - 1)
    return low, high + array.itemsize


class Reference:
    """A storage on its way into a pickle: written as a persistent id."""

    def __init__(self, kind: Named, memory: _Memory, location: str, item: int) -> None:
        count = (memory.high - memory.low) // item
        self.id = ("storage", kind, memory.key, location, count)


class TensorPickler:
    """What is added to a pickler written in Python, such as ``pickle._Pickler`` or dill's."""

    memories: Memories

    # ------------------------------------------------------------------------- names of PyTorch's

    def save_global(self, obj: Any, name: str | None = None) -> None:
        """Writes a name; PyTorch's for what PyTorch has, which need not be there to be found."""
        if isinstance(obj, Named):
            known = (obj.module, obj.name)
        elif isinstance(obj, (type, DType)) and obj in WRITTEN:
            known = WRITTEN[obj]
        else:
            super().save_global(obj, name)  # type: ignore[misc]
            return
        me: Any = self
        if me.proto >= 4:
            me.save(known[0])
            me.save(known[1])
            me.write(pickle.STACK_GLOBAL)
        else:
            me.write(pickle.GLOBAL + f"{known[0]}\n{known[1]}\n".encode())
        me.memoize(obj)

    # ----------------------------------------------------------------------------------- reduction

    def persistent_id(self, obj: Any) -> Any:
        """Storages lie beside the pickle, which knows them by type, number and size."""
        if isinstance(obj, Reference):
            return obj.id
        if isinstance(obj, (TypedStorage, UntypedStorage)):
            dtype = obj.dtype if isinstance(obj, TypedStorage) else None
            memory = self.memories.note(obj._count, obj._flat, dtype, obj._flat)
            kind = UNTYPED if dtype is None else STORAGE_OF[dtype]
            return Reference(kind, memory, intern(str(obj.device)), obj.element_size()).id
        return None

    def reducer_override(self, obj: Any) -> Any:
        """How objects are written that PyTorch has, too."""
        if isinstance(obj, Tensor):
            if "__reduce_ex__" in _own_methods(type(obj)):
                return NotImplemented
            return self._tensor(obj)
        if isinstance(obj, Named):
            return obj.name
        if isinstance(obj, (type, DType)):
            return WRITTEN[obj][1] if obj in WRITTEN else NotImplemented
        if isinstance(obj, Module):
            return _with_plain_tables(obj.__reduce_ex__(2))
        if isinstance(obj, Size):
            return Size, (tuple(obj),)
        if isinstance(obj, device):
            return device, (obj.type,) if obj.index is None else (obj.type, obj.index)
        if isinstance(obj, layouts.layout):
            return GET_LAYOUT, (f"torch.{obj.name}",)
        inherited = getattr(super(), "reducer_override", None)
        return NotImplemented if inherited is None else inherited(obj)

    def _tensor(self, x: Tensor) -> Any:
        state = dict(x.__dict__)
        if type(x) is Parameter:
            data: tuple[Any, ...] = (x.detach(), x.requires_grad, OrderedDict())
            if state:
                return REBUILD_PARAMETER_WITH_STATE, (*data, state)
            return REBUILD_PARAMETER, data
        made = self._plain(x)
        if type(x) is Tensor and not state:
            return made
        return REBUILD_FROM_TYPE, (made[0], type(x), made[1], state)

    def _plain(self, x: Tensor) -> tuple[Named, tuple[Any, ...]]:
        for hook in (x._hooks or {}).values():
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized. Add it again after "
                "loading.",
                stacklevel=2,
            )
        array, root = x._array(), x._root()
        whole = array if root is None else root._array()
        count, strides = x._storage, x.stride()
        if min(strides, default=0) < 0:  # PyTorch has no such strides
            x = Tensor._make(array.copy())
            array = whole = x._value
            count, strides = x._storage, x.stride()
        item, dtype = array.itemsize, x.dtype
        kind = STORAGE_OF.get(dtype, UNTYPED)
        memory = self.memories.note(count, whole, dtype, (x, whole))
        start = int(array.__array_interface__["data"][0]) - memory.low
        location = intern(str(x.device))
        stored = Reference(kind, memory, location, 1 if kind is UNTYPED else item)
        rest: tuple[Any, ...] = (
            start // item,
            tuple(x.shape),
            strides,
            x.requires_grad,
            OrderedDict(),
        )
        if kind is UNTYPED:
            return REBUILD_TENSOR_OF_BYTES, (stored, *rest, dtype)
        return REBUILD_TENSOR, (stored, *rest)


def _with_plain_tables(reduced: Any) -> Any:
    """A module's reduction in which its tables are dicts; ``__setstate__`` makes tables of them."""
    if not isinstance(reduced, tuple) or len(reduced) < 3 or not isinstance(reduced[2], dict):
        return reduced
    state = {
        name: COUNTED[type(value)](value) if type(value) in COUNTED else value
        for name, value in reduced[2].items()
    }
    return (*reduced[:2], state, *reduced[3:])


def _own_methods(kind: type) -> set[str]:
    """The names of methods that a subclass of Tensor brings itself."""
    between = kind.__mro__[: kind.__mro__.index(Tensor)]
    return {name for part in between for name in vars(part)}


def pickler_of(pickle_module: Any) -> Any:
    """A pickler class of a module that writes tensors as PyTorch does.

    Raises TypeError for a module whose pickler is not derived from Python's own.
    """
    base = pickle._Pickler if pickle_module is pickle else pickle_module.Pickler
    if not (isinstance(base, type) and issubclass(base, pickle._Pickler)):
        raise TypeError(
            f"graphc.save needs a pickler written in Python, as pickle and dill have; "
            f"{getattr(pickle_module, '__name__', pickle_module)}.Pickler is {base}"
        )
    return type("Pickler", (TensorPickler, base), {})
