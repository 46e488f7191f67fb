"""``autograd.Function``: an operation whose gradient the user writes."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.autograd.application import Application, Rule
from graphc.autograd.backward import FREED, restored
from graphc.ir import TensorType
from graphc.modes import MODES, no_grad
from graphc.tape import Saved, TapeNode, ending_node, save
from graphc.tensor import Tensor


class FunctionCtx:
    """What forward leaves for backward: ``ctx``. It takes any attribute."""

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._given: tuple[Any, ...] | None = None
        self._kept: list[Saved | None] | None = None
        self._types: list[TensorType] = []
        self._freed = False
        self._dirty: tuple[Tensor, ...] = ()
        self._constant: tuple[Tensor, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keeps tensors, best inputs and outputs, for ``saved_tensors`` in backward.

        Raises TypeError for anything but tensors and None.
        """
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward can only save variables, but argument is of type {type(t)}"
                )
        self._given = tensors

    def save_for_forward(self, *tensors: Tensor | None) -> None:
        """Accepted for PyTorch's sake: forward mode goes through backward here."""

    def mark_dirty(self, *args: Tensor) -> None:
        """Names inputs that forward writes in place; it has to return them."""
        self._dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Names outputs that have no gradient."""
        self._constant = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether gradients that nobody asked for arrive as zeros (the default) or as None."""
        self._materialize = bool(value)

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What ``save_for_backward`` kept, on the tape where it was.

        Raises RuntimeError when a backward has freed it, or when it was overwritten since.
        """
        if self._freed:
            raise RuntimeError(FREED)
        if self._kept is None:
            return self._given or ()
        name = type(self).__name__
        return tuple(
            None if kept is None else restored(kept, kept.node, type, f"saved by {name}")
            for kept, type in zip(self._kept, self._types, strict=True)
        )

    def _free(self) -> None:
        if self._kept:
            self._kept, self._freed = None, True

    def _keep(self, outputs: dict[int, TapeNode]) -> None:
        """Turns what was given into saved values; ``outputs`` are nodes by the id of a tensor."""
        given, self._given = self._given or (), None
        self._kept = []
        for t in given:
            if t is None:
                self._kept.append(None)
                self._types.append(TensorType((), dtypes.float32))
                continue
            me = t._here()
            node = outputs.get(id(me)) or (me._tape_node() if me._tracked() else None)
            self._kept.append(save(me._current(), me, node))
            self._types.append(me._type)


class _Meta(type):
    """Gives every function the class of its ctx, named as PyTorch names it."""

    def __init__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> None:
        super().__init__(name, bases, members)
        cls._ctx = type(f"{name}Backward", (FunctionCtx,), {})


class Function(metaclass=_Meta):
    """A base class for operations with a gradient of their own.

    Write ``forward(ctx, *args)``, or ``forward(*args)`` and ``setup_context(ctx, inputs, output)``;
    and ``backward(ctx, *grads)``, which gives one gradient, or None, for each argument. All are
    static methods. Then call ``Name.apply(*args)``. A backward that is made of differentiable
    operations can be differentiated again.
    """

    _ctx: type[FunctionCtx]
    generate_vmap_rule = True

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        warnings.warn(
            f"{type(self).__name__} should not be instantiated. Methods on autograd functions are "
            "all static, so you should invoke them on the class itself: use .apply",
            DeprecationWarning,
            stacklevel=2,
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Computes the results. Not recorded."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> Any:
        """Prepares ``ctx`` for backward, where ``forward`` does not take it."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """The gradients of the arguments from those of the results."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom "
            "autograd.Function to use it with backward mode AD."
        )

    vjp = backward

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Calls forward and puts the operation on the tape."""
        tensors = {i: x for i, x in enumerate(args) if isinstance(x, Tensor)}
        needs = tuple(i in tensors and tensors[i].requires_grad for i in range(len(args)))
        ctx = cls._ctx()
        ctx.needs_input_grad = needs
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args)
        several = isinstance(result, (tuple, list))
        results = list(result) if several else [result]
        if MODES.grad and any(needs):
            name = cls.__name__
            inputs = list(tensors.values())
            rule = _checked(cls, ctx, len(args), tuple(tensors))
            called = Application(name, ctx, inputs, rule)
            results, nodes = called.record(results, ctx._constant, ctx._dirty)
            ctx._keep(nodes)
        else:
            written = {id(t) for t in ctx._dirty}
            results = [
                x.detach() if id(x) not in written and any(x is t for t in tensors.values()) else x
                for x in results
            ]
        if not several:
            return results[0]
        return results if isinstance(result, list) else tuple(results)


def _checked(cls: type[Function], ctx: FunctionCtx, count: int, places: tuple[int, ...]) -> Rule:
    """The user's backward, for the arguments that are tensors."""
    backward = cls.backward if cls.backward is not Function.backward else cls.vjp
    name = f"{cls.__name__}Backward"

    def rule(*cotangents: Tensor | None) -> list[Any]:
        found = backward(ctx, *cotangents)
        grads = list(found) if isinstance(found, (tuple, list)) else [found]
        while len(grads) > count and grads[-1] is None:
            grads.pop()
        if len(grads) != count:
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {count}, got "
                f"{len(grads)})"
            )
        for i, part in enumerate(grads):
            if part is not None and i not in places:
                raise RuntimeError(
                    f"function {name} returned a gradient different from None at position {i + 1}, "
                    "but the corresponding forward input was not a Variable"
                )
        return [grads[i] for i in places]

    return rule


def once_differentiable(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Marks a backward that cannot be differentiated: asking for that raises RuntimeError."""

    @functools.wraps(fn)
    def wrapped(ctx: Any, *args: Any) -> Any:
        with no_grad():
            found = fn(ctx, *args)
        if not MODES.grad or not any(isinstance(a, Tensor) and a.requires_grad for a in args):
            return found
        several = isinstance(found, tuple)
        return tuple(_refusing(x) for x in found) if several else _refusing(found)

    return wrapped


def _refusing(value: Any) -> Any:
    if not isinstance(value, Tensor) or not value.dtype.is_floating_point:
        return value
    made = value.detach()._here()
    error = RuntimeError(
        "trying to differentiate twice a function that was marked with @once_differentiable"
    )
    fresh: Tensor = Tensor._make(made._current(), made._type, made._storage)
    fresh._node = ending_node(made._type, error)
    return fresh
