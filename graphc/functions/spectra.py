"""Singular values, eigenvalues of symmetric matrices, and what is read off them."""

import math
from typing import Any

from graphc import dtypes, return_types
from graphc.errors import ShapeError
from graphc.functions.lapack import lapack_function, own, word
from graphc.functions.norms import matrix_norm
from graphc.functions.promotion import cast
from graphc.ops.linalg.matrices import (
    as_column,
    check_floating,
    check_matrix,
    check_square,
    constant,
    part,
    transposed,
)
from graphc.ops.linalg.spectral import eigh_parts, svd_parts
from graphc.ops.rules import row
from graphc.tensor import Tensor

# ------------------------------------------------------------------------------------------- svd


def _refuse_driver(driver: Any) -> None:
    if driver is not None:
        raise RuntimeError(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with "
            "cuSOLVER backend."
        )


def _svd(x: Tensor, full: bool) -> tuple[Any, Any, Any]:
    """U, S and V."""
    check_matrix("linalg.svd", x)
    check_floating("linalg.svd", x, "linalg_svd_cpu")
    m, n = x.shape[-2:]
    full = full and m != n
    return svd_parts(row.svd(x, full=full), m, n, full)


@lapack_function("linalg_svd", out=True)
def linalg_svd(A: Tensor, full_matrices: bool = True, *, driver: Any = None) -> Any:
    """``A = U diag(S) Vh`` with descending singular values.

    Of ``[..., m, n]`` with ``k = min(m, n)``: U ``[..., m, m]``, S ``[..., k]``, Vh
    ``[..., n, n]``; without ``full_matrices`` U ``[..., m, k]`` and Vh ``[..., k, n]``. Vectors are
    determined up to their sign, those of equal values up to a rotation, and the extra columns of
    full matrices are any basis without a gradient: gradients are right for what does not depend on
    such choices, else infinite or NaN at equal values. Raises LinAlgError for matrices with
    infinities or NaN.
    """
    _refuse_driver(driver)
    u, s, v = _svd(A, full_matrices)
    return return_types.linalg_svd(own(u), own(s), own(transposed(v)))


@lapack_function("svd", out=True, method=True, public=True)
def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """U, S and V (not transposed), reduced unless ``some`` is False.

    Without ``compute_uv`` U and V are zeros of the full sizes.
    """
    if input.ndim < 2:
        raise ShapeError(
            f"linalg.svd: input should have at least 2 dimensions, but has {input.ndim} dimensions "
            "instead"
        )
    if compute_uv:
        u, s, v = _svd(input, not some)
        return return_types.svd(own(u), own(s), own(v))
    values = linalg_svdvals(input)
    lead, (m, n) = tuple(input.shape[:-2]), input.shape[-2:]
    return return_types.svd(constant(input, (*lead, m, m), 0), values,
                            constant(input, (*lead, n, n), 0))  # fmt: skip


@lapack_function("linalg_svdvals", out=True)
def linalg_svdvals(A: Tensor, *, driver: Any = None) -> Tensor:
    """The singular values ``[..., min(m, n)]``, descending."""
    _refuse_driver(driver)
    check_matrix("linalg.svd", A)
    check_floating("linalg.svd", A, "linalg_svd_cpu")
    return row.svdvals(A)


# ------------------------------------------------------------------------------------------ eigh


def _is_lower(name: str, side: Any) -> bool:
    if word(name, "UPLO", side).upper() not in ("L", "U"):
        raise RuntimeError(f"Expected UPLO argument to be 'L' or 'U', but got {side}")
    return bool(side.upper() == "L")


@lapack_function("linalg_eigh", out=True)
def linalg_eigh(input: Tensor, UPLO: str = "L") -> Any:
    """Ascending eigenvalues ``[..., n]`` and orthonormal eigenvectors as columns ``[..., n, n]``.

    The matrices are symmetric: only the triangle ``UPLO`` is read. Vectors are determined up to
    their sign, those of equal values up to a rotation; for gradients see :func:`linalg_svd`.
    Raises LinAlgError for matrices with infinities or NaN.
    """
    check_square("linalg.eigh", input)
    values, vectors = eigh_parts(row.eigh(input, lower=_is_lower("linalg_eigh", UPLO)))
    return return_types.linalg_eigh(own(values), own(vectors))


