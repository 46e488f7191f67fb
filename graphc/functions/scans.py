"""Running sums, products, extremes and logarithms of sums along a dimension."""

from typing import Any

from graphc import dtypes, return_types
from graphc.dtypes import dtype as DType
from graphc.functions.dims import normalise_dim
from graphc.functions.promotion import cast
from graphc.functions.registry import assign, tensor_function, write_out
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _scan(name: str, input: Tensor, dim: Any) -> Tensor:
    """A row of that name along ``dim``; a tensor without dimensions is one element long."""
    axis = normalise_dim(dim, input.ndim)
    attrs = {"dim": axis, "reverse": False}
    if input.ndim:
        return apply(OPS[name], (input,), attrs)
    line = apply(OPS["reshape"], (input,), {"shape": (1,)})
    return apply(OPS["reshape"], (apply(OPS[name], (line,), attrs),), {"shape": ()})


def not_implemented(kernel: str, dtype: DType) -> NotImplementedError:
    """PyTorch's words for a dtype that an operation does not take."""
    return NotImplementedError(f"\"{kernel}\" not implemented for '{dtype.type_name}'")


def _accumulated(name: str, input: Tensor, dim: Any, dtype: DType | None) -> Tensor:
    """Integers and bools accumulate in int64 unless a dtype is given."""
    if dtype is None:
        dtype = input.dtype if input.dtype.is_floating_point else dtypes.int64
    if dtype is dtypes.bool:
        raise not_implemented(f"{name}_out_cpu", dtype)
    return _scan(name, cast(input, dtype), dim)


def _into(out: Tensor, name: str, input: Tensor, dim: Any, dtype: DType | None) -> Tensor:
    """With ``out=``, whose dtype is then the one to accumulate in."""
    if dtype is not None and dtype is not out.dtype:
        raise RuntimeError(
            f"Expected out tensor to have dtype {dtype}, but got {out.dtype} instead"
        )
    return write_out(out, _accumulated(name, input, dim, out.dtype), name)


def _in_place(name: str, self: Tensor, dim: Any, dtype: DType | None) -> Tensor:
    if dtype is not None and dtype is not self.dtype:
        raise RuntimeError(
            f"Bad in-place call: input tensor dtype {self.dtype} and output tensor dtype {dtype} "
            "should match"
        )
    return assign(self, _accumulated(name, self, dim, self.dtype), name)


@tensor_function
def cumsum(
    input: Tensor, dim: int, *, dtype: DType | None = None, out: Tensor | None = None
) -> Tensor:
    """The sum of all elements up to each one along ``dim``, in ``dtype`` (integers: int64)."""
    if out is not None:
        return _into(out, "cumsum", input, dim, dtype)
    return _accumulated("cumsum", input, dim, dtype)


@tensor_function
def cumprod(
    input: Tensor, dim: int, *, dtype: DType | None = None, out: Tensor | None = None
) -> Tensor:
    """The product of all elements up to each one along ``dim``, in ``dtype`` (integers: int64)."""
    if out is not None:
        return _into(out, "cumprod", input, dim, dtype)
    return _accumulated("cumprod", input, dim, dtype)


@tensor_function(public=False)
def cumsum_(self: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """In-place version of :func:`cumsum`; RuntimeError for a dtype that is not the tensor's."""
    return _in_place("cumsum", self, dim, dtype)


@tensor_function(public=False)
def cumprod_(self: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """In-place version of :func:`cumprod`; RuntimeError for a dtype that is not the tensor's."""
    return _in_place("cumprod", self, dim, dtype)


@tensor_function(out=True)
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """``log(cumsum(exp(input), dim))`` without overflow; NotImplementedError for integers."""
    if not input.dtype.is_floating_point:
        raise not_implemented("logcumsumexp_out_cpu", input.dtype)
    return _scan("logcumsumexp", input, dim)


def _extremes(name: str, input: Tensor, dim: Any) -> Any:
    """Values are gathered at the indices, which is their gradient too: each goes where it was."""
    indices = _scan(f"{name}_index", input, dim)
    if input.ndim:
        values = apply(OPS["gather"], (input, indices), {"dim": normalise_dim(dim, input.ndim)})
    else:
        values = apply(OPS["clone"], (input,), {})
    return getattr(return_types, name)(values, indices)


@tensor_function(out=True)
def cummax(input: Tensor, dim: int) -> Any:
    """(values, indices) of the largest element so far along ``dim``: the last of equal ones, and
    NaN from the first NaN on.
    """
    return _extremes("cummax", input, dim)


@tensor_function(out=True)
def cummin(input: Tensor, dim: int) -> Any:
    """(values, indices) of the smallest element so far along ``dim``: the last of equal ones, and
    NaN from the first NaN on.
    """
    return _extremes("cummin", input, dim)
