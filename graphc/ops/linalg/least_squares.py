"""Least squares: pseudo-inverses, and the solutions of systems that have too many equations."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import LinAlgError, ShapeError
from graphc.ir import Op, Sample, TensorType, register
from graphc.ops.linalg.matrices import (
    FLOATS,
    HOST,
    as_column,
    as_row,
    batches,
    check_finite,
    check_floating,
    check_matrix,
    check_square,
    constant,
    in_batch,
    least,
    matrices,
    part,
    product,
    rows,
    scipy_linalg,
    symmetric,
    transposed,
)
from graphc.ops.linalg.spectral import eigh_parts, svd_parts
from graphc.ops.rules import Array, broadcast, composite, row, same_device, same_dtype, zeros_like
from graphc.sizes import Int

# ------------------------------------------------------------------------------------------ pinv


def _pinv_type(x: TensorType, atol: TensorType, rtol: TensorType, *, hermitian: bool) -> TensorType:
    if hermitian:
        check_square("linalg.pinv", x)
    else:
        check_matrix("linalg.pinv", x)
    check_floating("linalg.pinv", x, "linalg_svd_cpu")
    same_dtype("linalg.pinv", x, atol, rtol)
    lead = broadcast(x.shape[:-2], atol.shape, rtol.shape)
    return x.with_shape((*lead, x.shape[-1], x.shape[-2]))


def _cut_reciprocals(values: Any, sizes: Any, atol: Any, rtol: Any) -> Any:
    """``1 / values`` where the size exceeds ``max(atol, rtol * largest)``, 0 elsewhere."""
    largest = row.amax(sizes, dims=(len(sizes.shape) - 1,), keepdim=True)
    limit = row.maximum(as_column(atol) + zeros_like(largest), as_column(rtol) * largest)
    kept = row.gt(sizes, limit)
    return row.where(kept, row.reciprocal(row.where(kept, values, 1)), 0)


def _pinv(x: Any, atol: Any, rtol: Any, *, hermitian: bool) -> Any:
    m, n = x.shape[-2:]
    if m == 0 or n == 0:
        lead = broadcast(tuple(x.shape[:-2]), tuple(atol.shape), tuple(rtol.shape))
        return constant(x, (*lead, n, m), 0.0)
    if hermitian:
        values, v = eigh_parts(row.eigh(x, lower=True))
        return product(v * as_row(_cut_reciprocals(values, row.abs(values), atol, rtol)),
                       transposed(v))  # fmt: skip
    u, s, v = svd_parts(row.svd(x, full=False), m, n)
    return product(v * as_row(_cut_reciprocals(s, s, atol, rtol)), transposed(u))


def _pinv_vjp(
    g: Any, y: Any, x: Any, _atol: Any, _rtol: Any, *, hermitian: bool
) -> tuple[Any, None, None]:
    """Golub and Pereyra (1973), at constant rank, with P the pseudo-inverse.

    ``-P^T g P^T + (I - A P) g^T P P^T + P^T P g^T (I - P A)``, products in the cheaper order.
    """
    del hermitian
    gt, pt = transposed(g), transposed(y)
    k = product(gt, y)
    first = product(k, pt)  # g^T P P^T
    last = product(pt, y)  # P^T P
    result = first - product(x, product(y, first)) - product(transposed(k), pt)
    return result + product(last, gt) - product(product(last, gt), product(y, x)), None, None


def _pinv_samples() -> Iterable[Sample]:
    for hermitian in (False, True):
        shapes = (
            ((3, 3), (1, 1), (2, 2, 2), (0, 0))
            if hermitian
            else ((3, 3), (4, 2), (2, 2, 3), (2, 0), (0, 2, 2))
        )
        for shape in shapes:
            for dtype in FLOATS:
                x = (symmetric if hermitian else matrices)(shape, dtype, 1)
                zero = np.zeros((), dtype)
                yield Sample(
                    (x, zero, np.array(1e-6, dtype)),
                    {"hermitian": hermitian},
                    differentiable=not hermitian,
                )
    deficient = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]], np.float64)
    tolerances = np.array([0.1, 1e9]), np.array([0.0, 0.0])
    stack = np.stack([deficient, deficient + np.eye(3, 2)])
    yield Sample((stack, *tolerances), {"hermitian": False}, differentiable=False)
    yield Sample((stack[0], *tolerances), {"hermitian": False}, differentiable=False)
    narrow = matrices((3, 2), np.float64, 2), np.array([0.0, 1e-3]), np.array(1e-6)
    yield Sample(narrow, {"hermitian": False})


def _pinv_reference(x: Array, atol: Array, rtol: Array, *, hermitian: bool) -> Array:
    del hermitian
    m, n = x.shape[-2:]
    lead = np.broadcast_shapes(x.shape[:-2], atol.shape, rtol.shape)
    result = np.zeros((*lead, n, m))
    tolerances = [np.broadcast_to(t, lead) for t in (atol, rtol)]
    for index, (matrix,) in batches(np.broadcast_to(x, (*lead, m, n)).astype(np.float64)):
        if not matrix.size:
            continue
        most = np.linalg.norm(matrix, 2)
        limit = max(float(tolerances[0][index]), float(tolerances[1][index]) * most)
        result[index] = np.linalg.pinv(matrix, limit / most) if limit < most else 0
    return result.astype(x.dtype)


PINV = composite(
    "pinv", _pinv, _pinv_vjp, infer=_pinv_type, samples=_pinv_samples, reference=_pinv_reference
)

# ----------------------------------------------------------------------------------------- lstsq


def _lstsq_type(a: TensorType, b: TensorType, *, rcond: float, driver: str) -> TensorType:
    del rcond, driver
    for argument, x in (("input", a), ("other", b)):
        if x.ndim < 2:
            raise ShapeError(f"torch.linalg.lstsq: {argument} must have at least 2 dimensions.")
    check_floating("torch.linalg.lstsq", a)
    same_device(a, b)
    same_dtype("torch.linalg.lstsq", a, b)
    m, n = a.shape[-2:]
    if b.shape[-2] != m:
        raise ShapeError("torch.linalg.lstsq: input.size(-2) should match other.size(-2)")
    lead = broadcast(a.shape[:-2], b.shape[:-2])
    k = b.shape[-1]
    return a.with_shape((*lead, n + least(m, n) + 1, 1 if k == 0 else k))


def _lstsq(a: Array, b: Array, *, rcond: float, driver: str) -> Array:
    """X on top of the singular values and the rank, both in the first column.

    ``gels`` takes full rank for granted and gives neither; ``gelsy`` gives the rank only.
    """
    m, n = a.shape[-2:]
    r = min(m, n)
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    result = np.zeros((*lead, n + r + 1, max(b.shape[-1], 1)), a.dtype)
    if not result.size or not r:
        return result
    left = np.broadcast_to(a, (*lead, m, n))
    right = np.broadcast_to(b, (*lead, *b.shape[-2:]))
    if not b.shape[-1]:
        right = np.zeros((*lead, m, 1), a.dtype)
    check_finite("torch.linalg.lstsq", left)
    for index, (matrix, sides) in batches(left, right):
        here = result[index]
        if driver == "gels":
            here[:n] = _full_rank(matrix, sides, in_batch(left, index))
            continue
        linalg = scipy_linalg("the least squares solution")
        x, _, rank, values = linalg.lstsq(
            matrix, sides, cond=rcond, lapack_driver=driver, check_finite=False
        )
        here[:n] = x
        here[-1, 0] = rank
        if values is not None:
            here[n:-1, 0] = values
    return result


def _full_rank(a: Array, b: Array, place: str) -> Array:
    """LAPACK's ``gels``. Raises LinAlgError where a factor has a zero on its diagonal."""
    lapack = scipy_linalg("the least squares solution").lapack
    gels = lapack.dgels if a.dtype == np.float64 else lapack.sgels
    m, n = a.shape
    padded = np.zeros((max(m, n), b.shape[1]), a.dtype)
    padded[:m] = b
    _, x, info = gels(a, padded)
    if info > 0:
        raise LinAlgError(
            f"torch.linalg.lstsq: {place}The least squares solution could not be computed because "
            f"the input matrix does not have full rank (error code: {info})."
        )
    return np.asarray(x[:n])


