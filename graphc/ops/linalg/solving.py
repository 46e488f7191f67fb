"""Linear systems: inverses, solutions, least squares, pseudo-inverses."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc.errors import LinAlgError, ShapeError
from graphc.ir import Op, Sample, TensorType, register
from graphc.ops.linalg.matrices import (
    FLOATS,
    HOST,
    above,
    as_column,
    as_row,
    batches,
    below,
    check_finite,
    check_floating,
    check_kernel,
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

# ------------------------------------------------------------------------------------------- inv


def _inv_type(x: TensorType, *, strict: str) -> TensorType:
    name = strict or "linalg.inv"
    check_square(name, x)
    check_floating(name, x)
    return x


def _zero_pivot(x: Array) -> int:
    """Which diagonal element of U is zero, counted from 1, in elimination with pivoting."""
    a = x.copy()
    for k in range(len(a)):
        p = k + int(np.argmax(np.abs(a[k:, k])))
        a[[k, p]] = a[[p, k]]
        if not a[k, k]:
            return k + 1
        a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k] / a[k, k], a[k, k + 1 :])
    return len(a)


def _inv(x: Array, *, strict: str) -> Array:
    """The inverses. Of a singular matrix, LinAlgError under the name ``strict``, or infinities."""
    try:
        return np.asarray(np.linalg.inv(x))
    except np.linalg.LinAlgError:
        result = np.empty_like(x)
    for index, (matrix,) in batches(x):
        try:
            result[index] = np.linalg.inv(matrix)
        except np.linalg.LinAlgError:
            if strict:
                raise LinAlgError(
                    f"{strict}: {in_batch(x, index)}The diagonal element {_zero_pivot(matrix)} is "
                    "zero, the inversion could not be completed because the input matrix is "
                    "singular."
                ) from None
            result[index] = np.inf
    return result


def _inv_vjp(g: Any, y: Any, _x: Any, *, strict: str) -> tuple[Any]:
    del strict
    back = transposed(y)
    return (-product(back, g, back),)


def _inv_reference(x: Array, *, strict: str) -> Array:
    """Gauss and Jordan's elimination, in float64."""
    del strict
    n = x.shape[-1]
    unit = np.broadcast_to(np.eye(n), x.shape)
    both = np.concatenate([x.astype(np.float64), unit], -1)
    for index, (a,) in batches(both):
        for k in range(n):
            p = k + int(np.argmax(np.abs(a[k:, k])))
            a[[k, p]] = a[[p, k]]
            a[k] /= a[k, k]
            for i in range(n):
                if i != k:
                    a[i] -= a[i, k] * a[k]
        both[index] = a
    return both[..., n:].astype(x.dtype)


_SQUARES = ((3, 3), (1, 1), (2, 2, 3, 3), (0, 0), (0, 2, 2))

INV = register(
    Op(
        "inv",
        _inv_type,
        _inv,
        HOST,
        _inv_vjp,
        samples=lambda: [
            *(
                Sample((matrices(shape, dtype, 3),), {"strict": "linalg.inv"})
                for shape in _SQUARES
                for dtype in FLOATS
            ),
            Sample((matrices((2, 2, 2), np.float32, 1),), {"strict": ""}),
        ],
        reference=_inv_reference,
    )
)

# ----------------------------------------------------------------------------------------- solve


def _system_type(name: str, a: TensorType, b: TensorType) -> TensorType:
    """Square systems with right sides as columns; the stacks broadcast."""
    check_square(name, a)
    check_matrix(name, b, "B")
    same_device(a, b)
    same_dtype(name, a, b)
    if a.shape[-1] != b.shape[-2]:
        sizes = " and ".join(f"{x.shape[-2]}x{x.shape[-1]}" for x in (a, b))
        raise ShapeError(
            f"{name}: Incompatible shapes of A and B for the equation AX = B ({sizes})"
        )
    return a.with_shape((*broadcast(a.shape[:-2], b.shape[:-2]), *b.shape[-2:]))


def _solve_type(a: TensorType, b: TensorType, *, strict: str) -> TensorType:
    result = _system_type(strict or "linalg.solve", a, b)
    check_floating("linalg.solve", a, "lu_cpu")
    return result


def _solve(a: Array, b: Array, *, strict: str) -> Array:
    """X of ``a X = b``. Of a singular matrix, LinAlgError named ``strict``, or infinities."""
    try:
        return np.asarray(np.linalg.solve(a, b))
    except np.linalg.LinAlgError:
        singular = np.isneginf(np.linalg.slogdet(a)[1])
    if strict:
        first = tuple(int(i) for i in np.argwhere(singular)[0])
        raise LinAlgError(
            f"{strict}: {in_batch(a, first)}The solver failed because the input matrix is singular."
        )
    regular = np.where(singular[..., None, None], np.eye(a.shape[-1], dtype=a.dtype), a)
    result: Array = np.linalg.solve(regular, b)
    return np.where(singular[..., None, None], result.dtype.type(np.inf), result)


def _solve_vjp(g: Any, y: Any, a: Any, _b: Any, *, strict: str) -> tuple[Any, Any]:
    to_b = row.solve(transposed(a), g, strict=strict)
    return lambda: -product(to_b, transposed(y)), to_b


