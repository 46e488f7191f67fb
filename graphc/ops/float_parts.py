"""Mantissa and exponent of floating-point numbers, and a mark where no gradient passes."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.ir import Op, Sample, Scalar, TensorType, register
from graphc.ops.evaluation import Quiet
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    check_kind,
    row,
    special,
    spread,
    unary,
    unary_samples,
)


def _parts(x: Array, part: int) -> Array:
    """Python's mantissa (0) or exponent (1) of every element."""
    values = [math.frexp(v)[part] for v in x.astype(np.float64).ravel().tolist()]
    return np.asarray(np.reshape(values, x.shape), np.float64)


def _mantissa_vjp(g: Any, _y: Any, x: Any) -> tuple[Any]:
    """The mantissa is ``x`` times a power of two."""
    exponent = row.cast(row.frexp_exponent(x), dtype=x.dtype)
    return (g * row.exp2(-exponent),)


FREXP_MANTISSA = unary(
    "frexp_mantissa",
    Scalar("gc_mantissa_{t}({0})", cost=6),
    lambda x: np.frexp(x)[0],
    _mantissa_vjp,
    domains=[(-7, 7)],
    reference=lambda x: _parts(x, 0).astype(x.dtype),
)


def _exponent_type(x: TensorType) -> TensorType:
    check_kind("frexp", x, Kind.FLOAT)
    return x.with_dtype(dtypes.int32)


def _exponent_samples() -> Iterable[Sample]:
    yield from unary_samples((-7, 7), Kind.FLOAT)()
    for kind in (np.float32, np.float64):
        yield Sample((special(kind),))
        yield Sample((np.array([1e-42, 2.0**-126, 0.5, 1.0, 2.0**100], kind),))
    for half in sorted(HALVES, key=str):
        yield Sample((spread((6,), 1e-3, 900, half),))


FREXP_EXPONENT = register(
    Op(
        "frexp_exponent",
        _exponent_type,
        Quiet(lambda x: np.where(np.isfinite(x), np.frexp(x)[1], 0).astype(np.int32)),
        Scalar("gc_exponent_{s}({0})", cost=6),
        samples=_exponent_samples,
        reference=lambda x: _parts(x, 1).astype(np.int32),
    )
)


def _refuse(what: str) -> Any:
    raise NotImplementedError(f"the derivative for '{what}' is not implemented.")


# The value itself. A gradient that should pass here is refused when somebody wants it.
UNDIFFERENTIABLE = register(
    Op(
        "undifferentiable",
        lambda x, *, what: x,  # noqa: ARG005
        Quiet(lambda x, *, what: np.array(x)),  # noqa: ARG005
        Scalar("{0}", cost=0),
        lambda _g, _y, _x, *, what: (lambda: _refuse(what),),
        samples=lambda: [
            Sample((spread((3,), -1, 1, dtype),), {"what": "f: input"}, False)
            for dtype in (np.float32, np.float64)
        ],
        reference=lambda x, *, what: x,  # noqa: ARG005
    )
)
