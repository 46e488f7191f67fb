"""Signs, bounds, bits and parts of numbers, element by element."""

import math
from typing import Any

from graphc import dtypes, return_types
from graphc.dtypes import dtype as DType
from graphc.errors import DtypeError
from graphc.functions.promotion import Number, cast, pointwise, promoted
from graphc.functions.registry import FUNCTIONS, tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _tensor(name: str, argument: str, value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name}(): argument '{argument}' must be Tensor, not {type(value).__name__}"
        )
    return value


def _constant(like: Tensor, value: bool) -> Tensor:
    """A bool tensor of one value."""
    attrs = {"value": value, "shape": tuple(like.shape), "dtype": dtypes.bool}
    return apply(OPS["full"], (), {**attrs, "device": like.device})


# ------------------------------------------------------------------------------------------- signs


@tensor_function
def positive(input: Tensor) -> Tensor:
    """The tensor itself. Raises RuntimeError for bools, which have no sign."""
    if _tensor("positive", "input", input).dtype is dtypes.bool:
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


@tensor_function(inplace=True, out=True)
def sgn(input: Tensor) -> Tensor:
    """The sign: -1, 0 or 1."""
    return apply(OPS["sign"], (_tensor("sgn", "input", input),), {})


@tensor_function(out=True)
def signbit(input: Tensor) -> Tensor:
    """Whether the sign is negative, that of a zero or a NaN included."""
    if input.dtype is dtypes.bool:
        return _constant(input, False)
    if input.dtype.is_floating_point:
        input = apply(OPS["copysign"], (1, input), {})
    return apply(OPS["lt"], (input, 0), {})


@tensor_function(out=True)
def isposinf(input: Tensor) -> Tensor:
    """Where the elements are positive infinity."""
    return _is(input, math.inf)


@tensor_function(out=True)
def isneginf(input: Tensor) -> Tensor:
    """Where the elements are negative infinity."""
    return _is(input, -math.inf)


def _is(input: Tensor, value: float) -> Tensor:
    if not input.dtype.is_floating_point:
        return _constant(input, False)
    return apply(OPS["eq"], (input, value), {})


@tensor_function
def isreal(input: Tensor) -> Tensor:
    """True everywhere: there are no complex numbers."""
    return _constant(input, True)