def _system_samples(attrs: dict[str, Any], triangle: Any = None) -> Iterable[Sample]:
    for left, right in (
        ((3, 3), (3, 2)),
        ((2, 3, 3), (2, 3, 1)),
        ((2, 1, 2, 2), (3, 2, 2)),
        ((2, 2), (3, 2, 1)),
        ((0, 0), (0, 2)),
        ((2, 2), (2, 0)),
        ((0, 2, 2), (2, 1)),
    ):
        for dtype in FLOATS:
            a = matrices(left, dtype, 4)
            yield Sample((a if triangle is None else triangle(a), matrices(right, dtype, 5)), attrs)


def _solve_reference(a: Array, b: Array, **_attrs: Any) -> Array:
    return np.asarray(
        _inv_reference(a.astype(np.float64), strict="") @ b.astype(np.float64), a.dtype
    )


SOLVE = register(
    Op(
        "solve",
        _solve_type,
        _solve,
        HOST,
        _solve_vjp,
        samples=lambda: [
            *_system_samples({"strict": "linalg.solve"}),
            Sample((matrices((2, 2), np.float32), matrices((2, 1), np.float32)), {"strict": ""}),
        ],
        reference=_solve_reference,
    )
)

# ------------------------------------------------------------------------------ solve_triangular


def _triangular_type(a: TensorType, b: TensorType, *, upper: bool, unit: bool) -> TensorType:
    del upper, unit
    result = _system_type("linalg.solve_triangular", a, b)
    check_kernel("triangular_solve_cpu", a)
    return result


def _solve_triangular(a: Array, b: Array, *, upper: bool, unit: bool) -> Array:
    """By substitution: a zero on the diagonal gives infinities and NaN, and no error."""
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), *b.shape[-2:])
    result = np.empty(shape, a.dtype)
    if not result.size:
        return result
    blas = scipy_linalg("the solution of triangular systems").blas
    trsm = blas.dtrsm if a.dtype == np.float64 else blas.strsm
    left = np.broadcast_to(a, (*shape[:-2], *a.shape[-2:]))
    right = np.broadcast_to(b, shape)
    for index, (matrix, sides) in batches(left, right):
        # A matrix in C's order is its transpose in Fortran's: no copy is made.
        if matrix.flags.f_contiguous:
            solved = trsm(1.0, matrix, sides, lower=not upper, diag=unit)
        else:
            solved = trsm(1.0, matrix.T, sides, lower=upper, trans_a=True, diag=unit)
        result[index] = solved
    return result


def triangle(x: Any, upper: bool, unit: bool) -> Any:
    """What the solution of a triangular system reads of its matrix."""
    return above(x, int(unit)) if upper else below(x, -int(unit))


def _triangular_vjp(g: Any, y: Any, a: Any, _b: Any, *, upper: bool, unit: bool) -> tuple[Any, Any]:
    to_b = row.solve_triangular(transposed(a), g, upper=not upper, unit=unit)
    return lambda: triangle(-product(to_b, transposed(y)), upper, unit), to_b


def _triangular_reference(a: Array, b: Array, *, upper: bool, unit: bool) -> Array:
    wide = np.triu(a) if upper else np.tril(a)
    wide = wide.astype(np.float64)
    if unit:
        wide = wide - wide * np.eye(a.shape[-1]) + np.eye(a.shape[-1])
    return _solve_reference(wide, b.astype(np.float64)).astype(a.dtype)


SOLVE_TRIANGULAR = register(
    Op(
        "solve_triangular",
        _triangular_type,
        _solve_triangular,
        HOST,
        _triangular_vjp,
        samples=lambda: [
            sample
            for upper in (False, True)
            for unit in (False, True)
            for sample in _system_samples({"upper": upper, "unit": unit})
        ],
        reference=_triangular_reference,
    )
)

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


def cut_reciprocals(values: Any, sizes: Any, atol: Any, rtol: Any) -> Any:
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
        return product(v * as_row(cut_reciprocals(values, row.abs(values), atol, rtol)),
                       transposed(v))  # fmt: skip
    u, s, v = svd_parts(row.svd(x, full=False), m, n)
    return product(v * as_row(cut_reciprocals(s, s, atol, rtol)), transposed(u))


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
        shapes = _SQUARES if hermitian else ((3, 3), (4, 2), (2, 2, 3), (2, 0), (0, 2, 2))
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
    for driver in ("gels", "gelsy", "gelsd", "gelss"):
        attrs = {"rcond": 1e-6, "driver": driver}
        for left, right in (
            ((3, 3), (3, 2)),
            ((4, 2), (4, 1)),
            ((2, 2, 3), (2, 2, 2)),
            ((3, 2), (3, 0)),
            ((3, 0), (3, 2)),
            ((0, 3, 2), (0, 3, 2)),
        ):
            for dtype in FLOATS:
                yield Sample((matrices(left, dtype, 1), matrices(right, dtype, 2)), attrs)
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

__all__ = ["INV", "LSTSQ", "PINV", "SOLVE", "SOLVE_TRIANGULAR", "lstsq_parts", "triangle"]
