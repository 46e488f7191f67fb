"""Determinants, their logarithms, and the exponential of matrices."""

from typing import Any

from graphc import return_types
from graphc.errors import DtypeError
from graphc.functions.lapack import lapack_function, own
from graphc.ops.linalg.matrices import check_floating, check_square, part
from graphc.ops.rules import full_like, row
from graphc.tensor import Tensor


def _det(x: Tensor) -> Any:
    check_square("linalg.det", x)
    check_floating("linalg.det", x, "lu_cpu")
    return row.det(x)


@lapack_function("linalg_det", out=True)
def linalg_det(A: Tensor) -> Tensor:
    """The determinants of square matrices; gradients are exact at singular ones too."""
    return _det(A)


@lapack_function("det", method=True, public=True)
def det(input: Tensor) -> Tensor:
    """``linalg.det(input)``."""
    return _det(input)


def _slogdet(name: str, x: Tensor) -> tuple[Any, Any]:
    check_square(name, x)
    check_floating(name, x)
    both = row.slogdet(x)
    lead = tuple(x.shape[:-2])
    sign, log = (row.reshape(part(both, i, i + 1), shape=lead) for i in (0, 1))
    return own(sign), own(log)


@lapack_function("linalg_slogdet", out=True)
def linalg_slogdet(A: Tensor) -> Any:
    """The signs of determinants and the logarithms of their sizes (0 and -inf where singular)."""
    return return_types.linalg_slogdet(*_slogdet("linalg.slogdet", A))


@lapack_function("slogdet", out=True, method=True, public=True)
def slogdet(input: Tensor) -> Any:
    """``linalg.slogdet(input)``."""
    return return_types.slogdet(*_slogdet("linalg.slogdet", input))


@lapack_function("logdet", method=True, public=True)
def logdet(input: Tensor) -> Tensor:
    """The logarithms of determinants: -inf where singular, NaN where negative."""
    sign, log = _slogdet("logdet", input)
    return row.where(row.lt(sign, 0), full_like(log, float("nan")), log)


def _matrix_exp(x: Tensor) -> Any:
    check_square("linalg.matrix_exp", x)
    if not x.dtype.is_floating_point:
        raise DtypeError(
            "linalg.matrix_exp: Expected a floating point or complex tensor as input. Got "
            f"{x.dtype.type_name}"
        )
    return row.matrix_exp(x)


@lapack_function("linalg_matrix_exp")
def linalg_matrix_exp(input: Tensor) -> Tensor:
    """The exponential of square matrices: the sum of all ``A^k / k!``."""
    return _matrix_exp(input)


@lapack_function("matrix_exp", method=True, public=True)
def matrix_exp(input: Tensor) -> Tensor:
    """``linalg.matrix_exp(input)``."""
    return _matrix_exp(input)
