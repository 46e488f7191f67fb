"""From what a file says of a tensor to the tensor: the functions that its pickle calls.

All of them take what strangers wrote, so each checks its arguments before it makes anything.
"""

import math
from sys import intern
from typing import Any

from graphc.dtypes import dtype as DType
from graphc.functions.copying import leaf_on
from graphc.functions.strided import as_strided, is_dense
from graphc.nn.parameter import Parameter
from graphc.serialization.names import REBUILD_FROM_TYPE, REBUILD_TENSOR
from graphc.storage import TypedStorage, UntypedStorage
from graphc.tape import Storage
from graphc.tensor import Tensor

_MOST_DIMENSIONS = 64


def _integers(value: Any, what: str) -> tuple[int, ...]:
    given = tuple(value) if isinstance(value, (tuple, list)) else None
    if given is None or len(given) > _MOST_DIMENSIONS:
        raise RuntimeError(f"the file gives no proper {what} for a tensor")
    return tuple(_integer(n, what) for n in given)


def _integer(value: Any, what: str) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise RuntimeError(f"the file gives no proper {what} for a tensor: {_short(value)}")
    return value


def _short(value: Any) -> str:
    return repr(value) if isinstance(value, (int, str)) and len(str(value)) < 40 else "a " + type(
        value
    ).__name__  # fmt: skip


