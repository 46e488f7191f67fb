"""Views: the same elements in another shape or order, or some of them, without a copy."""

import functools
import math
import operator
import warnings
from collections.abc import Sequence
from typing import Any

from graphc import dtypes
from graphc.errors import DimensionError, ShapeError
from graphc.functions.dims import normalise_dim
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

Ints = int | Sequence[int]


def sizes_of(args: tuple[Any, ...], named: Any = None) -> tuple[int, ...]:
    """``f(2, 3)``, ``f((2, 3))`` and ``f(size=(2, 3))`` mean the same."""
    given: Any = args
    if not args and named is not None:
        given = named
    elif len(args) == 1 and isinstance(args[0], (tuple, list)):
        given = args[0]
    if not isinstance(given, (tuple, list)):
        given = (given,)
    return tuple(operator.index(n) for n in given)


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


def reshaped(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The row ``reshape``; sizes that are known to fit."""
    return apply(OPS["reshape"], (input,), {"shape": shape})


def permuted(input: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The row ``permute``; dims counted from the front."""
    return apply(OPS["permute"], (input,), {"dims": dims})


def slice_attrs(
    shape: Sequence[int], axis: int, start: int, stop: int, step: int
) -> dict[str, Any]:
    """Attributes of the rows ``slice`` and ``put_slice`` for a slice of one dimension."""
    n = len(shape)
    return {
        "starts": tuple(start if i == axis else 0 for i in range(n)),
        "stops": tuple(stop if i == axis else shape[i] for i in range(n)),
        "steps": tuple(step if i == axis else 1 for i in range(n)),
    }


def sliced(input: Tensor, axis: int, start: int, stop: int, step: int) -> Tensor:
    """A view of part of one dimension; the bounds are in range and the step positive."""
    return apply(OPS["slice"], (input,), slice_attrs(input.shape, axis, start, stop, step))


# ----------------------------------------------------------------------------------- other shapes


@tensor_function(name="reshape")
def reshape(input: Tensor, *args: Any, shape: Any = None) -> Tensor:
    """The same elements in another shape: a view where the strides allow, else a copy."""
    return reshaped(input, _resolved(sizes_of(args, shape), input.numel()))


def view(self: Tensor, *args: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """The same memory in another shape, or (given a dtype) read as another dtype.

    Raises RuntimeError when the strides do not allow it.
    """
    if len(args) == 1 and isinstance(args[0], dtypes.dtype):
        (dtype,) = args
    if dtype is not None:
        return reinterpreted(self, dtype)
    result = reshaped(self, _resolved(sizes_of(args, size), self.numel()))
    if result._base is None and result.numel():
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one "
            "dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        )
    return result


def reinterpreted(input: Tensor, dtype: dtypes.dtype) -> Tensor:
    """The same memory read as another dtype; the last dimension changes with the element's size.

    Raises RuntimeError where sizes or strides do not fit. No gradient passes.
    """
    have, want = input.dtype.itemsize, dtype.itemsize
    if dtype is input.dtype:
        return reshaped(input, tuple(input.shape))
    if have != want:
        what = f"to view {input.dtype} as {dtype} (different element sizes)"
        if not input.ndim:
            raise RuntimeError(f"self.dim() cannot be 0 {what}")
        strides = input.stride()
        if strides[-1] != 1 and input.shape[-1] != 1:
            raise RuntimeError(f"self.stride(-1) must be 1 {what}, but got {strides[-1]}")
        if want > have:
            ratio = want // have
            if input.shape[-1] % ratio:
                raise RuntimeError(
                    f"self.size(-1) must be divisible by {ratio} {what}, but got {input.shape[-1]}"
                )
            if input.storage_offset() % ratio or any(s % ratio for s in strides[:-1]):
                raise RuntimeError(
                    f"self.storage_offset() and strides must be divisible by {ratio} {what}, but "
                    f"got {input.storage_offset()} and {strides}"
                )
    return apply(OPS["view_dtype"], (input,), {"dtype": dtype})


tensor_function(view, public=False)


@tensor_function(public=False)
def view_as(self: Tensor, other: Tensor) -> Tensor:
    """``self.view(other.shape)``."""
    return view(self, tuple(other.shape))


@tensor_function(public=False)
def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """``self.reshape(other.shape)``."""
    return reshape(self, tuple(other.shape))


@tensor_function
def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension: a view of a contiguous tensor, else a copy."""
    if not input.is_contiguous():
        input = apply(OPS["clone"], (input,), {})
    return reshaped(input, (input.numel(),))


@tensor_function
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions ``start_dim`` to ``end_dim`` joined into one."""
    first, last = (normalise_dim(d, input.ndim) for d in (start_dim, end_dim))
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    shape = tuple(input.shape)
    if not shape:
        return reshaped(input, (1,))
    if first == last:
        return input
    joined = math.prod(shape[first : last + 1])
    return reshaped(input, (*shape[:first], joined, *shape[last + 1 :]))


@tensor_function
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension split into several, one of which may be -1."""
    axis = normalise_dim(dim, input.ndim)
    given = sizes_of((tuple(sizes),))
    if not given:
        raise RuntimeError("unflatten: sizes must be non-empty")
    size = input.shape[axis] if input.ndim else 1
    if given.count(-1) > 1 or any(n < -1 for n in given):
        raise RuntimeError(f"unflatten: only one of the sizes {list(given)} can be inferred")
    known = math.prod(n for n in given if n != -1)
    if size % known if -1 in given and known else known != size:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(given)} don't multiply up to the size of dim {dim} "
            f"({size}) in the input tensor"
        )
    shape = tuple(input.shape)
    return reshaped(input, (*shape[:axis], *_resolved(given, size), *shape[axis + 1 :]))


@tensor_function
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the dimensions of size 1 (or only the given ones)."""
    if dim is None:
        dropped = {i for i, n in enumerate(input.shape) if n == 1}
    else:
        dims = [normalise_dim(d, input.ndim) for d in sizes_of((dim,))]
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"dim {dims[0]} appears multiple times in the list of dims")
        dropped = {d for d in dims if input.ndim and input.shape[d] == 1}
    return reshaped(input, tuple(n for i, n in enumerate(input.shape) if i not in dropped))


@tensor_function
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at ``dim``."""
    axis = normalise_dim(dim, input.ndim + 1)
    shape = tuple(input.shape)
    return reshaped(input, (*shape[:axis], 1, *shape[axis:]))


# ----------------------------------------------------------------------------------- other orders


@tensor_function
def permute(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """The dimensions in another order."""
    given = sizes_of(args, dims)
    if len(given) != input.ndim:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the "
            f"length of the desired ordering of dimensions i.e. input.dim() = {input.ndim} is not "
            f"equal to len(dims) = {len(given)}"
        )
    order = tuple(normalise_dim(d, input.ndim) for d in given)
    if len(set(order)) != len(order):
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return permuted(input, order)


def _exchanged(input: Tensor, first: int, second: int) -> Tensor:
    a, b = normalise_dim(first, input.ndim), normalise_dim(second, input.ndim)
    order = list(range(input.ndim))
    if order:
        order[a], order[b] = order[b], order[a]
    return permuted(input, tuple(order))


@tensor_function(aliases=("swapdims",))
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    return _exchanged(input, dim0, dim1)


@tensor_function
def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """Two dimensions exchanged."""
    return _exchanged(input, axis0, axis1)


@tensor_function
def t(input: Tensor) -> Tensor:
    """A matrix transposed; vectors and numbers as they are."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return permuted(input, tuple(reversed(range(input.ndim))))


@tensor_function
def adjoint(input: Tensor) -> Tensor:
    """Matrices transposed (and conjugated, were they complex)."""
    return _matrices("adjoint()", input)


@tensor_function(aliases=("moveaxis",))
def movedim(input: Tensor, source: Ints, destination: Ints) -> Tensor:
    """Some dimensions moved to other places; the rest keep their order."""
    sources = list(sizes_of((source,)))
    targets = list(sizes_of((destination,)))
    if len(sources) != len(targets):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({sources} dims) should contain "
            f"the same number of dims as destination ({targets} dims)"
        )
    froms = [normalise_dim(d, input.ndim) for d in sources]
    to = [normalise_dim(d, input.ndim) for d in targets]
    for what, dims in (("source", froms), ("destination", to)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{what}` ({dims})")
    places = dict(zip(to, froms, strict=True))
    rest = iter(d for d in range(input.ndim) if d not in froms)
    return permuted(input, tuple(places[i] if i in places else next(rest)
                                 for i in range(input.ndim)))  # fmt: skip


def _reversed_dims(self: Tensor) -> Tensor:
    if self.ndim != 2:
        warnings.warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is "
            "deprecated. Consider `x.mT` to transpose batches of matrices or "
            "`x.permute(*range(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
            UserWarning,
            stacklevel=2,
        )
    return permuted(self, tuple(reversed(range(self.ndim))))


def _matrices(name: str, self: Tensor) -> Tensor:
    if name == "H" and self.ndim not in (0, 2):
        raise RuntimeError(
            f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor. "
            "For batches of matrices, consider using tensor.mH"
        )
    if not self.ndim:
        return permuted(self, ())
    if self.ndim < 2:
        raise RuntimeError(
            f"tensor.{name} is only supported on matrices or batches of matrices. Got "
            f"{self.ndim}-D tensor."
        )
    return _exchanged(self, -2, -1)


Tensor.T = property(_reversed_dims)  # type: ignore[attr-defined]
for _name in ("mT", "mH", "H"):
    setattr(Tensor, _name, property(functools.partial(_matrices, _name)))


# -------------------------------------------------------------------------------------- expansion


@tensor_function(public=False)
def expand(self: Tensor, *args: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """Size-1 dimensions repeated without copying; -1 keeps a size."""
    del implicit
    given = sizes_of(args, size)
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
    source = reshaped(self, (1,) * lead + tuple(self.shape)) if lead else self
    return apply(OPS["expand"], (source,), {"shape": tuple(target)})


@tensor_function(public=False)
def sum_to_size(self: Tensor, *args: Any, size: Any = None) -> Tensor:
    """Summed over the dimensions along which ``size`` would have to be expanded to this shape."""
    given = sizes_of(args, size)
    lead = self.ndim - len(given)
    if lead < 0 or any(n not in (1, self.shape[lead + d]) for d, n in enumerate(given)):
        raise RuntimeError(
            f"size {list(given)} is not expandable to size {list(self.shape)} (sum_to_size)"
        )
    summed = [lead + d for d, n in enumerate(given) if n != self.shape[lead + d]]
    if given and not lead and not summed:
        return self
    return reshaped(self.sum((*range(lead), *summed), keepdim=True), given)


@tensor_function(public=False)
def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """``self.expand(other.shape)``."""
    return expand(self, tuple(other.shape))


@tensor_function
def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """``input.expand(size)``."""
    return expand(input, sizes_of((size,)))


# ------------------------------------------------------------------------------------------ parts


@tensor_function
def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """Elements ``start`` to ``start + length`` along ``dim``."""
    if not input.ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, Tensor) and (
        start.ndim or start.dtype.is_floating_point or start.dtype is dtypes.bool
    ):
        raise RuntimeError("start must be an 0-dim integral Tensor.")
    axis, start = normalise_dim(dim, input.ndim), operator.index(start)
    size = input.shape[axis]
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise DimensionError(
            f"start out of range (expected to be in range of [{-size}, {size}], but got {start})"
        )
    begin = start + size if start < 0 else start
    if begin + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return sliced(input, axis, begin, begin + length, 1)


@tensor_function
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """One element along ``dim``, which disappears. Raises IndexError out of range."""
    if not input.ndim:
        raise DimensionError("select() cannot be applied to a 0-dim tensor.")
    axis, index = normalise_dim(dim, input.ndim), operator.index(index)
    size = input.shape[axis]
    if not -size <= index < size:
        raise DimensionError(
            f"select(): index {index} out of range for tensor of size {list(input.shape)} at "
            f"dimension {axis}"
        )
    begin = index % size
    part = sliced(input, axis, begin, begin + 1, 1)
    shape = tuple(input.shape)
    return reshaped(part, (*shape[:axis], *shape[axis + 1 :]))


@tensor_function(public=False)
def unfold(self: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """All slices of ``size`` along a dimension, ``step`` apart, as a new last dimension."""
    axis = normalise_dim(dimension, self.ndim)
    if size < 0:
        raise RuntimeError(f"size is {size} but must be >= 0")
    if step <= 0:
        raise RuntimeError(f"step is {step} but must be > 0")
    source = self if self.ndim else reshaped(self, (1,))
    have = source.shape[axis]
    if size > have:
        raise RuntimeError(
            f"maximum size for tensor at dimension {axis} is {have} but size is {size}"
        )
    if size == 0:  # windows without elements
        counts = (*source.shape[:axis], have // step + 1, *source.shape[axis + 1 :])
        return reshaped(sliced(source, axis, 0, 0, 1), (*counts, 0) if self.ndim else (0,))
    attrs = {"dims": (axis,), "sizes": (size,), "strides": (step,), "dilations": (1,)}
    windows = apply(OPS["window"], (source,), attrs)
    return windows if self.ndim else reshaped(windows, (1,))
