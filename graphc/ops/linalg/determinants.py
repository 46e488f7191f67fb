"""Determinants, their logarithms and their gradients.

The derivative of a determinant is the matrix of cofactors, a polynomial of the elements, and so is
the derivative of that: both are exact at singular matrices too. They come from the singular value
decomposition ``A = U diag(s) V^T``, where a cofactor is a product of all singular values but one.
"""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.ir import Op, Sample, TensorType, register
from graphc.ops.linalg.matrices import (
    FLOATS,
    HOST,
    above,
    as_column,
    as_row,
    check_floating,
    check_square,
    diagonal,
    diagonal_matrix,
    join,
    matrices,
    part,
    product,
    ratio,
    transposed,
)
from graphc.ops.linalg.spectral import svd_parts
from graphc.ops.rules import Array, full_like, row, zeros_like

# ------------------------------------------------------------------------------------------- det


def _det_type(x: TensorType) -> TensorType:
    check_square("linalg.det", x)
    check_floating("linalg.det", x, "lu_cpu")
    return x.with_shape(x.shape[:-2])


def _det_vjp(g: Any, _y: Any, x: Any) -> tuple[Any]:
    if 0 in x.shape:  # one, whatever the elements
        return (zeros_like(x),)
    return (as_column(as_column(g)) * row.cofactors(x),)


def _leibniz(x: Array) -> Array:
    """The sum over all permutations, in float64."""
    wide = x.astype(np.float64)
    n = x.shape[-1]
    total = np.zeros(x.shape[:-2])
    for order in itertools.permutations(range(n)):
        turns = sum(order[i] > order[j] for i in range(n) for j in range(i + 1, n))
        total += (-1) ** turns * wide[..., np.arange(n), list(order)].prod(-1)
    return total


_SINGULAR = (
    np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.5, -1.0, 2.0]]),
    np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [3.0, 6.0, 9.0]]),
    np.zeros((2, 2)),
)


def _square_samples() -> Iterable[Sample]:
    for shape in ((3, 3), (1, 1), (2, 2), (2, 1, 4, 4), (0, 0), (0, 2, 2)):
        for dtype in FLOATS:
            yield Sample((matrices(shape, dtype, 3),))


DET = register(
    Op(
        "det",
        _det_type,
        lambda x: np.asarray(np.linalg.det(x), x.dtype),
        HOST,
        _det_vjp,
        samples=lambda: [*_square_samples(), *(Sample((x,)) for x in _SINGULAR)],
        reference=lambda x: _leibniz(x).astype(x.dtype),
    )
)

# ------------------------------------------------------------------------------------- cofactors


def _cofactors_type(x: TensorType) -> TensorType:
    _det_type(x)
    return x


def _cofactors(x: Array) -> Array:
    """``det(A) A^-T``, and by singular values where the inverse is not accurate."""
    if not x.size:
        return np.array(x)
    det = np.linalg.det(x)[..., None, None]
    inverse = np.linalg.inv(np.where(det == 0, np.eye(x.shape[-1], dtype=x.dtype), x))
    result: Array = det * np.swapaxes(inverse, -1, -2)
    spread = np.abs(x).sum(-1).max(-1) * np.abs(inverse).sum(-1).max(-1)
    regular = (spread < np.finfo(x.dtype).eps ** -0.5) & (det[..., 0, 0] != 0)
    hard = ~regular & np.isfinite(x).all((-2, -1))
    if hard.any():
        u, s, vh = np.linalg.svd(x[hard])
        sign = np.linalg.slogdet(u)[0] * np.linalg.slogdet(vh)[0]
        result[hard] = sign[:, None, None] * (u * _all_but_one(s)[:, None, :]) @ vh
    return result


def _all_but_one(s: Array) -> Array:
    """For each of the descending values the product of the others."""
    head = s[:, :-1].prod(-1, keepdims=True)
    ratios = np.divide(s[:, -1:], s, out=np.zeros_like(s), where=s != 0)
    ratios[:, -1] = 1
    return np.asarray(head * ratios)


