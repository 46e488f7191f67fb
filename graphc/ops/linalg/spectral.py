"""Spectral decompositions: singular values and vectors, eigenvalues of symmetric matrices.

A row has one output, so the parts stand on top of each other in it:

====  =====================================  ==============================
row   shape                                  its rows
====  =====================================  ==============================
svd   ``[..., m + 1 + n, k]``                U, then S, then V
svd   ``[..., m + 1 + n, max(m, n)]``        the same (full), zeros beyond
eigh  ``[..., n + 1, n]``                    V, then the eigenvalues
====  =====================================  ==============================

Vectors are determined up to their sign, and those of repeated values up to a rotation among them;
the extra columns of full matrices are any basis and have no gradient. Gradients are right for what
does not depend on these choices. Where values are equal, a gradient through the values alone is
right, and one through the vectors is infinite or NaN, as PyTorch's is.
"""

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from graphc.ir import Op, Sample, TensorType, register
from graphc.ops.linalg.matrices import (
    FLOATS,
    HOST,
    as_column,
    as_row,
    as_vector,
    check_floating,
    check_kernel,
    check_matrix,
    check_square,
    converging,
    coupled,
    diagonal_matrix,
    least,
    matrices,
    on_diagonal,
    part,
    product,
    rows,
    stacked,
    symmetric,
    transposed,
)
from graphc.ops.rules import Array, full_like, row
from graphc.sizes import Int


def _differences(values: Any) -> Any:
    """``v[j] - v[i]`` of vectors, with ones on the diagonal."""
    apart = as_row(values) - as_column(values)
    return row.where(on_diagonal(apart), full_like(apart, 1), apart)


# ------------------------------------------------------------------------------------------- svd


def _check_svd(x: TensorType) -> tuple[Int, Int, Int]:
    check_matrix("linalg.svd", x)
    check_floating("linalg.svd", x, "linalg_svd_cpu")
    m, n = x.shape[-2:]
    return m, n, least(m, n)


def _svd_type(x: TensorType, *, full: bool) -> TensorType:
    m, n, k = _check_svd(x)
    width = m + n - k if full else k
    return x.with_shape((*x.shape[:-2], m + 1 + n, width))


def _svd(x: Array, *, full: bool) -> Array:
    u, s, vh = converging("linalg.svd", lambda a: np.linalg.svd(a, full_matrices=full), x)
    m, n = x.shape[-2:]
    width = max(m, n) if full else min(m, n)
    parts = (u, s[..., None, :], np.swapaxes(vh, -1, -2))
    return stacked(*(_widened(p, width) for p in parts))


def _widened(x: Array, width: int) -> Array:
    missing = width - x.shape[-1]
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)]) if missing else x


def svd_parts(packed: Any, m: Int, n: Int, full: bool = False) -> tuple[Any, Any, Any]:
    """U, S and V (not transposed) of a packed result."""
    k = least(m, n)
    u = part(rows(packed, 0, m), 0, m if full else k)
    s = as_vector(part(rows(packed, m, m + 1), 0, k)) if k != 0 else _no_values(packed)
    v = part(rows(packed, m + 1, m + 1 + n), 0, n if full else k)
    return u, s, v


def _no_values(packed: Any) -> Any:
    return row.reshape(part(packed, 0, 0), shape=(*packed.shape[:-2], 0))


