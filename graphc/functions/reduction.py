"""Functions that reduce dimensions: sums, means, extremes, norms."""

from typing import Any

from graphc import dtypes, return_types
from graphc.dtypes import dtype as DType
from graphc.errors import DtypeError
from graphc.functions.dims import Dims, nonempty, normalise_dim, normalise_dims
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _reduce(name: str, input: Tensor, dims: tuple[int, ...], keepdim: bool) -> Tensor:
    return apply(OPS[name], (input,), {"dims": dims, "keepdim": keepdim})


def _accumulating(input: Tensor, dtype: DType | None) -> Tensor:
    """Integers and bools are summed in int64 unless a dtype is given."""
    if dtype is not None:
        return cast(input, dtype)
    return input if input.dtype.is_floating_point else cast(input, dtypes.int64)


@tensor_function(out=True)
def sum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The sum over ``dim`` (default: all elements); integers sum in int64."""
    input = _accumulating(input, dtype)
    return _reduce("sum", input, normalise_dims(dim, input.ndim, "sum"), keepdim)


@tensor_function(out=True)
def mean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The mean over ``dim``. Raises RuntimeError for integers unless ``dtype`` is given."""
    if dtype is not None:
        input = cast(input, dtype)
    if not input.dtype.is_floating_point:
        raise DtypeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating point or "
            f"complex dtype. Got: {input.dtype}"
        )
    return _reduce("mean", input, normalise_dims(dim, input.ndim, "mean"), keepdim)


@tensor_function(out=True)
def prod(
    input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DType | None = None
) -> Tensor:
    """The product over one dimension, or of all elements."""
    input = _accumulating(input, dtype)
    dims = normalise_dims(dim, input.ndim, "prod")
    if input.dtype is dtypes.bool:  # asked for: a product of bools is true where all are
        return _reduce("all", input, dims, keepdim)
    return _reduce("prod", input, dims, keepdim)


def _given(dim: Dims) -> bool:
    return isinstance(dim, int) or bool(dim)