def _cofactors_vjp(g: Any, _y: Any, x: Any) -> tuple[Any]:
    """The second derivative of the determinant, ``det(UV) U M V^T`` with ``h = U^T g V``.

    ``M[i, i]`` is the sum of ``h[j, j] p[i, j]`` over the other j, ``M[i, j] = -h[j, i] p[i, j]``,
    where p[i, j] is the product of all singular values but two.
    """
    n = x.shape[-1]
    if n < 2:
        return (zeros_like(x),)
    u, s, v = svd_parts(row.svd(x, full=False), n, n)
    sign = row.stop_gradient(row.sign(row.det(u) * row.det(v)))
    h = product(transposed(u), g, v)
    pairs = _all_but_two(s, n)
    along = row.sum(pairs * as_row(diagonal(h)), dims=(len(h.shape) - 1,), keepdim=False)
    inner = diagonal_matrix(along) - transposed(h) * pairs
    return (as_column(as_column(sign)) * product(u, inner, transposed(v)),)


def _all_but_two(s: Any, n: int) -> Any:
    """``p[i, j]``, zero on the diagonal, from descending values and without dividing by zero.

    For i < j it is the product of all but the last two times ``s[-2] / s[i]`` and ``s[-1] / s[j]``,
    ratios of at most 1; where such a divisor is zero, so is the product.
    """
    lead = row.prod(part(s, 0, n - 2), dims=(len(s.shape) - 1,), keepdim=True)
    last, before = part(s, n - 1, n), part(s, n - 2, n - 1)
    ones = full_like(last, 1)
    first = part(s, 0, n - 2)
    i_ratio = join([ratio(before + zeros_like(first), first), ones, ones])
    first = part(s, 0, n - 1)
    j_ratio = join([ratio(last + zeros_like(first), first), ones])
    upper = above(as_column(i_ratio) * as_row(j_ratio), 1) * as_column(lead)
    return upper + transposed(upper)


def _minors(x: Array) -> Array:
    n = x.shape[-1]
    result = np.zeros(x.shape)
    for i in range(n):
        for j in range(n):
            rest = np.delete(np.delete(x, i, -2), j, -1)
            result[..., i, j] = (-1) ** (i + j) * _leibniz(rest)
    return result.astype(x.dtype)


COFACTORS = register(
    Op(
        "cofactors",
        _cofactors_type,
        _cofactors,
        HOST,
        _cofactors_vjp,
        samples=lambda: [
            *_square_samples(),
            *(Sample((x,), differentiable=False) for x in _SINGULAR),
            Sample((np.stack([_SINGULAR[0], np.eye(3)]).astype(np.float32),), differentiable=False),
        ],
        reference=_minors,
    )
)

# --------------------------------------------------------------------------------------- slogdet


def _slogdet_type(x: TensorType) -> TensorType:
    """Signs and logarithms stand side by side along a last dimension of 2."""
    check_square("linalg.slogdet", x)
    check_floating("linalg.slogdet", x)
    return x.with_shape((*x.shape[:-2], 2))


def _slogdet(x: Array) -> Array:
    sign, log = np.linalg.slogdet(x)
    return np.stack([sign, log], -1).astype(x.dtype)


def _slogdet_vjp(g: Any, _y: Any, x: Any) -> tuple[Any]:
    log = row.reshape(part(g, 1, 2), shape=(*x.shape[:-2], 1, 1))
    return (log * transposed(row.inv(x, strict="")),)


def _slogdet_reference(x: Array) -> Array:
    det = _leibniz(x)
    with np.errstate(divide="ignore"):
        return np.stack([np.sign(det), np.log(np.abs(det))], -1).astype(x.dtype)


SLOGDET = register(
    Op(
        "slogdet",
        _slogdet_type,
        _slogdet,
        HOST,
        _slogdet_vjp,
        samples=lambda: [
            *_square_samples(),
            *(Sample((-x,)) for x in (matrices((3, 3), np.float64, 5),)),
            *(Sample((x,), differentiable=False) for x in _SINGULAR),
        ],
        reference=_slogdet_reference,
    )
)

__all__ = ["COFACTORS", "DET", "SLOGDET"]
