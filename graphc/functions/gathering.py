"""Elements and slices picked by index tensors, and the positions of what is not zero."""

from typing import Any

from graphc import dtypes
from graphc.errors import DimensionError, PositionError
from graphc.functions.dims import normalise_dim
from graphc.functions.indexing import counted, getitem, positions
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function, write_out
from graphc.functions.shape import expand, reshaped
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.ops.rules import broadcast
from graphc.tensor import Tensor, apply


def index_of(name: str, index: Tensor, *allowed: dtypes.dtype) -> Tensor:
    """An index in int64. Raises RuntimeError for a dtype that is not ``allowed``."""
    if index.dtype not in (allowed or (dtypes.int64, dtypes.int32)):
        raise RuntimeError(f"{name}(): Expected dtype int32/int64 for index")
    return cast(index, dtypes.int64)


def not_wrapped(index: Tensor, size: int, what: str = "index out of range in self") -> Tensor:
    """The index of a function for which negative entries are out of range; IndexError for those."""
    if MODES.trace is None:
        array = index._array()
        if array.size and (array.min() < 0 or array.max() >= size):
            wrong = array[(array < 0) | (array >= size)].flat[0]
            raise PositionError(f"{what}: {wrong} is not in [0, {size})")
        return index
    flat = reshaped(index, (index.numel(),))
    return reshaped(apply(OPS["gather"], (counted(size), flat), {"dim": 0}), tuple(index.shape))


def lifted(tensor: Tensor) -> Tensor:
    """A number as a vector of one element."""
    return tensor if tensor.ndim else reshaped(tensor, (1,))


@tensor_function(out=True)
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j] = input[index[i][j]][j]`` for dim 0, likewise for others."""
    del sparse_grad
    axis = normalise_dim(dim, input.ndim)
    if not index.numel():
        flat = reshaped(input, (input.numel(),))
        return apply(OPS["take"], (flat, cast(index, dtypes.int64)), {"dim": 0})
    places = index_of("gather", index)
    result = apply(OPS["gather"], (lifted(input), lifted(places)), {"dim": axis})
    return result if index.ndim else reshaped(result, ())


@tensor_function(out=True)
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of ``input`` along ``dim`` that a vector of positions names."""
    axis = normalise_dim(dim, input.ndim)
    if index.ndim > 1:
        raise DimensionError("index_select(): Index is supposed to be a vector")
    if index.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError("index_select(): Expected dtype int32 or int64 for index")
    if not input.ndim and index.numel() != 1:
        raise RuntimeError("index_select(): Index to scalar can have only 1 value, got "
                           f"{index.numel()} value(s)")  # fmt: skip
    source = lifted(input)
    places = not_wrapped(lifted(cast(index, dtypes.int64)), source.shape[axis])
    result = apply(OPS["take"], (source, places), {"dim": axis})
    return result if input.ndim else reshaped(result, ())


@tensor_function(out=True)
def take(input: Tensor, index: Tensor) -> Tensor:
    """Elements of the flattened tensor, in the shape of the index."""
    if index.dtype is not dtypes.int64:
        raise RuntimeError(
            f"take(): Expected a long tensor for index, but got {index.dtype.type_name}"
        )
    flat = reshaped(input, (input.numel(),))
    if not input.numel() and index.numel():
        raise DimensionError("take(): tried to take from an empty tensor")
    return apply(OPS["take"], (flat, index), {"dim": 0})


@tensor_function(out=True)
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Elements along ``dim`` at positions that broadcast against the other dimensions."""
    if indices.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError(
            f"torch.take_along_dim(): dtype of indices should be Long or Int but got "
            f"{indices.dtype.type_name}"
        )
    if dim is None:
        input, dim = reshaped(input, (input.numel(),)), 0
        indices = reshaped(indices, (indices.numel(),))
    if indices.ndim != input.ndim:
        raise RuntimeError(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, "
            f"but got {input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    axis = normalise_dim(dim, input.ndim)
    mine, other = list(input.shape), list(indices.shape)
    mine[axis], other[axis] = indices.shape[axis], input.shape[axis]
    places = expand(indices, broadcast(tuple(indices.shape), tuple(mine)))
    source = expand(input, broadcast(tuple(input.shape), tuple(other)))
    size = source.shape[axis]
    wide = cast(places, dtypes.int64)
    negative = apply(OPS["lt"], (wide, 0), {})
    wrapped = apply(OPS["where"], (negative, wide + size, wide), {})
    return gather(source, axis, wrapped)


@tensor_function
def nonzero(input: Tensor, *, as_tuple: bool = False, out: Tensor | None = None) -> Any:
    """The positions of elements that are not zero, one row each (or one tensor a dimension)."""
    if not as_tuple:
        found = positions(input)
        return found if out is None else write_out(out, found, "nonzero")
    return positions(lifted(input)).unbind(1)


@tensor_function
def argwhere(input: Tensor) -> Tensor:
    """The positions of elements that are not zero, one row each."""
    return positions(input)


@tensor_function(out=True)
def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """The first ``size`` rows of :func:`nonzero`, filled up with ``fill_value``."""
    if size < 0:
        raise RuntimeError(f"nonzero_static: 'size' must be an non-negative integer, got {size}")
    if not input.ndim or not size or not input.numel():
        attrs = {"value": fill_value, "shape": (size, input.ndim), "dtype": dtypes.int64}
        return apply(OPS["full"], (), {**attrs, "device": input.device})
    flat = cast(reshaped(input, (input.numel(),)), dtypes.bool)
    ranks = apply(OPS["cumsum"], (cast(flat, dtypes.int64),), {"dim": 0, "reverse": False})
    spare = apply(OPS["where"], (flat, ranks - 1, size), {})
    slot = apply(OPS["minimum"], (spare, size), {})
    columns = []
    for d in range(input.ndim):
        attrs = {"shape": tuple(input.shape), "dim": d, "dtype": dtypes.int64, "start": 0,
                 "step": 1, "device": input.device}  # fmt: skip
        place = reshaped(apply(OPS["iota"], (), attrs), (input.numel(),))
        blank = {"value": fill_value, "shape": (size + 1,), "dtype": dtypes.int64}
        empty = apply(OPS["full"], (), {**blank, "device": input.device})
        found = apply(OPS["put_index"], (empty, slot, place), {"dim": 0, "add": False})
        columns.append(reshaped(found, (size + 1, 1)))
    return apply(OPS["cat"], columns, {"dim": 1})[:size]


@tensor_function(out=True)
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where ``mask`` holds, in order; both broadcast."""
    if mask.dtype is not dtypes.bool:
        raise RuntimeError("masked_select: expected BoolTensor for mask")
    shape = broadcast(tuple(input.shape), tuple(mask.shape))
    source, where = expand(input, shape), expand(mask, shape)
    if not shape:
        source, where = lifted(source), lifted(where)
    return getitem(source, where)


@tensor_function
def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Flat positions as one tensor of positions for each dimension of a shape."""
    sizes = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if indices.dtype.is_floating_point or indices.dtype is dtypes.bool:
        raise ValueError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if any(n < 0 for n in sizes):
        raise ValueError(f"'shape' cannot have negative values, but got {sizes}")
    parts, rest = [], cast(indices, dtypes.int64)
    for n in reversed(sizes):
        parts.append(apply(OPS["remainder"], (rest, n), {}))
        rest = apply(OPS["floor_divide"], (rest, n), {})
    return tuple(reversed(parts))