@lapack_function("linalg_eigvalsh", out=True)
def linalg_eigvalsh(input: Tensor, UPLO: str = "L") -> Tensor:
    """The ascending eigenvalues ``[..., n]`` of symmetric matrices; one triangle is read."""
    check_square("linalg.eigh", input)
    return row.eigvalsh(input, lower=_is_lower("linalg_eigvalsh", UPLO))


# -------------------------------------------------------- ranks, pseudo-inverses, conditions


def _tolerance(name: str, x: Tensor, value: Any, argument: str) -> Any:
    """A tolerance as a tensor of the dtype of ``x``."""
    if isinstance(value, Tensor):
        return cast(value, x.dtype)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(
            f"{name}(): argument {argument!r} must be float or Tensor, not {type(value).__name__}"
        )
    return constant(x, (), float(value))


def tolerances(name: str, x: Tensor, atol: Any, rtol: Any) -> tuple[Any, Any]:
    """Both as tensors. ``rtol`` is ``eps * max(m, n)`` unless one is given or atol is positive."""
    absolute = _tolerance(name, x, 0.0 if atol is None else atol, "atol")
    if rtol is not None:
        return absolute, _tolerance(name, x, rtol, "rtol")
    usual = constant(x, (), dtypes.finfo(x.dtype).eps * max(x.shape[-2:]))
    if atol is None:
        return absolute, usual
    if not isinstance(atol, Tensor):
        return absolute, constant(x, (), 0.0) if atol > 0 else usual
    return absolute, row.where(row.gt(absolute, 0), 0, usual)


def _renamed(name: str, given: Any, tolerance: Any, hermitian: Any, also: Any) -> tuple[Any, bool]:
    """The older forms ``f(x, tolerance, hermitian)`` and ``f(x, tolerance=...)``.

    ``given`` are the positional arguments after the matrices.
    """
    if len(given) > 2:
        raise TypeError(f"{name}() takes at most 3 positional arguments, got {1 + len(given)}")
    if given and tolerance is not None:
        raise TypeError(f"{name}() received the same tolerance twice")
    if len(given) == 2:
        hermitian = given[1]
    tolerance = given[0] if given else tolerance
    if tolerance is not None and any(x is not None for x in also):
        raise TypeError(
            f"{name}() received an invalid combination of arguments: atol and rtol replace the "
            "older tolerance, so only one form can be used"
        )
    return tolerance, bool(hermitian)


def _pinv(x: Tensor, atol: Any, rtol: Any, hermitian: bool) -> Any:
    if x.ndim < 2 or not x.dtype.is_floating_point or x.dtype.itemsize < 4:
        sizes = ", ".join(map(str, x.shape))
        raise ShapeError(
            f"linalg.pinv({x.dtype.type_name}{{[{sizes}]}}): expected a tensor with 2 or more "
            "dimensions of float, double, cfloat or cdouble types"
        )
    if hermitian:
        check_square("linalg.pinv", x)
    return row.pinv(x, *tolerances("linalg_pinv", x, atol, rtol), hermitian=hermitian)


@lapack_function("linalg_pinv", out=True)
def linalg_pinv(
    input: Tensor,
    *given: Any,
    atol: Any = None,
    rtol: Any = None,
    hermitian: bool = False,
    rcond: Any = None,
) -> Tensor:
    """The pseudo-inverses ``[..., n, m]`` of ``[..., m, n]``.

    Singular values up to ``max(atol, rtol * largest)`` count as zero; tolerances are numbers or
    tensors that broadcast with the stack. ``hermitian`` reads the lower triangle of symmetric
    matrices. The older form is ``pinv(input, rcond, hermitian)``. The gradient is that at constant
    rank.
    """
    older, hermitian = _renamed("linalg_pinv", given, rcond, hermitian, (atol, rtol))
    if older is not None:
        return _pinv(input, 0.0, older, hermitian)
    return _pinv(input, atol, rtol, hermitian)


