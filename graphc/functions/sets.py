"""Functions that see a tensor as a set: unique elements, and which elements occur in another one.

How many unique elements there are depends on the values, so these results are found on arrays
that are known (:func:`_known`); everything after that is shapes.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from graphc import dtypes
from graphc.functions.counting import searchsorted
from graphc.functions.dims import normalise_dim
from graphc.functions.promotion import cast, common_dtype
from graphc.functions.registry import tensor_function
from graphc.ir import CPU
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

Array = np.ndarray[Any, Any]


class _Groups(NamedTuple):
    """Equal elements together: one ``place`` of each, to which each belongs, and how many."""

    places: Array
    inverse: Array
    counts: Array


def _known(input: Tensor) -> Array:
    """The values of a tensor; the one step here that a traced tensor refuses."""
    return input._array()


def _grouped(rows: Array, in_order: bool) -> _Groups:
    """The groups of equal rows; only of those side by side if the order is to stay."""
    count = len(rows)
    wide = rows.astype(np.float32) if rows.dtype.itemsize == 2 and rows.dtype.kind in "fV" else rows
    order = np.arange(count) if in_order else np.lexsort(wide.T[::-1])
    ordered = wide[order]
    new = np.ones(count, bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(1)
    group = np.cumsum(new) - 1
    inverse = np.empty(count, np.int64)
    inverse[order] = group
    return _Groups(order[new], inverse, np.bincount(group).astype(np.int64))


def _unique(
    name: str,
    input: Tensor,
    return_inverse: bool,
    return_counts: bool,
    dim: int | None,
    in_order: bool,
) -> Any:
    values = _known(input)
    if dim is None:
        rows, axis = values.reshape(-1, 1), 0
    else:
        axis = normalise_dim(dim, input.ndim)
        values = values.reshape(1) if not input.ndim else values
        others = [size for d, size in enumerate(values.shape) if d != axis]
        if 0 in others:
            raise RuntimeError(
                f"There are 0 sized dimensions, and they aren't selected, so {name} cannot be "
                "applied"
            )
        rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], math.prod(others))
    groups = _grouped(rows, in_order)
    chosen = rows[groups.places, 0] if dim is None else np.take(values, groups.places, axis)
    results = [Tensor._make(np.ascontiguousarray(chosen))]
    if return_inverse:
        shape = input.shape if dim is None else groups.inverse.shape
        results.append(Tensor._make(groups.inverse.reshape(shape)))
    if return_counts:
        results.append(Tensor._make(groups.counts))
    return results[0] if len(results) == 1 else tuple(results)


@tensor_function
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements (or slices along ``dim``) in ascending order.

    With ``return_inverse`` also which of them each element is, with ``return_counts`` how often
    each occurs: a tuple then. NaN differs from NaN; the two zeros are equal. ``sorted=False``
    allows any order, and gives the same one. The shape of the result depends on the values.
    """
    del sorted
    return _unique("unique", input, return_inverse, return_counts, dim, in_order=False)


@tensor_function
def unique_consecutive(
    input: Tensor,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The first of every run of equal elements (or slices along ``dim``), in their order.

    Further results as :func:`unique` has them.
    """
    name = "unique_consecutive"
    return _unique(name, input, return_inverse, return_counts, dim, in_order=True)


@tensor_function(method=False, out=True)
def isin(
    elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False
) -> Tensor:
    """Which elements occur among ``test_elements`` (or, with ``invert``, do not); bool.

    One of the two may be a number. Raises RuntimeError for bool tensors.
    """
    del assume_unique
    given = (elements, test_elements)
    if not any(isinstance(x, Tensor) for x in given):
        raise TypeError("isin() expected a Tensor among elements and test_elements")
    for x in given:
        if isinstance(x, Tensor) and x.dtype is dtypes.bool:
            raise RuntimeError("Unsupported input type encountered for isin(): Bool")
    dtype = common_dtype(given)
    x, tests = (_as_tensor(value, dtype) for value in given)
    if tests.numel() == 0:
        found = x.ne(x) if not dtype.is_floating_point else x.ne(x).logical_and(x.eq(x))
        return found.logical_not() if invert else found
    tests = tests.reshape(-1)
    nan = tests.ne(tests)
    if dtype.is_floating_point:  # a search needs numbers: NaN, equal to nothing, repeats one
        most = tests.masked_fill(nan, float("-inf")).amax()
        tests = apply(OPS["where"], (nan, most, tests), {})
    ordered = tests.sort().values
    place = searchsorted(ordered, x).clamp(max=tests.numel() - 1)
    equal = x.eq(apply(OPS["take"], (ordered, place), {"dim": 0}))
    found = equal.logical_and(nan.all().logical_not())
    return found.logical_not() if invert else found


def _as_tensor(value: Any, dtype: dtypes.dtype) -> Tensor:
    if isinstance(value, Tensor):
        return cast(value.detach(), dtype)
    return apply(OPS["full"], (), {"value": value, "shape": (), "dtype": dtype, "device": CPU})