def lstsq_parts(packed: Any, m: Int, n: Int, k: Int) -> tuple[Any, Any, Any]:
    """Solutions, singular values and ranks (as floats) of a packed result."""
    lead, r = tuple(packed.shape[:-2]), least(m, n)
    first = part(packed, 0, 1)
    values = row.reshape(rows(first, n, n + r), shape=(*lead, r))
    rank = row.reshape(rows(first, n + r, n + r + 1), shape=lead)
    return part(rows(packed, 0, n), 0, k), values, rank


def _lstsq_vjp(g: Any, _y: Any, a: Any, b: Any, *, rcond: float, driver: str) -> tuple[Any, Any]:
    """That of ``pinv(a) @ b`` for the solutions, and that of the singular values."""
    m, n = a.shape[-2:]
    gx, gs, _ = lstsq_parts(g, m, n, b.shape[-1])
    cut = 0.0 if driver == "gels" else rcond

    def inverse() -> Any:
        return row.pinv(a, constant(a, (), 0.0), constant(a, (), cut), hermitian=False)

    def to_a() -> Any:
        back = product(gx, transposed(b))
        cotangent = _pinv_vjp(back, inverse(), a, None, None, hermitian=False)[0]
        if driver in ("gelsd", "gelss"):
            u, _, v = svd_parts(row.svd(a, full=False), m, n)
            cotangent = cotangent + product(u * as_row(gs), transposed(v))
        return cotangent

    return to_a, lambda: product(transposed(inverse()), gx)


