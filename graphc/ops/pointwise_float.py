"""Elementary and special functions of floating-point operands."""

import math
from typing import Any

import numpy as np

from graphc.ir import Sample, Scalar
from graphc.ops import special_functions as special
from graphc.ops.rules import (
    Array,
    Kind,
    binary,
    binary_samples,
    composite,
    row,
    spread,
    unary,
    unary_samples,
    zeros_like,
)
from graphc.ops.selection import select

_WIDE = (-3.0, 3.0)
_POSITIVE = (0.3, 4.0)
_UNIT = (-0.9, 0.9)
_SQRT_PI = math.sqrt(math.pi)
_LN2 = math.log(2)
_LN10 = math.log(10)


def _c(function: str, cost: int) -> Scalar:
    return Scalar(f"gc_{function}_{{t}}({{0}})", cost=cost)


# ------------------------------------------------------------------------------------ powers, logs

SQRT = unary("sqrt", _c("sqrt", 6), np.sqrt, lambda g, y, _x: (g / (y * 2),), domains=[_POSITIVE])
RSQRT = unary(
    "rsqrt",
    _c("rsqrt", 10),
    lambda x: 1 / np.sqrt(x),
    lambda g, y, _x: (g * (y * y * y) * -0.5,),
    domains=[_POSITIVE],
)
EXP = unary("exp", _c("exp", 12), np.exp, lambda g, y, _x: (g * y,))
EXP2 = unary("exp2", _c("exp2", 12), np.exp2, lambda g, y, _x: (g * y * _LN2,))
EXPM1 = unary("expm1", _c("expm1", 16), np.expm1, lambda g, y, _x: (g * (y + 1),))
LOG = unary("log", _c("log", 14), np.log, lambda g, _y, x: (g / x,), domains=[_POSITIVE])
LOG2 = unary(
    "log2", _c("log2", 14), np.log2, lambda g, _y, x: (g / (x * _LN2),), domains=[_POSITIVE]
)
LOG10 = unary(
    "log10", _c("log10", 14), np.log10, lambda g, _y, x: (g / (x * _LN10),), domains=[_POSITIVE]
)
LOG1P = unary(
    "log1p", _c("log1p", 16), np.log1p, lambda g, _y, x: (g / (x + 1),), domains=[(-0.7, 3)]
)

# --------------------------------------------------------------- trigonometric and hyperbolic

SIN = unary("sin", _c("sin", 20), np.sin, lambda g, _y, x: (g * row.cos(x),))
COS = unary("cos", _c("cos", 20), np.cos, lambda g, _y, x: (-g * row.sin(x),))
TAN = unary(
    "tan", _c("tan", 30), np.tan, lambda g, y, _x: (g * (y * y + 1),), domains=[(-1.2, 1.2)]
)
ASIN = unary(
    "asin",
    _c("asin", 25),
    np.arcsin,
    lambda g, _y, x: (g * row.rsqrt(1 - x * x),),
    domains=[_UNIT],
)
ACOS = unary(
    "acos",
    _c("acos", 25),
    np.arccos,
    lambda g, _y, x: (-g * row.rsqrt(1 - x * x),),
    domains=[_UNIT],
)
ATAN = unary("atan", _c("atan", 25), np.arctan, lambda g, _y, x: (g / (x * x + 1),))
SINH = unary("sinh", _c("sinh", 25), np.sinh, lambda g, _y, x: (g * row.cosh(x),))
COSH = unary("cosh", _c("cosh", 25), np.cosh, lambda g, _y, x: (g * row.sinh(x),))
TANH = unary("tanh", _c("tanh", 18), np.tanh, lambda g, y, _x: (g * (1 - y * y),))
ASINH = unary("asinh", _c("asinh", 30), np.arcsinh, lambda g, _y, x: (g * row.rsqrt(x * x + 1),))
ACOSH = unary(
    "acosh",
    _c("acosh", 30),
    np.arccosh,
    lambda g, _y, x: (g * row.rsqrt(x * x - 1),),
    domains=[(1.2, 4)],
)
ATANH = unary(
    "atanh", _c("atanh", 30), np.arctanh, lambda g, _y, x: (g / (1 - x * x),), domains=[_UNIT]
)


