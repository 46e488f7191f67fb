"""What a tensor tells of itself, and its way to Python, NumPy, other dtypes and other memory."""

import copy
from typing import Any

import numpy as np

from graphc import dtypes, printing
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.errors import TraceError, user_location
from graphc.functions.dims import normalise_dim
from graphc.functions.promotion import cast, supported
from graphc.functions.registry import assign, fitted, tensor_function
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Array, Size, Tensor, apply, escaped

method = tensor_function(public=False)

# ---------------------------------------------------------------------------------------- describe


@method
def size(self: Tensor, dim: int | None = None) -> Any:
    """The shape, or the size of one dimension."""
    return self.shape if dim is None else self.shape[_dim(self, dim)]


def _dim(self: Tensor, dim: int) -> int:
    return normalise_dim(dim, self.ndim)


@method
def dim(self: Tensor) -> int:
    """The number of dimensions."""
    return self.ndim


tensor_function(dim, name="ndimension", public=False)


@tensor_function
def numel(input: Tensor) -> int:
    """The number of elements."""
    count = 1
    for n in input._type.shape:
        count *= n  # type: ignore[assignment]
    return count


tensor_function(numel, name="nelement", public=False)


@method
def stride(self: Tensor, dim: int | None = None) -> Any:
    """Steps in memory, in elements, along each dimension or one."""
    item = self.dtype.itemsize
    strides = tuple(s // item for s in self._layout().strides)
    return strides if dim is None else strides[_dim(self, dim)]


@method
def storage_offset(self: Tensor) -> int:
    """How many elements into its memory the tensor begins."""
    base = self if self._base is None else self._base
    apart = self._layout().__array_interface__["data"][0]
    return int((apart - base._layout().__array_interface__["data"][0]) // self.dtype.itemsize)


@method
def is_contiguous(self: Tensor, memory_format: Any = None) -> bool:
    """Whether the elements lie in row-major order without gaps."""
    del memory_format
    return bool(self._layout().flags.c_contiguous)


@method
def data_ptr(self: Tensor) -> int:
    """The address of the first element."""
    return int(self._array().__array_interface__["data"][0])


@method
def element_size(self: Tensor) -> int:
    """Bytes per element."""
    return self.dtype.itemsize


@tensor_function
def is_tensor(obj: Any) -> bool:
    """Whether ``obj`` is a tensor."""
    return isinstance(obj, Tensor)


@tensor_function
def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a float."""
    return input.dtype.is_floating_point


def _length(self: Tensor) -> int:
    if not self.ndim:
        raise TypeError("len() of a 0-d tensor")
    return int(self.shape[0])


# --------------------------------------------------------------------------------------- to Python


@method
def item(self: Tensor) -> Any:
    """The one element as a Python number."""
    if MODES.trace is None or self.numel() != 1:
        return _one(self)
    return MODES.trace.item(self)


@method
def tolist(self: Tensor) -> Any:
    """Nested lists of Python numbers."""
    array = self._array()
    return array.astype(np.float32).tolist() if array.dtype.kind == "V" else array.tolist()


def _one(self: Tensor) -> Any:
    if self.numel() != 1:
        raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
    return self._array().item()


def _truth(self: Tensor) -> bool:
    if self.numel() == 1:
        return bool(_one(self))
    if self.numel() == 0:
        raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
    raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")


def _index(self: Tensor) -> int:
    if self.dtype.is_floating_point or self.numel() != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(self._array().item())


def _contains(self: Tensor, element: Any) -> bool:
    return bool((self == element).any().item())  # type: ignore[attr-defined]


def _text(self: Tensor) -> str:
    if self._traced and not _mine(self):
        raise escaped(self)
    if self._traced:
        return f"Tensor(traced, {self._type})"
    me = self
    node = me.grad_fn
    suffixes = {
        "requires_grad": me.is_leaf and me.requires_grad,
        "grad_fn": None if node is None else node.name(),
    }
    return printing.format_tensor(me._value, me.dtype, **suffixes)  # type: ignore[arg-type]


def _mine(self: Tensor) -> bool:
    return MODES.trace is not None and self._value.builder is MODES.trace.builder


def _format(self: Tensor, spec: str) -> str:
    if not self.ndim and not self._traced:
        return format(item(self), spec)
    return format(repr(self), spec)


# ---------------------------------------------------------------------------------- to other memory


@method
def numpy(self: Tensor, *, force: bool = False) -> Array:
    """The same memory as an array. Raises RuntimeError while gradients are required."""
    if self._tracked() and not force:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    return self._array()


def _as_array(self: Tensor, dtype: Any = None, copy: Any = None) -> Array:
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        return array.astype(dtype)
    return array.copy() if copy else array


@method
def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor in another dtype or on another device, or like another tensor.

    ``to(dtype)``, ``to(device)``, ``to(device, dtype)``, ``to(other)``; the tensor itself when
    nothing changes and ``copy`` is False.
    """
    dtype, device, copied = None, None, kwargs.pop("copy", False)
    for kind in ("non_blocking", "memory_format"):
        kwargs.pop(kind, None)
    for value in (*args, kwargs.pop("dtype", None), kwargs.pop("device", None)):
        if isinstance(value, DType):
            dtype = value
        elif isinstance(value, Tensor):
            dtype, device = value.dtype, value.device
        elif isinstance(value, bool) or value is None:
            continue  # non_blocking given by position
        else:
            device = Device(value)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument {next(iter(kwargs))!r}")
    if device is not None:
        supported(device)
    if dtype is not None and dtype is not self.dtype:
        return cast(self, dtype)
    return apply(OPS["clone"], (self,), {}) if copied else self


@method
def cpu(self: Tensor) -> Tensor:
    """The tensor in main memory."""
    return to(self, "cpu")  # type: ignore[no-any-return]


@method
def cuda(self: Tensor, device: Any = None) -> Tensor:
    """The tensor on a GPU. Raises RuntimeError where there is none."""
    return to(self, "cuda" if device is None else Device("cuda", device))  # type: ignore[no-any-return]


@method
def pin_memory(self: Tensor) -> Tensor:
    """The tensor itself: main memory needs no pinning without a GPU."""
    return self


@method
def type(self: Tensor, dtype: Any = None) -> Any:
    """The name of the tensor's type, or the tensor cast to a dtype."""
    return f"graphc.{_TYPE_NAMES[self.dtype]}" if dtype is None else to(self, dtype)


@method
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor cast to the dtype of another."""
    return to(self, other.dtype)  # type: ignore[no-any-return]


_CASTS = {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16, "int": dtypes.int32, "long": dtypes.int64,
    "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool,
}  # fmt: skip
_TYPE_NAMES = {
    d: f"{name.capitalize() if name != 'bfloat16' else 'BFloat16'}Tensor"
    for name, d in _CASTS.items()
}


def _caster(name: str, dtype: DType) -> None:
    def function(self: Tensor) -> Tensor:
        return cast(self, dtype)

    function.__name__ = name
    function.__doc__ = f"The tensor cast to {dtype.name}."
    tensor_function(function, public=False)


for _name, _dtype in _CASTS.items():
    _caster(_name, _dtype)


# ------------------------------------------------------------------------------------------ writing


@method
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Writes ``src``, cast and broadcast, into this tensor."""
    del non_blocking
    return self._write(fitted(cast(src, self.dtype), self, "copy_"))


@method
def fill_(self: Tensor, value: Any) -> Tensor:
    """Writes one number everywhere."""
    if isinstance(value, Tensor):
        return copy_(self, value)  # type: ignore[no-any-return]
    attrs = {"value": value, "shape": tuple(self.shape), "dtype": self.dtype, "device": CPU}
    return self._write(apply(OPS["full"], (), attrs))


@method
def zero_(self: Tensor) -> Tensor:
    """Writes zeros everywhere."""
    return fill_(self, 0)  # type: ignore[no-any-return]


@method
def resize_(self: Tensor, *sizes: int) -> Tensor:
    """Gives the tensor another shape; its elements are kept as far as they go."""
    shape = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    if MODES.trace is not None:
        raise TraceError(
            f"resize_ at {user_location()} changes memory that the graph has planned; create a "
            "tensor of the new shape instead"
        )
    made = np.zeros(shape, self.dtype.numpy)
    flat = self._value.reshape(-1)
    made.reshape(-1)[: flat.size] = flat[: made.size]
    replacement = Tensor._make(made)
    _adopt(self, replacement)
    return self


@method
def set_(self: Tensor, source: Tensor) -> Tensor:
    """Takes over the memory, shape and strides of another tensor."""
    _adopt(self, source)
    return self


def _adopt(self: Tensor, other: Tensor) -> None:
    self._value, self._type = other._current(), other._type
    self._storage, self._base, self._view = other._storage, other._base, other._view
    self._seen, self._leaf, self._shadow_array = other._seen, None, None


def _get_data(self: Tensor) -> Tensor:
    return self.detach()


def _set_data(self: Tensor, value: Tensor) -> None:
    if MODES.trace is not None:
        with_grad = MODES.grad
        MODES.grad = False
        try:
            assign(self, value, "data")
        finally:
            MODES.grad = with_grad
        return
    _adopt(self, value.detach())
    self._base, self._view = None, ()


def _deep_copy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy "
            "protocol at the moment."
        )
    if id(self) in memo:
        return memo[id(self)]  # type: ignore[no-any-return]
    made = self.__class__._make(self._array().copy(), self._type)
    made._requires_grad = self._requires_grad
    memo[id(self)] = made
    if self._grad is not None:
        made._grad = copy.deepcopy(self._grad, memo)
    made.__dict__.update(copy.deepcopy(self.__dict__, memo))
    return made  # type: ignore[no-any-return]


def _rebuild(array: Array, requires_grad: bool) -> Tensor:
    made: Tensor = Tensor._make(array)
    return made.requires_grad_() if requires_grad else made


def _reduce(self: Tensor, _protocol: Any) -> Any:
    return _rebuild, (np.array(self._array()), self._requires_grad)


@tensor_function
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements."""
    return tuple(input.shape) == tuple(other.shape) and bool(
        (input._array() == other._array()).all()
    )


@tensor_function
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """``|input - other| <= atol + rtol * |other|``, elementwise."""
    with np.errstate(invalid="ignore"):
        close = np.isclose(input._array(), other._array(), rtol, atol, equal_nan)
    return Tensor._make(np.asarray(close))  # type: ignore[no-any-return]


@tensor_function
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close: see :func:`isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._value.all())


_SPECIAL = {
    "__len__": _length, "__bool__": _truth, "__index__": _index, "__contains__": _contains,
    "__int__": lambda self: int(_one(self)), "__float__": lambda self: float(_one(self)),
    "__repr__": _text, "__format__": _format, "__array__": _as_array,
    "__deepcopy__": _deep_copy, "__reduce_ex__": _reduce,
}  # fmt: skip
for _name, _function in _SPECIAL.items():
    setattr(Tensor, _name, _function)
Tensor.data = property(_get_data, _set_data)  # type: ignore[attr-defined]
Tensor.is_cuda = property(lambda self: self.device.type == "cuda")  # type: ignore[attr-defined]
Tensor.itemsize = property(lambda self: self.dtype.itemsize)  # type: ignore[attr-defined]
__all__ = ["Size"]
