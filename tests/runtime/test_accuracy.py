"""float32 functions over the whole range of float32, eager and compiled: at most 4 ulp of error.

The arguments are every 19937th bit pattern (every 997th with ``--full``): all exponents, both
signs, subnormals, NaN. What a result is compared with is computed in float64 and rounded once; the
distance is counted in floats that lie between. An infinity is the float after the largest one, so
that overflow comes at the right place.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

import graphc
from graphc.dtypes import float32
from graphc.ir import OPS, Scalar, TensorType

special = pytest.importorskip("scipy.special")

Array = np.ndarray[Any, Any]
Reference = Callable[..., Array]
MOST = 4  # ulp
# Primes, so that the low bits vary too.
STEPS = [pytest.param(19937, id="coarse"), pytest.param(997, id="fine", marks=pytest.mark.full)]


def _digamma(x: Array) -> Array:
    return np.where((x < 0) & (np.trunc(x) == x), np.nan, special.digamma(x))


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1.0 + e)


def _softplus(x: Array) -> Array:
    return np.where(x > 20, x, np.log1p(np.exp(x)))


UNARY: dict[str, Reference] = {
    "abs": np.abs,
    "acos": np.arccos,
    "acosh": np.arccosh,
    "asin": np.arcsin,
    "asinh": np.arcsinh,
    "atan": np.arctan,
    "atanh": np.arctanh,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "deg2rad": lambda x: x * (np.pi / 180),
    "digamma": _digamma,
    "erf": special.erf,
    "erfc": special.erfc,
    "erfcx": special.erfcx,
    "erfinv": special.erfinv,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "floor": np.floor,
    "frac": lambda x: x - np.trunc(x),
    "i0": special.i0,
    "i0e": special.i0e,
    "i1": special.i1,
    "i1e": special.i1e,
    "lgamma": lambda x: np.where(np.isneginf(x), np.inf, special.gammaln(x)),
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "neg": np.negative,
    "rad2deg": lambda x: x * (180 / np.pi),
    "reciprocal": lambda x: 1 / x,
    "relu": lambda x: np.where(x < 0, 0, x),
    "round": np.rint,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "sigmoid": _sigmoid,
    "sign": lambda x: np.where(np.isnan(x), 0, np.sign(x)),
    "silu": lambda x: np.where(np.isneginf(x), np.nan, x * _sigmoid(x)),
    "sin": np.sin,
    "sinh": np.sinh,
    "softplus": _softplus,
    "sqrt": np.sqrt,
    "square": np.square,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": np.trunc,
    "log_ndtr": special.log_ndtr,
    "ndtri": special.ndtri,
    "k0": special.k0,
    "k0e": special.k0e,
    "k1": special.k1,
    "k1e": special.k1e,
}
BINARY: dict[str, Reference] = {
    "add": np.add,
    "atan2": np.arctan2,
    "copysign": np.copysign,
    "div": np.divide,
    "floor_divide": np.floor_divide,
    "fmax": np.fmax,
    "fmin": np.fmin,
    "fmod": np.fmod,
    "hypot": np.hypot,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "mul": np.multiply,
    "pow": np.power,
    "remainder": np.remainder,
    "sub": np.subtract,
    "trunc_divide": lambda a, b: np.trunc((a / b).astype(np.float32)),
    "xlogy": special.xlogy,
    "xlog1py": special.xlog1py,
}
# Rows of one or two float operands that have no place here, and why.
OTHERS = {
    "oscillating: no relative accuracy at zeros": "bessel_j0 bessel_j1 bessel_y0 bessel_y1",
    "exact copies, bits and parts of numbers": "clone stop_gradient undifferentiable "
    "frexp_mantissa nextafter cast bits_of_f32 independent",
    "checked on their own domain with their rows": "gammainc gammaincc zeta polygamma",
    "a choice between given numbers": "clamp_max clamp_min heaviside where",
}
ATTRS: dict[str, dict[str, Any]] = {"softplus": {"beta": 1.0, "threshold": 20.0}}


@cache
def patterns(step: int) -> Array:
    return np.arange(0, 1 << 32, step, np.int64).astype(np.uint32).view(np.float32)


@cache
def pairs() -> tuple[Array, Array]:
    """Any two floats, two of similar size, and pairs of a few special ones."""
    random = np.random.default_rng(0)
    anything = random.integers(0, 1 << 32, (2, 1 << 19), np.uint64).astype(np.uint32)
    near = random.normal(0, 4, (2, 1 << 19)).astype(np.float32)
    edges = np.array([0, 1, 0.5, 2, 3, 1e-45, 1e-38, 3.4e38, np.inf], np.float32)
    edges = np.concatenate([edges, -edges, [np.float32(np.nan)]])
    grid = np.stack([np.repeat(edges, edges.size), np.tile(edges, edges.size)])
    first, second = np.concatenate([anything.view(np.float32), near, grid], 1)
    return first, second


def order(x: Array) -> Array:
    """Floats as integers in the same order, neighbours one apart, both zeros 0."""
    bits = x.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


# How far results below the smallest normal number may be off: a factor is subnormal there.
TINY = {"silu": 2e-43}


def check(name: str, found: Array, wide: Array, *arguments: Array) -> None:
    """Raises where a result and the reference are more than MOST floats apart."""
    with np.errstate(all="ignore"):
        expected = np.asarray(wide).astype(np.float32)
    lost = np.isnan(found) != np.isnan(expected)
    apart = np.where(np.isnan(expected), 0, np.abs(order(found) - order(expected)))
    with np.errstate(invalid="ignore"):
        near = np.abs(found.astype(np.float64) - wide) <= TINY.get(name, 0)
    wrong = np.flatnonzero(lost | ((apart > MOST) & ~near))
    if wrong.size:
        worst = wrong[np.argmax(np.where(lost, 1 << 40, apart)[wrong])]
        at = ", ".join(repr(float(a[worst])) for a in arguments)
        raise AssertionError(
            f"{wrong.size} of {found.size} results are wrong; at {at} it is "
            f"{float(found[worst])!r} for {float(expected[worst])!r}, {int(apart[worst])} ulp"
        )


def sweep(name: str, reference: Reference, *arguments: Array) -> None:
    attrs = ATTRS.get(name, {})
    with np.errstate(all="ignore"):
        wide = np.asarray(reference(*(a.astype(np.float64) for a in arguments)))
    row, tensors = OPS[name], [graphc.from_numpy(a) for a in arguments]
    check(name, row(*tensors, **attrs).numpy(), wide, *arguments)
    compiled = graphc.compile(lambda *xs: row(*xs, **attrs))
    check(name, compiled(*tensors).numpy(), wide, *arguments)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_operand(name: str, step: int) -> None:
    sweep(name, UNARY[name], patterns(step))


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_operands(name: str) -> None:
    sweep(name, BINARY[name], *pairs())


def floats_only(name: str) -> bool:
    """Whether a row is one expression of one or two float32 operands with a float32 result."""
    op = OPS[name]
    if not isinstance(op.lower, Scalar) or op.samples is None:
        return False
    operands = {len(s.arrays) for s in op.samples()}
    attrs = next(iter(op.samples())).attrs
    if not operands <= {1, 2}:
        return False
    try:
        given = [TensorType((3,), float32)] * operands.pop()
        return op.infer(*given, **attrs).dtype is float32
    except (RuntimeError, TypeError):
        return False


def test_every_function_is_swept_or_has_a_reason_not_to_be() -> None:
    excused = set(" ".join(OTHERS.values()).split())
    missing = {name for name in OPS if floats_only(name)} - set(UNARY) - set(BINARY) - excused
    assert not missing