class Rebuilder:
    """Makes the tensors of one file; those that shared memory when they were saved share it again.

    The first tensor that fills its storage owns the memory, and others are views of it. Where the
    first is a part only, all are views of a vector of the whole storage.
    """

    def __init__(self) -> None:
        self._owners: dict[tuple[Storage, DType], Tensor] = {}

    def functions(self) -> dict[tuple[str, str], Any]:
        """The functions by PyTorch's names."""
        utils = REBUILD_TENSOR.module
        return {
            (utils, "_rebuild_tensor"): self.tensor,
            (utils, "_rebuild_tensor_v2"): self.tensor_v2,
            (utils, "_rebuild_tensor_v3"): self.tensor_v3,
            (utils, "_rebuild_parameter"): self.parameter,
            (utils, "_rebuild_parameter_with_state"): self.parameter_with_state,
            (REBUILD_FROM_TYPE.module, REBUILD_FROM_TYPE.name): self.from_type,
        }

    def tensor(self, storage: Any, offset: Any, size: Any, stride: Any) -> Tensor:
        """A tensor on a typed storage: what the others begin with, and all of the oldest files."""
        if not isinstance(storage, TypedStorage):
            raise RuntimeError(f"a tensor needs a storage, the file gives a {type(storage)}")
        return self._on(storage, storage.dtype, offset, size, stride)

    def tensor_v2(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any,
        backward_hooks: Any,
        metadata: Any = None,
    ) -> Tensor:
        """A leaf on a typed storage. Hooks are not saved, so there are none to be restored."""
        del backward_hooks
        _refuse_bits(metadata)
        return self._leaf(Tensor, self.tensor(storage, offset, size, stride), requires_grad)

    def tensor_v3(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        requires_grad: Any,
        backward_hooks: Any,
        dtype: Any,
        metadata: Any = None,
    ) -> Tensor:
        """A leaf of any dtype on a storage of bytes."""
        del backward_hooks
        _refuse_bits(metadata)
        if not isinstance(storage, UntypedStorage) or not isinstance(dtype, DType):
            raise RuntimeError("a tensor needs a storage of bytes and a dtype")
        return self._leaf(Tensor, self._on(storage, dtype, offset, size, stride), requires_grad)

    def parameter(self, data: Any, requires_grad: Any, backward_hooks: Any) -> Tensor:
        """A parameter on the memory of a tensor."""
        del backward_hooks
        if not isinstance(data, Tensor):
            raise RuntimeError(f"a parameter needs a tensor, the file gives a {type(data)}")
        return self._leaf(Parameter, data, requires_grad)

    def parameter_with_state(
        self, data: Any, requires_grad: Any, backward_hooks: Any, state: Any
    ) -> Tensor:
        """A parameter that has attributes."""
        return set_attributes(self.parameter(data, requires_grad, backward_hooks), state)

    def from_type(self, function: Any, kind: Any, arguments: Any, state: Any) -> Tensor:
        """A tensor of a subclass, or one that has attributes."""
        allowed = set(self.functions().values()) - {self.from_type}
        if function not in allowed or not isinstance(arguments, tuple):
            raise RuntimeError("the file makes a tensor by a function that is not for that")
        if not (isinstance(kind, type) and issubclass(kind, Tensor)):
            raise RuntimeError(f"the file makes a tensor of a class that is none: {kind}")
        made = function(*arguments)
        if type(made) is not kind:
            made = self._leaf(kind, made, made._requires_grad)
        restore = getattr(kind, "__setstate__", None)
        if restore is not getattr(Tensor, "__setstate__", None):
            made.__setstate__(state)
            return made
        return set_attributes(made, state)

    def _on(self, storage: Any, dtype: DType, offset: Any, size: Any, stride: Any) -> Tensor:
        first = _integer(offset, "storage offset")
        shape, steps = _integers(size, "size"), _integers(stride, "stride")
        count: Storage = storage._count
        room = storage.nbytes() // dtype.itemsize
        extent = math.prod(n or 1 for n in shape) * dtype.itemsize
        if len(shape) != len(steps) or extent >= 2**62 or first > room:
            raise RuntimeError(
                f"setStorage: sizes {list(shape)}, strides {list(steps)} and offset {first} make "
                "no tensor"
            )
        last = first + sum(s * (n - 1) for n, s in zip(shape, steps, strict=True))
        if 0 not in shape and last >= room:
            raise RuntimeError(
                f"setStorage: sizes {list(shape)}, strides {list(steps)} and offset {first} are "
                f"out of bounds for storage of size {storage.nbytes()}"
            )
        owner = self._owners.get((count, dtype))
        if owner is None:
            made: Tensor = storage._tensor(dtype, first, shape, steps)
            if first == 0 and made.numel() == room and is_dense(made):
                self._owners[count, dtype] = made
                return made
            if not made.numel():
                return made
            owner = storage._tensor(dtype, 0, (room,), (1,))
            self._owners[count, dtype] = owner
        apart = owner.detach()
        if first == 0 and apart.shape == shape and apart.stride() == steps:
            return apart
        return as_strided(apart, shape, steps, first)  # type: ignore[no-any-return]

    def _leaf(self, kind: type[Tensor], data: Tensor, requires_grad: Any) -> Tensor:
        """What was just made as a leaf of a class."""
        if type(requires_grad) is not bool:
            raise RuntimeError("the file does not say whether a tensor requires gradients")
        if requires_grad and not data.dtype.is_floating_point:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if type(data) is kind:
            data._requires_grad = requires_grad
            return data
        made = leaf_on(kind, data, requires_grad)
        key = (data._storage, data.dtype)
        if self._owners.get(key) is data:
            self._owners[key] = made
        return made


def _refuse_bits(metadata: Any) -> None:
    """A tensor may be saved as a conjugate or negative that was not carried out yet."""
    if metadata and isinstance(metadata, dict) and any(metadata.values()):
        raise RuntimeError(
            f"the file holds a tensor that is to be changed when it is read ({sorted(metadata)}); "
            "save x.resolve_neg() with PyTorch"
        )


def set_attributes(tensor: Tensor, state: Any) -> Tensor:
    """Sets the Python attributes that a tensor was saved with.

    Raises RuntimeError for anything else, and for names that the tensor uses itself.
    """
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state, None)
    for part in parts:
        if part is None:
            continue
        if not isinstance(part, dict):
            raise RuntimeError("the file gives no proper attributes for a tensor")
        for name, value in part.items():
            if not isinstance(name, str) or hasattr(type(tensor), name):
                raise RuntimeError(
                    f"the file sets {_short(name)}, which is no attribute of its own"
                )
            tensor.__dict__[intern(name)] = value  # as setattr would: names are shared
    return tensor
