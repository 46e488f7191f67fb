"""Elementwise functions: one line of a table each, or a few lines where arguments differ."""

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.functions.creation import as_tensor
from graphc.functions.promotion import Number, cast, common_dtype, operand, pointwise, promoted
from graphc.functions.registry import FUNCTIONS, assign, tensor_function
from graphc.ir import OPS
from graphc.tensor import Tensor, apply

FLOATING = (  # integers are computed in the default float dtype
    "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan sinh "
    "cosh tanh asinh acosh atanh sigmoid erf erfc erfinv lgamma digamma sinc"
).split()
KEEPING = "abs neg sign square ceil floor trunc frac relu".split()  # the dtype stays
TESTS = "isnan isinf isfinite logical_not".split()  # bool results
BINARY = "maximum minimum fmax fmin fmod remainder".split()
FLOATING_BINARY = "atan2 hypot logaddexp logaddexp2 copysign xlogy".split()
# Where PyTorch takes numbers: as neither operand, or as the second one only.
TENSORS_ONLY = frozenset("""
    maximum minimum fmax fmin atan2 hypot logaddexp logaddexp2 logical_and logical_or logical_xor
    gcd lcm
    """.split())  # fmt: skip
TENSOR_FIRST = frozenset("fmod copysign eq ne lt le gt ge".split())
COMPARISONS = {
    "eq": (), "ne": ("not_equal",), "lt": ("less",), "le": ("less_equal",), "gt": ("greater",),
    "ge": ("greater_equal",),
}  # fmt: skip
LOGICAL = "logical_and logical_or logical_xor".split()
BITWISE = "bitwise_and bitwise_or bitwise_xor gcd lcm".split()
ALIASES = {
    "abs": ("absolute",), "neg": ("negative",), "asin": ("arcsin",), "acos": ("arccos",),
    "atan": ("arctan",), "asinh": ("arcsinh",), "acosh": ("arccosh",), "atanh": ("arctanh",),
    "atan2": ("arctan2",), "trunc": ("fix",),
}  # fmt: skip


def _unary(name: str, floating: bool) -> Callable[..., Tensor]:
    def function(input: Tensor) -> Tensor:
        if floating and not input.dtype.is_floating_point:
            input = cast(input, dtypes.get_default_dtype())
        if name == "square" and input.dtype is dtypes.bool:
            input = cast(input, dtypes.int64)  # PyTorch's square is pow(x, 2)
        result = apply(OPS[name], (input,), {})
        result._weak = input._weak
        return result

    function.__name__ = name
    function.__doc__ = f"Elementwise ``{name}`` of a tensor of any shape."
    return function


def _check_numbers(name: str) -> Callable[[Any, Any], None]:
    """Refuses numbers where PyTorch does."""

    def refuse(position: str, value: Any) -> TypeError:
        return TypeError(f"{name}(): argument '{position}' must be Tensor, not {_kind(value)}")

    def check(input: Any, other: Any) -> None:
        if not isinstance(input, Tensor):
            raise refuse("input", input)
        if name in TENSORS_ONLY and not isinstance(other, Tensor):
            raise refuse("other", other)

    return check if name in TENSORS_ONLY | TENSOR_FIRST else lambda _input, _other: None


def _kind(value: Any) -> str:
    return type(value).__name__


def _binary(name: str, floating: bool = False) -> Callable[..., Tensor]:
    check = _check_numbers(name)

    def function(input: Any, other: Any) -> Tensor:
        check(input, other)
        return pointwise(name, input, other, floating=floating)

    function.__name__ = name
    function.__doc__ = f"Elementwise ``{name}`` of two tensors, or a tensor and a number."
    return function


def _compare(name: str) -> Callable[..., Tensor]:
    check = _check_numbers(name)

    def function(input: Any, other: Any) -> Tensor:
        check(input, other)
        return pointwise(name, input, other)

    function.__name__ = name
    function.__doc__ = f"Elementwise ``{name}``; the result is a bool tensor."
    return function


