"""Functions that bring tensors together: joins, stacks, grids, common shapes."""

import itertools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.functions.dims import normalise_dim
from graphc.functions.literals import literal
from graphc.functions.promotion import cast, common_dtype
from graphc.functions.registry import tensor_function, write_out
from graphc.functions.shape import expand, reshaped, unsqueeze
from graphc.ir import CPU
from graphc.ops import OPS
from graphc.ops.rules import broadcast
from graphc.tensor import Size, Tensor, apply


def _several(name: str, tensors: Any) -> list[Tensor]:
    """The tensors given as one sequence, or one by one."""
    if isinstance(tensors, Tensor):
        raise TypeError(
            f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor"
        )
    parts = list(tensors)
    for i, x in enumerate(parts):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}(): expected Tensor as element {i} in argument 0, but got "
                f"{type(x).__name__}"
            )
    return parts


def _spread(name: str, args: tuple[Any, ...]) -> list[Tensor]:
    """``f(a, b)`` and ``f([a, b])`` mean the same."""
    single = len(args) == 1 and isinstance(args[0], (tuple, list))
    return _several(name, args[0] if single else args)


# ------------------------------------------------------------------------------------------ joins


def _join(
    name: str, aliases: tuple[str, ...] = (), takes_dim: bool = False
) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Registers a join: of a sequence of tensors, with ``out=``, whose dtype has to suffice."""

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def checked(tensors: Any, out: Tensor | None, *dim: int) -> Tensor:
            parts = _several(name, tensors)
            if not parts:
                raise (ValueError if name == "cat" else RuntimeError)(
                    f"torch.{name}(): expected a non-empty list of Tensors"
                )
            if out is None:
                return function(parts, *dim)
            _check_out(out, parts)
            return write_out(out, function(parts, *dim), name)

        if takes_dim:

            def joined(
                tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None
            ) -> Tensor:
                return checked(tensors, out, dim)

        else:

            def joined(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:  # type: ignore[misc]
                return checked(tensors, out)

        joined.__name__, joined.__doc__ = name, function.__doc__
        return tensor_function(joined, method=False, aliases=aliases)  # type: ignore[no-any-return]

    return register


def _check_out(out: Tensor, parts: list[Tensor]) -> None:
    if not dtypes.can_cast(common_dtype(parts), out.dtype):
        raise TypeError(
            f"torch.cat(): input types can't be cast to the desired output type "
            f"{out.dtype.type_name}"
        )


@_join("cat", aliases=("concat", "concatenate"), takes_dim=True)
def cat(tensors: list[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an existing dimension, in their common dtype."""
    for i, x in enumerate(tensors):
        if not x.ndim:
            raise RuntimeError(f"zero-dimensional tensor (at position {i}) cannot be concatenated")
    rank = max(x.ndim for x in tensors)
    dtype = common_dtype(tensors)
    axis = normalise_dim(dim, rank)
    # PyTorch has always let shape (0,) pass among tensors of any rank.
    shape = next(tuple(x.shape) for x in tensors if x.ndim == rank)
    nothing = (*shape[:axis], 0, *shape[axis + 1 :])
    parts = [reshaped(x, nothing) if tuple(x.shape) == (0,) else x for x in tensors]
    return apply(OPS["cat"], [cast(x, dtype) for x in parts], {"dim": axis})


