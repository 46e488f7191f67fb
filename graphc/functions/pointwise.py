"""Elementwise functions: one line of a table each, or a few lines where arguments differ."""

from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.functions.promotion import cast, common_dtype, operand, pointwise, promoted
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
        result = apply(OPS[name], (input,), {})
        result._weak = input._weak
        return result

    function.__name__ = name
    function.__doc__ = f"Elementwise ``{name}`` of a tensor of any shape."
    return function


def _binary(name: str, floating: bool = False) -> Callable[..., Tensor]:
    def function(input: Any, other: Any) -> Tensor:
        return pointwise(name, input, other, floating=floating)

    function.__name__ = name
    function.__doc__ = f"Elementwise ``{name}`` of two tensors, or a tensor and a number."
    return function


def _compare(name: str) -> Callable[..., Tensor]:
    def function(input: Any, other: Any) -> Tensor:
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
    if min is None and max is None:
        raise RuntimeError("clamp: At least one of 'min' or 'max' must not be None")
    result = input
    if min is not None:
        result = pointwise("maximum", result, min)
    if max is not None:
        result = pointwise("minimum", result, max)
    return result


tensor_function(clamp, name="clip")


@tensor_function
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where ``condition`` holds, else ``other``; with one argument, ``nonzero``."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)  # type: ignore[attr-defined]
    if condition.dtype is not dtypes.bool:
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, got {condition.dtype}"
        )
    if isinstance(input, Tensor) or isinstance(other, Tensor):
        a, b = promoted("where", input, other)
    else:
        kind = common_dtype([input, other])
        a = apply(OPS["full"], (), _scalar(input, kind))
        b = other
    return apply(OPS["where"], (condition, a, b), {})


def _scalar(value: Any, dtype: dtypes.dtype) -> dict[str, Any]:
    from graphc.ir import CPU

    return {"value": value, "shape": (), "dtype": dtype, "device": CPU}


@tensor_function(inplace=True)
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``value`` where ``mask`` holds; ``value`` is a number or a zero-dim tensor."""
    if isinstance(value, Tensor):
        value = cast(value, input.dtype)
    return apply(OPS["where"], (mask, value, input), {})


@tensor_function(inplace=True, out=True)
def lerp(input: Tensor, end: Tensor, weight: Any) -> Tensor:
    """``input + weight * (end - input)``."""
    return add(input, mul(sub(end, input), weight))  # type: ignore[no-any-return]


@tensor_function(inplace=True, out=True)
def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``."""
    return add(input, mul(mul(tensor1, tensor2), value))  # type: ignore[no-any-return]


@tensor_function(inplace=True, out=True)
def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Any = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``."""
    return add(input, mul(div(tensor1, tensor2), value))  # type: ignore[no-any-return]


@tensor_function(inplace=True, out=True)
def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """Rounds half to even, to ``decimals`` places."""
    if decimals == 0:
        return apply(OPS["round"], (input,), {})
    return apply(OPS["round_decimals"], (input,), {"decimals": decimals})


def _reflected(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return function(other, self) if _operable(other) else NotImplemented

    return operator


def _forward(function: Callable[..., Tensor]) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return function(self, other) if _operable(other) else NotImplemented

    return operator


def _assigning(function: Callable[..., Tensor], name: str) -> Callable[..., Any]:
    def operator(self: Tensor, other: Any) -> Any:
        return assign(self, function(self, other), name) if _operable(other) else NotImplemented

    return operator


def _operable(value: Any) -> bool:
    try:
        operand(value, "operator")
    except TypeError:
        return False
    return True


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
    for name in COMPARISONS:
        setattr(Tensor, f"__{name}__", _forward(_compare(name)))
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
