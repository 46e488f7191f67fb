"""``x[...]`` and ``x[...] = v`` in every NumPy form, and the named gathers and scatters."""

from typing import Any, NamedTuple

import numpy as np

from graphc import dtypes
from graphc.errors import DimensionError
from graphc.functions.creation import as_tensor
from graphc.functions.dims import normalise_dim
from graphc.functions.promotion import cast
from graphc.functions.registry import fitted, locating, tensor_function
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


class _Plan(NamedTuple):
    """An index taken apart: slices, then a shape with ints dropped and Nones added, then arrays.

    ``arrays`` are (dimension of that shape, index tensor); ``masks`` likewise with bool tensors.
    """

    starts: tuple[int, ...]
    stops: tuple[int, ...]
    steps: tuple[int, ...]
    shape: tuple[int, ...]
    arrays: tuple[tuple[int, Tensor], ...]


def _items(index: Any) -> tuple[Any, ...]:
    items = index if isinstance(index, tuple) else (index,)
    return tuple(
        as_tensor(i) if isinstance(i, (list, np.ndarray)) else i.item()
        if isinstance(i, np.generic) else i
        for i in items
    )  # fmt: skip


def _consumed(item: Any) -> int:
    """How many dimensions of the tensor an item of an index covers."""
    if item is None or item is Ellipsis or isinstance(item, bool):
        return 0
    if isinstance(item, Tensor) and item.dtype in (dtypes.bool, dtypes.uint8):
        return item.ndim
    return 1


