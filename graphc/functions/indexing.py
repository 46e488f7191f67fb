"""``x[...]`` and ``x[...] = v`` in every NumPy form.

An index is taken apart into a view (slices, ints, Nones) and index tensors or masks over some of
its dimensions. Positions of a mask are looked for only where the shape of a result depends on
them; what is assigned under one mask is a selection between old and new elements.
"""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from graphc import dtypes
from graphc.errors import DimensionError, ShapeError
from graphc.functions.creation import as_tensor
from graphc.functions.factory import converted
from graphc.functions.factory import counted as counting
from graphc.functions.literals import literal
from graphc.functions.promotion import cast
from graphc.functions.registry import locating, tensor_function
from graphc.functions.shape import permuted, reshaped
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.ops.rules import broadcast
from graphc.ops.views import inverse
from graphc.tensor import Tensor, apply, number

Shape = tuple[int, ...]


class Plan(NamedTuple):
    """An index taken apart: slices, then a shape with ints dropped and Nones added, then arrays.

    ``arrays`` are (dimension of that shape, index tensor or mask); a mask covers as many
    dimensions as it has.
    """

    starts: Shape
    stops: Shape
    steps: Shape
    shape: Shape
    arrays: tuple[tuple[int, Tensor], ...]


# ----------------------------------------------------------------------------- reading the index

_LONGEST = 32  # lists of more items are never tuples in disguise


def _items(index: Any) -> list[Any]:
    if isinstance(index, tuple):
        return [_item(i) for i in index]
    if isinstance(index, list) and len(index) < _LONGEST and any(map(_is_part, index)):
        warnings.warn(
            "Using a non-tuple sequence for multidimensional indexing is deprecated; use "
            "x[tuple(seq)] instead of x[seq].",
            UserWarning,
            stacklevel=4,
        )
        return [_item(i) for i in index]
    return [_item(index)]


def _is_part(item: Any) -> bool:
    """Whether an item makes a list an index for several dimensions."""
    return item is None or item is Ellipsis or isinstance(item, (Tensor, slice, list, tuple))


def _item(item: Any) -> Any:
    """An int, slice, None, Ellipsis, index tensor or (bool) mask."""
    if item is None or item is Ellipsis or isinstance(item, (bool, int, slice)):
        return item
    if isinstance(item, (list, tuple, range, np.ndarray, str)):
        item = _array(item)
    if not isinstance(item, Tensor):
        if hasattr(item, "__index__"):
            return item.__index__()
        raise DimensionError(
            f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are "
            f"valid indices (got {type(item).__name__})"
        )
    item = item._here()
    if item.dtype is dtypes.uint8:
        warnings.warn(
            "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool "
            "instead.",
            UserWarning,
            stacklevel=5,
        )
        return cast(item, dtypes.bool)
    wide = item.dtype in (dtypes.int64, dtypes.int32, dtypes.bool)
    if not wide and (item.ndim or item.dtype.is_floating_point):
        raise DimensionError("tensors used as indices must be long, int, byte or bool tensors")
    varies = MODES.trace is not None and not MODES.trace.places_known
    if item.ndim or item.dtype is dtypes.bool or varies:
        return item
    return int(item._array())


def _array(item: Any) -> Tensor:
    if isinstance(item, str):
        raise TypeError(f"a str is no index: {item!r}")
    if not isinstance(item, np.ndarray) and not len(item):
        return literal(np.zeros(0, np.int64))
    return as_tensor(list(item) if isinstance(item, (range, tuple)) else item)


