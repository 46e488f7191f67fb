"""Arithmetic, comparison, logic and selection, element by element.

Operands broadcast as in NumPy and share one dtype (promotion has happened before). Gradients have
the broadcast shape; the driver of :mod:`graphc.autodiff` sums them down, and calls a part given as
a function only when somebody wants it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import DtypeError
from graphc.ir import Op, Sample, Scalar, TensorType, register
from graphc.ops.operands import ByRule
from graphc.ops.rules import (
    Array,
    Kind,
    binary,
    broadcast,
    check_kind,
    comparison,
    composite,
    elementwise,
    integers,
    pointwise_type,
    row,
    same_device,
    same_dtype,
    special,
    spread,
    unary,
    unary_samples,
    zeros_like,
)
from graphc.ops.selection import kept, select

_NUMBER = Kind.NUMBER

# ------------------------------------------------------------------------------------ arithmetic

_NO_BOOLEAN_SUB = (
    "Subtraction, the `-` operator, with two bool tensors is not supported. "
    "Use the `^` or `logical_xor()` operator instead."
)
_NO_BOOLEAN_NEG = (
    "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a "
    "mask, use the `~` or `logical_not()` operator instead."
)


ADD = binary(
    "add",
    Scalar("({0} + {1})", integer="gc_add_{t}({0}, {1})", boolean="({0} || {1})"),
    np.add,
    lambda g, _y, _a, _b: (g, g),
    kind=Kind.ANY,
)
SUB = binary(
    "sub",
    Scalar("({0} - {1})", integer="gc_sub_{t}({0}, {1})"),
    np.subtract,
    lambda g, _y, _a, _b: (g, lambda: -g),
    kind=_NUMBER,
    refusals={dtypes.bool: _NO_BOOLEAN_SUB},
)
MUL = binary(
    "mul",
    Scalar("({0} * {1})", integer="gc_mul_{t}({0}, {1})", boolean="({0} && {1})"),
    np.multiply,
    lambda g, _y, a, b: (lambda: g * b, lambda: g * a),
    kind=Kind.ANY,
)
DIV = binary(
    "div",
    Scalar("({0} / {1})", cost=4),
    np.true_divide,
    # Not by y: programs divide, and then write into the result.
    lambda g, _y, a, b: (lambda: g / b, lambda: -(g * ((a / b) / b))),
    domains=((-3, 3), (0.5, 3)),
)
NEG = unary(
    "neg",
    Scalar("(-{0})", integer="gc_neg_{t}({0})"),
    np.negative,
    lambda g, _y, _x: (-g,),
    kind=_NUMBER,
    refusals={dtypes.bool: _NO_BOOLEAN_NEG},
)
ABS = unary(
    "abs",
    Scalar("gc_abs_{t}({0})"),
    np.abs,
    lambda g, _y, x: (g * row.sign(x),),
    kind=_NUMBER,
)


def _sign(x: Array) -> Array:
    if x.dtype == np.bool_:
        return np.array(x)
    return np.subtract(x > 0, x < 0, dtype=np.int8).astype(x.dtype)  # NaN gives 0


SIGN = unary(
    "sign",
    Scalar("gc_sign_{t}({0})", boolean="{0}"),
    _sign,
    lambda g, _y, _x: (zeros_like(g),),
    kind=Kind.ANY,
)
SQUARE = unary(
    "square",
    Scalar("({0} * {0})", integer="gc_mul_{t}({0}, {0})"),
    np.square,
    lambda g, _y, x: (g * (x * 2),),
    kind=_NUMBER,
)
RECIPROCAL = unary(
    "reciprocal",
    Scalar("(1 / {0})", cost=4),
    np.reciprocal,
    lambda g, y, _x: (-g * (y * y),),
    domains=((0.4, 3),),
)


def _power(a: Array, b: Array) -> Array:
    if b.ndim == 0 and float(b) in _SMALL_POWERS and (a.dtype.kind == "f" or b > 0):
        return np.asarray(_SMALL_POWERS[float(b)](a))
    return _integer_power(a, b) if a.dtype.kind in "iu" else np.asarray(np.power(a, b))


# As PyTorch has them: exact where possible, and much faster than the general power.
_SMALL_POWERS: dict[float, Any] = {
    2.0: lambda a: a * a,
    3.0: lambda a: a * a * a,
    0.5: np.sqrt,
    -0.5: lambda a: 1 / np.sqrt(a),
    -1.0: lambda a: 1 / a,
    -2.0: lambda a: 1 / (a * a),
}


def _integer_power(a: Array, b: Array) -> Array:
    """Negative exponents: the reciprocal, rounded towards zero (1 and -1 keep a value)."""
    if b.dtype.kind == "u" or b.size == 0 or b.min() >= 0:
        return np.power(a, b)
    kept = np.where(a == 1, 1, np.where(a == -1, 1 - 2 * (b % 2), 0)).astype(a.dtype)
    return np.where(b < 0, kept, np.power(a, np.maximum(b, 0)))


POW = binary(
    "pow",
    Scalar("gc_pow_{t}({0}, {1})", cost=30),
    _power,
    lambda g, y, a, b: (
        lambda: row.where(row.eq(b, 0), 0, g * (b * row.pow(a, b - 1))),
        lambda: g * row.where(row.logical_and(row.eq(a, 0), row.ge(b, 0)), 0, y * row.log(a)),
    ),
    kind=_NUMBER,
    domains=((0.3, 3), (-2, 3)),
)


def _refuse_zeros(name: str, a: Array, b: Array) -> None:
    """Refuses zeros in integer divisors where anything is divided, as PyTorch does."""
    if a.size and b.dtype.kind in "iu" and not np.all(b):
        raise RuntimeError(f"ZeroDivisionError: {name} of integers by zero")


def _fmod(a: Array, b: Array) -> Array:
    _refuse_zeros("fmod", a, b)
    return np.fmod(a, b)


def _remainder(a: Array, b: Array) -> Array:
    """The sign of the divisor, except that a zero keeps the sign of the dividend."""
    _refuse_zeros("remainder", a, b)
    if a.dtype.kind in "iu":
        return np.remainder(a, b)
    rest = np.fmod(a, b)
    return np.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)


def _floor_divide(a: Array, b: Array) -> Array:
    _refuse_zeros("floor_divide", a, b)
    if a.dtype.kind in "iu":
        return np.floor_divide(a, b)
    rest = np.fmod(a, b)
    quotient = (a - rest) / b
    quotient = np.where((rest != 0) & ((rest < 0) != (b < 0)), quotient - 1, quotient)
    whole = np.floor(quotient)
    whole = np.where(quotient - whole > 0.5, whole + 1, whole)
    whole = np.where(quotient == 0, np.copysign(np.zeros_like(quotient), a / b), whole)
    return np.where(b == 0, a / b, whole)


def _trunc_divide(a: Array, b: Array) -> Array:
    _refuse_zeros("trunc_divide", a, b)
    if a.dtype.kind in "iu":
        down = np.floor_divide(a, b)
        return np.where((down < 0) & (down * b != a), down + np.ones_like(down), down)
    return np.trunc(a / b)


_DIVISION: dict[str, Any] = {"kind": _NUMBER, "domains": ((-3, 3), (0.6, 3)), "nonzero": True}
FMOD = binary(
    "fmod",
    Scalar("gc_fmod_{t}({0}, {1})", cost=30, divides=True),
    _fmod,
    lambda g, _y, a, b: (g, lambda: -g * row.trunc(a / b)),
    **_DIVISION,
)
REMAINDER = binary(
    "remainder",
    Scalar("gc_remainder_{t}({0}, {1})", cost=30, divides=True),
    _remainder,
    lambda g, _y, a, b: (g, lambda: -g * row.floor_divide(a, b)),
    **_DIVISION,
)
FLOOR_DIVIDE = binary(
    "floor_divide",
    Scalar("gc_floordiv_{t}({0}, {1})", cost=30, divides=True),
    _floor_divide,
    lambda g, _y, _a, _b: (lambda: zeros_like(g), lambda: zeros_like(g)),
    **_DIVISION,
)
TRUNC_DIVIDE = binary(
    "trunc_divide",
    Scalar("gc_truncdiv_{t}({0}, {1})", cost=10, divides=True),
    _trunc_divide,
    lambda g, _y, _a, _b: (lambda: zeros_like(g), lambda: zeros_like(g)),
    reference=lambda a, b: _truncated(a, b) if a.dtype.kind in "iu" else np.trunc(a / b),
    **_DIVISION,
)


def _truncated(a: Array, b: Array) -> Array:
    pairs = np.broadcast(a, b)
    values = [abs(int(x)) // abs(int(y)) * (-1 if (x < 0) != (y < 0) else 1) for x, y in pairs]
    wrapped = [(v + 2**63) % 2**64 - 2**63 for v in values]
    return np.array(wrapped, np.int64).astype(a.dtype).reshape(pairs.shape)


# --------------------------------------------------------------------------- larger and smaller


def _extreme_parts(g: Any, a: Any, b: Any, loses: Op) -> tuple[Any, Any]:
    """The winner takes the cotangent, a tie shares it; NaN loses nothing."""

    def part(mine: Any, other: Any) -> Any:
        return lambda: row.where(loses(mine, other), 0, row.where(row.eq(mine, other), g * 0.5, g))

    return part(a, b), part(b, a)


def _present_parts(g: Any, a: Any, b: Any, wins: Op) -> tuple[Any, Any]:
    """fmax and fmin: ``a`` takes the cotangent where it wins or ``b`` is NaN, else ``b`` does."""
    first = row.logical_or(wins(a, b), row.isnan(b))
    return row.where(first, g, 0), row.where(first, 0, g)


MAXIMUM = binary(
    "maximum",
    Scalar("gc_max_{t}({0}, {1})", boolean="({0} || {1})"),
    np.maximum,
    lambda g, _y, a, b: _extreme_parts(g, a, b, row.lt),
    kind=Kind.ANY,
)
MINIMUM = binary(
    "minimum",
    Scalar("gc_min_{t}({0}, {1})", boolean="({0} && {1})"),
    np.minimum,
    lambda g, _y, a, b: _extreme_parts(g, a, b, row.gt),
    kind=Kind.ANY,
)
FMAX = binary(
    "fmax",
    Scalar("gc_fmax_{t}({0}, {1})", integer="gc_max_{t}({0}, {1})", boolean="({0} || {1})"),
    np.fmax,
    lambda g, _y, a, b: _present_parts(g, a, b, row.ge),
    kind=Kind.ANY,
)
FMIN = binary(
    "fmin",
    Scalar("gc_fmin_{t}({0}, {1})", integer="gc_min_{t}({0}, {1})", boolean="({0} && {1})"),
    np.fmin,
    lambda g, _y, a, b: _present_parts(g, a, b, row.le),
    kind=Kind.ANY,
)
RELU = unary(
    "relu",
    Scalar("({0} < 0 ? 0 : {0})"),
    lambda x: kept(x, np.logical_not(x < 0)),
    lambda g, y, _x: (row.where(row.le(y, 0), 0, g),),
    kind=_NUMBER,
    refusals={dtypes.bool: "Boolean inputs not supported for relu"},
)

# ------------------------------------------------------------------------- comparison and logic

EQ = comparison("eq", "({0} == {1})", np.equal)
NE = comparison("ne", "({0} != {1})", np.not_equal)
LT = comparison("lt", "({0} < {1})", np.less)
LE = comparison("le", "({0} <= {1})", np.less_equal)
GT = comparison("gt", "({0} > {1})", np.greater)
GE = comparison("ge", "({0} >= {1})", np.greater_equal)
LOGICAL_AND = comparison("logical_and", "(({0} != 0) && ({1} != 0))", np.logical_and)
LOGICAL_OR = comparison("logical_or", "(({0} != 0) || ({1} != 0))", np.logical_or)
LOGICAL_XOR = comparison("logical_xor", "(({0} != 0) != ({1} != 0))", np.logical_xor)

_PREDICATE: dict[str, Any] = {"kind": Kind.ANY, "predicate": True}
LOGICAL_NOT = unary("logical_not", "({0} == 0)", np.logical_not, **_PREDICATE)
ISNAN = unary("isnan", Scalar("({0} != {0})"), np.isnan, **_PREDICATE)
ISINF = unary(
    "isinf", Scalar("gc_isinf_{t}({0})", integer="false", boolean="false"), np.isinf, **_PREDICATE
)
ISFINITE = unary(
    "isfinite",
    Scalar("gc_isfinite_{t}({0})", integer="true", boolean="true"),
    np.isfinite,
    **_PREDICATE,
)

# ------------------------------------------------------------------------------------- selection


def _where_type(cond: TensorType, a: TensorType, b: TensorType) -> TensorType:
    same_device(cond, a, b)
    if cond.dtype is not dtypes.bool:
        raise DtypeError(f"where expected condition to be a boolean tensor, not {cond.dtype}")
    shape = broadcast(cond.shape, a.shape, b.shape)
    return TensorType(shape, same_dtype("where", a, b), a.device)


def _where_samples() -> list[Sample]:
    mask = np.array([[True, False, True], [False, False, True]])
    return [
        Sample((mask, spread((2, 3), -2, 2, np.float64), spread((2, 3), -2, 2, np.float64, 1))),
        Sample((mask[:, :1], spread((3,), -2, 2, np.float64), spread((), -2, 2, np.float64, 1))),
        Sample((np.array(True), spread((3,), 0, 1, np.float32), special(np.float32)[:3])),
        Sample((np.array([True, False]).reshape(2, 1), special(np.float32), -special(np.float32))),
        Sample((mask[:0], integers("int64")[:3], integers("int64")[3:6])),
        Sample((mask[0], mask[1], mask[0])),
    ]


WHERE = register(
    Op(
        "where",
        _where_type,
        select,
        Scalar("gc_where_{t}({0}, {1}, {2})"),
        lambda g, _y, cond, _a, _b: (
            None,
            lambda: row.where(cond, g, 0),
            lambda: row.where(cond, 0, g),
        ),
        samples=_where_samples,
        reference="where",
    )
)

# ------------------------------------------------------------------------------ change of dtype


def _cast(x: Array, *, dtype: DType) -> Array:
    if dtype.numpy.kind == "u" and x.dtype.kind not in "biu":
        with np.errstate(all="ignore"):
            return x.astype(np.float64).astype(np.int64).astype(dtype.numpy)
    with np.errstate(all="ignore"):
        return x.astype(dtype.numpy)


def _cast_samples() -> list[Sample]:
    whole = np.array([[0, 1, 2], [100, 127, 3]])
    return [
        *(Sample((whole.astype(a.numpy),), {"dtype": b}) for a in dtypes.ALL for b in dtypes.ALL),
        Sample((np.array([-1.5, -0.0, 2.7, -128.9, np.nan]),), {"dtype": dtypes.bool}),
        Sample((np.array([-1.5, -0.0, 2.7, -128.9, 300.0]),), {"dtype": dtypes.uint8}),
        Sample((np.array([-1.5, -0.0, 2.7, -128.9]),), {"dtype": dtypes.int32}),
        Sample((np.array([-1, 256, 511, 2**33 + 5]),), {"dtype": dtypes.int8}),
        Sample((special(np.float64),), {"dtype": dtypes.float32}),
        Sample((special(np.float64),), {"dtype": dtypes.bfloat16}),
        Sample((spread((), -3, 3, np.float32),), {"dtype": dtypes.float64}),
        Sample((np.empty((2, 0), np.int16),), {"dtype": dtypes.float32}),
    ]


CAST = register(
    Op(
        "cast",
        lambda x, *, dtype: x.with_dtype(dtype),
        _cast,
        # The type computed in is that of the attribute: a cast is known by where it leads.
        Scalar("gc_{s}_to_{t}({0})"),
        lambda g, _y, _x, *, dtype: (row.cast(g, dtype=_x.dtype),),  # noqa: ARG005
        samples=_cast_samples,
        reference=lambda x, *, dtype: (
            x.astype(np.int64) if dtype.numpy.kind in "iu" else x.astype(np.float64)
        ).astype(dtype.numpy),
    )
)

# ------------------------------------------------------------------------------------ identities


def _copy(x: Array) -> Array:
    return np.array(x)


STOP_GRADIENT = register(
    Op(
        "stop_gradient",
        lambda x: x,
        lambda x: x.view(),
        Scalar("{0}", cost=0),
        lambda _g, _y, _x: (None,),
        put=lambda _base, value: value,  # the same memory outside of the tape
        samples=lambda: [
            Sample(s.arrays, s.attrs, False) for s in unary_samples((-3, 3), Kind.ANY)()
        ],
        reference=lambda x: x,
    )
)
CLONE = register(
    Op(
        "clone",
        lambda x: x,
        _copy,
        Scalar("{0}", cost=0),
        lambda g, _y, _x: (g,),
        samples=unary_samples((-3, 3), Kind.ANY),
        reference="clone",
    )
)

# ------------------------------------------------------------------- fused forms of PyTorch's API


def _clamp_parts(g: Any, x: Any, low: Any, high: Any) -> tuple[Any, Any, Any]:
    """``x`` inside keeps it, else the bound that holds; ``high`` is applied last and so wins."""
    inside = row.logical_and(row.ge(x, low), row.le(x, high))
    below = row.logical_and(row.lt(x, low), row.lt(low, high))
    above = row.logical_or(row.gt(x, high), row.lt(high, low))
    return (
        lambda: row.where(inside, g, 0),
        lambda: row.where(below, g, 0),
        lambda: row.where(above, g, 0),
    )


CLAMP = elementwise(
    "clamp",
    3,
    Scalar("gc_min_{t}(gc_max_{t}({0}, {1}), {2})", cost=2),
    lambda x, low, high: np.minimum(np.maximum(x, low), high),
    lambda g, _y, x, low, high: _clamp_parts(g, x, low, high),
    kind=_NUMBER,
    domains=((-3, 3), (-1.4, -0.3), (0.2, 1.3)),
)
CLAMP_MIN = binary(
    "clamp_min",
    Scalar("gc_max_{t}({0}, {1})"),
    np.maximum,
    lambda g, _y, x, low: (
        lambda: row.where(row.ge(x, low), g, 0),
        lambda: row.where(row.lt(x, low), g, 0),
    ),
    kind=_NUMBER,
)
CLAMP_MAX = binary(
    "clamp_max",
    Scalar("gc_min_{t}({0}, {1})"),
    np.minimum,
    lambda g, _y, x, high: (
        lambda: row.where(row.le(x, high), g, 0),
        lambda: row.where(row.gt(x, high), g, 0),
    ),
    kind=_NUMBER,
)


def _lerp(a: Any, b: Any, weight: Any) -> Any:
    """From the nearer end, so that weights 0 and 1 give the ends exactly."""
    way = b - a
    return row.where(row.lt(row.abs(weight), 0.5), a + weight * way, b - way * (1 - weight))


def _fast_lerp(a: Array, b: Array, weight: Array) -> Array:
    """As :func:`_lerp`, where all elements have one weight."""
    if weight.ndim:
        return _lerp_each(a, b, weight)
    way = np.asarray(b - a)
    if abs(weight) < 0.5:
        way *= weight
        way += a
        return way
    way *= 1 - weight
    return np.asarray(np.subtract(b, way, out=way))


_lerp_each = ByRule(_lerp)


def _three_types(name: str, kind: Kind) -> Callable[..., TensorType]:
    def infer(*types: TensorType, value: float) -> TensorType:
        del value
        result = pointwise_type(name, *types)
        check_kind(name, result, kind)
        return result

    return infer


def _fast_addcmul(x: Array, a: Array, b: Array, *, value: float) -> Array:
    return _added(x, np.multiply(a, b), value)


def _fast_addcdiv(x: Array, a: Array, b: Array, *, value: float) -> Array:
    return _added(x, np.true_divide(a, b), value)


def _added(x: Array, term: Array, value: float) -> Array:
    """``x + term * value``, in the memory of the term where that is large enough."""
    if value != 1:
        term *= np.asarray(value, x.dtype)
    if term.shape != np.broadcast_shapes(x.shape, term.shape):
        return np.asarray(x + term)
    term += x
    return np.asarray(term)


def _three(salt: int) -> list[Sample]:
    shapes = (
        (np.float64, (2, 3), (2, 3), (2, 3)),
        (np.float64, (2, 1), (3,), ()),
        (np.float32, (3, 4), (4,), (3, 1)),
        (np.float32, (0, 3), (1, 3), ()),
        (dtypes.bfloat16.numpy, (4,), (4,), (1,)),
    )
    return [
        Sample(
            (
                spread(a, -3, 3, dtype, salt),
                spread(b, 0.4, 3, dtype, salt + 1),
                spread(c, 0.3, 2, dtype, salt + 2),
            )
        )
        for dtype, a, b, c in shapes
    ]


LERP = composite(
    "lerp",
    _lerp,
    lambda g, _y, a, b, weight: (
        lambda: g * (1 - weight),
        lambda: g * weight,
        lambda: g * (b - a),
    ),
    numpy=_fast_lerp,
    wide=True,
    samples=lambda: _three(1),
)


def _with_value(samples: list[Sample]) -> list[Sample]:
    return [Sample(s.arrays, {"value": v}) for s in samples for v in (1, -0.5)]


ADDCMUL = composite(
    "addcmul",
    lambda x, a, b, *, value: x + (a * b) * value,
    lambda g, _y, _x, a, b, *, value: (
        g,
        lambda: g * (b * value),
        lambda: g * (a * value),
    ),
    infer=_three_types("addcmul", Kind.ANY),
    numpy=_fast_addcmul,
    wide=True,
    samples=lambda: _with_value(_three(2)),
)
ADDCDIV = composite(
    "addcdiv",
    lambda x, a, b, *, value: x + (a / b) * value,
    lambda g, _y, _x, a, b, *, value: (
        g,
        lambda: g * (value / b),
        lambda: -(g * (a * value / (b * b))),
    ),
    infer=_three_types("addcdiv", Kind.FLOAT),
    numpy=_fast_addcdiv,
    wide=True,
    samples=lambda: _with_value(_three(3)),
)
