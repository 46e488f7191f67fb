"""Functions that see a tensor as a set: unique elements, and which elements occur in another one.

How many different elements there are depends on the values: that number is asked for in one place,
where a traced tensor lets the trace go on for calls that have as many (:func:`_first_of_equal`).
"""

import math
from typing import Any

from graphc import dtypes
from graphc.functions.counting import searchsorted
from graphc.functions.creation import arange
from graphc.functions.dims import normalise_dim
from graphc.functions.joining import cat
from graphc.functions.promotion import cast, common_dtype
from graphc.functions.registry import tensor_function
from graphc.functions.sorting import argsorted
from graphc.ir import CPU
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _order(rows: Tensor) -> Tensor:
    """The rows of a matrix in ascending order, compared element by element from the first."""
    if rows.shape[1] == 1:
        return argsorted(rows.reshape(-1), 0, descending=False)
    return apply(OPS["lexsort"], (rows,), {})


def _first_of_equal(rows: Tensor) -> Tensor:
    """Whether each row differs from the one before it."""
    count = rows.shape[0]
    differs = rows.narrow(0, 1, count - 1).ne(rows.narrow(0, 0, count - 1)).any(1)
    return cat([differs.new_ones(1), differs])


def _taken(x: Tensor, places: Tensor, dim: int) -> Tensor:
    return apply(OPS["take"], (x, places), {"dim": dim})


def _unique(
    name: str,
    input: Tensor,
    return_inverse: bool,
    return_counts: bool,
    dim: int | None,
    in_order: bool,
) -> Any:
    whole, axis = input.detach(), 0
    if dim is None:
        whole = whole.reshape(-1)
    else:
        axis = normalise_dim(dim, input.ndim)
        whole = whole if input.ndim else whole.reshape(1)
    others = [size for d, size in enumerate(whole.shape) if d != axis]
    if 0 in others:
        raise RuntimeError(
            f"There are 0 sized dimensions, and they aren't selected, so {name} cannot be applied"
        )
    count = whole.shape[axis]
    inverse = counts = whole.new_zeros(count, dtype=dtypes.int64)
    if count:
        rows = whole.movedim(axis, 0).reshape(count, math.prod(others))
        order = arange(count) if in_order else _order(rows)
        new = _first_of_equal(rows if in_order else _taken(rows, order, 0))
        starts = new.nonzero().reshape(-1)
        whole = _taken(whole, _taken(order, starts, 0), axis)
        if return_inverse:
            group = new.cumsum(0) - 1
            inverse = inverse.scatter(0, order, group)
        if return_counts:
            ends = cat([starts.narrow(0, 1, starts.numel() - 1), starts.new_full((1,), count)])
            counts = ends - starts
    results = [whole.clone()] if not count else [whole]
    if return_inverse:
        results.append(inverse.reshape(input.shape) if dim is None else inverse)
    if return_counts:
        results.append(counts)
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
