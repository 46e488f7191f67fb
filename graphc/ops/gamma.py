"""The zeta function and the incomplete gamma functions.

Their derivatives by the first operand have no closed form and are left out, as in PyTorch.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.ir import Sample, Scalar
from graphc.ops import special_functions as special
from graphc.ops.rules import HALVES, Array, binary, row, spread
from graphc.ops.scipy_functions import scipy_function


def _pairs(
    first: tuple[float, float], second: tuple[float, float], differentiable: bool
) -> Iterable[Sample]:
    for shapes in (((2, 3), (2, 3)), ((2, 1), (3,)), ((), (4,)), ((0, 3), (3,))):
        for dtype in (np.float64, np.float32):
            arrays = (spread(shapes[0], *first, dtype), spread(shapes[1], *second, dtype, 1))
            yield Sample(arrays, differentiable=differentiable)
    for half in sorted(HALVES, key=str):
        yield Sample((spread((5,), *first, half), spread((5,), *second, half, 1)))


def _zeta_samples() -> Iterable[Sample]:
    yield from _pairs((1.2, 9), (0.3, 20), differentiable=False)
    s = np.array([1.0, 0.5, 2.0, 2.0, 3.0, 2.5, 40.0, 2.0, np.nan])
    q = np.array([2.0, 2.0, 0.0, -3.0, -2.5, -0.5, 700.0, np.inf, 1.0])
    yield Sample((s, q), differentiable=False)


def _zeta_reference(s: Array, q: Array) -> Array:
    """The first terms of the series, and the integral of the rest with two corrections."""
    s, q = (x.astype(np.float64) for x in np.broadcast_arrays(s, q))
    count = 4000.0
    with np.errstate(all="ignore"):
        n = np.arange(count).reshape((-1,) + (1,) * s.ndim)
        far = q + count
        rest = far ** (1 - s) / (s - 1) + 0.5 * far**-s + s / 12 * far ** (-s - 1)
        total = ((q + n) ** -s).sum(0) + rest
        pole = (q <= 0) & (q == np.floor(q))
        total = np.where(np.isinf(q), 0.0, np.where(pole, np.inf, total))
        total = np.where((q < 0) & ~pole & (s != np.floor(s)), np.nan, total)
        return np.asarray(np.where(s == 1, np.inf, np.where(s < 1, np.nan, total)))


def _zeta(s: Array, q: Array) -> Array:
    """SciPy's, but summed here below 0, where SciPy has no values."""
    value = scipy_function("zeta")(s, q)
    below = (q < 0) & (q != np.floor(q)) & (s == np.floor(s)) & (s > 1)
    if not below.any():
        return value
    wide = q.astype(np.float64)
    steps = np.where(below, np.ceil(-wide), 0)
    total = np.zeros(np.broadcast_shapes(s.shape, q.shape))
    for n in range(int(steps.max())):
        total = total + np.where(n < steps, (wide + n) ** -s.astype(np.float64), 0)
    rest = scipy_function("zeta")(s.astype(np.float64), wide + steps)
    return np.where(below, total + rest, value).astype(value.dtype)


ZETA = binary(
    "zeta",
    Scalar("gc_zeta_{t}({0}, {1})", cost=200),
    _zeta,
    lambda g, _y, s, q: (None, lambda: -(g * s * row.zeta(s + 1, q))),
    samples=_zeta_samples,
    reference=lambda s, q: _zeta_reference(s, q).astype(s.dtype),
)


def _density(a: Any, x: Any) -> Any:
    """``x^(a - 1) exp(-x) / gamma(a)``, the slope of the lower function."""
    return row.exp((a - 1) * row.log(x) - x - row.lgamma(a))


def _gamma_samples() -> Iterable[Sample]:
    yield from _pairs((0.3, 6), (0.2, 9), differentiable=True)
    for dtype in (np.float64, np.float32):
        a, x = spread((6, 1), 15, 400, dtype), spread((40,), 10, 450, dtype, 1)
        yield Sample((a, x), differentiable=False)
        a, x = spread((6, 1), 1e-3, 2, dtype), spread((40,), 1e-3, 2, dtype, 1)
        yield Sample((a, x), differentiable=False)
    ends = np.array([0.0, 1.0, 2.5, np.inf, -1.0])
    yield Sample((ends[:, None], ends), differentiable=False)


def _lower(a: Array, x: Array) -> Array:
    """The power series with all the terms that any sample needs."""
    a, x = (v.astype(np.float64) for v in np.broadcast_arrays(a, x))
    with np.errstate(all="ignore"):
        term = np.exp(a * np.log(x) - x - special.lgamma(a + 1))
        total = term
        for n in range(1, 1500):
            term = term * x / (a + n)
            total = total + term
    ends = np.where(np.isinf(x) | (a == 0), 1.0, np.where(x == 0, 0.0, total))
    ends = np.where(np.isinf(a), np.where(np.isinf(x), np.nan, 0.0), ends)
    undefined = (a < 0) | (x < 0) | ((a == 0) & (x == 0))
    return np.where(undefined, np.nan, ends)


GAMMAINC = binary(
    "gammainc",
    Scalar("gc_gammainc_{t}({0}, {1})", cost=300),
    scipy_function("gammainc"),
    lambda g, _y, a, x: (None, lambda: g * _density(a, x)),
    samples=_gamma_samples,
    reference=lambda a, x: _lower(a, x).astype(a.dtype),
)
GAMMAINCC = binary(
    "gammaincc",
    Scalar("gc_gammaincc_{t}({0}, {1})", cost=300),
    scipy_function("gammaincc"),
    lambda g, _y, a, x: (None, lambda: -(g * _density(a, x))),
    samples=_gamma_samples,
    reference=lambda a, x: (1 - _lower(a, x)).astype(a.dtype),
)
