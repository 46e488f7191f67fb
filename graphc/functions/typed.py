"""Tensor types of PyTorch's first years: ``FloatTensor(2, 3)``, ``LongTensor([1])``, ``x.new()``.

Each is a class by which tensors are made and recognised; the tensors are ordinary ones.
"""

from typing import Any

import numpy as np

from graphc import dtypes, layouts
from graphc.dtypes import dtype as DType
from graphc.functions.creation import empty
from graphc.functions.factory import checked_device
from graphc.functions.literals import from_data
from graphc.functions.registry import FUNCTIONS, tensor_function
from graphc.ir import CPU
from graphc.tensor import Size, Tensor


def made_by_type(dtype: DType | None, args: tuple[Any, ...], device: Any = None) -> Tensor:
    """What ``FloatTensor(*args)`` makes: memory of a size, or a copy of data.

    A tensor is shared, and has to have the dtype already (None: any). Raises TypeError.
    """
    checked_device(device)
    kind = dtype or dtypes.get_default_dtype()
    first = args[0] if len(args) == 1 else None
    if not args:
        return empty(0, dtype=kind)  # type: ignore[no-any-return]
    if isinstance(first, Tensor):
        if dtype is not None and first.dtype is not dtype:
            raise TypeError(f"expected a tensor of {dtype.name} (got {first.dtype.name})")
        return first.detach()
    if isinstance(first, Size):
        return empty(tuple(first), dtype=kind)  # type: ignore[no-any-return]
    if first is None or isinstance(first, (int, np.integer)):
        return empty(*args, dtype=kind)  # type: ignore[no-any-return]
    if isinstance(first, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(first).__name__}'")
    if not hasattr(first, "__len__"):
        raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})")
    return from_data(first, kind)


class TensorType(type):
    """The class of ``FloatTensor`` and its like: calling one makes a tensor of its dtype."""

    dtype: DType
    layout = layouts.strided
    is_cuda = False
    is_sparse = False

    def __call__(cls, *args: Any, device: Any = None) -> Any:
        return made_by_type(cls.dtype, args, device)

    def __instancecheck__(cls, instance: Any) -> bool:
        return (
            isinstance(instance, Tensor) and instance.dtype is cls.dtype and instance.device is CPU
        )

    def __repr__(cls) -> str:
        return f"<class '{type_name(cls.dtype)}'>"


def type_name(dtype: DType) -> str:
    """``graphc.FloatTensor``: the name of the type of tensors of a dtype."""
    return f"graphc.{dtype.type_name}Tensor"


TYPES: dict[DType, TensorType] = {}
for _dtype in dtypes.ALL:
    _name = f"{_dtype.type_name}Tensor"
    _doc = f"Tensors of {_dtype.name}: ``{_name}(2, 3)`` has that size, ``{_name}([1])`` the data."
    TYPES[_dtype] = FUNCTIONS[_name] = TensorType(
        _name, (), {"dtype": _dtype, "__module__": "graphc", "__doc__": _doc}
    )

_NAMED = {type_name(dtype): dtype for dtype in dtypes.ALL}


def dtype_named(given: Any) -> DType:
    """The dtype that a dtype, a Python type, a tensor type or the name of one stands for.

    Raises ValueError for a name that is none, TypeError for anything else.
    """
    if isinstance(given, DType):
        return given
    if isinstance(given, TensorType):
        return given.dtype
    if isinstance(given, str):
        found = _NAMED.get(given.replace("torch.", "graphc.", 1))
        if found is None:
            raise ValueError(f"invalid type: {given!r}")
        return found
    python = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_}
    if given in python:
        return python[given]
    if given is Tensor:
        return dtypes.get_default_dtype()
    raise TypeError(f"dtype must be a type, a name of one, or a graphc.dtype, not {given!r}")


@tensor_function(public=False)
def new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """``x.new(2, 3)``, ``x.new([1, 2])``: what the type of ``x`` makes of the arguments."""
    return made_by_type(self.dtype, args, device)


def _construct(cls: Any, *args: Any, device: Any = None) -> Any:
    """``Tensor(2, 3)`` is memory of that size, ``Tensor([1, 2])`` holds the data, as floats."""
    made = made_by_type(None, args, device)
    return made if cls is Tensor else cls._make(made._value, made._type, made._storage)


setattr(Tensor, "__new__", staticmethod(_construct))  # noqa: B010 - mypy knows the declaration


@tensor_function(method=False)
def set_default_tensor_type(t: Any) -> None:
    """Sets the default dtype to that of a tensor type, or of its name. Raises TypeError."""
    dtypes.set_default_dtype(dtype_named(t))


@tensor_function(method=False)
def typename(obj: Any) -> str:
    """The name of a tensor's type, or the full name of any other object's class."""
    if isinstance(obj, Tensor):
        return type_name(obj.dtype)
    if isinstance(obj, TensorType):
        return type_name(obj.dtype)
    cls = obj if hasattr(obj, "__qualname__") else obj.__class__
    module = getattr(cls, "__module__", None)
    name = cls.__qualname__
    return name if module in (None, "builtins", "__builtin__") else f"{module}.{name}"
