"""Statistics of tensors: both extremes, sums without NaN, mean with spread, covariance."""

from typing import Any

from graphc import dtypes, return_types
from graphc.dtypes import dtype as DType
from graphc.errors import DimensionError, DtypeError, ShapeError
from graphc.functions.dims import Dims, normalise_dim, normalise_dims
from graphc.functions.products import matmul
from graphc.functions.promotion import cast
from graphc.functions.reduction import degrees, mean, spread_of, sum, variance
from graphc.functions.registry import FUNCTIONS, tensor_function
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Both extremes along ``dim``, or of all elements: a pair ``(min, max)``.

    Raises RuntimeError (IndexError with ``dim``) where there is nothing to compare.
    """
    if dim is None:
        if not input.numel():
            raise ShapeError(
                "aminmax(): cannot compute aminmax over an empty dimension as the operation has no "
                "identity."
            )
        dims = tuple(range(input.ndim))
    else:
        axis = normalise_dim(dim, input.ndim)
        if input.ndim and input.shape[axis] == 0:
            raise DimensionError(f"aminmax: Expected reduction dim {axis} to have non-zero size.")
        dims = (axis,) if input.ndim else ()
    attrs = {"dims": dims, "keepdim": keepdim}
    return return_types.aminmax(*(apply(OPS[name], (input,), attrs) for name in ("amin", "amax")))


tensor_function(_aminmax, name="aminmax", out=True)

# ----------------------------------------------------------------------------------- without NaN


def _filled(input: Tensor) -> Tensor:
    """Zeros in the place of NaN."""
    return apply(OPS["where"], (input.isnan(), 0, input), {})


def _float_out(name: str, input: Tensor, out: Tensor | None) -> None:
    if out is not None and input.dtype.is_floating_point and not out.dtype.is_floating_point:
        raise NotImplementedError(f"{name} of {input.dtype} is not implemented for out={out.dtype}")


@tensor_function
def nansum(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The sum over ``dim`` of what is not NaN; integers sum in int64."""
    _float_out("nansum", input, out)
    if input.dtype.is_floating_point:
        input = _filled(input)
    return sum(input, dim, keepdim, dtype=dtype, out=out)  # type: ignore[no-any-return]


@tensor_function
def nanmean(
    input: Tensor,
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """The mean over ``dim`` of what is not NaN; NaN where nothing is left."""
    _float_out("nanmean", input, out)
    if not input.dtype.is_floating_point:
        raise DtypeError(
            "nanmean(): expected input to have floating point or complex dtype but got "
            f"{input.dtype.type_name}"
        )
    dims = normalise_dims(dim, input.ndim, "nanmean")
    there = cast(input.isnan().logical_not(), dtypes.int64)
    count = apply(OPS["sum"], (there,), {"dims": dims, "keepdim": keepdim})
    total = nansum(input, dim, keepdim, dtype=dtype)
    return FUNCTIONS["div"](total, cast(count, total.dtype), out=out)  # type: ignore[no-any-return]


# --------------------------------------------------------------------------------- mean and spread


@tensor_function
def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """The variance over ``dim`` (divided by ``n - correction``) and the mean."""
    dim, correction = degrees("var_mean", input, dim, unbiased, correction)
    return variance(input, dim, keepdim, correction), mean(input, dim, keepdim)


@tensor_function
def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> tuple[Tensor, Tensor]:
    """The standard deviation over ``dim`` and the mean."""
    dim, correction = degrees("std_mean", input, dim, unbiased, correction)
    return spread_of(variance(input, dim, keepdim, correction)), mean(input, dim, keepdim)


# -------------------------------------------------------------------------------------- covariance


def _weights(name: str, weights: Tensor, count: int) -> None:
    if weights.ndim > 1:
        raise ShapeError(
            f"cov(): expected {name} to have one or fewer dimensions but got {name} with "
            f"{weights.ndim} dimensions"
        )
    if weights.numel() != count:
        raise ShapeError(
            f"cov(): expected {name} to have the same numel as there are observations in the input "
            f"but got {weights.numel()} != {count}"
        )
    if MODES.trace is None and bool((weights < 0).any()):  # values are not known in a trace
        raise RuntimeError(f"cov(): {name} cannot be negative")


@tensor_function
def cov(
    input: Tensor,
    *,
    correction: int = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariance matrix of variables (rows) over observations (columns).

    ``fweights`` (integers) repeat observations, ``aweights`` weigh them. One variable gives a
    zero-dim tensor.
    """
    if input.ndim > 2:
        raise ShapeError(
            "cov(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions"
        )
    if input.dtype is dtypes.bool:
        raise DtypeError("cov(): bool dtype is not supported for input")
    if not input.dtype.is_floating_point:
        input = cast(input, dtypes.get_default_dtype())
    rows = tuple(input.shape) if input.ndim == 2 else (1, input.numel())
    x = apply(OPS["reshape"], (input,), {"shape": rows})
    count = x.shape[1]
    weights: Tensor | None = None
    if fweights is not None:
        if fweights.dtype.is_floating_point or fweights.dtype is dtypes.bool:
            raise DtypeError(
                f"cov(): expected fweights to have integral dtype but got {fweights.dtype}"
            )
        _weights("fweights", fweights, count)
        weights = fweights
    if aweights is not None:
        if not aweights.dtype.is_floating_point:
            raise DtypeError(
                f"cov(): expected aweights to have floating point dtype but got {aweights.dtype}"
            )
        _weights("aweights", aweights, count)
        weights = aweights if weights is None else weights * aweights  # type: ignore[operator]
    total: Any = count if weights is None else weights.sum()
    weighted = x if weights is None else x * weights
    average = weighted.sum(1, keepdim=True) / total
    norm = total - correction
    if weights is not None and aweights is not None and correction != 0:
        norm = total - correction * (weights * aweights).sum() / total  # type: ignore[operator]
    norm = norm.clamp(0) if isinstance(norm, Tensor) else max(norm, 0)
    centred = x - average
    right = centred if weights is None else centred * weights
    product = matmul(centred, right.t())
    return (product / _divisor(norm, product)).squeeze()  # type: ignore[no-any-return]


def _divisor(norm: Any, like: Tensor) -> Tensor:
    """The divisor as a tensor, so that 0 gives infinities as floating point has them."""
    return norm if isinstance(norm, Tensor) else like._full_like(float(norm))


@tensor_function
def corrcoef(input: Tensor) -> Tensor:
    """The correlation matrix of variables (rows) over observations (columns)."""
    if input.ndim > 2:
        raise ShapeError(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with "
            f"{input.ndim} dimensions"
        )
    c = cov(input)
    if not c.ndim:
        return c / c  # type: ignore[no-any-return]
    deviation = FUNCTIONS["diagonal"](c).sqrt()
    c = c / deviation.unsqueeze(-1) / deviation.unsqueeze(0)
    return c.clamp(-1, 1)  # type: ignore[no-any-return]
