"""Bessel functions of orders 0 and 1: oscillating (J, Y) and modified (I, K), plain and scaled."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphc.ir import Op, Sample, Scalar
from graphc.ops.rules import HALVES, Array, Kind, row, spread, unary, unary_samples
from graphc.ops.scipy_functions import scipy_function


def _bessel(
    name: str,
    c: str,
    scipy: str,
    vjp: Callable[..., tuple[Any, ...]],
    domain: tuple[float, float],
    reference: Any,
    odd: bool = False,
    samples: Callable[[], Iterable[Sample]] | None = None,
) -> Op:
    plain = scipy_function(scipy)

    def numpy(x: Array) -> Any:
        return np.where(x == 0, x, plain(x)) if odd else plain(x)  # SciPy loses the sign of zero

    return unary(
        name,
        Scalar(f"gc_{c}_{{t}}({{0}})", cost=150),
        numpy,
        vjp,
        samples=samples or unary_samples(domain, Kind.FLOAT),
        reference=reference,
    )


def _over(y: Any, x: Any, at_zero: float) -> Any:
    """``y / x``, and its limit where ``x`` is zero."""
    zero = row.eq(x, 0)
    return row.where(zero, at_zero, y / row.where(zero, 1, x))


# -------------------------------------------------------------------------------- modified: I, K

_WIDE = (-6.0, 6.0)
I0 = _bessel("i0", "i0", "i0", lambda g, _y, x: (g * row.i1(x),), _WIDE, "special.i0")
I1 = _bessel(
    "i1",
    "i1",
    "i1",
    lambda g, y, x: (g * (row.i0(x) - _over(y, x, 0.5)),),
    _WIDE,
    "special.i1",
    odd=True,
)
I0E = _bessel(
    "i0e",
    "i0e",
    "i0e",
    lambda g, y, x: (g * (row.i1e(x) - row.sign(x) * y),),
    _WIDE,
    "special.i0e",
)
I1E = _bessel(
    "i1e",
    "i1e",
    "i1e",
    lambda g, y, x: (g * (row.i0e(x) - row.sign(x) * y - _over(y, x, 0.5)),),
    _WIDE,
    "special.i1e",
    odd=True,
)


def _positive_samples() -> Iterable[Sample]:
    """Where the functions of the second kind are defined, near to zero and far out."""
    for shape, dtype in (((2, 3), np.float64), ((4, 3), np.float32), ((), np.float32)):
        yield Sample((spread(shape, 0.2, 3, dtype),))
        yield Sample((spread(shape, 3, 60, dtype, 1),))
    yield Sample((np.empty((0, 2), np.float32),))
    for half in sorted(HALVES, key=str):
        yield Sample((spread((7,), 0.3, 9, half),))
    for kind in (np.float32, np.float64):
        ends = np.array([0.0, -1.0, np.nan, 1e-30], kind)
        yield Sample((ends,), differentiable=False)


def _of_k(name: str, scipy: str, order: int, scaled: bool, vjp: Callable[..., Any]) -> Op:
    def reference(x: Array) -> Array:
        """The integral of ``exp(-x cosh t) cosh(order t)`` over t >= 0, by a fine trapezoid."""
        wide = x.astype(np.float64)[..., None]
        with np.errstate(all="ignore"):
            t = np.linspace(0, 80, 32001)
            decay = np.exp(wide * (scaled - np.cosh(t)) + order * t)
            values = decay * (1 + np.exp(-2 * order * t)) / 2
            values[..., 0] /= 2
            total = values.sum(-1) * t[1]
            total = np.where(wide[..., 0] == 0, np.inf, total)
            return np.asarray(np.where(wide[..., 0] < 0, np.nan, total)).astype(x.dtype)

    c = f"k{order}{'e' if scaled else ''}"
    samples = _positive_samples
    return _bessel(name, c, scipy, vjp, (0, 1), reference, samples=samples)


K0 = _of_k("k0", "k0", 0, False, lambda g, _y, x: (-(g * row.k1(x)),))
K1 = _of_k("k1", "k1", 1, False, lambda g, y, x: (-(g * (row.k0(x) + y / x)),))
K0E = _of_k("k0e", "k0e", 0, True, lambda g, y, x: (g * (y - row.k1e(x)),))
K1E = _of_k("k1e", "k1e", 1, True, lambda g, y, x: (g * (y - row.k0e(x) - y / x),))

# -------------------------------------------------------------------------------- oscillating: J, Y


def _ring(x: Array, order: int) -> Array:
    """J by Bessel's integral, which the trapezoidal rule has exactly."""
    angle = np.linspace(0, math.pi, 401)
    values = np.cos(order * angle - x.astype(np.float64)[..., None] * np.sin(angle))
    values[..., [0, -1]] /= 2
    return np.asarray(values.sum(-1) / 400, x.dtype)


@functools.cache
def _gauss() -> tuple[Array, Array]:
    """Nodes and weights of a rule for integrals over (-1, 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    return nodes, weights


def _second_kind(x: Array, order: int) -> Array:
    """Y by Schlaefli's integrals, with Gauss' rule."""
    nodes, weights = _gauss()
    wide = x.astype(np.float64)[..., None]
    with np.errstate(all="ignore"):
        angle = (nodes + 1) * (math.pi / 2)
        ring = (np.sin(wide * np.sin(angle) - order * angle) * weights).sum(-1) / 2
        far = np.arcsinh(60 / wide)
        t = (nodes + 1) * far / 2
        wave = np.exp(order * t) + (-1) ** order * np.exp(-order * t)
        tail = (wave * np.exp(-wide * np.sinh(t)) * weights).sum(-1) * far[..., 0] / (2 * math.pi)
        value = np.where(wide[..., 0] == 0, -np.inf, ring - tail)
        return np.asarray(np.where(wide[..., 0] < 0, np.nan, value)).astype(x.dtype)


def _moderate_samples() -> Iterable[Sample]:
    for shape, dtype in (((2, 3), np.float64), ((4, 3), np.float32), ((), np.float32)):
        yield Sample((spread(shape, -3, 3, dtype),))
        yield Sample((spread(shape, 3, 60, dtype, 1),))
    yield Sample((np.empty((0, 2), np.float32),))
    for half in sorted(HALVES, key=str):
        yield Sample((spread((7,), -9, 9, half),))
    yield Sample((np.array([0.0, -0.0, np.nan, 1e-30]),), differentiable=False)


def _near_to_far_samples() -> Iterable[Sample]:
    for sample in _positive_samples():
        if sample.arrays[0].size != 4:  # tiny arguments are beyond the reference
            yield sample
    yield Sample((np.array([0.0, -1.0, np.nan]),), differentiable=False)


def _oscillating(letter: str, order: int, vjp: Callable[..., Any]) -> Op:
    def reference(x: Array) -> Array:
        return (_ring if letter == "j" else _second_kind)(x, order)

    return _bessel(
        f"bessel_{letter}{order}",
        f"{letter}{order}",
        f"{letter}{order}",
        vjp,
        (0, 1),
        reference,
        odd=letter == "j" and order == 1,
        samples=_moderate_samples if letter == "j" else _near_to_far_samples,
    )


J0 = _oscillating("j", 0, lambda g, _y, x: (-(g * row.bessel_j1(x)),))
J1 = _oscillating("j", 1, lambda g, y, x: (g * (row.bessel_j0(x) - _over(y, x, 0.5)),))
Y0 = _oscillating("y", 0, lambda g, _y, x: (-(g * row.bessel_y1(x)),))
Y1 = _oscillating("y", 1, lambda g, y, x: (g * (row.bessel_y0(x) - y / x),))
