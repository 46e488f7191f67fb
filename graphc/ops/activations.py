"""Activations that networks name: composites of elementary functions, visible by their names."""

import math
from typing import Any

import numpy as np

from graphc.ops import special_functions as special
from graphc.ops.pointwise_float import sigmoid
from graphc.ops.rules import Array, Kind, composite, row, unary_samples

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_GELU_CUBE = 0.044715


def _samples(*attrs: dict[str, Any]) -> Any:
    return unary_samples((-3, 3), Kind.FLOAT, attrs or ({},))


# ------------------------------------------------------------------------------------------ gelu


def _gelu(x: Any, *, approximate: str) -> Any:
    """Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016."""
    if approximate == "tanh":
        return x * 0.5 * (row.tanh((x + x * x * x * _GELU_CUBE) * _SQRT_2_OVER_PI) + 1)
    return x * 0.5 * (row.erf(x * _SQRT_HALF) + 1)


def _fast_gelu(x: Array, *, approximate: str) -> Any:
    if approximate == "tanh":
        return x * 0.5 * (np.tanh((x + x * x * x * _GELU_CUBE) * _SQRT_2_OVER_PI) + 1)
    y = special.erf(x * x.dtype.type(_SQRT_HALF))
    y += 1
    y *= x * 0.5
    return y


def _gelu_vjp(g: Any, _y: Any, x: Any, *, approximate: str) -> tuple[Any]:
    if approximate == "tanh":
        t = row.tanh((x + x * x * x * _GELU_CUBE) * _SQRT_2_OVER_PI)
        inner = (x * x * (3 * _GELU_CUBE) + 1) * _SQRT_2_OVER_PI
        return (g * ((t + 1) * 0.5 + x * 0.5 * (1 - t * t) * inner),)
    below = (row.erf(x * _SQRT_HALF) + 1) * 0.5
    density = row.exp(x * x * -0.5) * (_SQRT_2_OVER_PI / 2)
    return (g * (below + x * density),)


GELU = composite(
    "gelu",
    _gelu,
    _gelu_vjp,
    numpy=_fast_gelu,
    wide=True,
    samples=_samples({"approximate": "none"}, {"approximate": "tanh"}),
    reference=lambda x, *, approximate: _gelu_reference(x.astype(np.float64), approximate).astype(
        x.dtype
    ),
)


def _gelu_reference(x: Array, approximate: str) -> Any:
    if approximate == "none":
        return np.asarray(x * np.frompyfunc(lambda v: 0.5 * math.erfc(-v / 2**0.5), 1, 1)(x), float)
    return x / (1 + np.exp(-2 * _SQRT_2_OVER_PI * (x + _GELU_CUBE * x**3)))


# ------------------------------------------------------------------------------- sigmoid's family

SILU = composite(
    "silu",
    lambda x: x * row.sigmoid(x),
    lambda g, _y, x: (_silu_part(g, x),),
    numpy=lambda x: x * sigmoid(x),
    wide=True,
    samples=_samples(),
    reference="nn.functional.silu",
)


def _silu_part(g: Any, x: Any) -> Any:
    s = row.sigmoid(x)
    return g * (s * (x * (1 - s) + 1))


def _softplus(x: Any, *, beta: float, threshold: float) -> Any:
    z = x * beta
    return row.where(row.gt(z, threshold), x, row.log1p(row.exp(z)) / beta)


def _softplus_vjp(g: Any, _y: Any, x: Any, *, beta: float, threshold: float) -> tuple[Any]:
    z = x * beta
    return (row.where(row.gt(z, threshold), g, g * row.sigmoid(z)),)


SOFTPLUS = composite(
    "softplus",
    _softplus,
    _softplus_vjp,
    wide=True,
    samples=_samples({"beta": 1, "threshold": 20}, {"beta": 2.0, "threshold": 1.0}),
    reference="nn.functional.softplus",
)


def _log_sigmoid(x: Any) -> Any:
    return row.minimum(x, 0) - row.log1p(row.exp(-row.abs(x)))


LOG_SIGMOID = composite(
    "log_sigmoid",
    _log_sigmoid,
    lambda g, _y, x: (g * row.sigmoid(-x),),
    wide=True,
    samples=_samples(),
    reference="nn.functional.logsigmoid",
)


def _mish(x: Any) -> Any:
    return x * row.tanh(row.softplus(x, beta=1, threshold=20))


def _mish_vjp(g: Any, _y: Any, x: Any) -> tuple[Any]:
    t = row.tanh(row.softplus(x, beta=1, threshold=20))
    return (g * (t + x * row.sigmoid(x) * (1 - t * t)),)


MISH = composite(
    "mish",
    _mish,
    _mish_vjp,
    wide=True,
    samples=_samples(),
    reference="nn.functional.mish",
)

# ------------------------------------------------------------------------------- bent lines

LEAKY_RELU = composite(
    "leaky_relu",
    lambda x, *, slope: row.where(row.gt(x, 0), x, x * slope),
    lambda g, _y, x, *, slope: (row.where(row.gt(x, 0), g, g * slope),),
    samples=_samples({"slope": 0.01}, {"slope": -0.5}),
    reference=lambda x, *, slope: np.where(x > 0, x, x * x.dtype.type(slope)),
)
ELU = composite(
    "elu",
    lambda x, *, alpha: row.where(row.gt(x, 0), x, row.expm1(x) * alpha),
    lambda g, _y, x, *, alpha: (row.where(row.gt(x, 0), g, g * row.exp(x) * alpha),),
    wide=True,
    samples=_samples({"alpha": 1.0}, {"alpha": 0.3}),
    reference="nn.functional.elu",
)
