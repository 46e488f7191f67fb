"""The exponential of matrices."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import DtypeError
from graphc.ir import Op, Sample, TensorType, register
from graphc.ops.evaluation import Quiet
from graphc.ops.linalg.matrices import (
    FLOATS,
    HOST,
    check_square,
    join,
    matrices,
    part,
    rows,
    transposed,
)
from graphc.ops.rules import HALVES, Array, row, zeros_like

# Coefficients of the Padé approximant of degree 13, and the norm up to which it is accurate in
# float64: N. J. Higham, The scaling and squaring method for the matrix exponential revisited, 2005.
_PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
    40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
_NORM = 5.371920351148152


def _exp_type(x: TensorType) -> TensorType:
    check_square("linalg.matrix_exp", x)
    if not x.dtype.is_floating_point:
        raise DtypeError(
            "linalg.matrix_exp: Expected a floating point or complex tensor as input. Got "
            f"{x.dtype.type_name}"
        )
    return x


def _matrix_exp(x: Array) -> Array:
    """In float64, by scaling and squaring; NaN where an element is not finite."""
    if not x.size:
        return np.array(x)
    finite = np.isfinite(x).all((-2, -1), keepdims=True)
    a = np.where(finite, x, 0).astype(np.float64)
    size = np.abs(a).sum(-2, keepdims=True).max(-1, keepdims=True)
    squarings = np.ceil(np.log2(np.maximum(size / _NORM, 1))).astype(np.int64)
    result = _pade(np.ldexp(a, -squarings))
    for step in range(int(squarings.max())):
        result = np.where(step < squarings, result @ result, result)
    return np.where(finite, result, np.nan).astype(x.dtype)


def _pade(a: Array) -> Array:
    b, eye = _PADE, np.eye(a.shape[-1])
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    odd = a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2)
    odd = a @ (odd + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye)
    even = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2)
    even = even + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    return np.asarray(np.linalg.solve(even - odd, even + odd))


def _exp_vjp(g: Any, _y: Any, x: Any) -> tuple[Any]:
    """The upper right block of ``exp [[A^T, g], [0, A^T]]``."""
    n = x.shape[-1]
    a = transposed(x)
    block = join([join([a, g]), join([zeros_like(a), a])], -2)
    return (part(rows(row.matrix_exp(block), 0, n), n, n + n),)


def _exp_reference(x: Array) -> Array:
    """Taylor's series of the 64th part, squared six times, in float64."""
    a = x.astype(np.float64) / 64
    term = total = np.broadcast_to(np.eye(a.shape[-1]), a.shape)
    for k in range(1, 25):
        term = term @ a / k
        total = total + term
    for _ in range(int(math.log2(64))):
        total = total @ total
    return total.astype(x.dtype)


def _exp_samples() -> Iterable[Sample]:
    for shape in ((3, 3), (1, 1), (2, 1, 2, 2), (0, 0), (0, 2, 2)):
        for dtype in FLOATS:
            yield Sample((matrices(shape, dtype, 3) * dtype(0.5),))
    for half in sorted(HALVES, key=str):
        yield Sample((matrices((2, 2), half) * half.type(0.25),))
    apart = np.array([1e-9, 1.0, 12.0])[:, None, None]  # scaled by nothing, a little, much
    yield Sample((apart * matrices((2, 2), np.float64) / 4,), differentiable=False)


MATRIX_EXP = register(
    Op(
        "matrix_exp",
        _exp_type,
        Quiet(_matrix_exp),
        HOST,
        _exp_vjp,
        samples=_exp_samples,
        reference=_exp_reference,
    )
)

__all__ = ["MATRIX_EXP"]
