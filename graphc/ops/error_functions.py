"""Relatives of the error function: scaled, and of the normal distribution; entropy."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphc.ir import Sample, Scalar
from graphc.ops import special_functions as special
from graphc.ops.rules import (
    Array,
    Kind,
    binary_samples,
    composite,
    row,
    unary,
    unary_samples,
    zeros_like,
)
from graphc.ops.scipy_functions import scipy_function

_SQRT_HALF = math.sqrt(0.5)
_SQRT_PI = math.sqrt(math.pi)
_SQRT_2PI = math.sqrt(2 * math.pi)


def _scaled(x: float) -> float:
    """``exp(x^2) erfc(x)``: as it stands for small ``x``, by Laplace's fraction for large."""
    if x < 2:
        return math.exp(x * x) * math.erfc(x) if x > -26 else math.inf
    rest = x
    for k in range(200, 0, -1):
        rest = x + k / 2 / rest
    return 1 / (_SQRT_PI * rest)


def _log_normal(x: float) -> float:
    if x < -1:
        return math.log(_scaled(-x * _SQRT_HALF) / 2) - x * x / 2 if x > -math.inf else x
    return math.log1p(-math.erfc(x * _SQRT_HALF) / 2)


def _quantile(p: float) -> float:
    from statistics import NormalDist  # loads much, for this test's sake only

    if 0 < p < 1:
        return NormalDist().inv_cdf(p)
    return {0.0: -math.inf, 1.0: math.inf}.get(p, math.nan)


def _one_by_one(function: Callable[[float], float]) -> Callable[[Array], Array]:
    """A reference that computes with Python's floats."""

    def reference(x: Array) -> Array:
        values = [v if v != v else function(v) for v in x.astype(np.float64).ravel().tolist()]
        with np.errstate(all="ignore"):
            return np.asarray(np.reshape(values, x.shape), x.dtype)

    return reference


ERFCX = unary(
    "erfcx",
    Scalar("gc_erfcx_{t}({0})", cost=40),
    scipy_function("erfcx"),
    lambda g, y, x: (g * (x * y * 2 - 2 / _SQRT_PI),),
    reference=_one_by_one(_scaled),
)
NDTR = composite(
    "ndtr",
    lambda x: row.erfc(x * -_SQRT_HALF) * 0.5,
    lambda g, _y, x: (g * row.exp(x * x * -0.5) / _SQRT_2PI,),
    numpy=lambda x: special.erfc(x * x.dtype.type(-_SQRT_HALF)) * x.dtype.type(0.5),
    samples=unary_samples((-3, 3), Kind.FLOAT),
    reference=_one_by_one(lambda v: math.erfc(-v * _SQRT_HALF) / 2),
)
LOG_NDTR = unary(
    "log_ndtr",
    Scalar("gc_log_ndtr_{t}({0})", cost=60),
    scipy_function("log_ndtr"),
    lambda g, _y, x: (g * (math.sqrt(2 / math.pi) / row.erfcx(x * -_SQRT_HALF)),),
    domains=[(-8, 3)],
    reference=_one_by_one(_log_normal),
)
NDTRI = unary(
    "ndtri",
    Scalar("gc_ndtri_{t}({0})", cost=200),
    scipy_function("ndtri"),
    lambda g, y, _x: (g * row.exp(y * y * 0.5) * _SQRT_2PI,),
    domains=[(0.02, 0.98)],
    reference=_one_by_one(_quantile),
)


def _entropy(x: Any) -> Any:
    """``-x log x``: 0 at 0, minus infinity below."""
    inside = -(x * row.log(row.where(row.gt(x, 0), x, 1)))
    outside = row.where(row.eq(x, 0), zeros_like(x), -math.inf)
    return row.where(row.logical_or(row.gt(x, 0), row.isnan(x)), inside, outside)


ENTR = composite(
    "entr",
    _entropy,
    lambda g, _y, x: (g * row.where(row.lt(x, 0), math.nan, -row.log(x) - 1),),
    samples=unary_samples((0.2, 3), Kind.FLOAT),
    reference="special.entr",
)


def _xlog1py(x: Any, y: Any) -> Any:
    """0 where ``x`` is 0, unless ``y`` is NaN."""
    nothing = row.logical_and(row.eq(x, 0), row.logical_not(row.isnan(y)))
    return row.where(nothing, 0, x * row.log1p(y))


def _xlog1py_parts(g: Any, x: Any, y: Any) -> tuple[Any, Any]:
    silent = row.logical_and(row.eq(x, 0), row.le(y, -1))
    return lambda: row.where(silent, 0, g * row.log1p(y)), lambda: g * x / (y + 1)


def _xlog1py_samples() -> Iterable[Sample]:
    yield from binary_samples(((-3, 3), (-0.7, 3)), Kind.FLOAT)()
    x, y = np.array([0.0, 0, 0, np.nan, 2]), np.array([-1.0, np.nan, np.inf, 0, -1])
    yield Sample((x, y), differentiable=False)


XLOG1PY = composite(
    "xlog1py",
    _xlog1py,
    lambda g, _y, a, b: _xlog1py_parts(g, a, b),
    samples=_xlog1py_samples,
    reference="special.xlog1py",
)
