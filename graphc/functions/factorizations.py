"""Cholesky, QR and LU factorizations, and what their compact forms are turned into."""

from typing import Any

from graphc import dtypes, return_types
from graphc.errors import ShapeError
from graphc.functions.lapack import first_true, lapack_function, no_info, ones_where, own, word
from graphc.ops.linalg.factorizations import qr_parts
from graphc.ops.linalg.lu import lu_parts
from graphc.ops.linalg.matrices import (
    above,
    as_row,
    below,
    check_floating,
    check_kernel,
    check_matrix,
    check_square,
    constant,
    diagonal,
    identity_like,
    least,
    part,
    product,
    rows,
    solve_upper,
    transposed,
)
from graphc.ops.rules import row
from graphc.tensor import Tensor

# -------------------------------------------------------------------------------------- cholesky


def _cholesky(name: str, x: Tensor, upper: bool, strict: str) -> Any:
    check_square(name, x)
    check_floating(name, x, "cholesky_cpu")
    if not upper:
        return row.cholesky(x, strict=strict)
    return transposed(row.cholesky(transposed(x), strict=strict))


@lapack_function("linalg_cholesky", out=True)
def linalg_cholesky(input: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L of ``input = L L^T``, or (``upper``) the upper one of ``U^T U``.

    Matrices ``[..., n, n]`` are symmetric positive-definite; one triangle is read, the lower one
    unless ``upper``. Raises LinAlgError for those that are not positive-definite.
    """
    return _cholesky("linalg.cholesky", input, upper, "linalg.cholesky")


@lapack_function("linalg_cholesky_ex", out=True)
def linalg_cholesky_ex(input: Tensor, *, upper: bool = False, check_errors: bool = False) -> Any:
    """:func:`linalg_cholesky` with the info code of each matrix (int32) in place of an error.

    The code is 0, or the order of the first leading minor that is not positive-definite; L is NaN
    from that row on.
    """
    strict = "linalg.cholesky_ex" if check_errors else ""
    factor = _cholesky("linalg.cholesky", input, upper, strict)
    info = no_info(input) if check_errors else first_true(row.isnan(diagonal(factor)))
    return return_types.linalg_cholesky_ex(factor, info)


@lapack_function("cholesky", out=True, method=True, public=True)
def cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """The Cholesky factor, as ``linalg.cholesky``."""
    check_matrix("cholesky", input, "A")
    if not input.numel():
        return own(input)
    check_kernel("cholesky_cpu", input)
    return _cholesky("cholesky", input, upper, "cholesky")


# -------------------------------------------------------------------------------------------- qr


def _qr(x: Tensor, mode: str) -> tuple[Any, Any]:
    check_matrix("linalg.qr", x)
    check_floating("linalg.qr", x, "geqrf_cpu")
    m, n = x.shape[-2:]
    q, r = qr_parts(row.qr(x, complete=mode == "complete"), m, n)
    return (constant(x, (0,), 0) if mode == "r" else own(q)), own(r)


@lapack_function("linalg_qr", out=True)
def linalg_qr(A: Tensor, mode: str = "reduced") -> Any:
    """``A = Q R`` with orthonormal columns of Q and upper triangular R.

    Of ``[..., m, n]`` with ``k = min(m, n)``, Q is ``[..., m, k]`` and R ``[..., k, n]``; with mode
    'complete' Q is ``[..., m, m]`` and R ``[..., m, n]``; with 'r' Q is empty. The signs of R's
    diagonal are those of LAPACK. With 'complete' and m > n the last columns of Q have no gradient:
    RuntimeError in the backward pass when they need one.
    """
    if word("linalg_qr", "mode", mode) not in ("reduced", "complete", "r"):
        raise RuntimeError(
            f"qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', "
            "or 'complete'"
        )
    return return_types.linalg_qr(*_qr(A, mode))


@lapack_function("qr", out=True, method=True, public=True)
def qr(input: Tensor, some: bool = True) -> Any:
    """``linalg.qr`` with mode 'reduced' (``some``) or 'complete'."""
    return return_types.qr(*_qr(input, "reduced" if some else "complete"))


# -------------------------------------------------------------------- Householder's reflections


@lapack_function("geqrf", out=True, method=True, public=True)
def geqrf(input: Tensor) -> Any:
    """The QR decomposition as LAPACK leaves it: R, below it the reflectors, and their scales tau.

    See :func:`linalg_householder_product` for Q. Not differentiable.
    """
    if input.ndim < 2:
        raise ShapeError("torch.geqrf: input must have at least 2 dimensions.")
    check_kernel("geqrf_cpu", input)
    m, n = input.shape[-2:]
    packed = row.geqrf(input)
    k = least(m, n)
    tau = row.reshape(part(rows(packed, m, m + 1), 0, k), shape=(*input.shape[:-2], k))
    return return_types.geqrf(own(rows(packed, 0, m)), own(tau))


def _check_reflectors(name: str, x: Tensor, tau: Tensor) -> None:
    if x.ndim < 2:
        raise ShapeError(f"torch.{name}: input must have at least 2 dimensions.")
    if tau.ndim != x.ndim - 1:
        raise ShapeError(
            f"torch.{name}: Expected tau to have one dimension less than input, but got tau.ndim "
            f"equal to {tau.ndim} and input.ndim is equal to {x.ndim}"
        )
    if tuple(tau.shape[:-1]) != tuple(x.shape[:-2]):
        raise ShapeError(
            f"torch.{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but "
            f"got {list(tau.shape[:-1])}"
        )
    if tau.dtype is not x.dtype:
        raise RuntimeError(
            f"torch.{name}: tau dtype {tau.dtype.type_name} does not match input dtype "
            f"{x.dtype.type_name}"
        )


def _reflectors(x: Tensor, tau: Tensor) -> tuple[Any, Any]:
    """V and the triangular matrix X with ``I - V X^-1 (diag(tau) V^T)`` the product of reflections.

    X is ``I + diag(tau) triu(V^T V, 1)``: Q of the compact WY form, C. Puglisi, Modification of the
    Householder method based on the compact WY representation, 1992.
    """
    k = tau.shape[-1]
    lead = part(x, 0, k)
    v = below(lead, -1) + identity_like(lead)
    gram = above(product(transposed(v), v), 1)
    return v, transposed(transposed(gram) * as_row(tau)) + identity_like(gram)


def _apply_reflectors(x: Tensor, tau: Tensor, to: Any, transpose: bool) -> Any:
    """``Q to`` or ``Q^T to`` of the square Q."""
    v, triangle = _reflectors(x, tau)
    if transpose:  # Q^T = I - V diag(tau) X^-T V^T
        inner = row.solve_triangular(
            transposed(triangle), product(transposed(v), to), upper=False, unit=True
        )
        return to - product(v * as_row(tau), inner)
    inner = product(transposed(v * as_row(tau)), to)
    return to - product(v, solve_upper(triangle, inner, unit=True))


def _householder_product(x: Tensor, tau: Tensor) -> Any:
    name = "linalg.householder_product"
    _check_reflectors(name, x, tau)
    if x.shape[-2] < x.shape[-1]:
        raise ShapeError(
            f"torch.{name}: input.shape[-2] must be greater than or equal to input.shape[-1]"
        )
    if x.shape[-1] < tau.shape[-1]:
        raise ShapeError(
            f"torch.{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]"
        )
    check_kernel("orgqr_cpu", x)
    return _apply_reflectors(x, tau, identity_like(x), False)


@lapack_function("linalg_householder_product", tensors=2, out=True)
def linalg_householder_product(input: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of the product of k reflections ``I - tau[i] v[i] v[i]^T``.

    ``input`` is ``[..., m, n]`` with m >= n and ``tau`` ``[..., k]`` with n >= k; v[i] is column i
    of ``input`` below the diagonal, with a one on it and zeros above.
    """
    return _householder_product(input, tau)


@lapack_function("orgqr", tensors=2, out=True, method=True, public=True)
def orgqr(input: Tensor, input2: Tensor) -> Tensor:
    """``linalg.householder_product(input, input2)``."""
    return _householder_product(input, input2)


@lapack_function("ormqr", tensors=3, out=True, method=True, public=True)
def ormqr(
    input: Tensor, input2: Tensor, input3: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """The product of ``input3`` with Q, from the left or right, or with Q transposed.

    Q is the full ``[..., m, m]`` product of the reflections in ``input`` with the scales
    ``input2``.
    """
    _check_reflectors("ormqr", input, input2)
    if input3.ndim < 2:
        raise ShapeError("torch.ormqr: other must have at least 2 dimensions.")
    if input3.shape[-2 if left else -1] != input.shape[-2]:
        raise ShapeError(
            f"torch.ormqr: other.shape[{-2 if left else -1}] must be equal to input.shape[-2]"
        )
    if input3.shape[-2 if left else -1] < input2.shape[-1]:
        raise ShapeError(
            f"torch.ormqr: other.shape[{-2 if left else -1}] must be greater than or equal to "
            "tau.shape[-1]"
        )
    if input2.shape[-1] != min(input3.shape[-2 if left else -1], input.shape[-1]):
        raise ShapeError(
            f"torch.ormqr: tau.shape[-1] must be equal to min(other.shape[{-2 if left else -1}], "
            "input.shape[-1])"
        )
    if tuple(input3.shape[:-2]) != tuple(input.shape[:-2]):
        raise ShapeError(
            "torch.ormqr: Expected batch dimensions of other to be equal to input.shape[:-2], but "
            f"got {list(input3.shape[:-2])}"
        )
    if input3.dtype is not input.dtype:
        raise RuntimeError(
            f"torch.ormqr: Expected input and other to have the same dtype, but input has dtype "
            f"{input.dtype.type_name} and other has dtype {input3.dtype.type_name}"
        )
    check_kernel("ormqr_cpu", input)
    if left:
        return _apply_reflectors(input, input2, input3, transpose)
    return transposed(_apply_reflectors(input, input2, transposed(input3), not transpose))


# -------------------------------------------------------------------------------------------- lu


def lu_factors(x: Tensor, pivot: bool, strict: str = "", name: str = "torch.lu_factor") -> Any:
    """The packed factors and int32 pivots."""
    if x.ndim < 2:
        raise ShapeError(
            f"{name}: Expected tensor with 2 or more dimensions. Got size: {list(x.shape)} instead"
        )
    check_kernel("lu_cpu", x)
    if not pivot:
        raise RuntimeError("linalg.lu_factor: LU without pivoting is not implemented on the CPU")
    factors, pivots = lu_parts(row.lu(x, strict=strict))
    return own(factors), pivots


def singular_at(factors: Any) -> Any:
    """The info codes of LU factors: the first zero on U's diagonal, from 1, or 0."""
    return first_true(row.eq(diagonal(factors), 0))


@lapack_function("linalg_lu_factor", out=True)
def linalg_lu_factor(A: Tensor, *, pivot: bool = True) -> Any:
    """The LU factorization in one matrix and the row exchanges as int32 pivots, from 1.

    L is unit lower triangular and stands below the upper triangular U. Raises RuntimeError where U
    has a zero on its diagonal.
    """
    return return_types.linalg_lu_factor(*lu_factors(A, pivot, "torch.linalg.lu_factor"))


@lapack_function("linalg_lu_factor_ex", out=True)
def linalg_lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> Any:
    """:func:`linalg_lu_factor` with info codes: which diagonal element of U is zero, or 0."""
    strict = "torch.linalg.lu_factor_ex" if check_errors else ""
    factors, pivots = lu_factors(A, pivot, strict)
    return return_types.linalg_lu_factor_ex(factors, pivots, singular_at(factors))


def _lu(x: Tensor, pivot: bool, get_infos: bool) -> tuple[Any, ...]:
    factors, pivots = lu_factors(x, pivot)
    return (factors, pivots, singular_at(factors)) if get_infos else (factors, pivots)


@lapack_function("lu", public=True)
def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """The packed LU factors and pivots, with ``get_infos`` also the info codes.

    ``out`` gets them by ``copy_``, whatever its dtypes.
    """
    result = _lu(A, pivot, get_infos)
    if out is not None:
        if len(out) != len(result):
            raise TypeError(f"expected tuple of {len(result)} elements but got {len(out)}")
        result = tuple(
            target.resize_(*x.shape).copy_(x) for target, x in zip(out, result, strict=True)
        )
    return return_types._lu_with_info(*result) if get_infos else result


@lapack_function("lu", method=True)
def _lu_method(self: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """The packed LU factors and pivots, with ``get_infos`` also the info codes."""
    return _lu(self, pivot, get_infos)


def _permutation(order: Any, like: Tensor) -> Any:
    """The matrix P whose product with ``x[order]`` is ``x``."""
    m = order.shape[-1]
    attrs = {"shape": (m, m), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1}
    i = order.__apply__(row.iota, (), {**attrs, "device": order.device})
    return ones_where(row.eq(i, as_row(order)), like)


def _lower(factors: Any) -> Any:
    k = least(*factors.shape[-2:])
    lead = part(factors, 0, k)
    return below(lead, -1) + identity_like(lead)


def _upper(factors: Any) -> Any:
    return above(rows(factors, 0, least(*factors.shape[-2:])))


@lapack_function("linalg_lu", out=True)
def linalg_lu(A: Tensor, *, pivot: bool = True) -> Any:
    """``A = P L U`` with a permutation, a unit lower and an upper triangular matrix.

    Of ``[..., m, n]`` with ``k = min(m, n)``: ``[..., m, m]``, ``[..., m, k]``, ``[..., k, n]``.
    """
    factors, pivots = lu_factors(A, pivot, name="linalg.lu")
    order = row.pivot_order(pivots, size=A.shape[-2], inverse=False)
    return return_types.linalg_lu(_permutation(order, A), _lower(factors), _upper(factors))


@lapack_function("lu_unpack", tensors=2, out=True, public=True)
def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> Any:
    """P, L and U of packed factors and pivots; what is not unpacked is empty."""
    if unpack_pivots and LU_pivots.dtype is not dtypes.int32:
        raise RuntimeError(
            "torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype."
        )
    if LU_data.ndim < 2:
        raise ShapeError("torch.lu_unpack: LU_data must have at least 2 dimensions.")
    p, lower, upper = (constant(LU_data, (0,), 0) for _ in range(3))
    if unpack_pivots:
        order = row.pivot_order(LU_pivots, size=LU_data.shape[-2], inverse=False)
        p = _permutation(order, LU_data)
    if unpack_data:
        lower, upper = _lower(LU_data), _upper(LU_data)
    return return_types.lu_unpack(p, lower, upper)
