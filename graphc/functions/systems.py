"""Linear systems: inverses, solutions, least squares."""

import math
from collections.abc import Sequence
from typing import Any

from graphc import dtypes, return_types
from graphc.errors import ShapeError
from graphc.functions.factorizations import lu_factors, singular_at
from graphc.functions.lapack import lapack_function, no_info, own
from graphc.functions.shape import movedim
from graphc.ops.linalg.least_squares import lstsq_parts
from graphc.ops.linalg.lu import permuted
from graphc.ops.linalg.matrices import (
    as_column,
    check_floating,
    check_kernel,
    check_matrix,
    check_square,
    constant,
    product,
    transposed,
)
from graphc.ops.linalg.solving import triangle
from graphc.ops.rules import broadcast, row
from graphc.tensor import Tensor


def _same_dtype(name: str, first: str, a: Tensor, second: str, b: Tensor) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected {first} and {second} to have the same dtype, but found {first} of "
            f"type {a.dtype.type_name} and {second} of type {b.dtype.type_name} instead"
        )


def _check_system(name: str, a: Tensor, b: Tensor, left: bool) -> None:
    """Right sides as columns (rows, unless ``left``) that fit square matrices."""
    check_square(name, a)
    check_matrix(name, b, "B")
    if a.shape[-1] != b.shape[-2 if left else -1]:
        equation = "AX = B" if left else "XA = B"
        sizes = " and ".join(f"{x.shape[-2]}x{x.shape[-1]}" for x in (a, b))
        raise ShapeError(
            f"{name}: Incompatible shapes of A and B for the equation {equation} ({sizes})"
        )


# ----------------------------------------------------------------------------------------- inverse


def _inv(x: Tensor, strict: str) -> Any:
    check_square("linalg.inv", x)
    check_floating("linalg.inv", x)
    return row.inv(x, strict=strict)


@lapack_function("linalg_inv", out=True)
def linalg_inv(A: Tensor) -> Tensor:
    """The inverses of square matrices. Raises LinAlgError for a singular one."""
    return _inv(A, "linalg.inv")


@lapack_function("inverse", out=True, method=True, public=True)
def inverse(input: Tensor) -> Tensor:
    """``linalg.inv(input)``."""
    return _inv(input, "linalg.inv")


@lapack_function("linalg_inv_ex", out=True)
def linalg_inv_ex(A: Tensor, *, check_errors: bool = False) -> Any:
    """The inverses with info codes (int32): 0, or which pivot of a singular matrix is zero.

    Of a singular matrix the result is infinite.
    """
    if check_errors:
        return return_types.linalg_inv_ex(_inv(A, "linalg.inv_ex"), no_info(A))
    result = _inv(A, "")
    return return_types.linalg_inv_ex(result, _singular(A))


def _singular(x: Tensor) -> Any:
    return singular_at(lu_factors(x.detach(), True)[0])


@lapack_function("linalg_tensorinv", out=True)
def linalg_tensorinv(input: Tensor, ind: int = 2) -> Tensor:
    """The inverse for ``tensordot``: of the matrix whose rows are the first ``ind`` dimensions."""
    if ind <= 0:
        raise RuntimeError(f"Expected a strictly positive integer for 'ind', but got {ind}")
    shape = tuple(input.shape)
    rows, columns = math.prod(shape[:ind]), math.prod(shape[ind:])
    if rows != columns:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
            f"prod(self.shape[:ind]), but got {columns} != {rows}"
        )
    flat = row.reshape(input, shape=(rows, columns))
    check_floating("linalg.inv", flat)
    return row.reshape(row.inv(flat, strict="inv"), shape=(*shape[ind:], *shape[:ind]))


# ------------------------------------------------------------------------------------------- solve


def _solve(a: Tensor, b: Tensor, left: bool, strict: str) -> Any:
    name = "linalg.solve"
    check_square(name, a)
    _same_dtype(name, "A", a, "B", b)
    vector = b.ndim == 1 or (a.ndim - 1 == b.ndim and b.shape == a.shape[:-1])
    right = as_column(b) if vector else b
    _check_system(name, a, right, left)
    check_floating(name, a, "lu_cpu")
    broadcast(tuple(a.shape[:-2]), tuple(right.shape[:-2]))
    if left:
        result = row.solve(a, right, strict=strict)
    else:
        result = transposed(row.solve(transposed(a), transposed(right), strict=strict))
    return row.reshape(result, shape=tuple(result.shape[:-1])) if vector else result


