"""Special functions in NumPy: erf and its relatives, log-gamma and its derivatives."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Chebyshev fits in powers of their variable, highest first; relative errors are below 2e-9 for the
# short ones (float32 is computed in float64 and rounded) and 2e-15 for the long ones.
# erf(x) / x in x^2 for |x| <= 1:
_NEAR_32 = (
    7.88249711e-5, -0.0008018854993, 0.005189311943, -0.0268543288, 0.1128359746, -0.376126269,
    1.128379166,
)  # fmt: skip
_NEAR_64 = (
    5.958930743134941e-11, -1.1373902296430911e-09, 1.4660051998394848e-08,
    -1.6350354461959655e-07, 1.6461004480962034e-06, -1.4925595519506043e-05,
    0.00012055331122299266, -0.0008548326981129666, 0.005223977624823223, -0.026866170645077334,
    0.11283791670954882, -0.3761263890318375, 1.1283791670955126,
)  # fmt: skip
# (1 + 2x) exp(x^2) erfc(x) in (x - 4) / (x + 2) for x >= 1:
_FAR_32 = (
    3.324972022e-6, 1.481141525e-5, -4.098640318e-5, -0.0001709367431, 0.0005723677238,
    0.001176610068, -0.01043695389, 0.02650959148, -0.01752792327, -0.1047158554, 1.232995119,
)  # fmt: skip
_FAR_64 = (
    -1.5740060103197056e-10, -2.603627429374203e-10, 1.3571396346990198e-09,
    3.5143101138666085e-09, -4.800404629914135e-09, -2.7006470491120497e-08,
    -3.853892510064532e-09, 1.6225674061692788e-07, 2.05102378648805e-07, -8.919489964219459e-07,
    -2.209610400194255e-06, 5.27622548237698e-06, 1.9946671577117548e-05, -4.294302441728574e-05,
    -0.00017577040018800584, 0.0005733251950531651, 0.0011786605700152449, -0.010437170695542874,
    0.02650923206564277, -0.01752790509988218, -0.10471583763042171, 1.2329951186255526,
)  # fmt: skip
_BLOCK = 1 << 14  # elements at a time: the working arrays stay in the cache


def _blockwise(function: Callable[[Array, bool], Array], x: Array) -> Array:
    """``function(float64 values, whether float32 is enough)`` over pieces of the elements."""
    flat = np.ascontiguousarray(x).reshape(-1)
    result = np.empty_like(flat)
    short = x.dtype != np.float64
    for start in range(0, flat.size, _BLOCK):
        piece = flat[start : start + _BLOCK]
        result[start : start + _BLOCK] = function(piece.astype(np.float64), short)
    return np.asarray(result.reshape(x.shape))


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    total = x * coefficients[0]
    for c in coefficients[1:-1]:
        total += c
        total *= x
    total += coefficients[-1]
    return total


def _erf_near(x: Array, short: bool) -> Array:
    return np.asarray(x * _horner(_NEAR_32 if short else _NEAR_64, x * x))


def _erfc_far(a: Array, short: bool) -> Array:
    """``erfc(a)`` for ``a >= 1``; the square is split so that the exponent loses no bits."""
    tail = _horner(_FAR_32 if short else _FAR_64, (a - 4) / (a + 2)) / (1 + 2 * a)
    if short:
        return np.asarray(np.exp(-a * a) * tail)
    high = a.astype(np.float32).astype(np.float64)
    return np.asarray(np.exp(-high * high) * np.exp((high - a) * (high + a)) * tail)


def _erf(x: Array, short: bool) -> Array:
    a = np.abs(x)
    far = np.copysign(1 - _erfc_far(np.clip(a, 1, 6), short), x)
    return np.where(a < 1, _erf_near(np.clip(x, -1, 1), short), np.where(a > 6, np.sign(x), far))


def _erfc(x: Array, short: bool) -> Array:
    a = np.abs(x)
    far = _erfc_far(np.clip(a, 1, 28), short)
    return np.where(a < 1, 1 - _erf_near(np.clip(x, -1, 1), short), np.where(x < 0, 2 - far, far))


# ``erf(x) = tanh(x * Q(x * x))``, whose relative error is below 1e-7 for |x| < 3.95. From there on
# erf is 1 in float32, and so is this tanh before ``x`` is cut off. NumPy has vectors for tanh.
_TANH_32 = (
    1.4183126495481702e-07, -5.66805374546675e-06, 8.763436926528811e-05, -0.0006197757320478559,
    -0.00019184248230885714, 0.10276906192302704, 1.128379225730896,
)  # fmt: skip
_END_32 = 4.2


def _erf_32(x: Array) -> Array:
    """Of float32 values, in float32."""
    flat = np.ascontiguousarray(x).reshape(-1)
    result = np.empty_like(flat)
    for start in range(0, flat.size, _BLOCK):
        a = np.minimum(np.maximum(flat[start : start + _BLOCK], -_END_32), _END_32)
        q = _horner(_TANH_32, a * a)
        q *= a
        np.tanh(q, out=result[start : start + _BLOCK])
    return np.asarray(result.reshape(x.shape))


def erf(x: Array) -> Array:
    """The error function."""
    return _erf_32(x) if x.dtype == np.float32 else _blockwise(_erf, x)


def erfc(x: Array) -> Array:
    """``1 - erf(x)`` without cancellation for large ``x``."""
    return _blockwise(_erfc, x)


def erfinv(y: Array) -> Array:
    """Giles' single-precision start ("Approximating the erfinv function", 2011), then Halley."""
    wide = y.astype(np.float64)
    a = np.abs(wide)
    w = -np.log((1 - a) * (1 + a))
    near = np.minimum(w, 5.0) - 2.5
    far = np.sqrt(np.maximum(w, 5.0)) - 3.0
    x = a * np.where(w < 5.0, np.polyval(_INVERSE_NEAR, near), np.polyval(_INVERSE_FAR, far))
    x = np.where(w < 15.0, x, np.sqrt(w - 0.5 * np.log(math.pi * w)))  # beyond float32's range
    for _ in range(3):  # on erfc in the tail, where 1 - a is exact
        error = np.where(a < 0.5, erf(x) - a, (1 - a) - erfc(x))
        newton = error * (math.sqrt(math.pi) / 2) * np.exp(x * x)
        x = x - newton / (1 + x * newton)
    x = np.where(a == 1, np.inf, np.where(a > 1, np.nan, x))
    return np.asarray(np.copysign(x, wide), y.dtype)


_INVERSE_NEAR = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_INVERSE_FAR = (
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