def _svd_vjp(g: Any, y: Any, _x: Any, *, full: bool) -> tuple[Any]:
    """``U ((skew(U^T gU) / E) S + S (skew(V^T gV) / E) + diag(gS)) V^T``, and what leaves the
    spans of U and V. ``skew(X) = X - X^T``, ``E[i, j] = s[j]^2 - s[i]^2``.
    """
    m, n = _x.shape[-2:]
    k = least(m, n)
    u, s, v = svd_parts(y, m, n, full)
    gu, gs, gv = svd_parts(g, m, n, full)
    u, v, gu, gv = (part(p, 0, k) for p in (u, v, gu, gv))
    across = _differences(s) * (as_row(s) + as_column(s))
    uu, vv = product(transposed(u), gu), product(transposed(v), gv)
    inner = coupled(uu - transposed(uu), across, gu) * as_row(s)
    inner = inner + as_column(s) * coupled(vv - transposed(vv), across, gv)
    inner = inner + diagonal_matrix(gs)
    left, right = product(u, inner), transposed(v)
    if m != k:  # U turns out of its span
        left = left + coupled(gu - product(u, uu), as_row(s) + full_like(gu, 0), gu)
    result = product(left, right)
    if n != k:
        outside = coupled(gv - product(v, vv), as_row(s) + full_like(gv, 0), gv)
        result = result + product(u, transposed(outside))
    return (result,)


def _signs(own: Array, other: Array) -> Array:
    """``other`` with each column turned to the side of ``own``'s."""
    return other * np.where((own * other).sum(-2, keepdims=True) < 0, -1, 1)


def _svd_reference(x: Array, *, full: bool) -> Array:
    """From the eigenvectors of the smaller Gram matrix; signs and free columns are the row's."""
    own = _svd(x, full=full)
    m, n = x.shape[-2:]
    k = min(m, n)
    a = x.astype(np.float64)
    tall = a if m >= n else np.swapaxes(a, -1, -2)
    squares, v = np.linalg.eig(np.swapaxes(tall, -1, -2) @ tall)
    order = np.argsort(-squares, -1)
    v = np.take_along_axis(v, order[..., None, :], -1)
    u = tall @ v
    s = np.linalg.norm(u, axis=-2)
    u = u / s[..., None, :]
    first, second = (u, v) if m >= n else (v, u)
    turned = _signs(own[..., :m, :k], first)
    same = (turned * first).sum(-2, keepdims=True) > 0
    result: Array = own.copy()
    result[..., :m, :k] = turned
    result[..., m, :k] = s
    result[..., m + 1 :, :k] = np.where(same, second, -second)
    return result


_SHAPES = ((3, 3), (4, 2), (2, 3), (2, 3, 2), (2, 1, 2, 2), (1, 1), (3, 0), (0, 2), (0, 2, 2))


def _svd_samples() -> Iterable[Sample]:
    for shape in _SHAPES:
        for dtype in FLOATS:
            x = matrices(shape, dtype, len(shape))
            yield Sample((x,), {"full": False})
            if shape[-1] != shape[-2]:
                yield Sample((x,), {"full": True}, differentiable=False)  # free columns
    yield Sample((matrices((3, 3), np.float64, 1),), {"full": True})


SVD = register(
    Op("svd", _svd_type, _svd, HOST, _svd_vjp, samples=_svd_samples, reference=_svd_reference)
)


def _svdvals_type(x: TensorType) -> TensorType:
    return x.with_shape((*x.shape[:-2], _check_svd(x)[2]))


def _svdvals(x: Array) -> Array:
    return np.asarray(converging("linalg.svd", lambda a: np.linalg.svd(a, compute_uv=False), x))


def _svdvals_vjp(g: Any, _y: Any, x: Any) -> tuple[Any]:
    u, _, v = svd_parts(row.svd(x, full=False), *x.shape[-2:])
    return (product(u * as_row(g), transposed(v)),)


SVDVALS = register(
    Op(
        "svdvals",
        _svdvals_type,
        _svdvals,
        HOST,
        _svdvals_vjp,
        samples=lambda: [
            Sample((matrices(shape, dtype, 1),)) for shape in _SHAPES for dtype in FLOATS
        ],
        reference=lambda x: _svd_reference(x, full=False)[..., x.shape[-2], :],
    )
)

# ------------------------------------------------------------------------------------------ eigh


_SIDES: dict[bool, Literal["L", "U"]] = {True: "L", False: "U"}


