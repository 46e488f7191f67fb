"""Dimension arguments, counted from the front and checked."""

from collections.abc import Sequence
from typing import Any

from graphc.errors import DimensionError, ShapeError
from graphc.tensor import Tensor

Dims = int | Sequence[int] | None


def normalise_dim(dim: Any, ndim: int) -> int:
    """A dimension counted from the front. Raises IndexError outside ``[-ndim, ndim)``."""
    if not hasattr(dim, "__index__"):
        raise TypeError(f"dim must be an int, not {type(dim).__name__}")
    dim = dim.__index__()
    limit = max(ndim, 1)
    if not -limit <= dim < limit:
        raise DimensionError(
            f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], "
            f"but got {dim})"
        )
    return int(dim % limit)


def normalise_dims(dim: Dims, ndim: int, name: str) -> tuple[int, ...]:
    """The dimensions to reduce, ascending: all of them for None or an empty sequence."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(ndim))
    given = (dim,) if isinstance(dim, int) else tuple(dim)
    dims = sorted(normalise_dim(d, ndim) for d in given)
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"dim {dims[0]} appears multiple times in the list of dims ({name})")
    return tuple(dims) if ndim else ()


def nonempty(name: str, input: Tensor, dims: tuple[int, ...], given: bool = True) -> None:
    """Refuses to reduce a dimension without elements to an extreme.

    Raises IndexError where the dims were ``given``, RuntimeError where they are all there are.
    """
    for d in dims:
        if input.shape[d] != 0:
            continue
        if given:
            raise DimensionError(f"{name}(): Expected reduction dim {d} to have non-zero size.")
        raise ShapeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify "
            "the reduction dim with the 'dim' argument."
        )
