"""Functions that move or repeat elements into new memory: flips, rolls, rotations, copies."""

import operator
from typing import Any

import numpy as np

from graphc import dtypes, layouts
from graphc.errors import DimensionError
from graphc.functions.creation import as_tensor
from graphc.functions.dims import normalise_dim
from graphc.functions.factory import in_format
from graphc.functions.indexing import counted, exactly
from graphc.functions.literals import literal
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.functions.shape import Ints, permuted, reshaped, sizes_of, sliced
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


@tensor_function
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, through which gradients flow, with the memory order of ``input`` or of the format."""
    format = layouts.checked_format("clone", memory_format, layouts.ANY)
    if format is layouts.preserve_format:
        return apply(OPS["clone"], (input,), {})
    return in_format(input, format)


@tensor_function(public=False)
def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself when its memory is in the order of the format, else a copy that is.

    Raises RuntimeError when the format is for tensors of another rank.
    """
    format = layouts.checked_format("contiguous", memory_format, _FORMATS)
    if self.is_contiguous(memory_format=format):
        return self
    if format is layouts.preserve_format:
        raise RuntimeError("preserve memory format is unsupported by the contiguous operator")
    return in_format(self, format)


_FORMATS = (*layouts.DEFINITE, layouts.preserve_format)


# ------------------------------------------------------------------------------------------ flips


def _flipped(input: Tensor, dims: tuple[int, ...]) -> Tensor:
    axes = tuple(sorted(normalise_dim(d, input.ndim) for d in dims))
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"dim {axes[0]} appears multiple times in the list of dims")
    return apply(OPS["flip"], (input,), {"dims": axes if input.ndim else ()})


@tensor_function
def flip(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """A copy with some dimensions reversed."""
    return _flipped(input, sizes_of(args, dims))


@tensor_function
def flipud(input: Tensor) -> Tensor:
    """A copy with its rows in reverse."""
    if not input.ndim:
        raise RuntimeError("Input must be >= 1-d.")
    return _flipped(input, (0,))


@tensor_function
def fliplr(input: Tensor) -> Tensor:
    """A copy with its columns in reverse."""
    if input.ndim < 2:
        raise RuntimeError("Input must be >= 2-d.")
    return _flipped(input, (1,))


@tensor_function
def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """A copy turned by ``k`` right angles from the first of two dimensions towards the second."""
    given = sizes_of((dims,))
    if len(given) != 2:
        raise RuntimeError(f"expected total rotation dims == 2, but got dims = {len(given)}")
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    for i, d in enumerate(given):
        if not -input.ndim <= d < input.ndim:
            raise RuntimeError(f"Rotation dim{i} out of range, dim{i} = {d}")
    a, b = (normalise_dim(d, input.ndim) for d in given)
    if a == b:
        raise RuntimeError(
            f"expected rotation dims to be different, but got dim0 = {given[0]} and dim1 = "
            f"{given[1]}"
        )
    k %= 4
    if k == 0:
        return clone(input)
    if k == 2:
        return _flipped(input, (a, b))
    order = list(range(input.ndim))
    order[a], order[b] = b, a
    turned = permuted(_flipped(input, (b,) if k == 1 else (a,)), tuple(order))
    return clone(turned)


@tensor_function
def roll(input: Tensor, shifts: Ints, dims: Any = ()) -> Tensor:
    """Elements moved along dimensions, those that fall off the end re-entering at the start."""
    moves = list(sizes_of((shifts,)))
    axes = [] if dims is None else list(sizes_of((dims,)))
    if not moves:
        raise RuntimeError("`shifts` required")
    if not axes and len(moves) == 1:
        flat = reshaped(input, (input.numel(),))
        return reshaped(roll(flat, moves[0], 0), tuple(input.shape))
    if len(moves) != len(axes):
        raise RuntimeError(
            f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(axes)}"
        )
    if not input.ndim:
        raise DimensionError(f"Dimension specified as {axes[0]} but tensor has no dimensions")
    result = input
    for shift, dim in zip(moves, axes, strict=True):
        axis = normalise_dim(dim, input.ndim)
        size = input.shape[axis]
        cut = (size - shift % size) if size and shift % size else 0
        if cut:
            parts = [sliced(result, axis, cut, size, 1), sliced(result, axis, 0, cut, 1)]
            result = apply(OPS["cat"], parts, {"dim": axis})
    return clone(result) if result is input else result


