"""Hooks of a module that see gradients.

What goes into the module and what comes out passes through one node each of the tape, where all
its gradients are known together.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from graphc.autograd.function import Function
from graphc.modes import MODES
from graphc.tensor import Tensor

if TYPE_CHECKING:
    from graphc.nn.module import Module

Gradients = tuple[Tensor | None, ...]
Hook = Callable[..., Any]


class BackwardHookFunction(Function):
    """Copies of tensors; their gradients go through a function."""

    @staticmethod
    def forward(
        ctx: Any, known: Callable[[Gradients], Gradients], zeros: bool, *tensors: Tensor
    ) -> Any:
        ctx.known = known
        ctx.set_materialize_grads(zeros)
        copies = tuple(t.clone() for t in tensors)
        fixed = [c for c, t in zip(copies, tensors, strict=True) if not t.requires_grad]
        ctx.mark_non_differentiable(*fixed)
        return copies

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        return None, None, *ctx.known(grads)


class Watch:
    """One call of a module whose gradients pass by its backward hooks."""

    def __init__(self, module: "Module", hooks: list[Hook], pre_hooks: list[Hook]) -> None:
        self._module, self._hooks, self._pre_hooks = module, hooks, pre_hooks
        self._arrived: Gradients | None = None  # at the outputs
        self._inputs = 0
        self._input_places: list[int] | None = None  # of tensors; None: no gradient comes there

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, their tensors led through one node."""
        self._inputs = len(args)

        def known(parts: Gradients) -> Gradients:
            if self._arrived is None:
                return parts
            grads = _spread(places, parts, len(args))
            for hook in self._hooks:
                grads = _replaced(
                    hook(self._module, grads, self._arrived), grads, "Backward hook", "grad_input"
                )
            self._arrived = None
            return tuple(grads[i] for i in places)

        result, places = _watched(args, known, zeros=True)
        self._input_places = places or None
        return result  # type: ignore[no-any-return]

    def outputs(self, result: Any) -> Any:
        """What forward gave, its tensors led through one node."""
        if not isinstance(result, (Tensor, tuple)):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of "
                f"Tensors but received {type(result)}",
                stacklevel=6,
            )
        several = isinstance(result, tuple)
        values = result if several else (result,)

        def known(parts: Gradients) -> Gradients:
            grads = _spread(places, parts, len(values))
            for hook in self._pre_hooks:
                grads = _replaced(
                    hook(self._module, grads), grads, "Backward pre hook", "grad_output"
                )
            self._arrived = grads
            if self._input_places is None:
                self._without_inputs()
            return tuple(grads[i] for i in places)

        watched, places = _watched(values, known, zeros=False)
        return watched if several else watched[0]

    def _without_inputs(self) -> None:
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module "
            "outputs since no inputs require gradients.",
            stacklevel=2,
        )
        nothing = (None,) * self._inputs
        for hook in self._hooks:
            changed = hook(self._module, nothing, self._arrived)
            empty = isinstance(changed, tuple) and all(g is None for g in changed)
            if changed is not None and not empty:
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always "
                    "return None or None for all gradients."
                )
        self._arrived = None


def watch_last_operation(module: "Module", hooks: list[Hook], result: Any) -> None:
    """Hooks of the older kind: on the gradients at the operation that made the first tensor."""
    while not isinstance(result, Tensor):
        if isinstance(result, dict):
            result = next(v for v in result.values() if isinstance(v, Tensor))
        else:
            result = result[0]
    if result.grad_fn is not None:
        for hook in hooks:
            result.grad_fn.register_hook(_with(module, hook))


def _with(module: "Module", hook: Hook) -> Hook:
    return lambda *grads: hook(module, *grads)


def _spread(places: Sequence[int], parts: Sequence[Any], count: int) -> Gradients:
    """The parts at their places among ``count``, None elsewhere."""
    grads: list[Tensor | None] = [None] * count
    for i, part in zip(places, parts, strict=True):
        grads[i] = part
    return tuple(grads)


def _replaced(changed: Any, grads: Gradients, kind: str, what: str) -> Gradients:
    if changed is None:
        return grads
    if len(changed) != len(grads):
        raise RuntimeError(
            f"{kind} returned an invalid number of {what}, got {len(changed)}, but expected "
            f"{len(grads)}"
        )
    return changed  # type: ignore[no-any-return]


def _watched(
    values: tuple[Any, ...], known: Callable[[Gradients], Gradients], zeros: bool
) -> tuple[Any, list[int]]:
    """The values with copies for tensors, and where those are; nothing if no gradient will come.

    ``zeros`` stand for gradients that do not come, else None.
    """
    places = [i for i, x in enumerate(values) if isinstance(x, Tensor)]
    if not MODES.grad or not any(values[i].requires_grad for i in places):
        return values, []
    copies = BackwardHookFunction.apply(known, zeros, *(values[i] for i in places))
    result = list(values)
    for i, copied in zip(places, copies, strict=True):
        result[i] = copied
    plain = type(values) is tuple
    return (tuple(result) if plain else type(values)(*result)), places