def _plan(x: Tensor, index: Any) -> _Plan:
    items = list(_items(index))
    shape = tuple(x.shape)
    used = sum(map(_consumed, items))
    if used > len(shape):
        raise DimensionError(f"too many indices for tensor of dimension {len(shape)}")
    ellipses = [i for i, item in enumerate(items) if item is Ellipsis]
    if len(ellipses) > 1:
        raise DimensionError("an index can only have a single ellipsis ('...')")
    fill = [slice(None)] * (len(shape) - used)
    place = ellipses[0] if ellipses else len(items)
    items[place : place + 1] = fill
    bounds: list[tuple[int, int, int]] = []
    result: list[int] = []
    arrays: list[tuple[int, Tensor]] = []
    dim = 0
    for item in items:
        if item is None:
            result.append(1)
        elif isinstance(item, bool):
            arrays.append((len(result), as_tensor([0] if item else [], dtype=dtypes.int64)))
            result.append(1)
        elif isinstance(item, slice):
            start, stop, step = _slice(item, shape[dim])
            bounds.append((start, stop, step))
            result.append(max(0, -(-(stop - start) // step)))
            dim += 1
        elif (isinstance(item, Tensor) and _consumed(item) != 1) or _is_mask(item):
            for positions in _nonzero(item, shape[dim : dim + item.ndim], dim):
                arrays.append((len(result), positions))
                bounds.append((0, shape[dim], 1))
                result.append(shape[dim])
                dim += 1
        elif isinstance(item, Tensor) and item.ndim == 0 and not item._traced:
            bounds.append(_one(int(item._array()), shape, dim))
            dim += 1
        elif isinstance(item, Tensor):
            arrays.append((len(result), item))
            bounds.append((0, shape[dim], 1))
            result.append(shape[dim])
            dim += 1
        elif hasattr(item, "__index__"):
            bounds.append(_one(item.__index__(), shape, dim))
            dim += 1
        else:
            raise TypeError(
                f"only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables "
                f"are valid indices (got {type(item).__name__})"
            )
    return _Plan(
        tuple(b[0] for b in bounds),
        tuple(b[1] for b in bounds),
        tuple(b[2] for b in bounds),
        tuple(result),
        tuple(arrays),
    )


def _is_mask(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dtype in (dtypes.bool, dtypes.uint8)


def _slice(item: slice, size: int) -> tuple[int, int, int]:
    bounds = [None if b is None else int(b) for b in (item.start, item.stop, item.step)]
    if bounds[2] is not None and bounds[2] <= 0:
        raise ValueError("step must be greater than zero")
    start, stop, step = slice(*bounds).indices(size)
    return start, max(start, stop), step


def _one(position: int, shape: tuple[int, ...], dim: int) -> tuple[int, int, int]:
    """The slice that holds one position, which an integer index then drops."""
    size = shape[dim]
    if not -size <= position < size:
        raise DimensionError(
            f"index {position} is out of bounds for dimension {dim} with size {size}"
        )
    return position % size, position % size + 1, 1


def _nonzero(mask: Tensor, expected: tuple[int, ...], dim: int) -> list[Tensor]:
    if tuple(mask.shape) != expected:
        wrong = next(i for i, (a, b) in enumerate(zip(mask.shape, expected, strict=True)) if a != b)
        raise DimensionError(
            f"The shape of the mask {list(mask.shape)} at index {wrong} does not match the shape "
            f"of the indexed tensor at index {dim + wrong}"
        )
    return list(_positions(mask).unbind(1))  # type: ignore[attr-defined]


def _positions(input: Tensor) -> Tensor:
    """Where a tensor is not zero, ``[count, ndim]``: the one value-dependent shape there is."""
    if MODES.trace is not None:
        return MODES.trace.positions(input)
    return Tensor._make(np.argwhere(input._array()))  # type: ignore[no-any-return]


def _basic(x: Tensor, plan: _Plan) -> Tensor:
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
        x = apply(OPS["reshape"], (x,), {"shape": plan.shape})
    return x


class _Advanced(NamedTuple):
    """Index tensors over several dimensions as one: permute, join, take along ``dim``."""

    order: tuple[int, ...]
    joined: tuple[int, ...]
    positions: Tensor
    dim: int


def _advanced(shape: tuple[int, ...], arrays: tuple[tuple[int, Tensor], ...]) -> _Advanced:
    dims = [d for d, _ in arrays]
    for _, index in arrays:
        if index.dtype.is_floating_point:
            raise DimensionError("tensors used as indices must be long, int, byte or bool tensors")
    indices = [cast(index, dtypes.int64) for _, index in arrays]
    adjacent = dims == list(range(dims[0], dims[0] + len(dims)))
    place = dims[0] if adjacent else 0
    rest = [d for d in range(len(shape)) if d not in dims]
    order = (*rest[:place], *dims, *rest[place:])
    if len(arrays) == 1:
        return _Advanced(order, tuple(shape[d] for d in order), indices[0], place)
    linear: Any = None
    for d, index in zip(dims, indices, strict=True):
        counting = apply(
            OPS["iota"],
            (),
            {"shape": (shape[d],), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1,
             "device": CPU},
        )  # fmt: skip
        checked = apply(OPS["take"], (counting, index), {"dim": 0})  # wraps, and checks its range
        linear = checked if linear is None else linear * shape[d] + checked
    size = int(np.prod([shape[d] for d in dims]))
    joined = (*(shape[d] for d in rest[:place]), size, *(shape[d] for d in rest[place:]))
    return _Advanced(order, joined, linear, place)


def getitem(x: Tensor, index: Any) -> Tensor:
    """``x[index]``: a view for ints, slices and None; a copy once tensors are among the index."""
    plan = _plan(x, index)
    shown = _basic(x, plan)
    if not plan.arrays:
        return shown
    way = _advanced(plan.shape, plan.arrays)
    if way.order != tuple(range(len(way.order))):
        shown = apply(OPS["permute"], (shown,), {"dims": way.order})
    if tuple(shown.shape) != way.joined:
        shown = apply(OPS["reshape"], (shown,), {"shape": way.joined})
    return apply(OPS["take"], (shown, way.positions), {"dim": way.dim})


def setitem(x: Tensor, index: Any, value: Any) -> None:
    """``x[index] = value``, in place; ``value`` is cast and broadcast."""
    if not isinstance(value, Tensor):
        value = as_tensor(value, dtype=x.dtype)
    value = cast(value, x.dtype)
    mask = _items(index)
    if len(mask) == 1 and _is_mask(mask[0]) and value.numel() == 1:
        _set_masked(x, cast(mask[0], dtypes.bool), value)
        return
    plan = _plan(x, index)
    shown = _basic(x, plan)
    if not plan.arrays:
        shown._write(fitted(_trimmed(value, shown.ndim), shown, "setitem"))
        return
    way = _advanced(plan.shape, plan.arrays)
    moved = apply(OPS["permute"], (shown,), {"dims": way.order})
    base = apply(OPS["reshape"], (moved,), {"shape": way.joined})
    picked = (*way.joined[: way.dim], *way.positions.shape, *way.joined[way.dim + 1 :])
    target = Tensor._make(np.broadcast_to(np.zeros((), x.dtype.numpy), picked))
    values = fitted(_trimmed(value, len(picked)), target, "setitem")
    written = apply(OPS["put_index"], (base, way.positions, values), {"dim": way.dim, "add": False})
    back = apply(OPS["reshape"], (written,), {"shape": tuple(moved.shape)})
    inverse = tuple(int(i) for i in np.argsort(way.order))
    shown._write(apply(OPS["permute"], (back,), {"dims": inverse}))


def _set_masked(x: Tensor, mask: Tensor, value: Tensor) -> None:
    rank = x.ndim - mask.ndim
    if rank < 0 or tuple(mask.shape) != tuple(x.shape)[: mask.ndim]:
        raise DimensionError(
            f"The shape of the mask {list(mask.shape)} at index 0 does not match the shape of the "
            f"indexed tensor {list(x.shape)} at index 0"
        )
    if rank:
        mask = apply(OPS["reshape"], (mask,), {"shape": (*mask.shape, *(1,) * rank)})
    number = apply(OPS["reshape"], (value,), {"shape": ()})
    x._write(fitted(apply(OPS["where"], (mask, number, x), {}), x, "setitem"))


def _trimmed(value: Tensor, ndim: int) -> Tensor:
    """Leading dimensions of size 1 beyond the target's are dropped, as PyTorch does."""
    shape = tuple(value.shape)
    while len(shape) > ndim and shape[0] == 1:
        shape = shape[1:]
    return value if shape == tuple(value.shape) else value.reshape(shape)  # type: ignore[attr-defined, no-any-return]


def _along(name: str, index: Tensor) -> Tensor:
    if index.dtype is not dtypes.int64 and index.dtype is not dtypes.int32:
        raise RuntimeError(f"{name}(): Expected dtype int64 for index")
    return cast(index, dtypes.int64)


@tensor_function(out=True)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, likewise for others."""
    del sparse_grad
    axis = normalise_dim(dim, input.ndim)
    return apply(OPS["gather"], (input, _along("gather", index)), {"dim": axis})


@tensor_function(out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of ``input`` along ``dim`` that a vector of positions names."""
    axis = normalise_dim(dim, input.ndim)
    return apply(OPS["take"], (input, _along("index_select", index)), {"dim": axis})


@tensor_function(inplace=True)
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None
) -> Tensor:
    """A copy with ``src`` written at ``index`` along ``dim``."""
    return _scatter(input, dim, index, src if value is None else value, False)


@tensor_function(inplace=True)
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy with ``src`` added at ``index`` along ``dim``; duplicates add up in order."""
    return _scatter(input, dim, index, src, True)


def _scatter(input: Tensor, dim: int, index: Tensor, src: Any, add: bool) -> Tensor:
    axis = normalise_dim(dim, input.ndim)
    if not isinstance(src, Tensor):
        src = as_tensor(src, dtype=input.dtype).expand(tuple(index.shape))  # type: ignore[attr-defined]
    elif tuple(src.shape) != tuple(index.shape):
        src = src[tuple(slice(n) for n in index.shape)]  # type: ignore[index]
    if src.dtype is not input.dtype:
        raise RuntimeError("scatter(): Expected self.dtype to be equal to src.dtype")
    operands = (input, _along("scatter", index), src)
    return apply(OPS["scatter"], operands, {"dim": axis, "add": add})


@tensor_function
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The positions of elements that are not zero, one row each (or one tensor a dimension)."""
    if not as_tuple:
        return _positions(input)
    return _positions(input if input.ndim else input.reshape(1)).unbind(1)  # type: ignore[attr-defined]


@tensor_function
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where ``mask`` holds, in order."""
    shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    return getitem(input.expand(shape), mask.expand(shape))  # type: ignore[attr-defined]


def _iterate(self: Tensor) -> Any:
    if not self.ndim:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))  # type: ignore[attr-defined]


setattr(Tensor, "__getitem__", locating(getitem, "indexing"))  # noqa: B010 - mypy knows the declarations
setattr(Tensor, "__setitem__", locating(setitem, "index assignment"))  # noqa: B010
setattr(Tensor, "__iter__", _iterate)  # noqa: B010
