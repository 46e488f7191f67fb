"""Functions that take tensors apart into views of consecutive parts."""

import operator
from collections.abc import Sequence
from typing import Any

from graphc import dtypes
from graphc.errors import DimensionError
from graphc.functions.dims import normalise_dim
from graphc.functions.registry import tensor_function
from graphc.functions.shape import select, sliced
from graphc.tensor import Tensor

Parts = tuple[Tensor, ...]


@tensor_function
def unbind(input: Tensor, dim: int = 0) -> Parts:
    """All elements along ``dim`` as separate views."""
    if not input.ndim:
        raise DimensionError("Dimension specified as 0 but tensor has no dimensions")
    axis = normalise_dim(dim, input.ndim)
    return tuple(select(input, axis, i) for i in range(input.shape[axis]))


def _axis(name: str, input: Tensor, dim: int) -> int:
    if not input.ndim:
        raise RuntimeError(f"{name} expects at least a 1-dimensional tensor")
    return normalise_dim(dim, input.ndim)


def _by_size(input: Tensor, size: int, dim: int) -> Parts:
    axis, size = _axis("split", input, dim), operator.index(size)
    have = input.shape[axis]
    if size < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={size}")
    if size == 0 and have:
        raise RuntimeError(
            f"split_size can only be 0 if dimension size is 0, but got dimension size of {have}"
        )
    starts = range(0, have, size) if have else (0,)
    return tuple(sliced(input, axis, at, min(at + size, have), 1) for at in starts)


def _by_sizes(input: Tensor, sizes: Sequence[int], dim: int) -> Parts:
    axis = _axis("split_with_sizes", input, dim)
    given = [operator.index(n) for n in sizes]
    if any(n < 0 for n in given):
        raise RuntimeError(
            "split_with_sizes expects split_sizes have only non-negative entries, but got "
            f"split_sizes={given}"
        )
    have = input.shape[axis]
    if sum(given) != have:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {have} (input tensor's "
            f"size at dimension {axis}), but got split_sizes={given}"
        )
    parts, start = [], 0
    for n in given:
        parts.append(sliced(input, axis, start, start + n, 1))
        start += n
    return tuple(parts)


@tensor_function
def split(tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, *,
          split_size: Any = None) -> Parts:  # fmt: skip
    """Views of consecutive parts: of one size (the last may be smaller), or of given sizes."""
    given = split_size_or_sections if split_size is None else split_size
    if isinstance(given, (list, tuple)):
        return _by_sizes(tensor, given, dim)
    return _by_size(tensor, given, dim)


@tensor_function(aliases=("unsafe_split_with_sizes",))
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> Parts:
    """Views of consecutive parts of given sizes."""
    return _by_sizes(input, split_sizes, dim)


@tensor_function
def unsafe_split(tensor: Tensor, split_size: int, dim: int = 0) -> Parts:
    """Like :func:`split`."""
    return _by_size(tensor, split_size, dim)


@tensor_function(aliases=("unsafe_chunk",))
def chunk(input: Tensor, chunks: int, dim: int = 0) -> Parts:
    """At most ``chunks`` views of equal size (the last may be smaller)."""
    axis = _axis("chunk", input, dim)
    if chunks < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    size = input.shape[axis]
    if size == 0:
        return _by_sizes(input, [0] * chunks, dim)
    return _by_size(input, -(-size // chunks), dim)


@tensor_function
def tensor_split(
    input: Tensor, indices_or_sections: Any = None, dim: int = 0, *,
    indices: Any = None, sections: Any = None, tensor_indices_or_sections: Tensor | None = None,
) -> Parts:  # fmt: skip
    """Views cut before each of the indices, or into so many parts of almost one size."""
    given = indices_or_sections
    for named in (indices, sections, tensor_indices_or_sections):
        given = named if named is not None else given
    return _split_anywhere("tensor_split", input, given, dim)


def _split_anywhere(name: str, input: Tensor, given: Any, dim: int) -> Parts:
    axis = _axis(name, input, dim)
    size = input.shape[axis]
    if isinstance(given, Tensor):
        if given.dtype is not dtypes.int64:
            raise RuntimeError(
                f"{name} expected tensor_indices_or_sections to have dtype of long, but got "
                f"{given.dtype}"
            )
        if given.ndim > 1:
            raise RuntimeError(
                f"{name} expected tensor_indices_or_sections to be a zero-dimensional or "
                f"one-dimensional tensor, but got a tensor with {given.ndim} dims"
            )
        given = given.tolist()
    if isinstance(given, (list, tuple)):
        return _cut_at(input, axis, [operator.index(i) for i in given])
    sections = operator.index(given)
    if sections <= 0:
        raise RuntimeError(f"number of sections must be larger than 0, got {sections}")
    each, longer = divmod(size, sections)
    return _by_sizes(input, [each + (i < longer) for i in range(sections)], axis)


def _cut_at(input: Tensor, axis: int, indices: list[int]) -> Parts:
    """As slices ``[previous:index]`` cut: indices count from the end and stop at the ends."""
    size = input.shape[axis]
    parts = []
    for a, b in zip((0, *indices), (*indices, size), strict=True):
        start, stop, _ = slice(a, b).indices(size)
        parts.append(sliced(input, axis, start, max(start, stop), 1))
    return tuple(parts)


def _along(name: str, least: int, dims: tuple[int, int]) -> None:
    """``hsplit``, ``vsplit`` and ``dsplit``: along a fixed dimension, into equal parts only."""

    def function(input: Tensor, indices_or_sections: Any = None, *, indices: Any = None,
                 sections: Any = None) -> Parts:  # fmt: skip
        given = indices_or_sections
        for named in (indices, sections):
            given = named if named is not None else given
        if input.ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but got a "
                f"tensor with {input.ndim} dimensions!"
            )
        dim = dims[0] if input.ndim == 1 else dims[1]
        if not isinstance(given, (list, tuple, Tensor)):
            count, size = operator.index(given), input.shape[dim]
            if count <= 0 or size % count:
                raise RuntimeError(
                    f"torch.{name} attempted to split along dimension {dim}, but the size of the "
                    f"dimension {size} is not divisible by the split_size {count}!"
                )
        return _split_anywhere(name, input, given, dim)

    function.__name__ = name
    function.__doc__ = f"Views cut along dimension {dims[1]}; see :func:`tensor_split`."
    tensor_function(function)


_along("hsplit", 1, (0, 1))
_along("vsplit", 2, (0, 0))
_along("dsplit", 3, (2, 2))