def _atan2_parts(g: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """At the origin, where there is no angle, the cotangent is zero."""
    square = a * a + b * b
    scale = row.where(row.eq(square, 0), 0, g / square)
    return scale * b, scale * -a


ATAN2 = binary(
    "atan2",
    Scalar("gc_atan2_{t}({0}, {1})", cost=35),
    np.arctan2,
    lambda g, _y, a, b: _atan2_parts(g, a, b),
    domains=((0.4, 3), (-3, 3)),
)
HYPOT = binary(
    "hypot",
    Scalar("gc_hypot_{t}({0}, {1})", cost=12),
    np.hypot,
    lambda g, y, a, b: (lambda: g * (a / y), lambda: g * (b / y)),
    domains=((0.4, 3), (-3, 3)),
)

# ---------------------------------------------------------------------------------------- rounding

FLOOR = unary(
    "floor",
    Scalar("gc_floor_{t}({0})", integer="{0}"),
    lambda x: np.floor(x) if x.dtype.kind == "f" else x.copy(),
    lambda g, _y, _x: (zeros_like(g),),
    kind=Kind.NUMBER,
)
CEIL = unary(
    "ceil",
    Scalar("gc_ceil_{t}({0})", integer="{0}"),
    lambda x: np.ceil(x) if x.dtype.kind == "f" else x.copy(),
    lambda g, _y, _x: (zeros_like(g),),
    kind=Kind.NUMBER,
)
TRUNC = unary(
    "trunc",
    Scalar("gc_trunc_{t}({0})", integer="{0}"),
    lambda x: np.trunc(x) if x.dtype.kind == "f" else x.copy(),
    lambda g, _y, _x: (zeros_like(g),),
    kind=Kind.NUMBER,
)
ROUND = unary(
    "round",
    Scalar("gc_round_{t}({0})", integer="{0}"),
    lambda x: np.rint(x) if x.dtype.kind == "f" else x.copy(),
    lambda g, _y, _x: (zeros_like(g),),
    kind=Kind.NUMBER,
)


def _round_decimals(x: Any, *, decimals: int) -> Any:
    if decimals >= 0:
        return row.round(x * 10.0**decimals) / 10.0**decimals
    return row.round(x / 10.0**-decimals) * 10.0**-decimals


ROUND_DECIMALS = composite(
    "round_decimals",
    _round_decimals,
    lambda g, _y, _x, *, decimals: (zeros_like(g),),  # noqa: ARG005
    wide=True,
    samples=lambda: [
        Sample((spread((3, 4), -300, 300, dtype),), {"decimals": decimals})
        for dtype in (np.float32, np.float64)
        for decimals in (2, 1, 0, -1)
    ],
    reference="round",
)
FRAC = unary(
    "frac",
    Scalar("({0} - gc_trunc_{t}({0}))"),
    lambda x: x - np.trunc(x),
    lambda g, _y, _x: (g,),
)

# -------------------------------------------------------------------------- logistic and relatives


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, or where that would overflow, of ``exp(-|x|)``, which is at most 1."""
    if x.size and not np.minimum.reduce(x, axis=None) >= _LEAST[x.dtype.char]:  # or NaN
        e = np.exp(-np.abs(x))
        return np.asarray(select(x < 0, e, np.ones((), x.dtype)) / (1 + e))
    e = np.asarray(np.negative(x))
    np.exp(e, out=e)
    e += 1
    return np.asarray(np.divide(1, e, out=e))


_LEAST = {"f": -87.0, "d": -708.0}  # below it ``exp(-x)`` is infinite in float32 and float64

SIGMOID = unary("sigmoid", _c("sigmoid", 18), sigmoid, lambda g, y, _x: (g * ((1 - y) * y),))


def _logit(x: Any, *, eps: float | None) -> Any:
    z = x if eps is None else row.clamp(x, eps, 1 - eps)
    return row.log(z / (1 - z))


def _logit_vjp(g: Any, _y: Any, x: Any, *, eps: float | None) -> tuple[Any]:
    low, high = (0, 1) if eps is None else (eps, 1 - eps)
    outside = row.logical_or(row.lt(x, low), row.gt(x, high))
    return (row.where(outside, float("nan") if eps is None else 0, g / (x * (1 - x))),)


LOGIT = composite(
    "logit",
    _logit,
    _logit_vjp,
    wide=True,
    samples=unary_samples((0.05, 0.95), Kind.FLOAT, [{"eps": None}, {"eps": 0.01}]),
)


def _logaddexp(a: Any, b: Any) -> Any:
    """From the larger operand; equal infinities are not subtracted."""
    same = row.logical_and(row.eq(a, b), row.isinf(a))
    return row.where(same, a, row.maximum(a, b) + row.log1p(row.exp(-row.abs(a - b))))


LOGADDEXP = composite(
    "logaddexp",
    _logaddexp,
    lambda g, _y, a, b: (lambda: g * row.sigmoid(a - b), lambda: g * row.sigmoid(b - a)),
    wide=True,
    samples=binary_samples((_WIDE, _WIDE), Kind.FLOAT),
    numpy=np.logaddexp,
)
LOGADDEXP2 = composite(
    "logaddexp2",
    lambda a, b: row.logaddexp(a * _LN2, b * _LN2) / _LN2,
    lambda g, y, a, b: (lambda: g * row.exp2(a - y), lambda: g * row.exp2(b - y)),
    wide=True,
    samples=binary_samples((_WIDE, _WIDE), Kind.FLOAT),
    numpy=np.logaddexp2,
)


def _xlogy_parts(g: Any, x: Any, y: Any) -> tuple[Any, Any]:
    silent = row.logical_and(row.eq(x, 0), row.le(y, 0))
    return (
        lambda: row.where(silent, 0, g * row.log(y)),
        lambda: g * x / y,
    )


XLOGY = composite(
    "xlogy",
    lambda x, y: row.where(
        row.logical_and(row.eq(x, 0), row.logical_not(row.isnan(y))), 0, x * row.log(y)
    ),
    lambda g, _y, a, b: _xlogy_parts(g, a, b),
    wide=True,
    samples=lambda: [
        Sample((spread((2, 3), -3, 3, np.float64), spread((3,), 0.3, 3, np.float64, 1))),
        Sample((spread((2, 3), -3, 3, np.float32), spread((), 0.3, 3, np.float32, 1))),
        Sample(
            (np.array([0.0, 0, 0, np.nan, 2]), np.array([0.0, np.nan, np.inf, 0, 0])),
            differentiable=False,
        ),
    ],
)

# ----------------------------------------------------------------------------- special functions

ERF = unary(
    "erf",
    _c("erf", 25),
    special.erf,
    lambda g, _y, x: (g * row.exp(-(x * x)) * (2 / _SQRT_PI),),
)
ERFC = unary(
    "erfc",
    _c("erfc", 30),
    special.erfc,
    lambda g, _y, x: (g * row.exp(-(x * x)) * (-2 / _SQRT_PI),),
)
ERFINV = unary(
    "erfinv",
    _c("erfinv", 40),
    special.erfinv,
    lambda g, y, _x: (g * row.exp(y * y) * (_SQRT_PI / 2),),
    domains=[_UNIT],
)
LGAMMA = unary(
    "lgamma",
    _c("lgamma", 60),
    special.lgamma,
    lambda g, _y, x: (g * row.digamma(x),),
    domains=[_POSITIVE],
)
DIGAMMA = unary(
    "digamma",
    _c("digamma", 60),
    special.digamma,
    lambda g, _y, x: (g * row.polygamma(x, n=1),),
    domains=[_POSITIVE],
)
POLYGAMMA = unary(
    "polygamma",
    Scalar("gc_polygamma_{t}({n}, {0})", cost=200),
    special.polygamma,
    lambda g, _y, x, *, n: (g * row.polygamma(x, n=n + 1),),
    samples=lambda: [
        Sample((spread(shape, *_POSITIVE, dtype),), {"n": n})
        for n in (1, 2, 5)
        for shape, dtype in (((2, 3), np.float64), ((), np.float32), ((0,), np.float32))
    ],
    reference=lambda x, *, n: _polygamma_reference(x, n),
)


def _polygamma_reference(x: Array, n: int) -> Array:
    """The defining series summed far out, with its integral as the rest; for positive ``x``."""
    wide = x.astype(np.float64)
    with np.errstate(all="ignore"):
        k = np.arange(20000.0).reshape((-1,) + (1,) * wide.ndim)
        tail = wide + 20000.0
        rest = tail ** (-n) / n + 0.5 * tail ** (-n - 1) + (n + 1) / 12 * tail ** (-n - 2)
        total = ((wide + k) ** (-n - 1.0)).sum(0) + rest
    return np.asarray((-1.0) ** (n + 1) * math.factorial(n) * total).astype(x.dtype)


def _sinc(x: Any) -> Any:
    angle = x * math.pi
    return row.where(row.eq(x, 0), 1, row.sin(angle) / angle)


def _sinc_vjp(g: Any, _y: Any, x: Any) -> tuple[Any]:
    angle = x * math.pi
    slope = (row.cos(angle) * angle - row.sin(angle)) / (angle * x)
    return (row.where(row.eq(x, 0), 0, g * slope),)


SINC = composite("sinc", _sinc, _sinc_vjp, wide=True, samples=unary_samples(_WIDE, Kind.FLOAT))

# ------------------------------------------------------------------------- signs, angles, replaced

COPYSIGN = binary(
    "copysign",
    Scalar("gc_copysign_{t}({0}, {1})"),
    np.copysign,
    lambda g, y, a, _b: (
        lambda: g * row.where(row.eq(a, 0), 0, y / a),
        lambda: zeros_like(g),
    ),
)
HEAVISIDE = binary(
    "heaviside",
    Scalar("({0} == 0 ? {1} : ({c})({0} > 0))"),
    lambda x, at_zero: np.where(x == 0, at_zero, (x > 0).astype(x.dtype)),
    kind=Kind.ANY,
)


def _next_bits(a: Array, b: Array) -> Array:
    """The neighbour by counting in the bits: they order positive numbers as integers do."""
    bits = np.dtype(f"i{a.dtype.itemsize}")
    away = (b > a) == (a > 0)
    tiny = np.copysign(np.array(1, bits).view(a.dtype), b)
    moved = (a.view(bits) + np.where(away, 1, -1).astype(bits)).view(a.dtype)
    moved = np.where(a == 0, tiny, moved)
    return np.where(np.isnan(a) | np.isnan(b), a + b, np.where(a == b, b, moved))


NEXTAFTER = binary(
    "nextafter",
    Scalar("gc_nextafter_{t}({0}, {1})", cost=6),
    np.nextafter,
    lambda g, _y, a, b: (lambda: row.where(row.eq(a, b), 0, g), lambda: zeros_like(g)),
    reference=lambda a, b: _next_bits(*map(np.ascontiguousarray, np.broadcast_arrays(a, b))),
)
DEG2RAD = composite(
    "deg2rad",
    lambda x: x * (math.pi / 180),
    lambda g, _y, _x: (g * (math.pi / 180),),
    wide=True,
    samples=unary_samples((-180, 180), Kind.FLOAT),
)
RAD2DEG = composite(
    "rad2deg",
    lambda x: x * (180 / math.pi),
    lambda g, _y, _x: (g * (180 / math.pi),),
    wide=True,
    samples=unary_samples(_WIDE, Kind.FLOAT),
)


def _nan_to_num(x: Any, *, nan: float, posinf: float, neginf: float) -> Any:
    finite = row.where(row.eq(x, math.inf), posinf, row.where(row.eq(x, -math.inf), neginf, x))
    return row.where(row.isnan(x), nan, finite)


NAN_TO_NUM = composite(
    "nan_to_num",
    _nan_to_num,
    lambda g, _y, x, *, nan, posinf, neginf: (row.where(row.isfinite(x), g, 0),),  # noqa: ARG005
    samples=unary_samples(_WIDE, Kind.FLOAT, [{"nan": 0.5, "posinf": 9.0, "neginf": -8.0}]),
)
