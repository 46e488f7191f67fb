"""The Cholesky and QR factorizations.

A row has one output, so the factors stand on top of each other in it:

==========  ==========================  =======================================
row         shape                       its rows
==========  ==========================  =======================================
cholesky    ``[..., n, n]``             L
qr          ``[..., m + n, k]``         Q, then R transposed
geqrf       ``[..., m + 1, n]``         R and the reflectors, then their scales
==========  ==========================  =======================================

The last row of ``geqrf`` is zero beyond the scales.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import LinAlgError, ShapeError
from graphc.ir import Op, Sample, TensorType, register
from graphc.ops.linalg.matrices import (
    FLOATS,
    HOST,
    above,
    batches,
    below,
    check_kernel,
    check_matrix,
    check_square,
    halved_diagonal,
    in_batch,
    join,
    least,
    matrices,
    part,
    product,
    right_of,
    rows,
    solve_upper,
    stacked,
    symmetric,
    transposed,
    with_last_row,
)
from graphc.ops.rules import Array, row
from graphc.sizes import Int

# -------------------------------------------------------------------------------------- cholesky


def _cholesky_type(x: TensorType, *, strict: str) -> TensorType:
    name = strict or "linalg.cholesky"
    check_square(name, x)
    check_kernel("cholesky_cpu", x)
    return x


def _definite(x: Array) -> int:
    """The order of the largest leading minor whose factor exists and is finite enough to go on."""

    def exists(order: int) -> bool:
        try:
            factor = np.linalg.cholesky(x[:order, :order])
        except np.linalg.LinAlgError:
            return False
        return not np.isnan(np.diagonal(factor)).any()

    low, high = 0, len(x)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if exists(middle) else (low, middle - 1)
    return low


def _cholesky(x: Array, *, strict: str) -> Array:
    """L of ``x = L L^T``; only the lower triangle is read.

    Where a leading minor is not positive-definite, LinAlgError under the name ``strict``; without
    one L is NaN from the row of that minor on, so that its diagonal tells which it is.
    """
    try:
        result = np.linalg.cholesky(x)
        failed = np.isnan(np.diagonal(result, axis1=-2, axis2=-1)).any(-1)
        if not failed.any():
            return np.asarray(result)
    except np.linalg.LinAlgError:
        pass
    result = np.zeros_like(x)
    for index, (matrix,) in batches(x):
        order = _definite(matrix)
        if order < len(matrix) and strict:
            raise LinAlgError(
                f"{strict}: {in_batch(x, index)}The factorization could not be completed because "
                "the input is not positive-definite (the leading minor of order "
                f"{order + 1} is not positive-definite)."
            )
        result[index][:order, :order] = np.linalg.cholesky(matrix[:order, :order])
        result[index][order:] = np.tril(np.full_like(matrix, np.nan))[order:]
    return result


def _cholesky_vjp(g: Any, y: Any, _x: Any, *, strict: str) -> tuple[Any]:
    """``L^-T sym(L^T g) L^-1`` with the lower triangle of ``L^T g``: symmetric as its operand."""
    del strict
    phi = halved_diagonal(below(product(transposed(y), g)))
    upper = transposed(y)
    inner = solve_upper(upper, phi + transposed(phi))
    return (transposed(solve_upper(upper, transposed(inner))) * 0.5,)


def _cholesky_reference(x: Array, *, strict: str) -> Array:
    """Column by column, in float64."""
    del strict
    a = x.astype(np.float64)
    n = a.shape[-1]
    factor = np.zeros_like(a)
    for j in range(n):
        left = factor[..., j, :j]
        factor[..., j, j] = np.sqrt(a[..., j, j] - (left * left).sum(-1))
        for i in range(j + 1, n):
            rest = a[..., i, j] - (factor[..., i, :j] * left).sum(-1)
            factor[..., i, j] = rest / factor[..., j, j]
    return factor.astype(x.dtype)


def _cholesky_samples() -> Iterable[Sample]:
    for dtype in FLOATS:
        for shape in ((3, 3), (2, 2, 4, 4), (1, 1), (0, 0), (0, 2, 2)):
            yield Sample((symmetric(shape, dtype),), {"strict": "linalg.cholesky"})
    yield Sample((symmetric((2, 3, 3), np.float32, 1),), {"strict": ""})


CHOLESKY = register(
    Op(
        "cholesky",
        _cholesky_type,
        _cholesky,
        HOST,
        _cholesky_vjp,
        samples=_cholesky_samples,
        reference=_cholesky_reference,
    )
)

# -------------------------------------------------------------------------------------------- qr


def _qr_sizes(x: Any, complete: bool) -> tuple[Int, Int, Int]:
    """Rows and columns of the operand, columns of Q."""
    m, n = x.shape[-2:]
    return m, n, m if complete else least(m, n)


def _qr_type(x: TensorType, *, complete: bool) -> TensorType:
    check_matrix("linalg.qr", x)
    check_kernel("geqrf_cpu", x)
    m, n, k = _qr_sizes(x, complete)
    return x.with_shape((*x.shape[:-2], m + n, k))


def _qr(x: Array, *, complete: bool) -> Array:
    q, r = np.linalg.qr(x, "complete" if complete else "reduced")
    return stacked(q, np.swapaxes(r, -1, -2))


def qr_parts(packed: Any, m: Int, n: Int) -> tuple[Any, Any]:
    """Q and R of a packed result."""
    return rows(packed, 0, m), transposed(rows(packed, m, m + n))


def _square_qr(gq: Any, gr: Any, q: Any, r: Any) -> Any:
    """The cotangent of a matrix of full column rank.

    ``(gq + Q M) R^-T``, where M is the symmetric matrix with the upper triangle of
    ``gr R^T - Q^T gq``.
    """
    upper = halved_diagonal(above(product(gr, transposed(r)) - product(transposed(q), gq)))
    return right_of(gq + product(q, upper + transposed(upper)), r)


def _qr_vjp(g: Any, y: Any, _x: Any, *, complete: bool) -> tuple[Any]:
    m, n, _ = _qr_sizes(_x, complete)
    q, r = qr_parts(y, m, n)
    gq, gr = qr_parts(g, m, n)
    if m == n:
        return (_square_qr(gq, gr, q, r),)
    if least(m, n) == n:
        if not complete:
            return (_square_qr(gq, gr, q, r),)
        thin = _square_qr(part(gq, 0, n), rows(gr, 0, n), part(q, 0, n), rows(r, 0, n))
        return (row.unless_needed(thin, part(gq, n, m), why=_FREE_COLUMNS),)
    # Wide: R = [R1, R2] with R2 = Q^T A2, so A2 gets Q gr2, and Q gets A2 gr2^T = Q R2 gr2^T.
    r1, r2 = part(r, 0, m), part(r, m, n)
    g1, g2 = part(gr, 0, m), part(gr, m, n)
    gq = gq + product(q, product(r2, transposed(g2)))
    return (join([_square_qr(gq, g1, q, r1), product(q, g2)]),)


_FREE_COLUMNS = (
    "The QR decomposition is not differentiable when mode='complete' and nrows > ncols: the last "
    "columns of Q are any basis. Please use mode='reduced'."
)


def _qr_reference(x: Array, *, complete: bool) -> Array:
    """By the Cholesky factor of the leading columns' Gram matrix, with the signs of the row.

    The columns of Q beyond those of the operand are free; they are the row's own.
    """
    own: Array = _qr(x, complete=complete)
    m, n = x.shape[-2:]
    k = min(m, n)
    a = x.astype(np.float64)
    lead = a[..., :k]
    r = np.swapaxes(np.linalg.cholesky(np.swapaxes(lead, -1, -2) @ lead), -1, -2)
    q = lead @ np.linalg.inv(r)
    signs = np.sign(np.diagonal(own[..., m:, :], axis1=-2, axis2=-1))[..., None, :]
    q = q * np.where(signs == 0, 1, signs)
    result: Array = own.copy()
    result[..., :m, :k] = q
    result[..., m:, :k] = np.swapaxes(a, -1, -2) @ q
    result[..., m:, k:] = 0
    return result


def _qr_samples() -> Iterable[Sample]:
    for complete in (False, True):
        for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 2), (2, 2, 3), (3, 0), (0, 2), (0, 2, 2)):
            for dtype in FLOATS:
                free = complete and shape[-2] > shape[-1]
                x = matrices(shape, dtype, len(shape))
                yield Sample((x,), {"complete": complete}, differentiable=not free)


QR = register(Op("qr", _qr_type, _qr, HOST, _qr_vjp, samples=_qr_samples, reference=_qr_reference))

# --------------------------------------------------------------------------------- unless_needed


def _unless_type(value: TensorType, free: TensorType, *, why: str) -> TensorType:
    del free, why
    return value


def _unless_needed(value: Array, free: Array, *, why: str) -> Array:
    """The value. Raises RuntimeError when what it was computed without is not all zeros.

    A cotangent of something that is not determined, and so has no derivative, may only be zero.
    """
    if free.any():
        raise RuntimeError(why)
    return np.array(value)


UNLESS_NEEDED = register(
    Op(
        "unless_needed",
        _unless_type,
        _unless_needed,
        HOST,
        lambda g, _y, _value, _free, *, why: (g, None),  # noqa: ARG005
        samples=lambda: [
            Sample(
                (matrices((2, 3), dtype), np.zeros((2, 2), dtype)),
                {"why": "not determined"},
            )
            for dtype in FLOATS
        ],
        reference=lambda value, _free, **_attrs: value,
    )
)

# ----------------------------------------------------------------------------------------- geqrf


def _geqrf_type(x: TensorType) -> TensorType:
    if x.ndim < 2:
        raise ShapeError("torch.geqrf: input must have at least 2 dimensions.")
    check_kernel("geqrf_cpu", x)
    return x.with_shape((*x.shape[:-2], x.shape[-2] + 1, x.shape[-1]))


def _geqrf(x: Array) -> Array:
    h, tau = np.linalg.qr(x, "raw")
    return with_last_row(np.swapaxes(h, -1, -2), tau)


def _geqrf_reference(x: Array) -> Array:
    """Householder's reflections one by one, in float64."""
    a = x.astype(np.float64)
    m, n = a.shape[-2:]
    tau = np.zeros((*a.shape[:-2], min(m, n)))
    for index, (matrix,) in batches(a):
        scales = tau[index]
        for k in range(min(m, n)):
            column = matrix[k:, k].copy()
            size = np.linalg.norm(column[1:])
            if size == 0:
                continue
            beta = -np.copysign(np.hypot(column[0], size), column[0])
            v = np.r_[1.0, column[1:] / (column[0] - beta)]
            scales[k] = (beta - column[0]) / beta
            matrix[k:, k:] -= scales[k] * np.outer(v, v @ matrix[k:, k:])
            matrix[k + 1 :, k] = v[1:]
    return with_last_row(a, tau).astype(x.dtype)


GEQRF = register(
    Op(
        "geqrf",
        _geqrf_type,
        _geqrf,
        HOST,
        samples=lambda: [
            Sample((matrices(shape, dtype, 1),))
            for shape in ((3, 3), (4, 2), (2, 4), (2, 3, 2), (3, 0), (0, 2), (0, 2, 2))
            for dtype in FLOATS
        ],
        reference=_geqrf_reference,
    )
)

__all__ = ["CHOLESKY", "GEQRF", "QR", "UNLESS_NEEDED", "qr_parts"]
