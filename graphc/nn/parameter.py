"""``Parameter``: a tensor that a module registers and an optimizer updates."""

from typing import Any

from graphc.tensor import Tensor


class Parameter(Tensor):
    """A leaf that requires gradients; shares the memory of the tensor it is made from."""

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = Tensor(0)
        self = cls._make(data._current(), data._type, data._storage)
        if requires_grad:
            self.requires_grad_(True)
        return self

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class Buffer(Tensor):
    """A tensor that becomes a buffer of the module it is assigned to."""

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = Tensor(0)
        self = cls._make(data._current(), data._type, data._storage)
        self.persistent = persistent
        return self

    persistent: bool
