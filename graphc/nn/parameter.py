"""``Parameter`` and ``Buffer``: tensors that a module registers; and those without a shape yet."""

from typing import Any

from graphc.functions.creation import empty
from graphc.tensor import Tensor


class Parameter(Tensor):
    """A leaf that requires gradients; shares the memory of the tensor it is made from."""

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = empty(0)
        self = cls._make(data._current(), data._type, data._storage)
        if requires_grad:
            self.requires_grad_(True)
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Parameter":
        """A parameter on memory of its own, without the gradient."""
        if id(self) not in memo:
            copied: Any = self.detach().clone()
            memo[id(self)] = type(self)(copied, self.requires_grad)
        return memo[id(self)]  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class _Marked(type):
    """A class whose instances are ordinary tensors that carry a mark."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, Tensor) and "_is_buffer" in instance.__dict__


class Buffer(metaclass=_Marked):
    """``Buffer(data, persistent=True)``: a tensor that becomes a buffer of the module it is
    assigned to."""

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = empty(0)
        made: Any = Tensor._make(data._current(), data._type, data._storage)
        if data.requires_grad:
            made.requires_grad_()
        made.persistent = persistent
        made._is_buffer = True
        return made


_NEVER = -1  # no version of a storage


class UninitializedTensorMixin:
    """A tensor without a shape: it has a dtype and a device, and waits for ``materialize``."""

    __slots__ = ()
    cls_to_become: type[Tensor] = Tensor

    def materialize(self: Any, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Memory for a shape; from now on this is an ordinary parameter or buffer."""
        self.data = empty(shape, device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes."
        )

    def _empty(self: Any) -> Tensor:
        return Tensor._make(self._value, self._type)  # type: ignore[no-any-return]

    @property
    def data(self) -> Tensor:
        """An empty tensor of the dtype and device."""
        return self._empty()

    @data.setter
    def data(self, value: Tensor) -> None:
        Tensor.data.fset(self, value)  # type: ignore[attr-defined]

    def _tracked(self: Any) -> bool:
        return bool(self._requires_grad)

    def _sync(self: Any) -> None:
        """Whoever wants the value has to catch up first: these are never up to date."""
        name = type(self).__name__
        raise ValueError(
            "Attempted to use an uninitialized parameter in a function of tensors. This error "
            "happens when you are using a `LazyModule` or explicitly manipulating "
            f"`graphc.nn.parameter.{name}` objects. When using LazyModules Call `forward` with a "
            "dummy batch to initialize the parameters before calling graphc functions"
        )

    def share_memory_(self) -> None:
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to "
            "initialize the parameters before calling `module.share_memory()`."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self.dtype)
        return memo[id(self)]

    def __reduce_ex__(self: Any, _protocol: Any) -> Any:
        return type(self), (self.requires_grad, self.device, self.dtype)


def _on_nothing(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._empty(), name)(*args, **kwargs)

    return method


for _name in ("to", "cpu", "cuda", "float", "double", "half", "bfloat16", "type"):
    setattr(UninitializedTensorMixin, _name, _on_nothing(_name))


def is_lazy(param: Any) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter whose shape is not known yet."""

    __slots__ = ()
    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        self = cls._make(empty(0, device=device, dtype=dtype)._value)
        self._seen = _NEVER
        self._requires_grad = requires_grad
        return self


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[misc]
    """A buffer whose shape is not known yet."""

    __slots__ = ()

    def __new__(
        cls,
        requires_grad: bool = False,
        device: Any = None,
        dtype: Any = None,
        persistent: bool = True,
    ) -> Any:
        self = cls._make(empty(0, device=device, dtype=dtype)._value)
        self._seen = _NEVER
        self._requires_grad = requires_grad
        self.persistent = persistent
        self._is_buffer = True
        return self
