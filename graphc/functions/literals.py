"""Python data as arrays: numbers, nested sequences of numbers, arrays and tensors among them."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import TraceError, user_location
from graphc.functions.factory import filled
from graphc.functions.promotion import cast
from graphc.memory import empty
from graphc.modes import MODES, is_compiling
from graphc.ops import OPS
from graphc.tensor import Array, Tensor, apply

_BEYOND = "Overflow when unpacking long long"


def frozen(what: str) -> TraceError:
    """The error for memory that a trace cannot read anew at every call."""
    return TraceError(
        f"{what} from NumPy becomes a tensor at {user_location()}, inside a compiled function: its "
        "values would be frozen at the first call. Make the tensor outside and pass it in."
    )


def from_data(data: Any, dtype: DType | None) -> Tensor:
    """A new tensor with a copy of what numbers, nested sequences or arrays hold."""
    if isinstance(data, np.ndarray):
        if is_compiling():
            raise frozen("an array")
        return Tensor._make(_of_array(data, dtype))  # type: ignore[no-any-return]
    shape, flat = _flattened(data)
    kind = dtype or _inferred(flat)
    if MODES.trace is not None and any(isinstance(x, Tensor) for x in flat):
        return _joined(flat, shape, kind)
    return literal(_numbers(flat, kind).reshape(shape))


def literal(array: Array) -> Tensor:
    """An array of constants as a tensor that takes it over."""
    made: Tensor = Tensor._make(array)
    return made if MODES.trace is None else MODES.trace.literal(array, made._type)


def _of_array(array: Array, dtype: DType | None) -> Array:
    dtypes.from_numpy_dtype(array.dtype)  # raises for what has no counterpart
    refuse_negative_strides(array)
    with np.errstate(all="ignore"):
        kind = array.dtype if dtype is None else dtype.numpy
        if not array.flags.c_contiguous:
            return np.array(array, kind, subok=False)
        copied = empty(array.shape, kind)
        np.copyto(copied, array, casting="unsafe")
        return copied


def refuse_negative_strides(array: Array) -> None:
    """Raises ValueError for an array that runs backwards in memory."""
    if any(stride < 0 for stride in array.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array with array.copy().)"
        )


# --------------------------------------------------------------------------------- nested sequences


def _is_sequence(value: Any) -> bool:
    """What PyTorch takes apart: anything with a length and places, but no mapping."""
    if isinstance(value, (list, tuple, range)):
        return True
    if isinstance(value, (Tensor, np.generic, dict)):
        return False
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return hasattr(value, "__len__") and hasattr(value, "__getitem__")


def _shape(data: Any) -> tuple[int, ...]:
    """The shape that the first elements of each nesting show."""
    shape: list[int] = []
    while _is_sequence(data):
        if isinstance(data, (str, bytes)):
            if shape:
                raise ValueError(f"too many dimensions '{type(data).__name__}'")
            break
        shape.append(len(data))
        if not shape[-1]:
            break
        data = data[0]
    return tuple(shape)


def _flattened(data: Any) -> tuple[tuple[int, ...], list[Any]]:
    """The shape, and the elements in row-major order."""
    shape = _shape(data)
    if isinstance(data, (list, tuple)) and data and isinstance(data[0], np.ndarray):
        warnings.warn(
            "Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider "
            "converting the list to a single numpy.ndarray with numpy.array() before converting "
            "to a tensor.",
            stacklevel=2,
        )
    level: list[Any] = [data]
    for dim, size in enumerate(shape):
        below: list[Any] = []
        for part in level:
            if not _is_sequence(part):
                raise TypeError(f"not a sequence: {type(part).__name__} at dim {dim}")
            if isinstance(part, (str, bytes)):
                raise TypeError(f"new(): invalid data type '{type(part).__name__}'")
            if len(part) != size:
                raise ValueError(
                    f"expected sequence of length {size} at dim {dim} (got {len(part)})"
                )
            below.extend(part)
        level = below
    return shape, level


def _inferred(flat: Sequence[Any]) -> DType:
    """The dtype of numbers together: that of the highest kind among them.

    Raises TypeError or RuntimeError where something is no number.
    """
    kinds: dict[DType, None] = {}
    for value in flat:
        kinds[_kind(value)] = None
    if not kinds:
        return dtypes.get_default_dtype()
    first, *rest = kinds
    for kind in rest:
        first = dtypes.promote_types(first, kind)
    return first


def _kind(value: Any) -> DType:
    if isinstance(value, Tensor):  # a run-time number counts as the Python float that it stands for
        return dtypes.get_default_dtype() if value._weak else value.dtype
    if isinstance(value, (np.ndarray, np.generic)):
        return dtypes.from_numpy_dtype(value.dtype)
    if isinstance(value, (bool, int, float)):
        return dtypes.of_python(value)
    if isinstance(value, (str, bytes)):
        raise TypeError(f"new(): invalid data type '{type(value).__name__}'")
    if isinstance(value, complex):
        raise TypeError("tensor(): complex numbers have no dtype here")
    if _is_sequence(value):
        raise TypeError(f"'{type(value).__name__}' object cannot be interpreted as a number")
    raise RuntimeError(f"Could not infer dtype of {type(value).__name__}")


def _number(value: Any) -> Any:
    """A tensor's, array's or Python's number as Python's."""
    if isinstance(value, Tensor):
        if value.numel() != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return value._array().item()
    return value.item() if isinstance(value, (np.ndarray, np.generic)) else value


def _numbers(flat: Sequence[Any], dtype: DType) -> Array:
    """The numbers in a dtype. Raises RuntimeError where an integer dtype cannot hold one."""
    plain = [_number(value) for value in flat]
    for value in plain:
        if not isinstance(value, (bool, int, float)):
            _kind(value)  # raises with the reason
    with np.errstate(all="ignore"):
        if dtype.is_floating_point:
            return np.array(plain, np.float64).astype(dtype.numpy)
        if dtype is dtypes.bool_:
            return np.array([bool(value) for value in plain], np.bool_)
        return _integers(plain, dtype)


def _integers(plain: Sequence[Any], dtype: DType) -> Array:
    limits = dtypes.iinfo(dtype)
    low = limits.min if dtype.is_signed else -limits.max  # negative numbers wrap, as in C
    try:
        whole = [int(value) for value in plain]
    except (ValueError, OverflowError):  # of nan and of infinities
        whole = [limits.max + 1]
    if whole and not (low <= min(whole) and max(whole) <= limits.max):
        if all(isinstance(value, int) for value in plain) and dtype is dtypes.int64:
            raise ValueError(_BEYOND)
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")
    return np.array(whole, np.int64).astype(dtype.numpy)


def _joined(flat: Sequence[Any], shape: tuple[int, ...], dtype: DType) -> Tensor:
    """The same inside a trace, where tensors among the numbers are symbols."""
    parts = []
    for value in flat:
        if isinstance(value, Tensor):
            if value.numel() != 1:
                raise ValueError("only one element tensors can be converted to Python scalars")
            part = cast(value.detach(), dtype)
            parts.append(apply(OPS["reshape"], (part,), {"shape": (1,)}))
        else:
            parts.append(filled((1,), _numbers([value], dtype)[0].item(), dtype))
    joined = apply(OPS["cat"], parts, {"dim": 0})
    return apply(OPS["reshape"], (joined,), {"shape": shape})
