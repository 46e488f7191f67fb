"""``autograd.Function``: an operation whose gradient the user writes."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from graphc import dtypes
from graphc.autodiff import sum_to
from graphc.autograd.backward import FREED, restored
from graphc.autograd.hooks import Cotangents, deliver
from graphc.errors import user_location
from graphc.functions.promotion import cast
from graphc.ir import OPS, Node, TensorType
from graphc.modes import MODES, no_grad
from graphc.tape import FUNCTION, FUNCTION_OUTPUT, Saved, TapeNode, ending_node, save
from graphc.tensor import Tensor, apply


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


class FunctionNode(TapeNode):
    """A ``Function`` on the tape; it shows the attributes of its ctx."""

    __slots__ = ("context",)

    context: FunctionCtx

    def __getattr__(self, name: str) -> Any:
        if name == "context":
            raise AttributeError(name)
        return getattr(self.context, name)

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        if self.op is FUNCTION_OUTPUT:
            return self.inputs[0].next_functions  # type: ignore[attr-defined, no-any-return]
        return super().next_functions

    def free(self) -> None:
        if self.op is FUNCTION and self.context._kept:
            self.context._kept, self.context._freed = None, True


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
        if not (MODES.grad and any(needs)):
            return result
        return _Application(cls, ctx, args, tensors).record(result)


def _rule(cls: type[Function]) -> Callable[..., Any]:
    return cls.backward if cls.backward is not Function.backward else cls.vjp


class _Application:
    """One call of a function on its way to the tape."""

    def __init__(
        self,
        cls: type[Function],
        ctx: FunctionCtx,
        args: tuple[Any, ...],
        tensors: dict[int, Tensor],
    ) -> None:
        self.cls, self.ctx, self.args = cls, ctx, args
        self.places = tuple(tensors)  # which arguments are tensors
        self.inputs = [t._here() for t in tensors.values()]
        self.types: list[TensorType | None] = []

    def record(self, result: Any) -> Any:
        several = isinstance(result, (tuple, list))
        results = list(result) if several else [result]
        constant = {id(t._here()) for t in self.ctx._constant}
        self.types = [x._here()._type if isinstance(x, Tensor) else None for x in results]
        followed = [
            i
            for i, x in enumerate(results)
            if isinstance(x, Tensor) and x.dtype.is_floating_point and id(x._here()) not in constant
        ]
        if not followed:
            return result
        nodes = self._nodes(followed)
        for i, x in enumerate(results):
            if isinstance(x, Tensor):
                results[i] = self._placed(x, nodes.get(i))
        outputs = {id(results[i]._here()): node for i, node in nodes.items()}
        self.ctx._keep(outputs | self._aliases(result if several else [result], nodes))
        if not several:
            return results[0]
        return results if isinstance(result, list) else tuple(results)

    def _aliases(self, before: Sequence[Any], nodes: dict[int, TapeNode]) -> dict[int, TapeNode]:
        """Outputs may be saved under the objects that forward made."""
        own = {id(t) for t in self.inputs}
        return {
            id(before[i]._here()): node
            for i, node in nodes.items()
            if id(before[i]._here()) not in own
        }

    def _nodes(self, followed: list[int]) -> dict[int, TapeNode]:
        """A node for each followed output; several come from one hub."""
        inputs = tuple(t._tape_node() for t in self.inputs)
        first = self.types[followed[0]]
        assert first is not None
        hub = self._node(FUNCTION, inputs, first)
        hub.custom = self._pull
        if len(self.types) == 1:
            return {followed[0]: hub}
        nodes: dict[int, TapeNode] = {}
        for i in followed:
            type_ = self.types[i]
            assert type_ is not None
            nodes[i] = self._node(FUNCTION_OUTPUT, (hub,), type_)
            nodes[i].custom = deliver(i)
        return nodes

    def _node(self, op: Any, inputs: tuple[Node, ...], type: TensorType) -> FunctionNode:
        node = FunctionNode(op, inputs, {}, type)
        node.context = self.ctx
        node.known_as = f"{self.cls.__name__}Backward"
        if MODES.anomaly:
            node.location = user_location()
        return node

    def _placed(self, x: Tensor, node: TapeNode | None) -> Tensor:
        """An output on the tape: itself if it is new, else another tensor on the same memory."""
        me = x._here()
        dirty = any(me is t._here() for t in self.ctx._dirty)
        if me._base is None and not any(me is t for t in self.inputs):
            me._node = node
            return x
        alias: Tensor = Tensor._make(me._current(), me._type, me._storage)
        alias._node = node
        if not dirty:
            return alias
        return x._write(alias)

    def _pull(self, g: Any, wanted: Sequence[bool]) -> list[Any]:
        """The gradients of the tensors among the arguments, by the user's backward."""
        arrived = g if isinstance(g, Cotangents) else Cotangents({0: g})
        given = [self._cotangent(arrived.get(i), t) for i, t in enumerate(self.types)]
        found = _rule(self.cls)(self.ctx, *given)
        grads = list(found) if isinstance(found, (tuple, list)) else [found]
        name, count = f"{self.cls.__name__}Backward", len(self.args)
        while len(grads) > count and grads[-1] is None:
            grads.pop()
        if len(grads) != count:
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {count}, got "
                f"{len(grads)})"
            )
        for i, part in enumerate(grads):
            if part is not None and i not in self.places:
                raise RuntimeError(
                    f"function {name} returned a gradient different from None at position {i + 1}, "
                    "but the corresponding forward input was not a Variable"
                )
        return [
            _fitting(grads[i], t, name, i) if want else None
            for i, t, want in zip(self.places, self.inputs, wanted, strict=True)
        ]

    def _cotangent(self, g: Tensor | None, type: TensorType | None) -> Tensor | None:
        if g is not None or type is None or not self.ctx._materialize:
            return g
        attrs = {"value": 0, "shape": type.shape, "dtype": type.dtype, "device": type.device}
        return apply(OPS["full"], (), attrs)


def _fitting(g: Any, x: Tensor, name: str, position: int) -> Tensor | None:
    """A gradient in the shape and dtype of its input."""
    if g is None:
        return None
    if not isinstance(g, Tensor):
        raise TypeError(f"expected Variable or None (got {type(g).__name__}) from {name}")
    shape, wanted = tuple(g.shape), tuple(x.shape)
    if shape != wanted:
        lead = len(shape) - len(wanted)
        if lead < 0 or any(b not in (1, a) for a, b in zip(shape[lead:], wanted, strict=True)):
            raise RuntimeError(
                f"Function {name} returned an invalid gradient at index {position} - got "
                f"{list(shape)} but expected shape compatible with {list(wanted)}"
            )
        g = sum_to(g, wanted)
    return cast(g, x.dtype)


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
