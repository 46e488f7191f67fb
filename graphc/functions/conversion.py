"""The way of a tensor to Python, to NumPy, to other dtypes, and to other memory."""

from typing import Any

import numpy as np

from graphc import dtypes, layouts, printing
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.functions.attributes import strides_of
from graphc.functions.creation import from_numpy
from graphc.functions.factory import checked_dtype, in_format
from graphc.functions.promotion import cast, supported
from graphc.functions.registry import tensor_function
from graphc.functions.typed import dtype_named, type_name
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Array, Tensor, apply, escaped

method = tensor_function(public=False)

# --------------------------------------------------------------------------------------- to Python


@method
def item(self: Tensor) -> Any:
    """The one element as a Python number. Raises RuntimeError for more elements or none."""
    if MODES.trace is None or self.numel() != 1:
        if self.numel() != 1:
            raise RuntimeError(
                f"a Tensor with {self.numel()} elements cannot be converted to Scalar"
            )
        return self._array().item()
    return MODES.trace.item(self)


@method
def tolist(self: Tensor) -> Any:
    """Nested lists of Python numbers; of a zero-dim tensor its number."""
    return _plain(self._array())


def _plain(array: Array) -> Any:
    """Python numbers, nested like the array; of one element just its number, as ``item`` gives."""
    wide = array.astype(np.float32) if array.dtype.kind == "V" else array
    return wide.tolist()


def _number(self: Tensor) -> Any:
    """The one element, for Python's own conversions."""
    if self.numel() != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return self._array().item()


def _truth(self: Tensor) -> bool:
    if self.numel() == 1:
        return bool(_number(self))
    many = "more than one value" if self.numel() else "no values"
    raise RuntimeError(f"Boolean value of Tensor with {many} is ambiguous")


def _index(self: Tensor) -> int:
    if self.dtype.is_floating_point or self.numel() != 1:
        raise TypeError("only integer tensors of a single element can be converted to an index")
    return int(_number(self))


def _length(self: Tensor) -> int:
    if not self.ndim:
        raise TypeError("len() of a 0-d tensor")
    return int(self.shape[0])


def _contains(self: Tensor, element: Any) -> bool:
    if not isinstance(element, (Tensor, bool, int, float, np.generic)):
        raise RuntimeError(
            "Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
            f"{element.__class__}."
        )
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
    if not self.ndim and not self._traced and self.__class__ is Tensor:
        return format(item(self), spec)
    return object.__format__(self, spec)


# ---------------------------------------------------------------------------------------- to NumPy


@method
def numpy(self: Tensor, *, force: bool = False) -> Array:
    """The same memory as an array. Raises RuntimeError while gradients are required.

    bfloat16 becomes the dtype of that name of the package ``ml_dtypes``.
    """
    if self._tracked() and not force:
        raise RuntimeError(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
        )
    return self._array().view()  # an array object of its own, whose shape may be set


def _as_array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> Array:
    """What ``np.asarray(tensor)`` gives: the same memory where dtype and ``copy`` allow it."""
    array = numpy(self)
    if dtype is not None and array.dtype != dtype:
        if copy is False:
            raise ValueError(
                f"Unable to avoid copy while creating an array as requested: {array.dtype} has to "
                f"become {np.dtype(dtype)}"
            )
        return array.astype(dtype)
    return array.copy() if copy else array


def _from_array(
    self: Tensor, array: Array, context: Any = None, return_scalar: bool = False
) -> Tensor:
    """What NumPy's own functions make of their result when a tensor was given: a tensor again.

    Booleans become uint8, as they do in PyTorch.
    """
    del self, context, return_scalar
    plain = np.asarray(array)
    return from_numpy(plain.astype(np.uint8) if plain.dtype == np.bool_ else plain)  # type: ignore[no-any-return]


# ----------------------------------------------------------------------------------- to other types


def _formatted(self: Tensor, memory_format: Any) -> Tensor:
    """The tensor itself when its memory follows the format, else a copy that does."""
    format = layouts.checked_format("to", memory_format, layouts.ANY)
    if format is layouts.preserve_format:
        return self
    layouts.physical_order(self.ndim, format)  # raises for tensors of another rank
    if layouts.follows(tuple(self.shape), strides_of(self), format):
        return self
    return in_format(self, format)