@tensor_function
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero. Raises RuntimeError unless there is exactly one."""
    if input.numel() != 1:
        many = "more than one value" if input.numel() else "no values"
        raise RuntimeError(f"Boolean value of Tensor with {many} is ambiguous")
    return bool(input)


@tensor_function
def is_complex(input: Tensor) -> bool:
    """Whether the dtype is complex: never."""
    return _tensor("is_complex", "input", input).dtype.is_complex


# ------------------------------------------------------------------------------------------ bounds


def _bound(name: str, text: str) -> None:
    argument = name.removeprefix("clamp_")
    extreme = {"min": "maximum", "max": "minimum"}[argument]  # of bools

    def clamped(input: Tensor, bound: Any) -> Tensor:
        if not isinstance(bound, (Tensor, *Number)):
            raise TypeError(
                f"{name}(): argument '{argument}' must be Tensor or Number, not "
                f"{type(bound).__name__}"
            )
        _tensor(name, "input", input)
        if input.dtype is dtypes.bool and not isinstance(bound, Tensor):
            raise NotImplementedError(f"{name} is not implemented for graphc.bool")
        a, b = promoted(name, input, bound)
        return apply(OPS[extreme if a.dtype is dtypes.bool else name], (a, b), {})

    if argument == "min":

        def function(input: Tensor, min: Any) -> Tensor:
            return clamped(input, min)
    else:

        def function(input: Tensor, max: Any) -> Tensor:  # type: ignore[misc]
            return clamped(input, max)

    function.__name__ = name
    function.__doc__ = text
    tensor_function(function, name=name, inplace=True, out=True)


_bound("clamp_min", "Each element, but ``min`` where it is smaller.")
_bound("clamp_max", "Each element, but ``max`` where it is larger.")


@tensor_function(inplace=True, out=True)
def nan_to_num(
    input: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """Numbers in the place of NaN (0) and infinities (the largest finite numbers)."""
    if not input.dtype.is_floating_point:
        return apply(OPS["clone"], (input,), {})
    most = dtypes.finfo(input.dtype).max
    attrs = {
        "nan": 0.0 if nan is None else float(nan),
        "posinf": most if posinf is None else float(posinf),
        "neginf": -most if neginf is None else float(neginf),
    }
    return apply(OPS["nan_to_num"], (input,), attrs)


@tensor_function(inplace=True, out=True)
def heaviside(input: Tensor, values: Tensor) -> Tensor:
    """0 below zero, 1 above, ``values`` at zero; both of one dtype."""
    _tensor("heaviside", "input", input)
    _tensor("heaviside", "values", values)
    if input.dtype is not values.dtype:
        raise DtypeError("heaviside is not yet implemented for tensors with different dtypes.")
    return apply(OPS["heaviside"], (input, values), {})


# ---------------------------------------------------------------------------------- bits and shifts


def _shift(name: str, row: str, kernel: str) -> Any:
    def function(input: Any, other: Any) -> Tensor:
        a, b = promoted(name, input, other)
        dtype: DType = a.dtype if isinstance(a, Tensor) else b.dtype
        if dtype.is_floating_point or dtype is dtypes.bool:
            raise NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.type_name}'")
        return apply(OPS[row], (a, b), {})

    function.__name__ = name
    function.__doc__ = f"The bits of integers moved {'up' if 'left' in name else 'down'}."
    return tensor_function(function, inplace=True, out=True)


_LEFT = _shift("bitwise_left_shift", "bitwise_left_shift", "lshift_cpu")
_RIGHT = _shift("bitwise_right_shift", "bitwise_right_shift", "rshift_cpu")


def _operators() -> None:
    for word, function in (("lshift", _LEFT), ("rshift", _RIGHT)):
        in_place = getattr(Tensor, f"{function.__name__}_")

        def forward(self: Tensor, other: Any, f: Any = function) -> Any:
            return f(self, other) if isinstance(other, (Tensor, *Number)) else NotImplemented

        def reflected(self: Tensor, other: Any, f: Any = function) -> Any:
            return f(other, self) if isinstance(other, Number) else NotImplemented

        def assigning(self: Tensor, other: Any, f: Any = in_place) -> Any:
            return f(self, other) if isinstance(other, (Tensor, *Number)) else NotImplemented

        setattr(Tensor, f"__{word}__", forward)
        setattr(Tensor, f"__r{word}__", reflected)
        setattr(Tensor, f"__i{word}__", assigning)


_operators()


@tensor_function(inplace=True, out=True)
def nextafter(input: Tensor, other: Tensor) -> Tensor:
    """The next representable number from ``input`` towards ``other``."""
    _tensor("nextafter", "input", input)
    a, b = promoted("nextafter", input, _tensor("nextafter", "other", other))
    if not a.dtype.is_floating_point:
        raise NotImplementedError(f"\"nextafter_cpu\" not implemented for '{a.dtype.type_name}'")
    if a.dtype not in (dtypes.float16, dtypes.bfloat16):
        return apply(OPS["nextafter"], (a, b), {})
    result = _next_half(a.detach(), b.detach())
    if not a.requires_grad:
        return result
    step = apply(OPS["sub"], (result, a), {}).detach()  # a constant, and exact
    return apply(OPS["where"], (a.eq(b), result, apply(OPS["add"], (a, step), {})), {})


def _next_half(a: Tensor, b: Tensor) -> Tensor:
    """By counting in the bits, which order positive numbers as integers do."""
    a, b = FUNCTIONS["broadcast_tensors"](a, b)
    bits = a.contiguous().view(dtypes.int16)
    away = apply(OPS["eq"], (b.gt(a), a.gt(0)), {})
    moved = (bits + away.to(dtypes.int16) * 2 - 1).view(a.dtype)
    one = apply(OPS["where"], (signbit(b), -32767, bits._full_like(1)), {})
    moved = apply(OPS["where"], (a.eq(0), one.view(a.dtype), moved), {})
    moved = apply(OPS["where"], (a.eq(b), b, moved), {})
    unknown = apply(OPS["logical_or"], (a.isnan(), b.isnan()), {})
    return apply(OPS["where"], (unknown, math.nan, moved), {})


# ------------------------------------------------------------------------------------ powers of two


@tensor_function(out=True)
def frexp(input: Tensor) -> Any:
    """Mantissa (of size in [1/2, 1)) and int32 exponent: ``input = mantissa * 2**exponent``."""
    if not input.dtype.is_floating_point:
        raise RuntimeError("torch.frexp() only supports floating-point dtypes")
    mantissa = apply(OPS["frexp_mantissa"], (input,), {})
    return return_types.frexp(mantissa, apply(OPS["frexp_exponent"], (input,), {}))


@tensor_function(inplace=True, out=True)
def ldexp(input: Tensor, other: Tensor) -> Tensor:
    """``input * 2**other``."""
    _tensor("ldexp", "input", input)
    _tensor("ldexp", "other", other)
    factor = cast(other, other.dtype if other.dtype.is_floating_point else _float_of(input.dtype))
    a, b = promoted("ldexp", input, factor, floating=True)
    dtype = a.dtype
    if dtype in (dtypes.float16, dtypes.bfloat16):  # the power may overflow where the result fits
        a, b = cast(a, dtypes.float32), cast(b, dtypes.float32)
    product = apply(OPS["mul"], (a, apply(OPS["exp2"], (b,), {})), {})
    return cast(product, dtype)


def _float_of(dtype: DType) -> DType:
    return dtype if dtype.is_floating_point else dtypes.get_default_dtype()


def _float_power(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent`` in float64; one of them may be a number."""
    if not isinstance(input, Tensor) and not isinstance(exponent, Tensor):
        raise TypeError("float_power(): at least one argument must be a Tensor")
    wide = [cast(x, dtypes.float64) if isinstance(x, Tensor) else x for x in (input, exponent)]
    return pointwise("pow", *wide)


float_power = tensor_function(_float_power, name="float_power", out=True)


@tensor_function(public=False)
def float_power_(self: Tensor, exponent: Any) -> Tensor:
    """In-place version of :func:`float_power`, for float64."""
    if self.dtype is not dtypes.float64:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {self.dtype.type_name} but the operation's "
            "result requires dtype Double"
        )
    return self.copy_(_float_power(self, exponent))  # type: ignore[no-any-return]


# -------------------------------------------------------------------------------- scaled, exchanged


@tensor_function(method=False)
def rsub(input: Tensor, other: Any, *, alpha: Any = 1) -> Tensor:
    """``other - alpha * input``."""
    _tensor("rsub", "input", input)
    return FUNCTIONS["sub"](other, input, alpha=alpha)  # type: ignore[no-any-return]


def _angle(name: str, text: str) -> None:
    def function(input: Tensor) -> Tensor:
        return apply(OPS[name], (cast(input, _float_of(input.dtype)),), {})

    function.__name__ = name
    function.__doc__ = text
    tensor_function(function, inplace=True, out=True)


_angle("deg2rad", "Degrees as radians.")
_angle("rad2deg", "Radians as degrees.")