@_join("stack", takes_dim=True)
def stack(tensors: list[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    for i, x in enumerate(tensors):
        if tuple(x.shape) != tuple(tensors[0].shape):
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at "
                f"entry 0 and {list(x.shape)} at entry {i}"
            )
    axis = normalise_dim(dim, tensors[0].ndim + 1)
    dtype = common_dtype(tensors)
    return apply(OPS["cat"], [cast(unsqueeze(x, axis), dtype) for x in tensors], {"dim": axis})


def _raised(tensors: list[Tensor], ndim: int, dim: int) -> Tensor:
    parts = [_at_least(x, ndim) for x in tensors]
    return cat(parts, 0 if parts[0].ndim == 1 else dim)


@_join("hstack")
def hstack(tensors: list[Tensor]) -> Tensor:
    """Joined along dimension 1 (0 for vectors)."""
    return _raised(tensors, 1, 1)


@_join("vstack", aliases=("row_stack",))
def vstack(tensors: list[Tensor]) -> Tensor:
    """Joined as rows."""
    return _raised(tensors, 2, 0)


@_join("dstack")
def dstack(tensors: list[Tensor]) -> Tensor:
    """Joined along dimension 2."""
    return _raised(tensors, 3, 2)


@_join("column_stack")
def column_stack(tensors: list[Tensor]) -> Tensor:
    """Joined along dimension 1; vectors and numbers are columns."""
    return _raised([reshaped(x, (x.numel(), 1)) if x.ndim < 2 else x for x in tensors], 2, 1)


def _at_least(x: Tensor, ndim: int) -> Tensor:
    """Dimensions of size 1 are added where ``torch.atleast_1d`` and its siblings add them."""
    if x.ndim >= ndim:
        return x
    if ndim == 3 and x.ndim:
        return reshaped(x, (1, *x.shape, 1) if x.ndim == 1 else (*x.shape, 1))
    return reshaped(x, (1,) * (ndim - x.ndim) + tuple(x.shape))


def _raising(ndim: int) -> None:
    def function(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return _at_least(tensors[0], ndim)
        return tuple(_at_least(x, ndim) for x in _spread(function.__name__, tensors))

    function.__name__ = f"atleast_{ndim}d"
    function.__doc__ = (
        f"Views with at least {ndim} dimension(s): one tensor for one, else a tuple of them."
    )
    tensor_function(function, method=False)


for _ndim in (1, 2, 3):
    _raising(_ndim)


@tensor_function(method=False)
def block_diag(*tensors: Tensor) -> Tensor:
    """A matrix of matrices along its diagonal, zeros elsewhere; vectors are rows."""
    parts = _several("block_diag", tensors)
    for i, x in enumerate(parts):
        if x.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has "
                f"{x.ndim} dimensions"
            )
    if not parts:
        attrs = {"value": 0.0, "shape": (1, 0), "dtype": dtypes.get_default_dtype()}
        return apply(OPS["full"], (), {**attrs, "device": CPU})
    dtype = common_dtype(parts)
    blocks = [cast(_at_least(x, 2), dtype) for x in parts]
    width, left, rows = sum(x.shape[1] for x in blocks), 0, []
    for x in blocks:
        right = width - left - x.shape[1]
        attrs = {"before": (0, left), "after": (0, right), "value": 0}
        rows.append(apply(OPS["pad"], (x,), attrs))
        left += x.shape[1]
    return apply(OPS["cat"], rows, {"dim": 0})


# ------------------------------------------------------------------------------------------ grids


@tensor_function(method=False)
def meshgrid(*tensors: Any, indexing: str | None = None) -> tuple[Tensor, ...]:
    """Vectors as the coordinates of a grid: views, the ``i``-th of which varies along dim ``i``.

    ``indexing="xy"`` exchanges the first two dimensions.
    """
    parts = _spread("meshgrid", tensors)
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing "
            "argument.",
            UserWarning,
            stacklevel=4,
        )
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(
            f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}'
        )
    if not parts:
        raise RuntimeError("meshgrid expects a non-empty TensorList")
    for x in parts:
        if x.ndim > 1:
            raise RuntimeError(
                f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: "
                f"{list(x.shape)}"
            )
        if x.dtype is not parts[0].dtype:
            raise RuntimeError("torch.meshgrid expects all tensors to have the same dtype")
    places = list(range(len(parts)))
    if indexing == "xy" and len(parts) > 1:
        places[:2] = [1, 0]
    shape = [0] * len(parts)
    for place, x in zip(places, parts, strict=True):
        shape[place] = x.numel()
    return tuple(
        expand(
            reshaped(x, tuple(x.numel() if d == place else 1 for d in range(len(parts)))),
            tuple(shape),
        )
        for place, x in zip(places, parts, strict=True)
    )


@tensor_function(method=False)
def cartesian_prod(*tensors: Any) -> Tensor:
    """All combinations of one element from each vector, one a row."""
    parts = _spread("cartesian_prod", tensors)
    for x in parts:
        if x.ndim != 1:
            raise RuntimeError(f"Expect a 1D vector, but got shape {list(x.shape)}")
    if len(parts) == 1:
        return parts[0]
    grids = meshgrid(*parts, indexing="ij")
    return stack([reshaped(x, (x.numel(),)) for x in grids], 1)


@tensor_function
def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of ``r`` elements of a vector, one a row, in the order of the elements."""
    if input.ndim != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(input.shape)}")
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    if r == 0:
        return reshaped(input[:0], (0,))
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    rows = list(choose(range(input.numel()), r))
    index = literal(np.array(rows, np.int64).reshape(len(rows), r))
    return apply(OPS["take"], (input, index), {"dim": 0})


# ---------------------------------------------------------------------------------- common shapes


@tensor_function(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """The tensors expanded to their common shape."""
    parts = _spread("broadcast_tensors", tensors)
    shape = broadcast(*(tuple(x.shape) for x in parts))
    return tuple(expand(x, shape) for x in parts)


@tensor_function(method=False)
def broadcast_shapes(*shapes: Any) -> Size:
    """The shape that tensors of these shapes broadcast to. Raises RuntimeError if there is none."""
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    for shape in given:
        for n in shape:
            if n < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension {n}: {shape}")
    try:
        return Size(np.broadcast_shapes(*given))
    except ValueError:
        raise ShapeError(
            "Shape mismatch: objects cannot be broadcast to a single shape: "
            + ", ".join(str(list(shape)) for shape in given)
        ) from None