@lapack_function("linalg_solve", tensors=2, out=True)
def linalg_solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X of ``A X = B``, or of ``X A = B`` without ``left``.

    A is ``[..., n, n]``; B is ``[..., n, k]`` (``[..., k, n]``) with stacks that broadcast, or
    vectors: ``[n]`` or the shape of A without its last dimension. Raises LinAlgError for a singular
    A.
    """
    return _solve(A, B, left, "torch.linalg.solve")


@lapack_function("linalg_solve_ex", tensors=2, out=True)
def linalg_solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Any:
    """:func:`linalg_solve` with info codes (int32): 0, or which pivot of a singular A is zero.

    The solution of a singular system is infinite.
    """
    if check_errors:
        return return_types.linalg_solve_ex(_solve(A, B, left, "torch.linalg.solve_ex"), no_info(A))
    result = _solve(A, B, left, "")
    return return_types.linalg_solve_ex(result, _singular(A))


@lapack_function("linalg_tensorsolve", tensors=2, out=True)
def linalg_tensorsolve(input: Tensor, other: Tensor, dims: Sequence[int] | None = None) -> Tensor:
    """X with ``tensordot(input, X, X.ndim) == other``; ``dims`` of input are moved to its end."""
    if dims is not None:
        order = [d % input.ndim for d in dims]
        input = movedim(input, order, list(range(input.ndim - len(order), input.ndim)))
    shape = tuple(input.shape)
    rest = shape[other.ndim :]
    unknowns, equations = math.prod(rest), math.prod(shape[: other.ndim])
    if unknowns != equations:
        raise ShapeError(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            f"prod(self.shape[:other.ndim]), but got {unknowns} != {equations}"
        )
    flat = row.reshape(input, shape=(unknowns, unknowns))
    result = linalg_solve(flat, row.reshape(other, shape=(other.numel(),)))
    return row.reshape(result, shape=rest)


# -------------------------------------------------------------------------- triangular factors


@lapack_function("linalg_solve_triangular", tensors=2, out=True)
def linalg_solve_triangular(
    input: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """X of ``input X = B`` (``X input = B`` without ``left``) with triangular matrices.

    The other triangle is not read, nor (``unitriangular``) the diagonal, which counts as ones. A
    zero on the diagonal gives infinities or NaN.
    """
    name = "linalg.solve_triangular"
    _check_system(name, input, B, left)
    _same_dtype(name, "A", input, "B", B)
    check_kernel("triangular_solve_cpu", input)
    return _triangular(input, B, upper, left, unitriangular)


def _triangular(a: Any, b: Any, upper: bool, left: bool, unit: bool) -> Any:
    if left:
        return row.solve_triangular(a, b, upper=upper, unit=unit)
    flipped = row.solve_triangular(transposed(a), transposed(b), upper=not upper, unit=unit)
    return transposed(flipped)


def _check_factor(name: str, b: Tensor, a: Tensor) -> None:
    _check_square_factor(a)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"Incompatible matrix sizes for {name}: each A matrix is {a.shape[-1]} by "
            f"{a.shape[-1]} but each b matrix is {b.shape[-2]} by {b.shape[-1]}"
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"Expected b and A to have the same dtype, but found b of type {b.dtype.type_name} and "
            f"A of type {a.dtype.type_name} instead."
        )


def _check_square_factor(a: Tensor) -> None:
    m, n = a.shape[-2:]
    if m != n:
        raise ShapeError(f"A must be batches of square matrices, but they are {m} by {n} matrices")


@lapack_function("triangular_solve", tensors=2, out=True, method=True, public=True)
def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
) -> Any:
    """The solution of ``A X = input`` (``A^T X`` with ``transpose``) and a copy of A."""
    for argument, x in (("b", input), ("A", A)):
        if x.ndim < 2:
            raise ShapeError(
                f"torch.triangular_solve: Expected {argument} to have at least 2 dimensions, but "
                f"it has {x.ndim} dimensions instead"
            )
    _check_factor("triangular_solve", input, A)
    check_kernel("triangular_solve_cpu", A)
    a = transposed(A) if transpose else A
    result = row.solve_triangular(a, input, upper=upper != transpose, unit=unitriangular)
    copy = own(_expanded(A, (*result.shape[:-2], *A.shape[-2:])))
    return return_types.triangular_solve(result, copy)


def _expanded(x: Any, shape: tuple[Any, ...]) -> Any:
    """Broadcast to a shape with at least as many dimensions."""
    lead = (1,) * (len(shape) - len(x.shape))
    return row.expand(row.reshape(x, shape=(*lead, *x.shape)), shape=shape)


@lapack_function("cholesky_solve", tensors=2, out=True, method=True, public=True)
def cholesky_solve(input: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """X of ``A X = input`` from the Cholesky factor ``input2`` of A."""
    for argument, x in (("b", input), ("u", input2)):
        if x.ndim < 2:
            raise ShapeError(
                f"{argument} should have at least 2 dimensions, but has {x.ndim} dimensions instead"
            )
    _check_factor("cholesky_solve", input, input2)
    check_kernel("cholesky_solve_cpu", input2)
    lower = transposed(input2) if upper else input2
    half = row.solve_triangular(lower, input, upper=False, unit=False)
    return row.solve_triangular(transposed(lower), half, upper=True, unit=False)


@lapack_function("cholesky_inverse", out=True, method=True, public=True)
def cholesky_inverse(input: Tensor, upper: bool = False) -> Tensor:
    """The inverse of ``L L^T`` (``U^T U``) from the factor.

    Raises LinAlgError where its diagonal has a zero.
    """
    check_square("cholesky_inverse", input)
    check_kernel("cholesky_inverse_out_cpu", input)
    lower = transposed(input) if upper else input
    half = row.inv(triangle(lower, False, False), strict="cholesky_inverse")
    return product(transposed(half), half)


def _lu_solve(factors: Tensor, pivots: Tensor, b: Tensor, left: bool, transpose: bool) -> Any:
    name = "linalg.lu_solve"
    check_floating(name, factors, "lu_solve_cpu")
    if pivots.dtype is not dtypes.int32:
        raise RuntimeError(f"{name}: pivots should be a Tensor of scalar type torch.int32")
    _same_dtype(name, "LU", factors, "B", b)
    _check_system(name, factors, b, left)
    if not pivots.ndim or pivots.shape[-1] != factors.shape[-1]:
        raise ShapeError(
            f"{name}: Number of pivots per batch should be same as the dimension of the matrix"
        )
    if tuple(pivots.shape[:-1]) != tuple(factors.shape[:-2]):
        raise ShapeError(
            f"{name}: Expected LU.shape[:-1] and pivots.shape to be the same, but got pivots with "
            f"shape {list(pivots.shape)} instead"
        )
    if not left:  # X A = B is A^T X^T = B^T
        b, transpose = transposed(b), not transpose
    lead = broadcast(tuple(factors.shape[:-2]), tuple(b.shape[:-2]))
    n = factors.shape[-1]
    order = _expanded(row.pivot_order(pivots, size=n, inverse=transpose), (*lead, n))
    if transpose:  # A^T = U^T L^T P^T
        half = row.solve_triangular(transposed(factors), b, upper=False, unit=False)
        half = row.solve_triangular(transposed(factors), half, upper=True, unit=True)
        result = permuted(half, order)
    else:
        half = permuted(_expanded(b, (*lead, *b.shape[-2:])), order)
        half = row.solve_triangular(factors, half, upper=False, unit=True)
        result = row.solve_triangular(factors, half, upper=True, unit=False)
    return result if left else transposed(result)


@lapack_function("linalg_lu_solve", tensors=3, out=True)
def linalg_lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """X of ``A X = B`` (``X A = B`` without ``left``) from ``linalg.lu_factor(A)``.

    ``adjoint`` solves with A transposed. A zero on U's diagonal gives infinities or NaN.
    """
    return _lu_solve(LU, pivots, B, left, adjoint)


@lapack_function("lu_solve", tensors=3, out=True, method=True, public=True)
def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """``linalg.lu_solve(LU_data, LU_pivots, input)``."""
    return _lu_solve(LU_data, LU_pivots, input, True, False)


# ------------------------------------------------------------------------------------ least squares


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


@lapack_function("linalg_lstsq", tensors=2, out=True)
def linalg_lstsq(
    input: Tensor, b: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> Any:
    """The X of least norm that minimise ``|input X - b|``.

    ``input`` is ``[..., m, n]``, ``b`` ``[..., m, k]`` or ``[..., m]``. ``driver`` is LAPACK's:
    'gels' takes full rank for granted (LinAlgError where a factor is singular), 'gelsy' (default)
    gives the rank, 'gelsd' and 'gelss' also the singular values, where those up to ``rcond`` times
    the largest count as zero (default: eps times the larger size). Residuals are the squared
    distances ``[..., k]`` where m > n, by 'gels' and where every matrix has full rank by 'gelsd'
    and 'gelss'. What a driver does not give is empty. Singular values have no gradient here.
    """
    name = "torch.linalg.lstsq"
    if input.ndim < 2:
        raise ShapeError(f"{name}: input must have at least 2 dimensions.")
    if b.ndim < 1:
        raise ShapeError(f"{name}: other must have at least 1 dimension.")
    if input.ndim - b.ndim not in (0, 1):
        raise ShapeError(
            f"{name}: input.dim() must be greater or equal to other.dim() and "
            "(input.dim() - other.dim()) <= 1"
        )
    vector = b.ndim == input.ndim - 1
    if input.dtype is not b.dtype:
        raise RuntimeError(
            f"{name}: Expected input and other to have the same dtype, but got input's dtype "
            f"{input.dtype.type_name} and other's dtype {b.dtype.type_name}"
        )
    if input.shape[-2] != b.shape[-1 if vector else -2]:
        raise ShapeError(f"{name}: input.size(-2) should match other.size({-1 if vector else -2})")
    driver = "gelsy" if driver is None else driver
    if driver not in _DRIVERS:
        raise RuntimeError(
            f"{name}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"
        )
    if not input.dtype.is_floating_point or input.dtype.itemsize < 4:
        raise RuntimeError("This function doesn't handle types other than float and double")
    m, n = input.shape[-2:]
    cut = dtypes.finfo(input.dtype).eps * max(m, n) if rcond is None else float(rcond)
    right = as_column(b) if vector else b
    packed = row.lstsq(input, right, rcond=cut, driver=driver)
    x, values, rank = lstsq_parts(packed, m, n, right.shape[-1])
    ranks: Any = constant(input, (0,), 0, dtypes.int64)
    residuals = _none_of(x)
    full = driver == "gels"
    if driver != "gels":
        ranks = row.cast(_of_stack(rank, input), dtype=dtypes.int64)
        full = driver != "gelsy" and m > n and bool((ranks == n).all())
    if m > n and full:
        off = row.square(product(input, x) - right)
        residuals = row.sum(off, dims=(off.ndim - 2,), keepdim=False)
    spectrum = constant(input, (0,), 0)
    if driver in ("gelsd", "gelss"):
        spectrum = _of_stack(values, input).detach()
    x = row.reshape(x, shape=tuple(x.shape[:-1])) if vector else x
    return return_types.linalg_lstsq(own(x), residuals, ranks, spectrum)


def _none_of(x: Any) -> Any:
    """An empty vector that depends on ``x``."""
    flat = row.reshape(x, shape=(math.prod(x.shape),))
    return own(row.slice(flat, starts=(0,), stops=(0,), steps=(1,)))


def _of_stack(x: Any, input: Tensor) -> Any:
    """What belongs to the matrices, of a result that is broadcast with the right sides."""
    lead = tuple(input.shape[:-2])
    sizes = (*lead, *x.shape[len(lead) :])
    return row.slice(x, starts=(0,) * x.ndim, stops=sizes, steps=(1,) * x.ndim)