def _lstsq_reference(a: Array, b: Array, *, rcond: float, driver: str) -> Array:
    m, n = a.shape[-2:]
    r = min(m, n)
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    result = np.zeros((*lead, n + r + 1, max(b.shape[-1], 1)))
    left = np.broadcast_to(a, (*lead, m, n)).astype(np.float64)
    right = np.broadcast_to(b, (*lead, *b.shape[-2:])).astype(np.float64)
    for index, (matrix, sides) in batches(left, right):
        if not matrix.size:
            continue
        s = np.linalg.svd(matrix, compute_uv=False)
        here = result[index]
        if sides.size:
            here[:n] = np.linalg.pinv(matrix, rcond) @ sides
        if driver != "gels":
            here[-1, 0] = (s > rcond * s[0]).sum()
        if driver in ("gelsd", "gelss"):
            here[n:-1, 0] = s
    return result.astype(a.dtype)


def _lstsq_samples() -> Iterable[Sample]:
    sizes = (
        ((4, 2), (4, 1)),
        ((2, 2, 3), (2, 2, 2)),
        ((3, 3), (3, 2)),
        ((3, 2), (3, 0)),
        ((3, 0), (3, 2)),
        ((0, 3, 2), (0, 3, 2)),
    )
    for driver in ("gels", "gelsy", "gelsd", "gelss"):
        attrs = {"rcond": 1e-6, "driver": driver}
        for left, right in sizes if driver in ("gels", "gelsd") else sizes[:2]:
            yield Sample((matrices(left, np.float64, 1), matrices(right, np.float64, 2)), attrs)
        narrow = matrices((4, 2), np.float32, 1), matrices((4, 2), np.float32, 2)
        yield Sample(narrow, attrs)
    deficient = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    for driver in ("gelsy", "gelsd", "gelss"):
        attrs = {"rcond": 1e-6, "driver": driver}
        yield Sample((deficient, matrices((3, 2), np.float64)), attrs, differentiable=False)


LSTSQ = register(
    Op(
        "lstsq",
        _lstsq_type,
        _lstsq,
        HOST,
        _lstsq_vjp,
        samples=_lstsq_samples,
        reference=_lstsq_reference,
    )
)

__all__ = ["LSTSQ", "PINV", "lstsq_parts"]
