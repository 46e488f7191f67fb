"""Hooks of a module that see gradients.

What goes in and what comes out passes through one node each, so that all its gradients are known
together: a single tensor through a copy of itself, several as parts of one vector.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from graphc.functions.promotion import cast, common_dtype
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

if TYPE_CHECKING:
    from graphc.nn.module import Module

Gradients = tuple[Tensor | None, ...]


def watch_backward(module: "Module", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward`` whose gradients pass by the module's backward hooks."""
    if not MODES.grad:
        return module.forward(*args, **kwargs)
    arrived: list[Gradients] = []

    def outputs_known(grads: Gradients) -> Gradients:
        for hook in list(module._backward_pre_hooks.values()):
            grads = _replaced(hook(module, grads), grads, "grad_output")
        arrived.append(grads)
        if not watched:  # nothing will arrive at the inputs
            inputs_known((None,) * len(args))
        return grads

    def inputs_known(grads: Gradients) -> Gradients:
        outputs = arrived.pop() if arrived else ()
        for hook in list(module._backward_hooks.values()):
            grads = _replaced(hook(module, grads, outputs), grads, "grad_input")
        return grads

    inputs, watched = _watched(args, inputs_known)
    result = module.forward(*inputs, **kwargs)
    single = not isinstance(result, (tuple, list))
    outputs, seen = _watched((result,) if single else tuple(result), outputs_known)
    if not seen:
        return result
    return outputs[0] if single else type(result)(outputs)


def _replaced(changed: Any, grads: Gradients, what: str) -> Gradients:
    if changed is None:
        return grads
    given = changed if isinstance(changed, tuple) else (changed,)
    if len(given) != len(grads):
        raise RuntimeError(
            f"Backward hook returned an invalid number of {what}, got {len(given)}, but expected "
            f"{len(grads)}"
        )
    return given


def _watched(
    values: Sequence[Any], known: Callable[[Gradients], Gradients]
) -> tuple[tuple[Any, ...], bool]:
    """The values, their tensors led through one node; and whether any gradient will come."""
    places = [i for i, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        return tuple(values), False
    tensors = [values[i] for i in places]
    joined = apply(OPS["clone"], tensors, {}) if len(tensors) == 1 else _join(tensors)

    def hook(g: Tensor) -> Tensor:
        parts = [g] if len(tensors) == 1 else _split(g, tensors)
        grads: list[Tensor | None] = [None] * len(values)
        for i, part in zip(places, parts, strict=True):
            grads[i] = part
        changed = known(tuple(grads))
        after = [_or_zeros(changed[i], x) for i, x in zip(places, tensors, strict=True)]
        return after[0] if len(after) == 1 else _join(after)

    joined.register_hook(hook)
    parts = [joined] if len(tensors) == 1 else _split(joined, tensors)
    result = list(values)
    for i, part in zip(places, parts, strict=True):
        result[i] = part
    return tuple(result), True


def _or_zeros(g: Tensor | None, like: Tensor) -> Tensor:
    return like.detach()._zeros() if g is None else g


def _join(tensors: Sequence[Tensor]) -> Tensor:
    """All elements in one vector of the common dtype."""
    dtype = common_dtype(tensors)
    flat = [apply(OPS["reshape"], (cast(x, dtype),), {"shape": (x.numel(),)}) for x in tensors]
    return apply(OPS["cat"], flat, {"dim": 0})


def _split(vector: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    parts, start = [], 0
    for x in like:
        stop = start + x.numel()
        attrs = {"starts": (start,), "stops": (stop,), "steps": (1,)}
        part = apply(OPS["slice"], (vector,), attrs)
        parts.append(cast(apply(OPS["reshape"], (part,), {"shape": tuple(x.shape)}), x.dtype))
        start = stop
    return parts
