"""``Variable``: the old name of a tensor that may require gradients."""

from typing import Any

from graphc.tensor import Tensor


class _AnyTensor(type):
    """Every tensor is a Variable."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_AnyTensor):
    """``Variable(data, requires_grad=False)`` is a tensor on the memory of ``data``."""

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = False) -> Any:
        shown = Tensor(0) if data is None else data.detach()
        return shown.requires_grad_(requires_grad)
