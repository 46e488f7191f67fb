"""What functions that create tensors have in common: their keywords, sizes, numbers, and memory.

``@factory`` leaves a function its own arguments and the dtype; ``layout``, ``device``,
``pin_memory``, ``requires_grad`` and ``out`` are dealt with here, once for all of them.
"""

import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import dtypes, layouts
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.functions.promotion import supported
from graphc.functions.registry import tensor_function, write_out
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Array, Tensor, apply

_PYTHON_TYPES = {float: dtypes.float64, int: dtypes.int64, bool: dtypes.bool_}


def checked_dtype(name: str, dtype: Any) -> DType | None:
    """The dtype that a keyword gives: one of graphc's, or Python's float, int or bool.

    Raises TypeError for anything else but None.
    """
    if dtype is None or isinstance(dtype, DType):
        return dtype
    found = _PYTHON_TYPES.get(dtype) if isinstance(dtype, type) else None
    if found is None:
        raise TypeError(
            f"{name}(): argument 'dtype' must be graphc.dtype, not {type(dtype).__name__}"
        )
    return found


def checked_device(device: Any) -> Device:
    """The device where the tensor will be. Raises RuntimeError where none can be."""
    return CPU if device is None else supported(Device(device))


def checked_options(name: str, layout: Any, device: Any, pin_memory: Any) -> None:
    """Refuses what no tensor here can have: another layout, another device, pinned memory."""
    layouts.checked_layout(name, layout)
    checked_device(device)
    if pin_memory:
        raise RuntimeError(
            f"{name}: pin_memory=True requires a GPU; there is no allocator of pinned memory"
        )


_SHARED = tuple(
    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
    for name, default in (
        ("dtype", None),
        ("layout", None),
        ("device", None),
        ("pin_memory", False),
        ("requires_grad", False),
    )
)
_OUT = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)


def factory(
    function: Callable[..., Tensor] | None = None,
    *,
    name: str | None = None,
    method: bool = False,
    public: bool = True,
    out: bool = True,
) -> Any:
    """Registers a function that creates a tensor, with the keywords that all of these take.

    The function itself takes ``dtype`` (checked, or None) and its own arguments, and neither
    looks at nor passes on the rest.
    """
    if function is None:
        return functools.partial(factory, name=name, method=method, public=public, out=out)
    known = name or function.__name__
    make = function

    @functools.wraps(function)
    def with_options(
        *args: Any,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: Any = False,
        requires_grad: bool = False,
        **own: Any,
    ) -> Tensor:
        if "out" in own and not out:
            raise TypeError(f"{known}() got an unexpected keyword argument 'out'")
        target = own.pop("out", None)
        kind = checked_dtype(known, dtype)
        if layout is not None or device is not None or pin_memory:
            checked_options(known, layout, device, pin_memory)
        if target is not None:
            if kind is not None and kind is not target.dtype:
                raise RuntimeError(
                    f"dtype {kind.type_name} does not match dtype of out parameter "
                    f"({target.dtype.type_name})"
                )
            kind = target.dtype
        result = make(*args, dtype=kind, **own)
        if target is not None:
            result = write_out(target, result, known)
        return result.requires_grad_() if requires_grad else result

    with_options.__signature__ = _signature(function, out)  # type: ignore[attr-defined]
    return tensor_function(with_options, name=known, method=method, public=public)


def _signature(function: Callable[..., Any], out: bool) -> inspect.Signature:
    """The function's own parameters before the shared ones."""
    own = inspect.signature(function)
    kept = [p for p in own.parameters.values() if p.name != "dtype"]
    rest = [p for p in kept if p.kind is p.VAR_KEYWORD]
    kept = [p for p in kept if p.kind is not p.VAR_KEYWORD]
    return own.replace(parameters=[*kept, *([_OUT] if out else []), *_SHARED, *rest])


# ------------------------------------------------------------------------------- sizes and numbers


def _is_integer(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return False
    return isinstance(value, (int, np.integer)) or (
        isinstance(value, Tensor) and not value.ndim and value.dtype.kind is dtypes.Kind.INTEGER
    )


def checked_size(name: str, size: Any, required: bool = True) -> tuple[int, ...]:
    """A shape given as numbers or as one sequence of them.

    Raises TypeError for what are no integers, RuntimeError for negative ones.
    """
    given = tuple(size)
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    elif not given and required:
        raise TypeError(f'{name}() missing 1 required positional arguments: "size"')
    for place, n in enumerate(given):
        if not _is_integer(n):
            raise TypeError(
                f"{name}(): argument 'size' must be tuple of ints, but found element of type "
                f"{type(n).__name__} at pos {place}"
            )
    sizes = tuple(operator.index(n) for n in given)
    if any(n < 0 for n in sizes):
        negative = next(n for n in sizes if n < 0)
        raise RuntimeError(
            f"Trying to create tensor with negative dimension {negative}: {list(sizes)}"
        )
    return sizes


def one_size(name: str, positional: Sequence[Any], named: dict[str, Any]) -> tuple[int, ...]:
    """A shape from ``f(2, 3)``, ``f((2, 3))`` or ``f(size=(2, 3))``, and nothing else."""
    if "size" in named:
        if positional:
            raise TypeError(f"{name}() got multiple values for argument 'size'")
        positional = (named.pop("size"),)
        if not isinstance(positional[0], (tuple, list)):
            raise TypeError(f"{name}(): argument 'size' must be tuple of ints")
    refuse_rest(name, named)
    return checked_size(name, positional)


def refuse_rest(name: str, named: dict[str, Any]) -> None:
    """Raises TypeError when a keyword is left that nobody took."""
    if named:
        raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(named))!r}")


