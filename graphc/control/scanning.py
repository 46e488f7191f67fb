"""``graphc.scan``: a function over slices, each call of which hands values to the next."""

from collections.abc import Callable
from typing import Any

from graphc.control.repetition import repeated
from graphc.control.step import Tensors
from graphc.functions.dims import normalise_dim
from graphc.functions.shape import movedim
from graphc.tensor import Tensor
from graphc.trees import Tree, flatten, unflatten


def scan(
    combine_fn: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any,
    *,
    dim: int = 0,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Folds ``combine_fn(carry, x) -> (next_carry, y)`` over the slices of ``xs`` along ``dim``.

    ``init`` and ``xs`` are tensors or nests of them (lists, tuples, dicts); all tensors of ``xs``
    have the same size along ``dim``. ``next_carry`` has the structure, shapes and dtypes of
    ``init``. Returns the last carry, and the nest of all ``y``, stacked along ``dim``; with
    ``reverse`` the last slice comes first, and the stack stays in the order of ``xs``.

    Eagerly this is a Python loop. Inside ``graphc.compile`` the function is traced once and the
    loop stays one loop, of any length, and so does its gradient.

    Raises TypeError for anything but tensors, ValueError where there is no slice or sizes differ,
    RuntimeError where a carry changes its structure, shape or dtype.
    """
    carries, carry_tree = flatten(init)
    sequences, tree = flatten(xs)
    for what, leaves in (("init", carries), ("xs", sequences)):
        for leaf in leaves:
            if not isinstance(leaf, Tensor):
                raise TypeError(f"scan(): {what} holds tensors, not {type(leaf).__name__}")
    if not sequences:
        raise ValueError("scan(): xs has no tensor, so there is nothing to take slices of")
    sliced = [movedim(t, normalise_dim(dim, t.ndim), 0) for t in sequences]
    sizes = sorted({t.shape[0] for t in sliced})
    if len(sizes) > 1:
        raise ValueError(f"scan(): the tensors of xs have sizes {sizes} along dim {dim}")
    if sizes[0] == 0:
        raise ValueError(f"scan(): xs has no slice along dim {dim}")
    stacked: list[Tree] = []

    def run(state: list[Tensor], slices: list[Tensor]) -> tuple[Tensors, Tensors]:
        following, y = combine_fn(unflatten(carry_tree, state), unflatten(tree, slices))
        leaves, found = flatten(following)
        if found != carry_tree:
            raise RuntimeError(
                f"scan(): a step has to hand on a carry of the structure of init, {init!r}, "
                f"not {following!r}"
            )
        kept, y_tree = flatten(y)
        stacked[:] = [y_tree]
        return leaves, kept

    name = getattr(combine_fn, "__name__", "step")
    last, stacks = repeated(run, carries, sliced, sizes[0], reverse=reverse, name=name)
    moved = [movedim(t, 0, normalise_dim(dim, t.ndim)) for t in stacks]
    return unflatten(carry_tree, last), unflatten(stacked[0], moved)