def _register() -> None:
    for names, floating in ((FLOATING, True), (KEEPING, False), (TESTS, False)):
        for name in names:
            if name in OPS:
                tensor_function(
                    _unary(name, floating), inplace=True, out=True, aliases=ALIASES.get(name, ())
                )
    for names, floating in ((BINARY, False), (BITWISE, False), (FLOATING_BINARY, True)):
        for name in names:
            if name in OPS:
                tensor_function(
                    _binary(name, floating), inplace=True, out=True, aliases=ALIASES.get(name, ())
                )
    for name, aliases in COMPARISONS.items():
        tensor_function(_compare(name), inplace=True, out=True, aliases=aliases)
    for name in LOGICAL:
        if name in OPS:
            tensor_function(_compare(name), inplace=True, out=True)


@tensor_function(inplace=True, out=True)
def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input + alpha * other``."""
    return pointwise("add", input, _scaled(other, alpha, input))


@tensor_function(inplace=True, out=True, aliases=("subtract",))
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input - alpha * other``."""
    return pointwise("sub", input, _scaled(other, alpha, input))


def _scaled(other: Any, alpha: Any, like: Any) -> Any:
    if not isinstance(alpha, Tensor) and alpha == 1:
        return other
    if isinstance(alpha, float) and not _floats(like, other):
        raise RuntimeError(
            "For integral input tensors, argument alpha must not be a floating point number."
        )
    return mul(other, alpha) if isinstance(other, Tensor) else other * alpha


def _floats(*values: Any) -> bool:
    return common_dtype([operand(v, "add") for v in values]).is_floating_point


@tensor_function(inplace=True, out=True, aliases=("multiply",))
def mul(input: Any, other: Any) -> Tensor:
    """``input * other``."""
    return pointwise("mul", input, other)


@tensor_function(inplace=True, out=True, aliases=("divide",))
def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``; ``rounding_mode`` None (true division), 'trunc' or 'floor'."""
    if rounding_mode is None:
        return pointwise("div", input, other, floating=True)
    if rounding_mode == "floor":
        return pointwise("floor_divide", input, other)
    if rounding_mode == "trunc":
        return pointwise("trunc_divide", input, other)
    raise RuntimeError(
        "div expected rounding_mode to be one of None, 'trunc', or 'floor' but found "
        f"'{rounding_mode}'"
    )


@tensor_function(inplace=True, out=True)
def true_divide(input: Any, other: Any) -> Tensor:
    """``input / other``, floating-point also for integers."""
    return div(input, other)  # type: ignore[no-any-return]


@tensor_function(inplace=True, out=True)
def floor_divide(input: Any, other: Any) -> Tensor:
    """``floor(input / other)``."""
    return pointwise("floor_divide", input, other)


@tensor_function(inplace=True, out=True)
def pow(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent``."""
    return pointwise("pow", input, exponent)


@tensor_function(inplace=True, out=True)
def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Each element limited to ``[min, max]``; either bound may be a tensor or missing."""
    if min is not None and max is not None:
        return pointwise("clamp", input, min, max)
    if min is not None:
        return pointwise("clamp_min", input, min)
    if max is not None:
        return pointwise("clamp_max", input, max)
    raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")


tensor_function(clamp, name="clip")


def _where(condition: Tensor, input: Any, other: Any) -> Tensor:
    if not isinstance(condition, Tensor):
        raise TypeError(f"where(): argument 'condition' must be Tensor, not {_kind(condition)}")
    if condition.dtype is not dtypes.bool and condition.dtype is not dtypes.uint8:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, got {condition.dtype}"
        )
    mask = cast(condition, dtypes.bool)
    if isinstance(input, Tensor) or isinstance(other, Tensor):
        a, b = promoted("where", input, other)
    else:
        a, b = apply(OPS["full"], (), _scalar(input, common_dtype([input, other]))), other
    return apply(OPS["where"], (mask, a, b), {})


@tensor_function(method=False, out=True)
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where ``condition`` holds, else ``other``; with one argument, ``nonzero``."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)  # type: ignore[attr-defined]
    return _where(condition, input, other)


@tensor_function(name="where", public=False)
def _where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """The tensor where ``condition`` holds, else ``other``."""
    return _where(condition, self, other)


def _scalar(value: Any, dtype: dtypes.dtype) -> dict[str, Any]:
    from graphc.ir import CPU

    return {"value": value, "shape": (), "dtype": dtype, "device": CPU}


@tensor_function(inplace=True)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value`` where ``mask`` holds; ``value`` is a number or a zero-dim tensor."""
    if mask.dtype is not dtypes.bool:
        raise RuntimeError(f"masked_fill only supports boolean masks, but got mask of {mask.dtype}")
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "masked_fill only supports a 0-dimensional value tensor, but got tensor with "
                f"{value.ndim} dimension(s)."
            )
        value = cast(value, input.dtype)
    return apply(OPS["where"], (mask, value, input), {})


