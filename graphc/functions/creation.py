"""Tensors from data, from NumPy, and filled with constants or ranges."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.errors import TraceError, user_location
from graphc.functions.promotion import cast, supported
from graphc.functions.registry import tensor_function
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Array, Tensor, apply


def _device(value: Any) -> Device:
    return CPU if value is None else supported(Device(value))


def _finish(result: Tensor, requires_grad: bool) -> Tensor:
    return result.requires_grad_() if requires_grad else result


# ------------------------------------------------------------------------------------- from data


@tensor_function(method=False)
def tensor(
    data: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A new tensor that copies ``data``: numbers, nested sequences, arrays or tensors.

    Python floats become the default dtype, ints int64. Raises ValueError for ragged nests and
    TypeError for what is no number.
    """
    del pin_memory
    _device(device)
    if isinstance(data, Tensor):
        copied = apply(OPS["clone"], (data.detach(),), {})
        return _finish(cast(copied, dtype) if dtype is not None else copied, requires_grad)
    return _finish(_from_data(data, dtype), requires_grad)


def _from_data(data: Any, dtype: DType | None) -> Tensor:
    if isinstance(data, (np.ndarray, np.generic)):
        if MODES.trace is not None:
            raise _frozen("an array")
        array = np.array(data)
    else:
        data, found = _plain(data)
        array = np.array(data, dtype=(dtype or found).numpy)
    if dtype is not None:
        array = array.astype(dtype.numpy)
    if array.dtype == object:
        raise TypeError("tensor(): could not make numbers of a nested object")
    made: Tensor = Tensor._make(array)
    return made if MODES.trace is None else MODES.trace.literal(array, made._type)


def _plain(data: Any) -> tuple[Any, DType]:
    """Nested sequences with tensors replaced by their values, and the dtype PyTorch infers."""
    kinds: list[DType] = []

    def visit(value: Any) -> Any:
        if isinstance(value, Tensor):
            kinds.append(value.dtype)
            return value._array().tolist()
        if isinstance(value, (np.ndarray, np.generic)):
            kinds.append(dtypes.from_numpy_dtype(value.dtype))
            return value.tolist()
        if isinstance(value, (list, tuple, range)):
            return [visit(item) for item in value]
        if not isinstance(value, (bool, int, float)):
            raise TypeError(
                f"tensor(): new data of type {type(value).__name__} is no number; "
                "expected numbers, nested sequences of numbers, arrays or tensors"
            )
        kinds.append(dtypes.of_python(value))
        return value

    plain = visit(data)
    _check_regular(plain)
    found = kinds[0] if kinds else dtypes.get_default_dtype()
    for kind in kinds[1:]:
        found = dtypes.promote_types(found, kind)
    return plain, found


def _check_regular(data: Any, dim: int = 0) -> int:
    if not isinstance(data, list):
        return -1
    lengths = {_check_regular(item, dim + 1) for item in data}
    if len(lengths) > 1:
        raise ValueError(
            f"expected sequences of one length at dim {dim + 1}, found lengths "
            f"{sorted(n for n in lengths if n >= 0)}"
        )
    return len(data)


def _frozen(what: str) -> TraceError:
    return TraceError(
        f"{what} from NumPy becomes a tensor at {user_location()}, inside a compiled function: its "
        "values would be frozen at the first call. Make the tensor outside and pass it in."
    )


@tensor_function(method=False)
def from_numpy(ndarray: Array) -> Tensor:
    """A tensor on the same memory. Raises TypeError for what is no array, or an unknown dtype."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if MODES.trace is not None:
        raise _frozen("memory")
    if any(stride < 0 for stride in ndarray.strides):
        raise ValueError(
            "At least one stride in the given numpy array is negative, and tensors with negative "
            "strides are not currently supported. (You can probably work around this by making a "
            "copy of your array with array.copy().)"
        )
    return Tensor._make(ndarray)  # type: ignore[no-any-return]


@tensor_function(method=False, aliases=("asarray",))
def as_tensor(data: Any, dtype: DType | None = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, without a copy where its memory can be shared."""
    _device(device)
    if isinstance(data, Tensor):
        return data if dtype is None else cast(data, dtype)
    if isinstance(data, np.ndarray) and MODES.trace is None:
        shared = from_numpy(data)
        return shared if dtype is None else cast(shared, dtype)
    return _from_data(data, dtype)


@tensor_function(method=False)
def scalar_tensor(s: float, *, dtype: DType | None = None, device: Any = None) -> Tensor:
    """A zero-dim tensor of the default dtype."""
    return full((), s, dtype=dtype or dtypes.get_default_dtype(), device=device)


# ----------------------------------------------------------------------------- filled with a value


def _sizes(size: Sequence[Any]) -> tuple[int, ...]:
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = size[0]
    sizes = tuple(int(n) for n in size)
    for n in sizes:
        if n < 0:
            raise RuntimeError(
                f"Trying to create tensor with negative dimension {n}: {list(sizes)}"
            )
    return sizes


def _filled(
    shape: tuple[int, ...], value: Any, dtype: DType, device: Any, requires_grad: bool
) -> Tensor:
    attrs = {"value": value, "shape": shape, "dtype": dtype, "device": _device(device)}
    return _finish(apply(OPS["full"], (), attrs), requires_grad)