def checked_number(name: str, argument: str, value: Any) -> Any:
    """A Python number, from one, from a NumPy scalar, or from the value of a zero-dim tensor.

    Raises TypeError for anything else, OverflowError for integers beyond 64 bits.
    """
    if isinstance(value, (bool, int, float)):
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise OverflowError(f"{name}(): argument '{argument}' is too big: {value}")
        return value
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return value.item()
    if isinstance(value, Tensor) and not value.ndim:
        return value._array().item()
    raise TypeError(f"{name}(): argument '{argument}' must be Number, not {type(value).__name__}")


def fits(value: bool | int | float, dtype: DType) -> bool:
    """Whether a number can be converted: no finite float becomes infinite, no integer wraps.

    Negative numbers may wrap around in uint8, as they do in C.
    """
    if dtype is dtypes.bool_:
        return True
    if dtype.is_floating_point:
        return not np.isfinite(value) or abs(value) <= dtypes.finfo(dtype).max
    if isinstance(value, float) and not np.isfinite(value):
        return False
    limits = dtypes.iinfo(dtype)
    low = limits.min if dtype.is_signed else -limits.max
    return low <= int(value) <= limits.max


def converted(value: bool | int | float, dtype: DType) -> bool | int | float:
    """The number as the dtype holds it. Raises RuntimeError when it does not :func:`fit <fits>`."""
    if not fits(value, dtype):
        raise RuntimeError(f"value cannot be converted to type {dtype.name} without overflow")
    if dtype is dtypes.bool_:
        return bool(value)
    if dtype.is_floating_point:
        return float(value)
    return int(value) % 256 if dtype is dtypes.uint8 else int(value)


# ----------------------------------------------------------------------------- filled and counted


def filled(shape: Sequence[int], value: Any, dtype: DType) -> Tensor:
    """A tensor of one number everywhere."""
    attrs = {"value": value, "shape": tuple(shape), "dtype": dtype, "device": CPU}
    return apply(OPS["full"], (), attrs)


def counted(count: int, dtype: DType, start: Any = 0, step: Any = 1) -> Tensor:
    """``start + step * i`` for ``i`` below ``count``."""
    attrs = {"shape": (count,), "dim": 0, "dtype": dtype, "start": start, "step": step,
             "device": CPU}  # fmt: skip
    return apply(OPS["iota"], (), attrs)


def flat_slope(made: Tensor, *parameters: Any) -> Tensor:
    """The same numbers, on the tape as a function of parameters whose gradients are zero."""
    for parameter in parameters:
        if MODES.grad and isinstance(parameter, Tensor) and parameter.requires_grad:
            made = apply(OPS["independent"], (made, parameter), {})
    return made


def ranked(tensor: Tensor, rank: int) -> Tensor:
    """The tensor with leading dimensions of size 1."""
    shape = (1,) * (rank - tensor.ndim) + tuple(tensor.shape)
    return apply(OPS["reshape"], (tensor,), {"shape": shape}) if tensor.ndim < rank else tensor


# ------------------------------------------------------------------------------------------ memory


def allocate(shape: Sequence[int], dtype: DType, strides: Sequence[int] | None = None) -> Array:
    """Uninitialised memory; ``strides`` count elements, and are row-major unless given."""
    if strides is None:
        return np.empty(tuple(shape), dtype.numpy)
    if 0 in shape:
        extent = 0
    else:
        extent = 1 + sum(stride * (n - 1) for stride, n in zip(strides, shape, strict=True))
    memory = np.empty(extent, dtype.numpy)
    steps = tuple(stride * dtype.itemsize for stride in strides)
    return np.ndarray(tuple(shape), dtype.numpy, memory, strides=steps)


def arranged(tensor: Tensor, strides: Sequence[int]) -> Tensor:
    """A new tensor that nobody has seen yet, with its elements laid out in other strides.

    In a trace only what asks for strides notices: values have no layout there.
    """
    shape = tuple(tensor.shape)
    if tensor._traced:
        tensor._shadow_array = allocate(shape, tensor.dtype, strides)
        return tensor
    held = tensor._value
    if tuple(s // held.itemsize for s in held.strides) != tuple(strides):
        tensor._value = allocate(shape, tensor.dtype, strides)
        np.copyto(tensor._value, held)
    return tensor


def like(tensor: Tensor, input: Tensor, memory_format: Any, name: str) -> Tensor:
    """A new tensor in the memory order of ``input``, or in the order that the format names."""
    format = layouts.checked_format(name, memory_format, layouts.ANY)
    shape = tuple(tensor.shape)
    if format is not layouts.preserve_format:
        order = layouts.physical_order(len(shape), format)
        return arranged(tensor, layouts.dense_strides(shape, order))
    layout = input._layout()
    if layout.flags.c_contiguous or len(shape) < 2:
        return tensor
    return arranged(tensor, preserved_strides(shape, layout))


def preserved_strides(shape: Sequence[int], layout: Array) -> tuple[int, ...]:
    """Strides without gaps in the order of an existing layout; row-major for an expanded one."""
    order: Sequence[int] = range(len(shape))
    if not any(
        stride == 0 and n > 1 for stride, n in zip(layout.strides, layout.shape, strict=True)
    ):
        order = layouts.order_of(shape, layout.strides)
    return layouts.dense_strides(shape, order)


def in_format(input: Tensor, format: layouts.memory_format) -> Tensor:
    """A copy of a tensor whose elements lie in the order of the format."""
    copied = apply(OPS["clone"], (input,), {})
    order = layouts.physical_order(input.ndim, format)
    return arranged(copied, layouts.dense_strides(tuple(input.shape), order))
