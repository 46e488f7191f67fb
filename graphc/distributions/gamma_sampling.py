"""Values of the standard gamma distribution, with gradients with respect to its shape.

Marsaglia and Tsang, "A simple method for generating gamma variables" (2000), with a fixed number of
attempts, so that the program does not depend on what is drawn; a value that none of them gave (once
in 200,000) comes from the approximation that the method corrects. Gradients are implicit (Figurnov,
Mohamed, Mnih, "Implicit reparameterization gradients", 2018): the value moves so that the
probability of smaller ones stays the same.
"""

from functools import cache

import numpy as np

from graphc import dtypes
from graphc.functions.creation import tensor
from graphc.functions.pointwise import where
from graphc.functions.promotion import cast
from graphc.functions.random import rand, randn
from graphc.modes import MODES, no_grad
from graphc.tensor import Tensor

_ATTEMPTS = 4
_NODES = 32
_NEGLIGIBLE = 36.0  # exp(-36) is less than a rounding error


def standard_gamma(concentration: Tensor) -> Tensor:
    """One value for each concentration, of its shape and dtype; none is 0."""
    value = log_standard_gamma(concentration).exp()
    tiny = dtypes.finfo(concentration.dtype).tiny
    return where(value.detach() < tiny, tiny + (value - value.detach()), value)


def log_standard_gamma(concentration: Tensor) -> Tensor:
    """The logarithm of such a value, which small concentrations do not make infinite."""
    wide = cast(concentration, _wide(concentration.dtype))
    with no_grad():
        drawn = _drawn(wide.detach())
    if MODES.grad and concentration.requires_grad:
        slope = _slope(wide.detach(), drawn)
        drawn = drawn + (wide - wide.detach()) * slope
    return cast(drawn, concentration.dtype)


def _wide(dtype: dtypes.dtype) -> dtypes.dtype:
    return dtypes.float64 if dtype is dtypes.float64 else dtypes.float32


def _drawn(shape: Tensor) -> Tensor:
    # A value for shape + 1 times a uniform number to the power 1 / shape is one for shape.
    raised = shape < 1
    a = where(raised, shape + 1, shape)
    d = a - 1 / 3
    c = 1 / (9 * d).sqrt()
    size = (_ATTEMPTS, *shape.shape)
    normal = randn(size, dtype=shape.dtype)
    uniform = _positive(rand((_ATTEMPTS + 1, *shape.shape), dtype=shape.dtype))
    root = 1 + c * normal
    found = (root > 0) & (
        uniform[:-1].log()
        < 0.5 * normal.square() + d - d * root**3 + 3 * d * root.clamp(min=1e-30).log()
    )
    chosen = root[-1].clamp(min=0.05)
    for attempt in reversed(range(_ATTEMPTS)):
        chosen = where(found[attempt], root[attempt], chosen)
    value = d.log() + 3 * chosen.log()
    return where(raised, value + uniform[-1].log() / shape, value)


def _positive(uniform: Tensor) -> Tensor:
    """Between 0 and 1, without 0."""
    return uniform + dtypes.finfo(uniform.dtype).eps / 4


@cache
def _quadrature() -> tuple[list[float], list[float]]:
    """Nodes and weights of Gauss and Legendre on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return ((nodes + 1) / 2).tolist(), (weights / 2).tolist()


def _slope(shape: Tensor, log_value: Tensor) -> Tensor:
    """The derivative of the logarithm of a value with respect to its shape."""
    a = cast(shape, dtypes.float64)
    log_x = cast(log_value, dtypes.float64)
    # Where x is far below the mean, P(a, x) = x**a / Gamma(a + 1), whence the derivative of log x
    # is (psi(a + 1) - log x) / a.
    limit = ((a + 1).digamma() - log_x) / a
    small = log_x < -18
    integral = _integral(a, where(small, 0.0, log_x).exp())
    return cast(where(small, limit, integral), log_value.dtype)


def _integral(a: Tensor, x: Tensor) -> Tensor:
    """``-dP(a, x)/da / (x p(x))`` with ``p`` the density of P, by quadrature.

    ``dP/da`` is the integral of ``p(t) (log t - psi(a))`` over t < x, or minus that over t > x.
    With ``t = x exp(-w)`` or ``t = x exp(w)`` the integrand falls from w = 0 on: on the side of the
    mean that is taken, nothing cancels.
    """
    below = x <= a
    sign = where(below, -1.0, 1.0)
    gap = (a - x).abs()
    # Where the integrand has become negligible: exp(-gap w - x w**2 / 2) bounds it above the mean;
    # below it, exp(-gap w - x w**2 / 3) up to w = 1, and exp(x - a w) everywhere.
    above = 2 * _NEGLIGIBLE / (gap + (gap.square() + 2 * _NEGLIGIBLE * x).sqrt())
    near = 2 * _NEGLIGIBLE / (gap + (gap.square() + 4 / 3 * _NEGLIGIBLE * x).sqrt())
    far = (_NEGLIGIBLE + x) / a
    width = where(below, where(near <= 1, near, far), above)
    nodes, weights = (tensor(values, dtype=dtypes.float64) for values in _quadrature())
    w = width.unsqueeze(-1) * nodes
    signed = sign.unsqueeze(-1) * w
    exponent = a.unsqueeze(-1) * signed - x.unsqueeze(-1) * signed.expm1()
    lever = (x.log() - a.digamma()).unsqueeze(-1) + signed
    return sign * width * (exponent.exp() * lever * weights).sum(-1)