@tensor_function(inplace=True, out=True)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``input + weight * (end - input)``; ``weight`` is a number or a tensor."""
    for other, role in ((end, "end"), (weight, "weight")):
        if isinstance(other, Tensor) and other.dtype is not input.dtype and not other._weak:
            raise RuntimeError(
                f"expected dtype {input.dtype} for `{role}` but got dtype {other.dtype}"
            )
    if not isinstance(weight, Tensor) and input.dtype.itemsize == 2:
        # A number is not rounded to 16 bits.
        wide = (cast(x, dtypes.float32) for x in (input, end))
        return cast(pointwise("lerp", *wide, weight), input.dtype)
    return pointwise("lerp", input, end, weight)


@tensor_function(inplace=True, out=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``."""
    if isinstance(value, Tensor):
        return add(input, mul(mul(tensor1, tensor2), value))  # type: ignore[no-any-return]
    return pointwise("addcmul", input, tensor1, tensor2, value=value)


@tensor_function(inplace=True, out=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``. Raises RuntimeError for integers."""
    if not (tensor1.dtype.is_floating_point or tensor2.dtype.is_floating_point):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported; divide with graphc.div and its "
            "rounding_mode"
        )
    if isinstance(value, Tensor):
        return add(input, mul(div(tensor1, tensor2), value))  # type: ignore[no-any-return]
    return pointwise("addcdiv", input, tensor1, tensor2, value=value)


@tensor_function(inplace=True, out=True)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Rounds half to even, to ``decimals`` places."""
    if decimals == 0:
        return apply(OPS["round"], (input,), {})
    return apply(OPS["round_decimals"], (input,), {"decimals": decimals})


def _reflected(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        if not isinstance(self, Tensor):
            raise TypeError(f"an operator of tensors does not apply to {_kind(self)}")
        return function(other, self) if _operable(other) else NotImplemented

    return operator


def _forward(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return function(self, other) if isinstance(other, _OPERABLE) else NotImplemented

    return operator


def _equating(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """``==`` and ``!=``: the only operators for which NumPy leaves an array to the tensor."""

    def operator(self: Tensor, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            other = as_tensor(other)
        return function(self, other) if _operable(other) else NotImplemented

    return operator


def _assigning(function: Callable[..., Tensor], name: str) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return assign(self, function(self, other), name) if _operable(other) else NotImplemented

    return operator


_OPERABLE = (Tensor, *Number, np.generic)


def _operable(value: Any) -> bool:
    return isinstance(value, _OPERABLE)


def _operators() -> None:
    functions: dict[str, Any] = {
        "add": add, "sub": sub, "mul": mul, "truediv": div, "floordiv": floor_divide, "pow": pow,
        "mod": _binary("remainder"), "and": _binary("bitwise_and"), "or": _binary("bitwise_or"),
        "xor": _binary("bitwise_xor"),
    }  # fmt: skip
    for name, function in functions.items():
        setattr(Tensor, f"__{name}__", _forward(function))
        setattr(Tensor, f"__r{name}__", _reflected(function))
        setattr(Tensor, f"__i{name}__", _assigning(function, name))
    for old in ("div", "rdiv", "idiv"):  # PyTorch keeps Python 2's names
        setattr(Tensor, f"__{old}__", getattr(Tensor, f"__{old.replace('div', 'truediv')}__"))
    for name in COMPARISONS:
        operator = _equating if name in ("eq", "ne") else _forward
        setattr(Tensor, f"__{name}__", operator(_compare(name)))
    for name, unary in (
        ("neg", _unary("neg", False)),
        ("pos", lambda self: self),
        ("abs", _unary("abs", False)),
        ("invert", FUNCTIONS["bitwise_not"]),
    ):
        setattr(Tensor, f"__{name}__", unary)


@tensor_function(inplace=True, out=True)
def bitwise_not(input: Tensor) -> Tensor:
    """All bits inverted; of bools, the negation."""
    row = "logical_not" if input.dtype is dtypes.bool else "bitwise_not"
    return apply(OPS[row], (input,), {})


_register()
_operators()
