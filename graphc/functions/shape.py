"""Functions that rearrange elements: views where PyTorch gives views, joins, splits, flips."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DimensionError, ShapeError
from graphc.functions.dims import normalise_dim
from graphc.functions.promotion import cast, common_dtype
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

Ints = int | Sequence[int]


def _given(args: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` mean the same."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        args = tuple(args[0])
    return tuple(int(a.item()) if isinstance(a, Tensor) else int(a) for a in args)


def _resolved(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """A shape whose single -1 is worked out from the number of elements."""
    if shape.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if any(n < -1 for n in shape):
        bad = next(n for n in shape if n < -1)
        raise RuntimeError(f"invalid shape dimension {bad} at index {shape.index(bad)} of shape "
                           f"{list(shape)}")  # fmt: skip
    known = math.prod(n for n in shape if n != -1)
    if -1 in shape:
        if known == 0:
            raise RuntimeError(
                f"cannot reshape tensor of 0 elements into shape {list(shape)} because the "
                "unspecified dimension size -1 can be any value and is ambiguous"
            )
        if count % known:
            raise ShapeError(f"shape '{list(shape)}' is invalid for input of size {count}")
        return tuple(count // known if n == -1 else n for n in shape)
    if known != count:
        raise ShapeError(f"shape '{list(shape)}' is invalid for input of size {count}")
    return shape


def _reshape(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    return apply(OPS["reshape"], (input,), {"shape": shape})


@tensor_function
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape: a view where the strides allow, else a copy."""
    return _reshape(input, _resolved(_given(shape), input.numel()))


def _view(input: Tensor, *shape: Any) -> Tensor:
    """The same memory in another shape, or (given a dtype) read as another dtype.

    Raises RuntimeError when the strides do not allow it.
    """
    if len(shape) == 1 and isinstance(shape[0], dtypes.dtype):
        return Tensor._make(input._array().view(shape[0].numpy))  # type: ignore[no-any-return]
    result = _reshape(input, _resolved(_given(shape), input.numel()))
    if result._base is None and result.numel():
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return result


tensor_function(_view, name="view", public=False)


@tensor_function(public=False)
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """``self.view(other.shape)``."""
    return _view(self, tuple(other.shape))


@tensor_function(public=False)
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """``self.reshape(other.shape)``."""
    return reshape(self, tuple(other.shape))  # type: ignore[no-any-return]