_POSITIONS = ("device", "dtype", "non_blocking", "copy", "memory_format")


def _target(args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments of :func:`to` by name, from any of its three forms."""
    first = args[0] if args else None
    names: tuple[str, ...] = _POSITIONS
    if isinstance(first, Tensor):
        args = args[1:]
        found: dict[str, Any] = {"dtype": first.dtype, "device": first.device}
        names = _POSITIONS[2:]
    elif isinstance(first, (DType, type)):
        found, names = {}, _POSITIONS[1:]
    else:
        found = {}
    if len(args) > len(names):
        raise TypeError(f"to() takes at most {len(names)} arguments, but got {len(args)}")
    given = dict(zip(names, args, strict=False))
    for name, value in (*given.items(), *named.items()):
        if name in found or name not in _POSITIONS:
            raise TypeError(
                f"to() received an invalid combination of arguments: {name!r} is unknown, or given "
                "twice"
            )
        found[name] = value
    return found


@method
def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor in another dtype or on another device, or like another tensor.

    ``to(dtype)``, ``to(device, dtype)`` and ``to(other)``, each followed by ``non_blocking``,
    ``copy`` and ``memory_format``; the tensor itself when nothing changes and ``copy`` is False.
    """
    target = _target(args, kwargs)
    dtype = checked_dtype("to", target.get("dtype"))
    if target.get("device") is not None:
        supported(Device(target["device"]))
    result = self
    if dtype is not None and dtype is not self.dtype:
        result = cast(self, dtype)
    elif target.get("copy"):
        result = apply(OPS["clone"], (self,), {})
    return _formatted(result, target.get("memory_format"))


@method
def cpu(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor in main memory."""
    return _formatted(self, memory_format)


@method
def cuda(self: Tensor, device: Any = None, non_blocking: bool = False) -> Tensor:
    """The tensor on a GPU. Raises RuntimeError where there is none."""
    del non_blocking
    return to(self, Device("cuda") if device is None else Device(device))  # type: ignore[no-any-return]


@method
def pin_memory(self: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: main memory needs no pinning without a GPU."""
    del device
    return self


@tensor_function(public=False, name="type")
def type_(self: Tensor, dtype: Any = None, non_blocking: bool = False, **kwargs: Any) -> Any:
    """The name of the tensor's type, or the tensor cast to a dtype, a tensor type, or its name."""
    del non_blocking
    kwargs.pop("async", None)
    if kwargs:
        raise TypeError(f"type() got an unexpected keyword argument {next(iter(kwargs))!r}")
    if dtype is None:
        return type_name(self.dtype)
    return cast(self, dtype_named(dtype))


@method
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """The tensor cast to the dtype of another."""
    return cast(self, other.dtype)


CASTS = {
    "float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
    "bfloat16": dtypes.bfloat16, "int": dtypes.int32, "long": dtypes.int64,
    "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool_,
}  # fmt: skip


def _caster(name: str, dtype: DType) -> None:
    def function(self: Tensor, memory_format: Any = None) -> Tensor:
        return _formatted(cast(self, dtype), memory_format)

    function.__name__ = name
    function.__doc__ = f"The tensor cast to {dtype.name}."
    tensor_function(function, public=False)


for _name, _dtype in CASTS.items():
    _caster(_name, _dtype)


_SPECIAL: dict[str, Any] = {
    "__len__": _length, "__bool__": _truth, "__index__": _index, "__contains__": _contains,
    "__int__": lambda self: int(_number(self)), "__float__": lambda self: float(_number(self)),
    "__complex__": lambda self: complex(_number(self)),
    "__repr__": _text, "__format__": _format, "__array__": _as_array,
    "__array_wrap__": _from_array, "__reversed__": lambda self: self.flip(0) if self.ndim else self,
}  # fmt: skip
for _name, _function in _SPECIAL.items():
    setattr(Tensor, _name, _function)
