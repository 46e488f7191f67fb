"""Sizes given as one number or one for each dimension."""

from collections.abc import Iterable, Sequence
from typing import Any

from graphc.errors import ShapeError
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

Sizes = int | Sequence[int]


def ntuple(value: Any, n: int, name: str, what: str) -> tuple[int, ...]:
    """``value`` once for each of ``n`` dimensions, or its own ``n`` entries.

    Raises TypeError for what is no integer, RuntimeError for another number of entries.
    """
    if isinstance(value, (tuple, list)):
        given = tuple(value)
        if len(given) == 1:
            given *= n
        if len(given) != n:
            raise RuntimeError(
                f"{name}: {what} must either be a single int, or a tuple of {n} ints, but got "
                f"{tuple(value)}"
            )
    else:
        given = (value,) * n
    for item in given:
        if isinstance(item, bool) or not hasattr(item, "__index__"):
            raise TypeError(
                f"{name}(): argument '{what}' must be int or a tuple of ints, not "
                f"{type(item).__name__}"
            )
    return tuple(item.__index__() for item in given)


def repeated(value: Any, n: int) -> tuple[Any, ...]:
    """What modules keep of their arguments: anything iterable as it is, one value ``n`` times."""
    return tuple(value) if isinstance(value, Iterable) else (value,) * n


def batched(name: str, input: Tensor, spatial: int) -> tuple[Tensor, bool]:
    """``(N, C, ...)`` with ``spatial`` dimensions, and whether N had to be added.

    Raises RuntimeError when the input is neither batched nor one example.
    """
    if input.ndim == spatial + 2:
        return input, False
    if input.ndim == spatial + 1:
        return apply(OPS["reshape"], (input,), {"shape": (1, *input.shape)}), True
    raise ShapeError(
        f"Expected {spatial + 1}D (unbatched) or {spatial + 2}D (batched) input to {name}, but got "
        f"input of size: {list(input.shape)}"
    )


def unbatched(result: Tensor, added: bool) -> Tensor:
    """Without the batch dimension that :func:`batched` added."""
    if not added:
        return result
    return apply(OPS["reshape"], (result,), {"shape": tuple(result.shape)[1:]})