@tensor_function(out=True)
def amax(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The largest value over ``dim``; ties share the gradient."""
    dims = normalise_dims(dim, input.ndim, "amax")
    nonempty("amax", input, dims, _given(dim))
    return _reduce("amax", input, dims, keepdim)


@tensor_function(out=True)
def amin(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The smallest value over ``dim``; ties share the gradient."""
    dims = normalise_dims(dim, input.ndim, "amin")
    nonempty("amin", input, dims, _given(dim))
    return _reduce("amin", input, dims, keepdim)


def _position(name: str, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    dims = normalise_dims(dim, input.ndim, name)
    nonempty(name, input, dims, dim is not None)
    return _reduce(name, input, dims, keepdim)


@tensor_function(out=True)
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the first largest value (of the flattened tensor without ``dim``)."""
    return _position("argmax", input, dim, keepdim)


@tensor_function(out=True)
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The position of the first smallest value (of the flattened tensor without ``dim``)."""
    return _position("argmin", input, dim, keepdim)


def _extreme(name: str, input: Tensor, dim: Any, keepdim: bool, other: Any) -> Any:
    pairwise = {"max": "maximum", "min": "minimum"}[name]
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    if isinstance(dim, Tensor):
        other, dim = dim, None
    if other is not None:
        from graphc.functions.promotion import pointwise

        return pointwise(pairwise, input, other)
    if dim is None:
        everything = tuple(range(input.ndim))
        nonempty(name, input, everything, given=False)
        return _reduce(f"a{name}", input, everything, False)
    axis = normalise_dim(dim, input.ndim)
    both = getattr(return_types, name)
    if not input.ndim:
        return both(input.clone(), apply(OPS["full"], (), _zero_index()))  # type: ignore[attr-defined]
    nonempty(name, input, (axis,))
    indices = _position(f"arg{name}", input, axis, True)
    values = apply(OPS["gather"], (input, indices), {"dim": axis})
    if not keepdim:
        values, indices = values.squeeze(axis), indices.squeeze(axis)  # type: ignore[attr-defined]
    return both(values, indices)


def _zero_index() -> dict[str, Any]:
    from graphc.ir import CPU

    return {"value": 0, "shape": (), "dtype": dtypes.int64, "device": CPU}


@tensor_function(out=True)
def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with ``dim`` (values, indices); with a tensor, elementwise."""
    return _extreme("max", input, dim, keepdim, other)


@tensor_function(out=True)
def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; with ``dim`` (values, indices); with a tensor, elementwise."""
    return _extreme("min", input, dim, keepdim, other)


def _truth(name: str, input: Tensor, dim: Dims, keepdim: bool) -> Tensor:
    truth = cast(input, dtypes.bool)
    result = _reduce(name, truth, normalise_dims(dim, input.ndim, name), keepdim)
    return cast(result, dtypes.uint8) if input.dtype is dtypes.uint8 else result


@tensor_function(out=True)
def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether every element is true (uint8 gives uint8)."""
    return _truth("all", input, dim, keepdim)


@tensor_function(out=True)
def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether some element is true (uint8 gives uint8)."""
    return _truth("any", input, dim, keepdim)


@tensor_function
def count_nonzero(input: Tensor, dim: Dims = None) -> Tensor:
    """How many elements are not zero."""
    return sum(apply(OPS["ne"], (input, 0), {}), dim)  # type: ignore[no-any-return]


def degrees(
    name: str, input: Tensor, dim: Any, unbiased: bool | None, correction: Any
) -> tuple[Any, float]:
    """The dims and the correction that the overloads of var and std mean.

    Raises RuntimeError for integers, TypeError when ``unbiased`` and ``correction`` are both given.
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise TypeError(f"{name}() takes one of unbiased and correction, not both")
    if not input.dtype.is_floating_point:
        raise DtypeError(f"{name} only support floating point and complex dtypes")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return dim, correction


def variance(input: Tensor, dim: Dims, keepdim: bool, correction: float) -> Tensor:
    """The row ``var`` over normalised dims."""
    dims = normalise_dims(dim, input.ndim, "var")
    attrs = {"dims": dims, "keepdim": keepdim, "correction": correction}
    return apply(OPS["var"], (input,), attrs)


def spread_of(variance: Tensor) -> Tensor:
    """The root of a variance; where that is 0, its gradient is 0 too."""
    if not variance.requires_grad:
        return apply(OPS["sqrt"], (variance,), {})
    none = apply(OPS["eq"], (variance, 0), {})
    root = apply(OPS["sqrt"], (apply(OPS["where"], (none, 1, variance), {}),), {})
    return apply(OPS["where"], (none, 0, root), {})


@tensor_function(out=True)
def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Tensor:
    """The variance over ``dim``, divided by ``n - correction`` (default 1)."""
    dim, correction = degrees("var", input, dim, unbiased, correction)
    return variance(input, dim, keepdim, correction)


@tensor_function(out=True)
def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: Any = None,
) -> Tensor:
    """The standard deviation over ``dim``: the root of :func:`var`."""
    dim, correction = degrees("std", input, dim, unbiased, correction)
    return spread_of(variance(input, dim, keepdim, correction))


@tensor_function(out=True)
def logsumexp(input: Tensor, dim: Dims, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(input)))`` over ``dim`` without overflow."""
    if not input.dtype.is_floating_point:
        input = cast(input, dtypes.get_default_dtype())
    dims = normalise_dims(dim, input.ndim, "logsumexp")
    if not input.numel():  # no largest element to start from
        total = _reduce("sum", apply(OPS["exp"], (input,), {}), dims, keepdim)
        return apply(OPS["log"], (total,), {})
    return apply(OPS["logsumexp"], (input,), {"dims": dims, "keepdim": keepdim})


def _softmax(name: str) -> Any:
    def function(input: Tensor, dim: int | None = None, dtype: DType | None = None) -> Tensor:
        if dtype is not None:
            input = cast(input, dtype)
        if dim is None:
            raise TypeError(f"{name}() missing 1 required positional argument: 'dim'")
        axis = normalise_dim(dim, input.ndim)
        if not input.dtype.is_floating_point:
            raise NotImplementedError(f"{name} is not implemented for {input.dtype}")
        if not input.numel():
            return apply(OPS["clone"], (input,), {})
        if not input.ndim:
            one = apply(OPS["reshape"], (input,), {"shape": (1,)})
            return apply(OPS["reshape"], (apply(OPS[name], (one,), {"dim": 0}),), {"shape": ()})
        return apply(OPS[name], (input,), {"dim": axis})

    function.__name__ = name
    function.__doc__ = f"``{name}`` along ``dim``."
    return tensor_function(function, out=True)


softmax = _softmax("softmax")
log_softmax = _softmax("log_softmax")