def _consumed(item: Any) -> int:
    """How many dimensions of the tensor an item of an index covers."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    return item.ndim if _is_mask(item) else 1


def _items_of(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _is_bytes(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dtype is dtypes.uint8


def _is_mask(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dtype is dtypes.bool


def _spelled_out(x: Tensor, items: list[Any]) -> list[Any]:
    """The items with the Ellipsis, or the end, filled up with slices."""
    used = sum(map(_consumed, items))
    if used > x.ndim:
        raise DimensionError(f"too many indices for tensor of dimension {x.ndim}")
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    place = dots[0] if dots else len(items)
    if any(_consumed(item) for i in dots[1:2] for item in items[i:]):
        raise DimensionError("an index can only have a single ellipsis ('...')")
    rest = [item for item in items[place:] if item is not Ellipsis]
    return [*items[:place], *[slice(None)] * (x.ndim - used), *rest]


def _plan(x: Tensor, index: Any) -> Plan:
    shape = tuple(x.shape)
    bounds: list[Shape] = []
    result: list[int] = []
    arrays: list[tuple[int, Tensor]] = []
    dim = 0
    for item in _spelled_out(x, _items(index)):
        if item is None:
            result.append(1)
        elif isinstance(item, bool):  # all or nothing of a new dimension
            arrays.append((len(result), literal(np.zeros(int(item), np.int64))))
            result.append(1)
        elif isinstance(item, slice):
            start, stop, step = _slice(item, shape[dim])
            bounds.append((start, stop, step))
            result.append(max(0, -(-(stop - start) // step)))
            dim += 1
        elif isinstance(item, int):
            bounds.append(_one(item, shape, dim))
            dim += 1
        elif _is_mask(item) and not item.ndim:
            arrays.append((len(result), reshaped(item, (1,))))
            result.append(1)
        else:
            covered = _consumed(item)
            if _is_mask(item):
                _check_mask(item, shape, dim)
            arrays.append((len(result), item))
            bounds += [(0, n, 1) for n in shape[dim : dim + covered]]
            result += shape[dim : dim + covered]
            dim += covered
    return Plan(
        tuple(b[0] for b in bounds),
        tuple(b[1] for b in bounds),
        tuple(b[2] for b in bounds),
        tuple(result),
        tuple(arrays),
    )


def _slice(item: slice, size: int) -> tuple[int, int, int]:
    bounds = [_bound(b) for b in (item.start, item.stop, item.step)]
    if bounds[2] is not None and bounds[2] <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, step = slice(*bounds).indices(size)
    return start, max(start, stop), step


def _bound(value: Any) -> int | None:
    if value is None:
        return None
    if not hasattr(value, "__index__"):
        raise TypeError("slice indices must be integers or None or have an __index__ method")
    return int(value.__index__())


def _one(position: int, shape: Shape, dim: int) -> tuple[int, int, int]:
    """The slice that holds one position, which an integer index then drops."""
    if not shape:
        raise DimensionError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python to convert a 0-dim "
            "tensor to a number"
        )
    size = shape[dim]
    if not -size <= position < size:
        raise DimensionError(
            f"index {position} is out of bounds for dimension {dim} with size {size}"
        )
    return position % size, position % size + 1, 1


def _check_mask(mask: Tensor, shape: Shape, dim: int) -> None:
    expected = shape[dim : dim + mask.ndim]
    for i, (a, b) in enumerate(zip(mask.shape, expected, strict=True)):
        if a != b:
            raise DimensionError(
                f"The shape of the mask {list(mask.shape)} at index {i} does not match the shape "
                f"of the indexed tensor {list(shape)} at index {dim + i}"
            )


def positions(input: Tensor) -> Tensor:
    """Where a tensor is not zero, ``[count, ndim]``: the one value-dependent shape there is."""
    if MODES.trace is not None:
        return MODES.trace.positions(input)
    return Tensor._make(np.argwhere(input._array()))  # type: ignore[no-any-return]


# -------------------------------------------------------------------------------- the parts of x


def _basic(x: Tensor, plan: Plan) -> Tensor:
    """The view that slices, ints and Nones show."""
    shape = tuple(x.shape)
    whole = all(
        (a, b, c) == (0, n, 1)
        for a, b, c, n in zip(plan.starts, plan.stops, plan.steps, shape, strict=True)
    )
    if not whole:
        attrs = {"starts": plan.starts, "stops": plan.stops, "steps": plan.steps}
        x = apply(OPS["slice"], (x,), attrs)
    if tuple(x.shape) != plan.shape or whole:
        x = reshaped(x, plan.shape)
    return x


class Advanced(NamedTuple):
    """Index tensors over several dimensions as one: permute, join, take along ``dim``."""

    order: Shape
    joined: Shape
    positions: Tensor
    dim: int


def _advanced(shape: Shape, arrays: tuple[tuple[int, Tensor], ...]) -> Advanced:
    dims: list[int] = []
    indices: list[Tensor] = []
    for d, index in arrays:
        if index.dtype is dtypes.bool:
            dims += range(d, d + index.ndim)
            indices += _columns(positions(index), index.ndim)
        else:
            dims.append(d)
            indices.append(cast(index, dtypes.int64))
    adjacent = dims == list(range(dims[0], dims[0] + len(dims)))
    place = dims[0] if adjacent else 0
    rest = [d for d in range(len(shape)) if d not in dims]
    order = (*rest[:place], *dims, *rest[place:])
    if len(indices) == 1:
        return Advanced(order, tuple(shape[d] for d in order), indices[0], place)
    try:
        broadcast(*(tuple(i.shape) for i in indices))
    except ShapeError:
        raise DimensionError(
            "shape mismatch: indexing tensors could not be broadcast together with shapes "
            + ", ".join(str(list(i.shape)) for i in indices)
        ) from None
    linear: Any = None
    for d, index in zip(dims, indices, strict=True):
        # taken from a count, an index is wrapped and its range is checked
        checked = apply(OPS["take"], (counted(shape[d]), index), {"dim": 0})
        linear = checked if linear is None else linear * shape[d] + checked
    size = math.prod(shape[d] for d in dims)
    joined = (*(shape[d] for d in rest[:place]), size, *(shape[d] for d in rest[place:]))
    return Advanced(order, joined, linear, place)


def _columns(places: Tensor, count: int) -> list[Tensor]:
    if count == 1:
        return [reshaped(places, (places.numel(),))]
    return list(places.unbind(1))  # type: ignore[attr-defined]


def counted(size: int) -> Tensor:
    """0, 1, 2, ..."""
    return counting(size, dtypes.int64)


def _gathered(shown: Tensor, way: Advanced) -> Tensor:
    """The dimensions that are indexed side by side, as one."""
    if way.order != tuple(range(len(way.order))):
        shown = permuted(shown, way.order)
    return shown if tuple(shown.shape) == way.joined else reshaped(shown, way.joined)


def getitem(x: Tensor, index: Any) -> Tensor:
    """``x[index]``: a view for ints, slices and None; a copy once tensors are among the index.

    In a trace a place that varies with each call makes a copy too. What is written into that is
    written into ``x`` as well (see :class:`graphc.tracing.StandIn`).
    """
    plan = _plan(x, index)
    shown = _basic(x, plan)
    if not plan.arrays:
        return shown
    way = _advanced(plan.shape, plan.arrays)
    result = apply(OPS["take"], (_gathered(shown, way), way.positions), {"dim": way.dim})
    if MODES.trace is not None and _is_place(plan):

        def carry(new: Tensor) -> None:
            shown._write(_placed(shown, plan, new, False))

        MODES.trace.stand_in(result, shown, carry)
    return result


def _is_place(plan: Plan) -> bool:
    """Whether all index tensors are single positions, so that eager code takes a view."""
    return all(index.ndim == 0 and not _is_mask(index) for _, index in plan.arrays)


# ------------------------------------------------------------------------------------ assignment


def setitem(x: Tensor, index: Any, value: Any) -> None:
    """``x[index] = value``, in place; ``value`` is a tensor or a number, and is broadcast."""
    new = _value(x, value)
    if isinstance(index, bool):  # everything, or nothing
        if not index:
            return
        index = None
    plan = _plan(x, index)
    masked = len(plan.arrays) == 1 and _is_mask(plan.arrays[0][1])
    if masked and new.numel() == 1 and any(map(_is_bytes, _items_of(index))):
        raise RuntimeError(
            "masked_fill_ only supports boolean masks, but got mask with dtype unsigned char"
        )
    shown = _basic(x, plan)
    if not plan.arrays:
        shape = tuple(shown.shape)
        shown._write(_fitted(_trimmed(cast(new, x.dtype), len(shape)), shape))
        return
    cast_anyway = new._weak or _is_place(plan) or (masked and new.numel() == 1)
    if new.dtype is not x.dtype and not cast_anyway:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{x.dtype.type_name} for the destination and {new.dtype.type_name} for the source."
        )
    shown._write(_placed(shown, plan, cast(new, x.dtype), False))


def _value(x: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value._here()
    if isinstance(value, (bool, int, float)):
        short = x.dtype.is_floating_point and x.dtype.itemsize == 2  # too large is infinite there
        return number(value if short else converted(value, x.dtype), x.dtype)
    if isinstance(value, complex):
        raise RuntimeError(
            f"value cannot be converted to type {x.dtype.name} without overflow: {value}"
        )
    raise TypeError(f"can't assign a {type(value).__name__} to a {x.dtype.type_name}Tensor")


def _placed(shown: Tensor, plan: Plan, new: Tensor, add: bool) -> Tensor:
    """The view ``shown`` with a value at the places of index tensors and masks."""
    dim, mask = plan.arrays[0]
    if len(plan.arrays) == 1 and _is_mask(mask):
        inner = shown.ndim - dim - mask.ndim
        new = _trimmed(new, dim + 1 + inner)
        uniform = new.ndim <= inner or new.shape[-1 - inner] == 1
        if uniform or MODES.trace is not None:
            spread = _spread_out(new, mask, inner, uniform)
            return _selected(shown, mask, inner, spread, add)
    way = _advanced(plan.shape, plan.arrays)
    base = _gathered(shown, way)
    picked = (*way.joined[: way.dim], *way.positions.shape, *way.joined[way.dim + 1 :])
    values = _fitted(_trimmed(new, len(picked)), picked)
    written = apply(OPS["put_index"], (base, way.positions, values), {"dim": way.dim, "add": add})
    moved = tuple(shown.shape[d] for d in way.order)
    return permuted(reshaped(written, moved), inverse(way.order))


def _selected(shown: Tensor, mask: Tensor, inner: int, spread: Tensor, add: bool) -> Tensor:
    shape = tuple(shown.shape)
    if inner:
        mask = reshaped(mask, (*mask.shape, *(1,) * inner))
    values = _fitted(spread, shape)
    if add:
        values = apply(OPS["add"], (shown, values), {})
    return _fitted(apply(OPS["where"], (mask, values, shown), {}), shape)


def _spread_out(new: Tensor, mask: Tensor, inner: int, uniform: bool) -> Tensor:
    """Values for the elements under a mask, each at its element: the rest means nothing.

    The values stand along one dimension, with ``inner`` others after it, in the mask's order. That
    there are as many as the mask has elements is checked when the program runs: by a position that
    is only inside of its dimension when the difference is 0.
    """
    shape = tuple(new.shape)
    if uniform:
        if new.ndim <= inner:
            return new
        lead = shape[: len(shape) - 1 - inner]
        return reshaped(new, (*lead, *(1,) * mask.ndim, *shape[len(shape) - inner :]))
    axis = len(shape) - 1 - inner
    count = shape[axis]
    if not count:
        attrs = {"value": 0, "dtype": new.dtype, "device": new.device}
        one = {"shape": (*shape[:axis], 1, *shape[axis + 1 :]), **attrs}
        new = apply(OPS["full"], (), one)
    flat = cast(reshaped(mask, (mask.numel(),)), dtypes.int64)
    ranks = apply(OPS["cumsum"], (flat,), {"dim": 0, "reverse": False})
    total = apply(OPS["sum"], (flat,), {"dims": (0,), "keepdim": True})
    ranks = ranks + exactly(total, count)
    first = apply(OPS["maximum"], (ranks - 1, number(0, dtypes.int64)), {})
    within = apply(OPS["minimum"], (first, number(max(count - 1, 0), dtypes.int64)), {})
    places = reshaped(within, tuple(mask.shape))
    return apply(OPS["take"], (new, places), {"dim": axis})


def exactly(value: Tensor, wanted: int) -> Tensor:
    """0 where a vector of one int64 has the wanted value; an IndexError when the program runs else.

    The check is a position in a dimension of size 1, which counts 0.
    """
    distance = apply(OPS["abs"], (value - wanted,), {})
    return apply(OPS["gather"], (counted(1), distance), {"dim": 0})


def _fitted(value: Tensor, shape: Shape) -> Tensor:
    """The value broadcast to the shape of what it is written into."""
    if tuple(value.shape) == shape:
        return value
    lead = len(shape) - value.ndim
    if lead < 0 or any(n not in (1, shape[lead + i]) for i, n in enumerate(value.shape)):
        raise ShapeError(
            f"shape mismatch: value tensor of shape {list(value.shape)} cannot be broadcast to "
            f"indexing result of shape {list(shape)}"
        )
    if lead:
        value = reshaped(value, (*(1,) * lead, *value.shape))
    return apply(OPS["expand"], (value,), {"shape": shape})


def _trimmed(value: Tensor, ndim: int) -> Tensor:
    """Leading dimensions of size 1 beyond the target's are dropped, as PyTorch does."""
    shape = tuple(value.shape)
    while len(shape) > ndim and shape[0] == 1:
        shape = shape[1:]
    return value if shape == tuple(value.shape) else reshaped(value, shape)


