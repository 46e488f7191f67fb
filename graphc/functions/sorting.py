"""Functions that put elements in order, and order statistics: sort, topk, medians, modes.

Everything is one ``argsort`` and a gather of the values, whose gradient is that of the gather.
Sorts are stable; NaN is larger than every number, and the two zeros are equal.
"""

from typing import Any

from graphc import dtypes, return_types
from graphc.functions.creation import arange
from graphc.functions.dims import normalise_dim
from graphc.functions.joining import cat
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def argsorted(input: Tensor, dim: int, descending: bool, first: int | None = None) -> Tensor:
    """The places of the (first) elements in order along a dimension of a tensor that has one."""
    kept = input.shape[dim] if first is None else first
    return apply(OPS["argsort"], (input,), {"dim": dim, "descending": descending, "first": kept})


def gathered(input: Tensor, indices: Tensor, dim: int) -> Tensor:
    """The elements at these places along a dimension."""
    return apply(OPS["gather"], (input, indices), {"dim": dim})


def lined_up(input: Tensor, dim: Any) -> tuple[Tensor, int]:
    """The tensor, with a dimension if it has none, and the dimension counted from the front."""
    axis = normalise_dim(dim, input.ndim)
    return (input if input.ndim else input.reshape(1)), axis


def _without(parts: tuple[Tensor, ...], input: Tensor) -> tuple[Tensor, ...]:
    """Results along a dimension, for an input that has none without it."""
    return parts if input.ndim else tuple(part.reshape(()) for part in parts)


def _dropped(
    parts: tuple[Tensor, ...], input: Tensor, axis: int, keepdim: bool
) -> tuple[Tensor, ...]:
    """Results with size 1 along the dimension, as the caller wants them."""
    if keepdim or not input.ndim:
        return _without(parts, input)
    return tuple(part.squeeze(axis) for part in parts)


def _nonempty(name: str, input: Tensor, axis: int) -> None:
    if input.ndim and input.shape[axis] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")


# --------------------------------------------------------------------------------------- sorting


@tensor_function(out=True)
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool | None = False
) -> Any:
    """``(values, indices)``: the elements in order along ``dim``, and where they came from.

    The sort is stable whether asked to be or not. Raises IndexError for a ``dim`` out of range.
    """
    del stable
    rows, axis = lined_up(input, dim)
    indices = argsorted(rows, axis, descending)
    values = gathered(rows, indices, axis)
    return return_types.sort(*_without((values, indices), input))


@tensor_function
def argsort(
    input: Tensor, dim: int = -1, descending: bool = False, *, stable: bool = False
) -> Tensor:
    """The int64 indices that sort along ``dim``, stably whether asked to or not."""
    del stable
    rows, axis = lined_up(input, dim)
    return _without((argsorted(rows, axis, descending),), input)[0]


@tensor_function(out=True)
def msort(input: Tensor) -> Tensor:
    """The elements in ascending order along the first dimension."""
    return sort(input, 0).values  # type: ignore[no-any-return]


@tensor_function(out=True)
def topk(
    input: Tensor, k: int, dim: int | None = None, largest: bool = True, sorted: bool = True
) -> Any:
    """``(values, indices)`` of the ``k`` largest (or smallest) elements along ``dim``, in order.

    ``sorted=False`` allows any order, and gives the same one. Raises RuntimeError when there are
    fewer than ``k``.
    """
    del sorted
    rows, axis = lined_up(input, -1 if dim is None else dim)
    if not 0 <= k <= rows.shape[axis]:
        raise RuntimeError("selected index k out of range")
    if input.dtype is dtypes.bool:
        raise RuntimeError("topk does not support bool dtypes on CPU")
    indices = argsorted(rows, axis, largest, k if input.ndim else 1)
    values = gathered(rows, indices, axis)
    return return_types.topk(*_without((values, indices), input))


# ------------------------------------------------------------------------------- order statistics


@tensor_function(out=True)
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """``(values, indices)`` of the ``k``-th smallest element along ``dim``, counted from 1.

    Raises RuntimeError for a ``k`` out of range.
    """
    if input.dtype is dtypes.bool:
        raise NotImplementedError("\"kthvalue_cpu\" not implemented for 'Bool'")
    rows, axis = lined_up(input, dim)
    _nonempty("kthvalue", input, axis)
    if not 1 <= k <= rows.shape[axis]:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {axis}")
    indices = argsorted(rows, axis, False, k).narrow(axis, k - 1, 1)
    values = gathered(rows, indices, axis)
    return return_types.kthvalue(*_dropped((values, indices), input, axis, keepdim))


def _median(name: str, input: Tensor, dim: int | None, keepdim: bool) -> Any:
    ignore_nan = name == "nanmedian"
    if input.dtype is dtypes.bool:
        kernel = "median_cpu" if dim is None else "median_out"
        raise NotImplementedError(f"\"{kernel}\" not implemented for 'Bool'")
    if dim is None:
        if input.numel() == 0:
            return input.new_full((), float("nan"))
        return apply(OPS["median"], (input.reshape(-1),), {"ignore_nan": ignore_nan})
    rows, axis = lined_up(input, dim)
    _nonempty("median", input, axis)
    attrs = {"dim": axis, "ignore_nan": ignore_nan}
    indices = apply(OPS["median_place"], (rows,), attrs)
    parts = _dropped((gathered(rows, indices, axis), indices), input, axis, keepdim)
    return getattr(return_types, name)(*parts)


@tensor_function(out=True)
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of all elements; with ``dim`` ``(values, indices)`` along it.

    NaN where there is any. Without ``dim`` elements equal to the median share its gradient.
    """
    return _median("median", input, dim, keepdim)


@tensor_function(out=True)
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """:func:`median` of the elements that are not NaN."""
    return _median("nanmedian", input, dim, keepdim)


@tensor_function(out=True)
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """``(values, indices)`` of the most frequent element along ``dim``, the least of several.

    The index is that of its last occurrence. NaN is never equal to anything.
    """
    rows, axis = lined_up(input, dim)
    _nonempty("mode", input, axis)
    size = rows.shape[axis]
    order = argsorted(rows, axis, descending=False)
    ordered = gathered(rows.detach(), order, axis)
    place = arange(size).reshape(size, *(1,) * (rows.ndim - axis - 1))
    changed = ordered.narrow(axis, 1, size - 1).ne(ordered.narrow(axis, 0, size - 1))
    begun = changed * place.narrow(0, 1, size - 1)  # at the first of equal ones its place, else 0
    begun = cat([begun.new_zeros(ordered.narrow(axis, 0, 1).shape), begun], axis)
    length = place - begun.cummax(axis).values
    indices = gathered(order, length.argmax(axis, keepdim=True), axis)
    values = gathered(rows, indices, axis)
    return return_types.mode(*_dropped((values, indices), input, axis, keepdim))