def _check_eigh(x: TensorType) -> None:
    check_square("linalg.eigh", x)
    check_kernel("linalg_eigh_cpu", x)


def _eigh_type(x: TensorType, *, lower: bool) -> TensorType:
    del lower
    _check_eigh(x)
    n = x.shape[-1]
    return x.with_shape((*x.shape[:-2], n + 1, n))


def _eigh(x: Array, *, lower: bool) -> Array:
    side = _SIDES[lower]
    values, vectors = converging("linalg.eigh", lambda a: np.linalg.eigh(a, side), x)
    return stacked(vectors, values[..., None, :])


def eigh_parts(packed: Any) -> tuple[Any, Any]:
    """Eigenvalues and eigenvectors of a packed result."""
    n = packed.shape[-1]
    values = row.reshape(rows(packed, n, n + 1), shape=(*packed.shape[:-2], n))
    return values, rows(packed, 0, n)


def _eigh_vjp(g: Any, y: Any, _x: Any, *, lower: bool) -> tuple[Any]:
    """``V (diag(gw) + skew(V^T gV) / 2E) V^T``, symmetric, with ``E[i, j] = w[j] - w[i]``."""
    del lower
    values, v = eigh_parts(y)
    gw, gv = eigh_parts(g)
    across = _differences(values)
    turned = product(transposed(v), gv)
    inner = coupled((turned - transposed(turned)) * 0.5, across, gv) + diagonal_matrix(gw)
    return (product(v, inner, transposed(v)),)


def _eigh_reference(x: Array, *, lower: bool) -> Array:
    """By the algorithm for matrices that need not be symmetric; signs are the row's."""
    a = np.tril(x) if lower else np.swapaxes(np.triu(x), -1, -2)
    a = a.astype(np.float64)
    values, v = np.linalg.eig(a + np.swapaxes(np.tril(a, -1), -1, -2))
    order = np.argsort(values, -1)
    v = np.take_along_axis(v, order[..., None, :], -1)
    own = _eigh(x, lower=lower)
    result = stacked(_signs(own[..., :-1, :], v), np.sort(values, -1)[..., None, :])
    return result.astype(x.dtype)


_SQUARES = ((3, 3), (1, 1), (2, 3, 3), (2, 1, 2, 2), (0, 0), (0, 2, 2))


def _eigh_samples() -> Iterable[Sample]:
    for lower in (True, False):
        for shape in _SQUARES:
            for dtype in FLOATS:
                yield Sample((symmetric(shape, dtype, len(shape)),), {"lower": lower})
        one_side = np.array([[1.0, 7.0], [2.0, 4.0]])
        yield Sample((one_side,), {"lower": lower}, differentiable=False)


EIGH = register(
    Op("eigh", _eigh_type, _eigh, HOST, _eigh_vjp, samples=_eigh_samples, reference=_eigh_reference)
)


def _eigvalsh_type(x: TensorType, *, lower: bool) -> TensorType:
    del lower
    _check_eigh(x)
    return x.with_shape(x.shape[:-1])


def _eigvalsh(x: Array, *, lower: bool) -> Array:
    side = _SIDES[lower]
    return np.asarray(converging("linalg.eigh", lambda a: np.linalg.eigvalsh(a, side), x))


def _eigvalsh_vjp(g: Any, _y: Any, x: Any, *, lower: bool) -> tuple[Any]:
    _, v = eigh_parts(row.eigh(x, lower=lower))
    return (product(v * as_row(g), transposed(v)),)


EIGVALSH = register(
    Op(
        "eigvalsh",
        _eigvalsh_type,
        _eigvalsh,
        HOST,
        _eigvalsh_vjp,
        samples=_eigh_samples,
        reference=lambda x, *, lower: _eigh_reference(x, lower=lower)[..., -1, :],
    )
)

__all__ = ["EIGH", "EIGVALSH", "SVD", "SVDVALS", "eigh_parts", "svd_parts"]
