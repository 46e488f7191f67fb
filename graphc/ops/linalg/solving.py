"""Linear systems: inverses, solutions, substitution."""

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
    check_floating,
    check_kernel,
    check_matrix,
    check_square,
    in_batch,
    matrices,
    product,
    scipy_linalg,
    transposed,
)
from graphc.ops.rules import Array, broadcast, row, same_device, same_dtype

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


def _system_samples(attrs: dict[str, Any]) -> Iterable[Sample]:
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
            yield Sample((matrices(left, dtype, 4), matrices(right, dtype, 5)), attrs)


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

__all__ = ["INV", "SOLVE", "SOLVE_TRIANGULAR", "triangle"]
