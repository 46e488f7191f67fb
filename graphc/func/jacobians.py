"""Jacobians and Hessians: pullbacks of all rows, or push forwards of all columns, at once."""

import functools
from typing import Any

from graphc import dtypes
from graphc.func.gradients import ArgNums, Function, chosen_arguments, jvp, tensors_of, vjp
from graphc.func.mapping import vmap
from graphc.ir import OPS
from graphc.tensor import Tensor, apply
from graphc.trees import flatten, unflatten


def unit_vectors(tensors: list[Tensor]) -> list[Tensor]:
    """For each tensor all unit vectors of the whole nest, one after the other in front."""
    total = sum(t.numel() for t in tensors)
    parts = []
    start = 0
    for t in tensors:
        count = t.numel()
        attrs = {"shape": (total, count), "dtype": dtypes.int64, "step": 1, "device": t.device}
        rows = apply(OPS["iota"], (), {**attrs, "dim": 0, "start": 0})
        columns = apply(OPS["iota"], (), {**attrs, "dim": 1, "start": start})
        unit = apply(OPS["cast"], (apply(OPS["eq"], (rows, columns), {}),), {"dtype": t.dtype})
        parts.append(apply(OPS["reshape"], (unit,), {"shape": (total, *tuple(t.shape))}))
        start += count
    return parts


def _rows(tensor: Tensor, start: int, count: int, shape: tuple[int, ...]) -> Tensor:
    """Part of the first dimension, in another shape."""
    rest = tuple(tensor.shape)[1:]
    attrs = {
        "starts": (start, *(0,) * len(rest)),
        "stops": (start + count, *rest),
        "steps": (1,) * (len(rest) + 1),
    }
    part = apply(OPS["slice"], (tensor,), attrs)
    return apply(OPS["reshape"], (part,), {"shape": (*shape, *rest)})


def jacrev(
    func: Function,
    argnums: ArgNums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Function:
    """A function that gives the Jacobian of ``func`` in reverse mode: a pullback for each output.

    The result is nested like the outputs and, within, like ``argnums``; each part has the shape of
    the output followed by that of the input. ``chunk_size`` pullbacks run at once (default: all).
    """
    del _preallocate_and_copy

    @functools.wraps(func, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = chosen_arguments(argnums, args, "jacrev")

        def of_chosen(*chosen: Any) -> Any:
            inputs = list(args)
            for n, x in zip(numbers, chosen, strict=True):
                inputs[n] = x
            return func(*inputs, **kwargs)

        made = vjp(of_chosen, *(args[n] for n in numbers), has_aux=has_aux)
        result, pull = made[0], made[1]
        outputs, tree = tensors_of(result, "jacrev: Expected f to return tensors")

        def one(*cotangents: Tensor) -> Any:
            return pull(unflatten(tree, list(cotangents)))

        stacked = vmap(one, chunk_size=chunk_size)(*unit_vectors(outputs))
        inputs_tree = flatten(stacked)[1]
        columns = flatten(stacked)[0]
        parts, start = [], 0
        for y in outputs:
            own = [_rows(c, start, y.numel(), tuple(y.shape)) for c in columns]
            nest = unflatten(inputs_tree, own)
            parts.append(nest[0] if isinstance(argnums, int) else nest)
            start += y.numel()
        jacobian = unflatten(tree, parts)
        return (jacobian, made[2]) if has_aux else jacobian

    return wrapped


def jacfwd(
    func: Function,
    argnums: ArgNums = 0,
    has_aux: bool = False,
    *,
    randomness: str = "error",
) -> Function:
    """A function that gives the Jacobian of ``func`` column by column, one for each input element.

    Nested and shaped like that of :func:`jacrev`.
    """

    @functools.wraps(func, updated=())
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        numbers = chosen_arguments(argnums, args, "jacfwd")
        chosen = tuple(args[n] for n in numbers)
        inputs, inputs_tree = tensors_of(chosen, "jacfwd: Expected arguments that are tensors")
        auxiliary: list[Any] = []

        def of_chosen(*values: Any) -> Any:
            given = list(args)
            for n, x in zip(numbers, values, strict=True):
                given[n] = x
            return func(*given, **kwargs)

        def one(*tangents: Tensor) -> Any:
            moved = unflatten(inputs_tree, list(tangents))
            made = jvp(of_chosen, chosen, moved, has_aux=has_aux)
            auxiliary[:] = made[2:]
            return made[1], (made[2] if has_aux else ())

        mapped = vmap(one, out_dims=(0, None), randomness=randomness)
        stacked, aux = mapped(*unit_vectors(inputs))
        leaves, tree = flatten(stacked)
        parts = []
        for y in leaves:
            own, start = [], 0
            for x in inputs:
                own.append(_columns(y, start, x))
                start += x.numel()
            nest = unflatten(inputs_tree, own)
            parts.append(nest[0] if isinstance(argnums, int) else nest)
        jacobian = unflatten(tree, parts)
        return (jacobian, aux) if has_aux else jacobian

    return wrapped


def _columns(stacked: Tensor, start: int, x: Tensor) -> Tensor:
    """The first dimension's part for an input, moved behind the output's dimensions."""
    part = _rows(stacked, start, x.numel(), (x.numel(),))
    order = (*range(1, part.ndim), 0)
    moved = apply(OPS["permute"], (part,), {"dims": order})
    shape = (*tuple(moved.shape)[:-1], *tuple(x.shape))
    return apply(OPS["reshape"], (moved,), {"shape": shape})


def hessian(func: Function, argnums: ArgNums = 0) -> Function:
    """A function that gives the second derivatives of ``func``: the Jacobian of its Jacobian."""
    return jacfwd(jacrev(func, argnums), argnums)
