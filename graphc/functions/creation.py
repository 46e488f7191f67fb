"""Tensors from data, from memory, filled with constants, or counting."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import dtypes, layouts
from graphc.dtypes import dtype as DType
from graphc.functions.factory import (
    allocate,
    arranged,
    checked_device,
    checked_dtype,
    checked_number,
    checked_size,
    converted,
    counted,
    factory,
    filled,
    fits,
    like,
    one_size,
)
from graphc.functions.literals import from_data, frozen, refuse_negative_strides
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.modes import MODES, is_compiling
from graphc.ops import OPS
from graphc.tensor import Array, Tensor, apply

# ------------------------------------------------------------------------------------- from data


@factory(out=False)
def tensor(data: Any, *, dtype: DType | None = None) -> Tensor:
    """A new tensor that copies ``data``: numbers, nested sequences, arrays or tensors.

    Python floats become the default dtype, ints int64. Raises ValueError for ragged nests,
    TypeError or RuntimeError for what is no number or does not fit the dtype.
    """
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use "
            "sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), "
            "rather than graphc.tensor(sourceTensor).",
            stacklevel=4,
        )
        copied = apply(OPS["clone"], (data.detach(),), {})
        return copied if dtype is None else cast(copied, dtype)
    return from_data(data, dtype)


@tensor_function(method=False)
def from_numpy(ndarray: Array) -> Tensor:
    """A tensor on the same memory.

    Raises TypeError for what is no array, or an unknown dtype; ValueError for negative strides,
    foreign byte order, and elements that do not lie at multiples of their size. Memory that NumPy
    marks as read-only stays so: writing to the tensor raises.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    if is_compiling():
        raise frozen("memory")
    refuse_negative_strides(ndarray)
    dtype = dtypes.from_numpy_dtype(ndarray.dtype)
    if any(stride % dtype.itemsize for stride in ndarray.strides):
        raise ValueError(
            "given numpy array strides not a multiple of the element byte size. Copy the numpy "
            "array to reallocate the memory."
        )
    if not ndarray.flags.writeable:
        warnings.warn(
            "The given NumPy array is not writable: the tensor shares its memory, and writing to "
            "it will raise. Copy the array if the tensor is to be written to.",
            stacklevel=3,
        )
    # An array object of its own: setting the shape of the given one changes that one alone.
    return Tensor._make(ndarray.view(np.ndarray))  # type: ignore[no-any-return]


