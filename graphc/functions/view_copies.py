"""Views without shared memory: ``*_copy`` copies a view, ``*_scatter`` writes through one."""

from collections.abc import Callable
from typing import Any

from graphc.functions.diagonals import diagonal
from graphc.functions.dims import normalise_dim
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.functions.shape import (
    expand,
    narrow,
    permute,
    select,
    slice_attrs,
    squeeze,
    t,
    transpose,
    unfold,
    unsqueeze,
    view,
)
from graphc.functions.splitting import split, split_with_sizes, unbind
from graphc.functions.strided import as_strided
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _copying(name: str, function: Callable[..., Any], method: bool = False) -> None:
    def copied(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        shown = function(input, *args, **kwargs)
        if isinstance(shown, tuple):
            return tuple(apply(OPS["clone"], (part,), {}) for part in shown)
        return apply(OPS["clone"], (shown,), {})

    copied.__name__ = f"{name}_copy"
    copied.__doc__ = f"Like ``{name}``, but new memory."
    tensor_function(copied, method=method, out=True)


def _slice(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    return apply(OPS["slice"], (input,), _slice_of(input, dim, start, end, step))


def _slice_of(
    input: Tensor, dim: int, start: int | None, end: int | None, step: int
) -> dict[str, Any]:
    if not input.ndim:
        raise RuntimeError("slice() cannot be applied to a 0-dim tensor.")
    axis = normalise_dim(dim, input.ndim)
    if step <= 0:
        raise RuntimeError("slice step must be positive")
    begin, stop, _ = slice(start, end, step).indices(input.shape[axis])
    return slice_attrs(input.shape, axis, begin, max(begin, stop), step)


for _name, _function in {
    "alias": lambda input: input,
    "as_strided": as_strided,
    "detach": lambda input: input.detach(),
    "diagonal": diagonal,
    "expand": expand,
    "permute": permute,
    "select": select,
    "slice": _slice,
    "split": split,
    "split_with_sizes": split_with_sizes,
    "squeeze": squeeze,
    "t": t,
    "transpose": transpose,
    "unbind": unbind,
    "unfold": unfold,
    "unsqueeze": unsqueeze,
    "view": view,
}.items():
    _copying(_name, _function)
_copying("narrow", narrow, method=True)


@tensor_function(out=True)
def slice_scatter(
    input: Tensor,
    src: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    """A copy with ``src`` in the place of a slice along ``dim``."""
    return _put_slice("slice_scatter", input, src, _slice_of(input, dim, start, end, step))


@tensor_function
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """A copy with ``src`` in the place of one element along ``dim``."""
    if not input.ndim:
        raise RuntimeError("select() cannot be applied to a 0-dim tensor.")
    axis = normalise_dim(dim, input.ndim)
    shown = tuple(select(input, axis, index).shape)
    if tuple(src.shape) != shown:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(shown)}"
        )
    at = index % input.shape[axis]
    attrs = slice_attrs(input.shape, axis, at, at + 1, 1)
    return _put_slice("select_scatter", input, unsqueeze(src, axis), attrs)


def _put_slice(name: str, input: Tensor, src: Tensor, attrs: dict[str, Any]) -> Tensor:
    shown = tuple(apply(OPS["slice"], (input,), attrs).shape)
    if tuple(src.shape) != shown:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(shown)} ({name})"
        )
    return apply(OPS["put_slice"], (input, cast(src, input.dtype)), attrs)