@lapack_function("pinverse", method=True, public=True)
def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """``linalg.pinv(input, rcond)``."""
    return _pinv(input, 0.0, rcond, False)


@lapack_function("linalg_matrix_rank", out=True)
def linalg_matrix_rank(
    input: Tensor,
    *given: Any,
    atol: Any = None,
    rtol: Any = None,
    hermitian: bool = False,
    tol: Any = None,
) -> Tensor:
    """How many singular values (sizes of eigenvalues) exceed ``max(atol, rtol * largest)``.

    The result is int64 and has the shape of the stack. The older form is
    ``matrix_rank(input, tol, hermitian)`` with an absolute tolerance.
    """
    name = "torch.linalg.matrix_rank"
    check_matrix(name, input, "input")
    if not input.dtype.is_floating_point or input.dtype.itemsize < 4:
        raise RuntimeError("This function doesn't handle types other than float and double")
    older, hermitian = _renamed("linalg_matrix_rank", given, tol, hermitian, (atol, rtol))
    if older is not None:
        atol, rtol = older, 0.0
    limits = tolerances("linalg_matrix_rank", input, atol, rtol)
    if hermitian:
        check_square(name, input)
        values = row.abs(row.eigvalsh(input, lower=True))
    else:
        values = row.svdvals(input)
    last = (values.ndim - 1,)
    if not values.shape[-1]:
        return row.sum(row.cast(values, dtype=dtypes.int64), dims=last, keepdim=False)
    largest = row.amax(values, dims=last, keepdim=True)
    limit = row.maximum(as_column(limits[0]), as_column(limits[1]) * largest)
    above = row.cast(row.gt(values, limit), dtype=dtypes.int64)
    return row.sum(above, dims=(above.ndim - 1,), keepdim=False)


@lapack_function("linalg_cond", out=True)
def linalg_cond(input: Tensor, p: Any = None) -> Tensor:
    """The condition numbers with respect to the norm ``p``: None, 2, -2, 1, -1, inf, -inf, 'fro' or
    'nuc'.

    For None, 2 and -2 the ratio of the extreme singular values, else ``norm(A) * norm(A^-1)`` of
    square matrices, infinite where they are singular.
    """
    if input.ndim < 2:
        raise ShapeError("linalg.cond: The input tensor must have at least 2 dimensions.")
    if p is not None and not isinstance(p, str):
        if isinstance(p, bool) or not isinstance(p, (int, float)):
            raise TypeError(f"linalg_cond(): argument 'p' must be number or str, not {type(p)}")
        if abs(p) not in (1, 2, math.inf):
            raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if isinstance(p, str) or p in (1, -1, math.inf, -math.inf):
        return _cond_of_norms(input, p)
    check_floating("linalg.svd", input, "linalg_svd_cpu")
    if not input.numel():
        return constant(input, tuple(input.shape[:-2]), 0)
    values = row.svdvals(input)
    k = values.shape[-1]
    largest, smallest = (
        row.reshape(part(values, i, i + 1), shape=tuple(values.shape[:-1])) for i in (0, k - 1)
    )
    return smallest / largest if p == -2 else largest / smallest


def _cond_of_norms(x: Tensor, p: Any) -> Any:
    check_square(f"linalg.cond(ord={p})", x)
    if isinstance(p, str) and p not in ("fro", "nuc"):
        raise RuntimeError(f"linalg.cond got an invalid norm type: {p}")
    if not x.numel():
        return constant(x, tuple(x.shape[:-2]), 0)
    check_floating("linalg.inv", x)
    return matrix_norm(x, p) * matrix_norm(row.inv(x, strict=""), p)