# ---------------------------------------------------------------------------------------- repeats


@tensor_function(public=False)
def repeat(self: Tensor, *args: Any, repeats: Any = None) -> Tensor:
    """The tensor laid out several times along each dimension; always a copy."""
    counts = sizes_of(args, repeats)
    lead = len(counts) - self.ndim
    if lead < 0:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    for n in counts:
        if n < 0:
            raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {counts}")
    shape = (1,) * lead + tuple(self.shape)
    apart = tuple(n for size in shape for n in (1, size))
    wide = tuple(n for count, size in zip(counts, shape, strict=True) for n in (count, size))
    spread = apply(OPS["expand"], (reshaped(self, apart),), {"shape": wide})
    joined = tuple(count * size for count, size in zip(counts, shape, strict=True))
    return clone(reshaped(spread, joined))


@tensor_function
def tile(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """Like :meth:`Tensor.repeat`, with missing leading counts taken as 1."""
    counts = sizes_of(args, dims)
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)


@tensor_function
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each element (along ``dim``, or of the flattened tensor) repeated in place.

    ``repeats`` is a number, or a vector with one count for each element; in a compiled function a
    vector needs ``output_size``, their sum. ``repeat_interleave(counts)`` gives the positions.
    """
    if repeats is None:
        return _interleaving(input, output_size)
    if dim is None:
        input, dim = reshaped(input, (input.numel(),)), 0
    axis = normalise_dim(dim, input.ndim)
    source = input if input.ndim else reshaped(input, (1,))
    shape = tuple(source.shape)
    if isinstance(repeats, (list, tuple)):
        repeats = as_tensor(repeats, dtype=dtypes.int64)
    if isinstance(repeats, Tensor):
        if repeats.ndim > 1 or repeats.numel() not in (1, shape[axis]):
            raise RuntimeError(
                "repeats must have the same size as input along dim, but got repeats.size(0) = "
                f"{repeats.numel()} and input.size({axis}) = {shape[axis]}"
            )
        counts = reshaped(repeats, (repeats.numel(),))
        if repeats.numel() != shape[axis]:
            counts = apply(OPS["expand"], (counts,), {"shape": (shape[axis],)})
        return apply(OPS["take"], (source, _interleaving(counts, output_size)), {"dim": axis})
    count = operator.index(repeats)
    if count < 0:
        raise RuntimeError("Repeats must be non-negative")
    total = shape[axis] * count
    if output_size is not None and output_size != total:
        raise RuntimeError(
            f"repeat_interleave: Invalid output_size, expected {total} but got {output_size}"
        )
    apart = reshaped(source, (*shape[: axis + 1], 1, *shape[axis + 1 :]))
    wide = (*shape[: axis + 1], count, *shape[axis + 1 :])
    spread = apply(OPS["expand"], (apart,), {"shape": wide})
    return clone(reshaped(spread, (*shape[:axis], total, *shape[axis + 1 :])))


def _interleaving(counts: Tensor, output_size: int | None) -> Tensor:
    """Position ``i`` as often as the ``i``-th count says."""
    if counts.ndim != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if counts.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError("repeats has to be Long or Int tensor")
    if MODES.trace is None or output_size is None:
        array = counts._array()
        if array.size and array.min() < 0:
            raise RuntimeError("repeats can not be negative")
        positions = np.repeat(np.arange(array.size, dtype=counts.dtype.numpy), array)
        if output_size is not None and positions.size != output_size:
            raise RuntimeError(
                f"allocated size does not match required size: output_size is {output_size}, the "
                f"repeats add up to {positions.size}"
            )
        return literal(positions)
    return _counted(cast(counts, dtypes.int64), output_size, counts.dtype)


def _counted(counts: Tensor, size: int, dtype: dtypes.dtype) -> Tensor:
    """The same for a known size: entry ``j`` is how many runs have ended before it.

    Repeats of another sum lead to a position outside, so they are reported when the program runs.
    """
    places = reshaped(counted(size), (size, 1))
    ends = counts.cumsum(0)
    ended = apply(OPS["le"], (reshaped(ends, (1, counts.numel())), places), {})
    found = apply(OPS["sum"], (cast(ended, dtypes.int64),), {"dims": (1,), "keepdim": False})
    total = apply(OPS["sum"], (counts,), {"dims": (0,), "keepdim": False})
    return cast(found + exactly(reshaped(total, (1,)), size), dtype)