@tensor_function
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` joined into one."""
    first, last = (normalise_dim(d, input.ndim) for d in (start_dim, end_dim))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    shape = tuple(input.shape)
    if not shape:
        return _reshape(input, (1,))
    joined = math.prod(shape[first : last + 1])
    return _reshape(input, (*shape[:first], joined, *shape[last + 1 :]))


@tensor_function
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension split into several."""
    axis = normalise_dim(dim, input.ndim)
    shape = tuple(input.shape)
    split = _resolved(tuple(sizes), shape[axis])
    return _reshape(input, (*shape[:axis], *split, *shape[axis + 1 :]))


@tensor_function(inplace=False)
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the dimensions of size 1 (or only the given ones)."""
    if dim is None:
        dropped = {i for i, n in enumerate(input.shape) if n == 1}
    else:
        dims = (dim,) if isinstance(dim, int) else dim
        dropped = {normalise_dim(d, input.ndim) for d in dims}
        dropped = {d for d in dropped if input.ndim and input.shape[d] == 1}
    return _reshape(input, tuple(n for i, n in enumerate(input.shape) if i not in dropped))


@tensor_function
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at ``dim``."""
    axis = normalise_dim(dim, input.ndim + 1)
    shape = tuple(input.shape)
    return _reshape(input, (*shape[:axis], 1, *shape[axis:]))


def _permute(input: Tensor, dims: tuple[int, ...]) -> Tensor:
    return apply(OPS["permute"], (input,), {"dims": dims})


@tensor_function
def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dimensions in another order."""
    given = _given(dims)
    if len(given) != input.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {input.ndim} is not "
            f"equal to len(dims) = {len(given)}"
        )
    order = tuple(normalise_dim(d, input.ndim) for d in given)
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _permute(input, order)


@tensor_function(aliases=("swapaxes", "swapdims"))
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    a, b = normalise_dim(dim0, input.ndim), normalise_dim(dim1, input.ndim)
    order = list(range(input.ndim))
    if order:
        order[a], order[b] = order[b], order[a]
    return _permute(input, tuple(order))


@tensor_function
def t(input: Tensor) -> Tensor:
    """A matrix transposed; vectors and numbers as they are."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return _permute(input, tuple(reversed(range(input.ndim))))


@tensor_function(aliases=("moveaxis",))
def movedim(input: Tensor, source: Ints, destination: Ints) -> Tensor:
    """Some dimensions moved to other places; the rest keep their order."""
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    if len(sources) != len(targets):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({sources} dims) should contain "
            f"the same number of dims as destination ({targets} dims)"
        )
    froms = [normalise_dim(d, input.ndim) for d in sources]
    to = [normalise_dim(d, input.ndim) for d in targets]
    places = dict(zip(to, froms, strict=True))
    rest = iter(d for d in range(input.ndim) if d not in froms)
    return _permute(input, tuple(places[i] if i in places else next(rest)
                                 for i in range(input.ndim)))  # fmt: skip


@tensor_function(public=False)
def expand(self: Tensor, *sizes: Any) -> Tensor:
    """Size-1 dimensions repeated without copying; -1 keeps a size."""
    given = _given(sizes)
    lead = len(given) - self.ndim
    if lead < 0:
        raise RuntimeError(
            f"expand({self.dtype}{list(self.shape)}, size={list(given)}): the number of sizes "
            f"provided ({len(given)}) must be greater or equal to the number of dimensions in the "
            f"tensor ({self.ndim})"
        )
    target = []
    for i, n in enumerate(given):
        have = self.shape[i - lead] if i >= lead else 1
        if n == -1:
            if i < lead:
                raise RuntimeError(
                    f"expand({list(self.shape)}, size={list(given)}): The expanded size of the "
                    f"tensor (-1) isn't allowed in a leading, non-existing dimension {i}"
                )
            n = have
        if have not in (n, 1):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({have}) at "
                f"non-singleton dimension {i}.  Target sizes: {list(given)}.  Tensor sizes: "
                f"{list(self.shape)}"
            )
        target.append(n)
    source = _reshape(self, (1,) * lead + tuple(self.shape)) if lead else self
    return apply(OPS["expand"], (source,), {"shape": tuple(target)})


@tensor_function(public=False)
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """``self.expand(other.shape)``."""
    return expand(self, tuple(other.shape))  # type: ignore[no-any-return]


@tensor_function
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """``input.expand(size)``."""
    return expand(input, tuple(size))  # type: ignore[no-any-return]


@tensor_function(method=False)
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors expanded to their common shape."""
    shape = np.broadcast_shapes(*(tuple(x.shape) for x in tensors))
    return tuple(expand(x, shape) for x in tensors)


@tensor_function(public=False)
def repeat(self: Tensor, *repeats: Any) -> Tensor:
    """The tensor laid out several times along each dimension; always a copy."""
    counts = _given(repeats)
    lead = len(counts) - self.ndim
    if lead < 0:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            "tensor"
        )
    shape = (1,) * lead + tuple(self.shape)
    apart = tuple(n for size in shape for n in (1, size))
    wide = tuple(n for count, size in zip(counts, shape, strict=True) for n in (count, size))
    spread = apply(OPS["expand"], (_reshape(self, apart),), {"shape": wide})
    joined = tuple(count * size for count, size in zip(counts, shape, strict=True))
    return apply(OPS["clone"], (_reshape(spread, joined),), {})


@tensor_function
def tile(input: Tensor, *dims: Any) -> Tensor:
    """Like :meth:`repeat`, with missing leading counts taken as 1."""
    counts = _given(dims)
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)  # type: ignore[no-any-return]


@tensor_function(method=False, out=True, aliases=("concat", "concatenate"))
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an existing dimension."""
    parts = list(tensors)
    if not parts:
        raise RuntimeError("expected a non-empty list of Tensors")
    kept = [x for x in parts if tuple(x.shape) != (0,)] or parts[:1]  # PyTorch's legacy empties
    dtype = common_dtype(parts)
    if kept[0].ndim == 0:
        raise RuntimeError("zero-dimensional tensor (at position 0) cannot be concatenated")
    axis = normalise_dim(dim, kept[0].ndim)
    return apply(OPS["cat"], [cast(x, dtype) for x in kept], {"dim": axis})


@tensor_function(method=False, out=True)
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    parts = list(tensors)
    if not parts:
        raise RuntimeError("stack expects a non-empty TensorList")
    for i, x in enumerate(parts):
        if tuple(x.shape) != tuple(parts[0].shape):
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(parts[0].shape)} at "
                f"entry 0 and {list(x.shape)} at entry {i}"
            )
    return cat([unsqueeze(x, dim) for x in parts], normalise_dim(dim, parts[0].ndim + 1))  # type: ignore[no-any-return]


def _at_least(x: Tensor, ndim: int) -> Tensor:
    return x if x.ndim >= ndim else _reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape))


@tensor_function(method=False)
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along dimension 1 (0 for vectors)."""
    parts = [_at_least(x, 1) for x in tensors]
    return cat(parts, 0 if parts[0].ndim == 1 else 1)  # type: ignore[no-any-return]


@tensor_function(method=False)
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined as rows."""
    return cat([_at_least(x, 2) for x in tensors], 0)  # type: ignore[no-any-return]


@tensor_function
def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Elements ``start`` to ``start + length`` along ``dim``."""
    axis = normalise_dim(dim, input.ndim)
    size = input.shape[axis]
    begin = start + size if start < 0 else start
    if begin < 0 or length < 0 or begin + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return sliced(input, axis, begin, begin + length, 1)


def sliced(input: Tensor, axis: int, start: int, stop: int, step: int) -> Tensor:
    """A view of part of one dimension; the bounds are in range and the step positive."""
    n = input.ndim
    shape = tuple(input.shape)
    attrs = {
        "starts": tuple(start if i == axis else 0 for i in range(n)),
        "stops": tuple(stop if i == axis else shape[i] for i in range(n)),
        "steps": tuple(step if i == axis else 1 for i in range(n)),
    }
    return apply(OPS["slice"], (input,), attrs)


@tensor_function
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One element along ``dim``, which disappears. Raises IndexError out of range."""
    if not input.ndim:
        raise DimensionError("select() cannot be applied to a 0-dim tensor.")
    axis = normalise_dim(dim, input.ndim)
    size = input.shape[axis]
    if not -size <= index < size:
        raise DimensionError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at "
            f"dimension {axis}"
        )
    begin = index % size
    part = sliced(input, axis, begin, begin + 1, 1)
    shape = tuple(input.shape)
    return _reshape(part, (*shape[:axis], *shape[axis + 1 :]))


@tensor_function
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """All elements along ``dim`` as separate views."""
    axis = normalise_dim(dim, input.ndim)
    return tuple(select(input, axis, i) for i in range(input.shape[axis]))


@tensor_function
def split(tensor: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive parts: of one size (the last may be smaller), or of given sizes."""
    axis = normalise_dim(dim, tensor.ndim)
    size = tensor.shape[axis]
    if isinstance(split_size_or_sections, int):
        each = split_size_or_sections
        if each <= 0 and size:
            raise RuntimeError(f"split expects split_size be non-negative, but got {each}")
        sections = [min(each, size - i) for i in range(0, size, each)] or [0]
    else:
        sections = list(split_size_or_sections)
        if sum(sections) != size:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's "
                f"size at dimension {axis}), but got split_sizes={sections}"
            )
    parts, start = [], 0
    for n in sections:
        parts.append(sliced(tensor, axis, start, start + n, 1))
        start += n
    return tuple(parts)


@tensor_function
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size (the last may be smaller)."""
    if chunks < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    size = input.shape[normalise_dim(dim, input.ndim)]
    return split(input, max(1, -(-size // chunks)), dim)  # type: ignore[no-any-return]


@tensor_function
def flip(input: Tensor, *dims: Any) -> Tensor:
    """A copy with some dimensions reversed."""
    axes = tuple(sorted(normalise_dim(d, input.ndim) for d in _given(dims)))
    return apply(OPS["flip"], (input,), {"dims": axes})


@tensor_function
def roll(input: Tensor, shifts: Ints, dims: Any = None) -> Tensor:
    """Elements moved along dimensions, those that fall off the end re-entering at the start."""
    if dims is None:
        return _reshape(roll(_reshape(input, (input.numel(),)), shifts, 0), tuple(input.shape))
    moves = [shifts] if isinstance(shifts, int) else list(shifts)
    axes = [dims] if isinstance(dims, int) else list(dims)
    result = input
    for shift, dim in zip(moves, axes, strict=True):
        axis = normalise_dim(dim, input.ndim)
        size = input.shape[axis]
        cut = (size - shift % size) if size and shift % size else 0
        if cut:
            result = cat([sliced(result, axis, cut, size, 1), sliced(result, axis, 0, cut, 1)],
                         axis)  # fmt: skip
    return apply(OPS["clone"], (result,), {}) if result is input else result


@tensor_function
def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, through which gradients flow."""
    del memory_format
    return apply(OPS["clone"], (input,), {})


@tensor_function(public=False)
def contiguous(self: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself when its memory is in order, else a copy that is."""
    del memory_format
    return self if self.is_contiguous() else clone(self)  # type: ignore[attr-defined, no-any-return]


def _triangle(name: str, lower: bool) -> None:
    def function(input: Tensor, diagonal: int = 0) -> Tensor:
        rows, columns = (_positions(input, d) for d in (-2, -1))
        offset = apply(OPS["sub"], (columns, rows), {})
        keep = apply(OPS["le" if lower else "ge"], (offset, diagonal), {})
        return apply(OPS["where"], (keep, input, 0), {})

    function.__name__ = name
    function.__doc__ = f"The {'lower' if lower else 'upper'} triangle of matrices, zeros elsewhere."
    tensor_function(function, inplace=True, out=True)


def _positions(input: Tensor, dim: int) -> Tensor:
    shape = tuple(input.shape)[-2:]
    attrs = {"shape": shape, "dim": dim % 2, "dtype": dtypes.int64, "start": 0, "step": 1,
             "device": input.device}  # fmt: skip
    return apply(OPS["iota"], (), attrs)


_triangle("tril", True)
_triangle("triu", False)


def _matrix_transposed(self: Tensor) -> Tensor:
    return transpose(self, -2, -1)  # type: ignore[no-any-return]


Tensor.T = property(lambda self: _permute(self, tuple(reversed(range(self.ndim)))))  # type: ignore[attr-defined]
Tensor.mT = property(_matrix_transposed)  # type: ignore[attr-defined]
