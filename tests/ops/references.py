"""Where the values come from that rows are compared with.

A row names its reference: a function of its own, or the name of PyTorch's. For the latter there is
also a table of Python's scalar functions here, so that rows are tested where PyTorch is missing.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc.dtypes import bfloat16, float16
from graphc.ir import OPS, Op

try:
    import torch
except ImportError:
    torch = None  # type: ignore[assignment]

Array = np.ndarray[Any, Any]
Reference = Callable[..., Array]
_HALVES = (float16.numpy, bfloat16.numpy)
_KEYWORDS = {"dims": "dim"}  # names of attributes in rows and in PyTorch


def plain_reference(op: Op) -> Reference | None:
    """The row's own function, else Python's scalar function applied to each element."""
    if callable(op.reference):
        return op.reference  # type: ignore[no-any-return]
    if op.name in SCALARS:
        return _elementwise(op.name, SCALARS[op.name])
    function = getattr(math, op.name, None)
    return None if function is None else _elementwise(op.name, function)


# ---------------------------------------------------------------------------------------- PyTorch


def torch_reference(op: Op) -> Reference:
    """PyTorch's function of that name, between NumPy arrays."""
    function: Any = torch
    for name in op.reference.split("."):
        function = getattr(function, name)

    def reference(*arrays: Array, **attrs: Any) -> Array:
        attrs = {_KEYWORDS.get(k, k): v for k, v in attrs.items()}
        return from_torch(function(*map(to_torch, arrays), **attrs))

    return reference


def to_torch(array: Array) -> Any:
    if array.dtype == bfloat16.numpy:
        return torch.from_numpy(array.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(array)).reshape(array.shape)


def from_torch(tensor: Any) -> Array:
    if tensor.dtype == torch.bfloat16:
        return np.asarray(tensor.float().numpy(), bfloat16.numpy)
    return np.asarray(tensor.numpy())


# ------------------------------------------------------------------------------- Python's scalars


def _larger(sign: int, nan_wins: bool) -> Callable[[Any, Any], Any]:
    def pick(a: Any, b: Any) -> Any:
        if a != a or b != b:
            return a if (a != a) == nan_wins else b
        return a if sign * a >= sign * b else b

    return pick


def _shift(x: int, by: int) -> int:
    return x >> by if 0 <= by < 64 else -(x < 0)


def _fmod(a: Any, b: Any) -> Any:
    return math.fmod(a, b) if isinstance(a, float) else a - b * int(_toward_zero(a, b))


def _toward_zero(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def _power(a: Any, b: Any) -> Any:
    if isinstance(a, float):
        return math.pow(a, b)
    return pow(a, b, 2**64) if b >= 0 else {1: 1, -1: 1 - 2 * (b % 2)}.get(a, 0)


def _log_of_sum(a: float, b: float, base: float) -> float:
    if a != a or b != b:
        return math.nan
    apart = 0.0 if a == b else abs(a - b)
    return max(a, b) + math.log1p(base**-apart) / math.log(base)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


SCALARS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "abs": abs,
    "sign": lambda x: (x > 0) - (x < 0),
    "square": lambda x: x * x,
    "reciprocal": lambda x: 1 / x,
    "pow": _power,
    "fmod": _fmod,
    "remainder": lambda a, b: a % b if abs(b) != math.inf else None,
    "floor_divide": lambda a, b: a // b if abs(b) != math.inf else None,
    "maximum": _larger(1, True),
    "minimum": _larger(-1, True),
    "fmax": _larger(1, False),
    "fmin": _larger(-1, False),
    "relu": lambda x: type(x)(0) if x < 0 else x,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "logical_and": lambda a, b: bool(a) and bool(b),
    "logical_or": lambda a, b: bool(a) or bool(b),
    "logical_xor": lambda a, b: bool(a) != bool(b),
    "logical_not": operator.not_,
    "isnan": math.isnan,
    "isinf": math.isinf,
    "isfinite": math.isfinite,
    "where": lambda c, a, b: a if c else b,
    "clone": lambda x: x,
    "clamp": lambda x, low, high: _larger(-1, True)(_larger(1, True)(x, low), high),
    "clamp_min": _larger(1, True),
    "clamp_max": _larger(-1, True),
    "lerp": lambda a, b, w: a + w * (b - a),
    "addcmul": lambda x, a, b, value: x + value * a * b,
    "addcdiv": lambda x, a, b, value: x + value * a / b,
    "bitwise_and": operator.and_,
    "bitwise_or": operator.or_,
    "bitwise_xor": operator.xor,
    "bitwise_not": lambda x: (not x) if isinstance(x, bool) else ~x,
    "bitwise_right_shift": _shift,
    "rsqrt": lambda x: 1 / math.sqrt(x),
    "exp2": lambda x: 2.0**x,
    "round": round,
    "frac": lambda x: x - math.trunc(x),
    "sigmoid": _sigmoid,
    "logaddexp": lambda a, b: _log_of_sum(a, b, math.e),
    "logaddexp2": lambda a, b: _log_of_sum(a, b, 2.0),
    "xlogy": lambda x, y: 0.0 if x == 0 and y == y else x * math.log(y),
    "sinc": lambda x: math.sin(math.pi * x) / (math.pi * x) if x else 1.0,
    "heaviside": lambda x, v: v if x == 0 else type(x)(x > 0),
    "deg2rad": math.radians,
    "rad2deg": math.degrees,
    "silu": lambda x: x * _sigmoid(x),
    "log_sigmoid": lambda x: math.log(_sigmoid(x)),
    "softplus": lambda x, beta, threshold: (
        x if x * beta > threshold else math.log1p(math.exp(x * beta)) / beta
    ),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "elu": lambda x, alpha: x if x > 0 else alpha * math.expm1(x),
}


def _elementwise(name: str, function: Callable[..., Any]) -> Reference:
    """Where Python raises or has no answer (overflow, poles), the row's own value stands."""

    def reference(*arrays: Array, **attrs: Any) -> Array:
        own = np.asarray(OPS[name].evaluate(*arrays, **attrs))

        def one(*values: Any) -> Any:
            try:
                value = function(*values, **attrs)
            except (ValueError, ArithmeticError):
                return None
            return None if isinstance(value, complex) else value

        plain = [a.astype(np.float64) if a.dtype in _HALVES else a for a in arrays]
        together = np.broadcast(*plain) if len(plain) > 1 else plain[0]
        columns = [np.broadcast_to(a, together.shape).ravel().tolist() for a in plain]
        values = [one(*row) for row in zip(*columns, strict=True)]
        known = [
            o if v is None else _wrapped(v, own.dtype)
            for v, o in zip(values, own.flat, strict=True)
        ]
        return np.array(known, own.dtype).reshape(own.shape)

    return reference


def _wrapped(value: Any, dtype: Any) -> Any:
    """An exact integer as the dtype holds it."""
    if dtype.kind not in "iu":
        return value
    bits = 8 * dtype.itemsize
    rest = int(value) % 2**bits
    return rest - 2**bits if dtype.kind == "i" and rest >= 2 ** (bits - 1) else rest