@tensor_function(method=False, out=True)
def zeros(
    *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of zeros of shape ``size``."""
    return _filled(_sizes(size), 0, dtype or dtypes.get_default_dtype(), device, requires_grad)


@tensor_function(method=False, out=True)
def ones(
    *size: Any, dtype: DType | None = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of ones of shape ``size``."""
    return _filled(_sizes(size), 1, dtype or dtypes.get_default_dtype(), device, requires_grad)


@tensor_function(method=False, out=True)
def empty(
    *size: Any,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """An uninitialised tensor of shape ``size``."""
    del pin_memory, memory_format
    _device(device)
    kind = dtype or dtypes.get_default_dtype()
    if MODES.trace is not None:
        return _filled(_sizes(size), 0, kind, device, requires_grad)
    made: Tensor = Tensor._make(np.empty(_sizes(size), kind.numpy))
    return _finish(made, requires_grad)


@tensor_function(method=False, out=True)
def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of shape ``size`` filled with a number, whose dtype it takes unless given."""
    if isinstance(fill_value, Tensor):
        kind = dtype or fill_value.dtype
        return apply(
            OPS["clone"],
            (apply(OPS["expand"], (_ranked(cast(fill_value, kind), len(size)),),
                   {"shape": _sizes((size,))}),),
            {},
        )  # fmt: skip
    return _filled(
        _sizes((size,)), fill_value, dtype or dtypes.of_python(fill_value), device, requires_grad
    )


def _ranked(value: Tensor, rank: int) -> Tensor:
    return apply(OPS["reshape"], (value,), {"shape": (1,) * rank})


def _like(input: Tensor, value: Any, dtype: DType | None, requires_grad: bool) -> Tensor:
    return _filled(tuple(input.shape), value, dtype or input.dtype, None, requires_grad)


@tensor_function(method=False)
def zeros_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Zeros with the shape and dtype of ``input``."""
    del device, memory_format
    return _like(input, 0, dtype, requires_grad)


@tensor_function(method=False)
def ones_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Ones with the shape and dtype of ``input``."""
    del device, memory_format
    return _like(input, 1, dtype, requires_grad)


@tensor_function(method=False)
def empty_like(
    input: Tensor,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Uninitialised memory with the shape and dtype of ``input``."""
    del memory_format
    return empty(
        tuple(input.shape), dtype=dtype or input.dtype, device=device, requires_grad=requires_grad
    )


@tensor_function(method=False)
def full_like(
    input: Tensor, fill_value: Any, *, dtype: DType | None = None, requires_grad: bool = False
) -> Tensor:
    """``fill_value`` with the shape and dtype of ``input``."""
    return _like(input, fill_value, dtype, requires_grad)


def _new(name: str, make: Any) -> None:
    def method(
        self: Tensor,
        *size: Any,
        dtype: DType | None = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:
        return make(  # type: ignore[no-any-return]
            *size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad
        )

    method.__name__ = name
    method.__doc__ = f"``graphc.{name[4:]}`` with this tensor's dtype unless one is given."
    tensor_function(method, public=False)


for _name, _make in (
    ("new_zeros", zeros),
    ("new_ones", ones),
    ("new_empty", empty),
    ("new_full", full),
    ("new_tensor", tensor),
):
    _new(_name, _make)


# ------------------------------------------------------------------------------------------ ranges


def _iota(count: int, start: Any, step: Any, dtype: DType) -> Tensor:
    attrs = {"shape": (count,), "dim": 0, "dtype": dtype, "start": start, "step": step,
             "device": CPU}  # fmt: skip
    return apply(OPS["iota"], (), attrs)


@tensor_function(method=False, out=True)
def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from ``start`` (default 0) below ``end`` in steps of ``step``."""
    _device(device)
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError(
            "upper bound and lower bound inconsistent with step sign: "
            f"arange({start}, {end}, {step})"
        )
    kind = dtype
    if kind is None:
        floating = any(isinstance(x, float) for x in (start, end, step))
        kind = dtypes.get_default_dtype() if floating else dtypes.int64
    count = math.ceil((end - start) / step)
    return _finish(_iota(count, start, step, kind), requires_grad)


@tensor_function(method=False, out=True)
def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` evenly spaced numbers from ``start`` to ``end``, both included."""
    _device(device)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    kind = dtype or dtypes.get_default_dtype()
    # Counted from both ends, so that the last number is exactly ``end``.
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    half = steps // 2
    index = np.arange(steps)
    values = np.where(index < half, start + step * index, end - step * (steps - 1 - index))
    if steps == 1:
        values = np.array([start], np.float64)
    array = values.astype(kind.numpy)
    made: Tensor = Tensor._make(array)
    if MODES.trace is not None:
        made = MODES.trace.literal(array, made._type)
    return _finish(made, requires_grad)


@tensor_function(method=False, out=True)
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DType | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A matrix with ones on the diagonal."""
    _device(device)
    columns = n if m is None else m
    rows = apply(OPS["reshape"], (_iota(n, 0, 1, dtypes.int64),), {"shape": (n, 1)})
    same = apply(OPS["eq"], (rows, _iota(columns, 0, 1, dtypes.int64)), {})
    return _finish(cast(same, dtype or dtypes.get_default_dtype()), requires_grad)
