"""Special functions in NumPy: erf and its relatives, log-gamma and its derivatives."""

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_erf = np.frompyfunc(math.erf, 1, 1)
_erfc = np.frompyfunc(math.erfc, 1, 1)


def erf(x: Array) -> Array:
    return np.asarray(_erf(x), x.dtype)


def erfc(x: Array) -> Array:
    return np.asarray(_erfc(x), x.dtype)


def erfinv(y: Array) -> Array:
    """Giles' single-precision start ("Approximating the erfinv function", 2011), then Newton."""
    wide = y.astype(np.float64)
    w = -np.log1p(-wide * wide)
    near = np.minimum(w, 5.0) - 2.5
    far = np.sqrt(np.maximum(w, 5.0)) - 3.0
    x = wide * np.where(w < 5.0, np.polyval(_NEAR, near), np.polyval(_FAR, far))
    for _ in range(3):
        tail = np.abs(wide) > 0.5
        error = np.where(
            tail, np.sign(wide) * ((1 - np.abs(wide)) - erfc(np.abs(x))), erf(x) - wide
        )
        x = x - error * (math.sqrt(math.pi) / 2) * np.exp(x * x)
    x = np.where(np.abs(wide) == 1, wide * np.inf, np.where(np.abs(wide) > 1, np.nan, x))
    return x.astype(y.dtype)


_NEAR = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_FAR = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773,
    -0.0076224613, 0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def _lgamma_one(x: float) -> float:
    if math.isnan(x):
        return x
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    return math.lgamma(x)


_lgamma = np.frompyfunc(_lgamma_one, 1, 1)


def lgamma(x: Array) -> Array:
    return np.asarray(_lgamma(x), x.dtype)


# B(2k) / 2k of the asymptotic series, k = 1..8 (Abramowitz and Stegun 6.3.18)
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def digamma(x: Array) -> Array:
    """Recurrence up to 10, then the asymptotic series; reflected for negative ``x``."""
    wide = x.astype(np.float64)
    negative = wide < 0
    z = np.where(negative, 1 - wide, wide)
    total = np.zeros_like(z)
    for _ in range(10):
        small = z < 10
        total = total - np.where(small, 1 / z, 0)
        z = np.where(small, z + 1, z)
    power = 1 / (z * z)
    series = np.zeros_like(z)
    for k in range(len(_BERNOULLI), 0, -1):
        series = (series + _BERNOULLI[k - 1] / (2 * k)) * power
    total = total + np.log(z) - 0.5 / z - series
    fraction = wide - np.trunc(wide)  # the tangent has period 1 and is best near 0
    reflected = total - math.pi / np.tan(math.pi * fraction)
    pole = np.where(wide == 0, -np.copysign(np.inf, wide), np.nan)
    at_pole = (wide <= 0) & (wide == np.floor(wide))
    result = np.where(negative, reflected, total)
    return np.where(at_pole, pole, result).astype(x.dtype)


def polygamma(x: Array, *, n: int) -> Array:
    """The ``n``-th derivative of digamma: ``(-1)^(n+1) n! zeta(n+1, x)`` by Euler-Maclaurin."""
    if n == 0:
        return digamma(x)
    s = n + 1
    z = x.astype(np.float64)
    total = np.zeros_like(z)
    finite = z[np.isfinite(z)]
    steps = int(min(max(10 - math.floor(finite.min()), 0), 10000)) if finite.size else 0
    for _ in range(steps):
        small = z < 10
        total = total + np.where(small, z ** float(-s), 0)
        z = np.where(small, z + 1, z)
    total = total + z ** (1.0 - s) / (s - 1) + 0.5 * z ** float(-s)
    rising = float(s)
    factorial = 2.0
    for k, bernoulli in enumerate(_BERNOULLI, 1):
        total = total + bernoulli / factorial * rising * z ** (1.0 - s - 2 * k)
        rising *= (s + 2 * k - 1) * (s + 2 * k)
        factorial *= (2 * k + 1) * (2 * k + 2)
    total = np.where(np.isposinf(x), 0.0, total)
    return ((-1.0) ** s * math.factorial(n) * total).astype(x.dtype)