@tensor_function(method=False)
def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, without a copy where its memory can be shared."""
    kind = checked_dtype("as_tensor", dtype)
    checked_device(device)
    if isinstance(data, Tensor):
        return data if kind is None else cast(data, kind)
    if isinstance(data, np.ndarray) and not is_compiling():
        shared: Tensor = from_numpy(data)
        return shared if kind is None else cast(shared, kind)
    return from_data(data, kind)


@factory
def scalar_tensor(s: Any, *, dtype: DType | None = None) -> Tensor:
    """A zero-dim tensor of the default dtype."""
    return _full("scalar_tensor", (), s, dtype or dtypes.get_default_dtype())


# ----------------------------------------------------------------------------- filled with a value


def _constant(value: int, name: str, text: str) -> Callable[..., Tensor]:
    def function(*size: Any, dtype: DType | None = None, **named: Any) -> Tensor:
        return filled(one_size(name, size, named), value, dtype or dtypes.get_default_dtype())

    function.__name__ = name
    function.__doc__ = text
    return factory(function)  # type: ignore[no-any-return]


zeros = _constant(0, "zeros", "A tensor of zeros of shape ``size``.")
ones = _constant(1, "ones", "A tensor of ones of shape ``size``.")


@factory
def empty(
    *size: Any, dtype: DType | None = None, memory_format: Any = None, **named: Any
) -> Tensor:
    """An uninitialised tensor of shape ``size``, its dimensions in the order of the format."""
    shape = one_size("empty", size, named)
    kind = dtype or dtypes.get_default_dtype()
    format = layouts.checked_format("empty", memory_format, layouts.DEFINITE)
    order = layouts.physical_order(len(shape), format)
    if format is layouts.contiguous_format:
        return _uninitialised(shape, kind)
    return _uninitialised(shape, kind, layouts.dense_strides(shape, order))


def _uninitialised(
    shape: tuple[int, ...], dtype: DType, strides: tuple[int, ...] | None = None
) -> Tensor:
    """A graph has no uninitialised values: there they are zero."""
    if MODES.trace is None:
        return Tensor._make(allocate(shape, dtype, strides))  # type: ignore[no-any-return]
    made = filled(shape, 0, dtype)
    return made if strides is None else arranged(made, strides)


@factory(out=False)
def empty_strided(size: Any, stride: Any, *, dtype: DType | None = None) -> Tensor:
    """Uninitialised memory of shape ``size``; ``stride`` counts elements.

    Raises RuntimeError for negative numbers, or when the two differ in length.
    """
    shape = checked_size("empty_strided", (size,))
    steps = tuple(int(n) for n in stride)
    if len(shape) != len(steps):
        raise RuntimeError(
            f"dimensionality of sizes ({len(shape)}) must match dimensionality of strides "
            f"({len(steps)})"
        )
    if any(n < 0 for n in steps):
        raise RuntimeError(f"empty_strided: negative strides are not supported: {list(steps)}")
    return _uninitialised(shape, dtype or dtypes.get_default_dtype(), steps)


@factory
def empty_permuted(size: Any, physical_layout: Any, *, dtype: DType | None = None) -> Tensor:
    """Uninitialised memory without gaps, its dimensions in the order ``physical_layout``.

    Raises RuntimeError when that is no order of the dimensions.
    """
    shape = checked_size("empty_permuted", (size,))
    order = tuple(int(n) for n in physical_layout)
    if len(order) != len(shape):
        raise RuntimeError(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. "
            f"len(size) = {len(shape)} is not equal to len(physical_layout) = {len(order)}"
        )
    if sorted(order) != list(range(len(shape))):
        raise RuntimeError(f"empty_permuted: {list(order)} is no order of {len(shape)} dimensions")
    strides = layouts.dense_strides(shape, order)
    return _uninitialised(shape, dtype or dtypes.get_default_dtype(), strides)


@factory
def full(size: Any, fill_value: Any, *, dtype: DType | None = None) -> Tensor:
    """A tensor of shape ``size`` filled with a number, whose dtype it takes unless given.

    Raises RuntimeError when the dtype cannot hold the number.
    """
    if not isinstance(size, (tuple, list)):
        raise TypeError(
            f"full(): argument 'size' (position 1) must be tuple of ints, not {type(size).__name__}"
        )
    return _full("full", checked_size("full", (size,)), fill_value, dtype)


def _full(name: str, shape: tuple[int, ...], value: Any, dtype: DType | None) -> Tensor:
    if isinstance(value, Tensor) and not value.ndim:  # its number, which a trace does not know
        if value.requires_grad and not value._weak:
            raise TypeError(
                f"{name}(): the number is a tensor that requires gradients; detach() it"
            )
        number = value.detach()
        kind = dtype or (dtypes.get_default_dtype() if value._weak else value.dtype)
        spread = apply(OPS["reshape"], (cast(number, kind),), {"shape": (1,) * len(shape)})
        return apply(OPS["clone"], (apply(OPS["expand"], (spread,), {"shape": shape}),), {})
    number = checked_number(name, "fill_value", value)
    kind = dtype or dtypes.of_python(number)
    return filled(shape, converted(number, kind), kind)


# ----------------------------------------------------------------------- like another, or new of it


def like_function(make: Callable[..., Tensor], name: str, text: str, places: int = 0) -> Any:
    """``name(input, ...)``: what ``make`` gives for the shape and dtype of ``input``.

    ``places`` is how many of its own arguments ``make`` takes after the size.
    """

    def function(
        input: Tensor,
        *args: Any,
        dtype: DType | None = None,
        memory_format: Any = None,
        **named: Any,
    ) -> Tensor:
        if not isinstance(input, Tensor):
            raise TypeError(
                f"{name}(): argument 'input' (position 1) must be Tensor, not "
                f"{type(input).__name__}"
            )
        if len(args) > places:
            raise TypeError(
                f"{name}() takes {1 + places} positional arguments but {1 + len(args)} were given"
            )
        made = make(*args, size=tuple(input.shape), dtype=dtype or input.dtype, **named)
        return like(made, input, memory_format, name)

    function.__name__ = name
    function.__doc__ = text
    return factory(function, out=False)


zeros_like = like_function(zeros, "zeros_like", "Zeros with the shape and dtype of ``input``.")
ones_like = like_function(ones, "ones_like", "Ones with the shape and dtype of ``input``.")
empty_like = like_function(
    empty, "empty_like", "Uninitialised memory with the shape and dtype of ``input``."
)
full_like = like_function(
    lambda *fill, size, **named: full(size, *fill, **named),
    "full_like",
    "``fill_value`` with the shape and dtype of ``input``.",
    places=1,
)


def _new(make: Callable[..., Tensor]) -> None:
    name = f"new_{make.__name__}"

    def method(self: Tensor, *args: Any, dtype: Any = None, **named: Any) -> Tensor:
        return make(*args, dtype=self.dtype if dtype is None else dtype, **named)

    method.__name__ = name
    method.__doc__ = f"``graphc.{make.__name__}`` with this tensor's dtype unless one is given."
    tensor_function(method, public=False)


for _make in (zeros, ones, empty, full, tensor, empty_strided):
    _new(_make)


# ------------------------------------------------------------------------------------------ ranges


def _steps(name: str, start: Any, end: Any, step: Any) -> None:
    """Raises RuntimeError for bounds that no number of steps connects."""
    if not step:
        raise RuntimeError("step must be nonzero")
    if not (math.isfinite(start) and math.isfinite(end)):
        raise RuntimeError(f"unsupported range: {start} -> {end}")
    if (end - start) * step < 0:
        raise RuntimeError(
            "upper bound and lower bound inconsistent with step sign: "
            f"{name}({start}, {end}, {step})"
        )


@factory
def arange(
    start: Any = None, end: Any = None, step: Any = 1, *, dtype: DType | None = None
) -> Tensor:
    """Numbers from ``start`` (default 0) below ``end`` in steps of ``step``.

    int64 for integers, else the default dtype. Raises RuntimeError when the step leads away from
    ``end`` or is zero.
    """
    if end is None:
        start, end = 0, start
    elif start is None:
        start = 0
    start, end, step = (
        checked_number("arange", argument, value)
        for argument, value in (("start", start), ("end", end), ("step", step))
    )
    kind = dtype
    if kind is None:
        floating = any(isinstance(x, float) for x in (start, end, step))
        kind = dtypes.get_default_dtype() if floating else dtypes.int64
    if kind is dtypes.bool_:
        raise NotImplementedError("\"arange_cpu\" not implemented for 'Bool'")
    _steps("arange", start, end, step)
    if kind is dtypes.int64:
        start, end, step = int(start), int(end), int(step)
        if not step:
            raise ValueError("step must be nonzero, also as an integer")
        count = -((start - end) // step)
    else:
        count = math.ceil((float(end) - float(start)) / float(step))
    return counted(count, kind, start, step)


@factory(name="range")
def range_(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: DType | None = None) -> Tensor:
    """Numbers from ``start`` to ``end``, both included; deprecated, as PyTorch says."""
    if end is None:
        raise TypeError('range() missing 1 required positional arguments: "end"')
    warnings.warn(
        "graphc.range is deprecated, as torch.range is, because it is inconsistent with Python's "
        "range builtin. Instead, use graphc.arange, which produces values in [start, end).",
        stacklevel=4,
    )
    start, end, step = (
        checked_number("range", argument, value)
        for argument, value in (("start", start), ("end", end), ("step", step))
    )
    kind = dtype or dtypes.get_default_dtype()
    _steps("range", start, end, step)
    count = math.floor((float(end) - float(start)) / float(step)) + 1
    return counted(count, kind, start, step)


def _ends(name: str, start: Any, end: Any, steps: Any, kind: DType) -> tuple[Any, Any]:
    """The bounds of a range of so many numbers; tensors stay tensors, of their value alone."""
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)):
        raise TypeError(f"{name}(): argument 'steps' must be int, not {type(steps).__name__}")
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    if kind is dtypes.bool_:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for 'Bool'")
    if any(isinstance(x, Tensor) and x.ndim for x in (start, end)):
        ranks = [x.ndim if isinstance(x, Tensor) else 0 for x in (start, end)]
        raise RuntimeError(
            f"{name} only supports 0-dimensional start and end tensors, but got start with "
            f"{ranks[0]} dimension(s) and end with {ranks[1]} dimension(s)."
        )
    bounds: list[Any] = []
    for argument, value in (("start", start), ("end", end)):
        if isinstance(value, Tensor) and MODES.trace is not None:
            bounds.append(cast(value.detach(), kind))
            continue
        number = checked_number(name, argument, value)
        if not fits(number, kind):
            raise RuntimeError(f"value cannot be converted to type {kind.name} without overflow")
        bounds.append(number if kind.is_floating_point else converted(number, kind))
    return bounds[0], bounds[1]


def _evenly(start: Any, end: Any, steps: int, dtype: DType) -> Tensor:
    """Evenly spaced numbers in a float dtype, counted from the nearer end, so that both are exact.

    The step and every operation are rounded to the dtype, as PyTorch's are.
    """
    if not isinstance(start, Tensor):
        start = filled((), start, dtype)
    if not isinstance(end, Tensor):
        end = filled((), end, dtype)
    start, end = cast(start, dtype), cast(end, dtype)
    if steps <= 1:
        one = apply(OPS["reshape"], (start,), {"shape": (1,)})
        return OPS["clone"](one) if steps else filled((0,), 0, dtype)  # type: ignore[no-any-return]
    step = OPS["div"](OPS["sub"](end, start), float(steps - 1))
    forward = OPS["add"](OPS["mul"](counted(steps, dtype), step), start)
    rest = counted(steps, dtype, steps - 1, -1)
    backward = OPS["sub"](end, OPS["mul"](rest, step))
    first = apply(OPS["lt"], (counted(steps, dtypes.int64), steps // 2), {})
    return apply(OPS["where"], (first, forward, backward), {})


@factory
def linspace(start: Any, end: Any, steps: int, *, dtype: DType | None = None) -> Tensor:
    """``steps`` evenly spaced numbers from ``start`` to ``end``, both included.

    The bounds are numbers or zero-dim tensors. Raises RuntimeError for a negative count.
    """
    kind = dtype or dtypes.get_default_dtype()
    first, last = _ends("linspace", start, end, steps, kind)
    wide = kind if kind.is_floating_point else dtypes.float64
    return cast(_evenly(first, last, int(steps), wide), kind)


@factory
def logspace(
    start: Any, end: Any, steps: int, base: float = 10.0, *, dtype: DType | None = None
) -> Tensor:
    """``base`` to the power of ``steps`` evenly spaced numbers from ``start`` to ``end``.

    The bounds are rounded to the dtype, the powers computed in float64.
    """
    kind = dtype or dtypes.get_default_dtype()
    exact = dtypes.float64 if steps == 1 else kind  # one number is a power of the bound as given
    first, last = _ends("logspace", start, end, steps, exact)
    if kind.is_floating_point:
        first, last = (x if isinstance(x, Tensor) else filled((), x, exact) for x in (first, last))
    exponents = _evenly(first, last, int(steps), dtypes.float64)
    bases = filled((), checked_number("logspace", "base", base), dtypes.float64)
    return cast(apply(OPS["pow"], (bases, exponents), {}), kind)


@factory
def eye(n: int, m: int | None = None, *, dtype: DType | None = None) -> Tensor:
    """A matrix of ``n`` rows and ``m`` columns with ones on the diagonal."""
    columns = n if m is None else m
    for argument, size in (("n", n), ("m", columns)):
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
            raise TypeError(f"eye(): argument '{argument}' must be int, not {type(size).__name__}")
        if size < 0:
            raise RuntimeError(f"{argument} must be greater or equal to 0, got {size}")
    rows = apply(OPS["reshape"], (counted(int(n), dtypes.int64),), {"shape": (int(n), 1)})
    same = apply(OPS["eq"], (rows, counted(int(columns), dtypes.int64)), {})
    return cast(same, dtype or dtypes.get_default_dtype())