# --------------------------------------------------------------------------------------- by name


@tensor_function(inplace=True)
def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy with ``values`` at ``indices``, a tuple of index tensors, masks and Nones.

    Where places repeat the last value stays; with ``accumulate`` values are added.
    """
    if values.dtype is not input.dtype:
        raise RuntimeError(
            "Index put requires the source and destination dtypes match, got "
            f"{input.dtype.type_name} for the destination and {values.dtype.type_name} for the "
            "source."
        )
    plan = _plan(input, _with_slices(indices))
    if not plan.arrays:
        raise RuntimeError("index_put: at least one of the indices must be a tensor")
    return _placed(input, plan, values, accumulate)


def _with_slices(indices: Any) -> tuple[Any, ...]:
    """Indices in which None means a whole dimension."""
    return tuple(slice(None) if i is None else i for i in indices)


@tensor_function(public=False)
def index(self: Tensor, indices: Any) -> Tensor:
    """``self[indices]``, where None means a whole dimension."""
    return getitem(self, _with_slices(indices))


def _iterate(self: Tensor) -> Any:
    if not self.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))  # type: ignore[attr-defined]


setattr(Tensor, "__getitem__", locating(getitem, "indexing"))  # noqa: B010 - mypy knows the declarations
setattr(Tensor, "__setitem__", locating(setitem, "index assignment"))  # noqa: B010
setattr(Tensor, "__iter__", _iterate)  # noqa: B010
