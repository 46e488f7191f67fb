"""Whether tensors are equal, or close to each other."""

from graphc import dtypes
from graphc.errors import DtypeError
from graphc.functions.promotion import cast, pointwise
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


@tensor_function
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements; NaN equals nothing."""
    if input._type.shape != other._type.shape:
        return False
    return bool(pointwise("eq", input, other).all())  # type: ignore[attr-defined]


def _check(input: Tensor, other: Tensor, rtol: float, atol: float) -> None:
    for name, given in (("input", input), ("other", other)):
        if not isinstance(given, Tensor):
            raise TypeError(f"argument '{name}' must be Tensor, not {type(given).__name__}")
    for name, value in (("rtol", rtol), ("atol", atol)):
        if value < 0:
            raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    if input.dtype is not other.dtype:
        raise DtypeError(f"{input.dtype.type_name} did not match {other.dtype.type_name}")


@tensor_function
def isclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """``|input - other| <= atol + rtol * |other|``, elementwise; inf is close to inf.

    Raises RuntimeError for tensors of different dtypes and for negative tolerances.
    """
    _check(input, other, rtol, atol)
    a, b = input.detach(), other.detach()
    close = pointwise("eq", a, b)
    if equal_nan and a.dtype.is_floating_point:
        missing = (apply(OPS["isnan"], (x,), {}) for x in (a, b))
        both = pointwise("logical_and", *missing)
        close = pointwise("logical_or", close, both)
    if rtol == 0 and atol == 0:
        return close
    if not a.dtype.is_floating_point:
        a, b = (cast(x, dtypes.get_default_dtype()) for x in (a, b))
    allowed = OPS["add"](apply(OPS["abs"], (OPS["mul"](b, float(rtol)),), {}), float(atol))
    error = apply(OPS["abs"], (pointwise("sub", a, b),), {})
    finite = apply(OPS["isfinite"], (error,), {})
    within = pointwise("logical_and", finite, pointwise("le", error, allowed))
    return pointwise("logical_or", close, within)


@tensor_function
def allclose(
    input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> bool:
    """Whether all elements are close: see :func:`isclose`."""
    return bool(isclose(input, other, rtol, atol, equal_nan).all())
