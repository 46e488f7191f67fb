"""Hooks: what runs when a gradient is known, at a tensor or at a node of the tape."""

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from graphc.ir import Node, topological
from graphc.modes import MODES
from graphc.tape import TapeNode
from graphc.tensor import HookHandle, Tensor

Hook = Callable[..., Any]


class _Retain:
    """Keeps the gradient of a non-leaf in its ``.grad``; runs after the other hooks."""

    def __init__(self, tensor: Tensor) -> None:
        self.target = weakref.ref(tensor)

    def __call__(self, g: Tensor) -> None:
        tensor = self.target()
        if tensor is not None:
            tensor.grad = g if tensor.grad is None else tensor.grad + g


class _Accumulated:
    """Runs with the leaf itself once its ``.grad`` has grown."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook


class _Before:
    """A hook of a node on what arrives there."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook


# ------------------------------------------------------------------------------------ of a tensor


def register_hook(self: Tensor, hook: Hook) -> HookHandle:
    """Calls ``hook(grad)`` when the gradient of this tensor is known; it may return another.

    The handle removes it again. Raises RuntimeError for a tensor that requires no gradient.
    """
    me = self._here()
    if not me._tracked():
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if me._hooks is None:
        me._hooks = {}
    node = me._tape_node()
    if node.hooks is None:
        node.hooks = me._hooks
    return HookHandle(node.hooks, hook)


def register_post_accumulate_grad_hook(self: Tensor, hook: Hook) -> HookHandle:
    """Calls ``hook(tensor)`` whenever ``backward`` has added to the ``.grad`` of this leaf.

    Raises RuntimeError for a tensor that is no leaf or requires no gradient.
    """
    me = self._here()
    if not me._tracked():
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if me._node is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return register_hook(self, _Accumulated(hook))  # type: ignore[arg-type]


def retain_grad(self: Tensor) -> None:
    """Keeps ``.grad`` of a non-leaf after ``backward``; a leaf keeps its own anyway."""
    me = self._here()
    if not me._tracked():
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    if me._node is None or _retained(me):
        return
    if me._node.hooks is None:
        me._node.hooks = {}
    HookHandle(me._node.hooks, _Retain(me))


def _retained(tensor: Tensor) -> bool:
    hooks = (tensor._node.hooks if tensor._node is not None else None) or {}
    return any(isinstance(h, _Retain) and h.target() is tensor for h in hooks.values())


def move_retained(tensor: Tensor, before: TapeNode) -> None:
    """After a write in place the gradient to retain is that of the new contents."""
    hooks = before.hooks or {}
    kept = [i for i, h in hooks.items() if isinstance(h, _Retain) and h.target() is tensor]
    for i in kept:
        del hooks[i]
    if kept:
        retain_grad(tensor)


def arrived(hooks: Iterable[Hook], g: Any) -> Any:
    """What the hooks of a tensor, or those before a node, make of an arriving gradient."""
    last: list[_Retain] = []
    for hook in hooks:
        if isinstance(hook, _Retain):
            last.append(hook)
        elif isinstance(hook, _Before):
            changed = hook.hook(_as_tuple(g))
            if changed is not None:
                given = changed if isinstance(changed, tuple) else (changed,)
                g = _like(given, g)
        elif not isinstance(hook, _Accumulated):
            changed = hook(g)
            if changed is not None:
                _check(hook, changed, g)
                g = changed
    for keep in last:
        keep(g)
    return g


def _check(hook: Hook, changed: Any, g: Tensor) -> None:
    name = getattr(hook, "__name__", type(hook).__name__)
    if not isinstance(changed, Tensor):
        raise TypeError(f"expected Tensor, but hook returned {type(changed).__name__!r} ({name})")
    if tuple(changed.shape) != tuple(g.shape):
        raise RuntimeError(
            f"hook {name!r} has changed the size of value: from {list(g.shape)} to "
            f"{list(changed.shape)}"
        )


def accumulated(leaf: Tensor) -> None:
    """Runs what waits for the gradient of a leaf."""
    for hook in list((leaf._hooks or {}).values()):
        if isinstance(hook, _Accumulated):
            hook.hook(leaf if leaf._origin is None else leaf._origin)


# -------------------------------------------------------------------------------------- of a node


class Cotangents(dict[int, Any]):
    """The cotangents of an operation's outputs, by number, on their way to its one rule."""

    def __add__(self, other: "Cotangents") -> "Cotangents":
        merged = Cotangents(self)
        for number, g in other.items():
            merged[number] = merged[number] + g if number in merged else g
        return merged


def deliver(position: int) -> Callable[[Any, Any], tuple[Cotangents]]:
    """The rule of a node that stands for output ``position`` of an operation with several."""
    return lambda g, _wanted: (Cotangents({position: g}),)


def _as_tuple(g: Any) -> tuple[Any, ...]:
    if isinstance(g, Cotangents):
        return tuple(g.get(i) for i in range(max(g) + 1))
    return (g,)


def _like(given: tuple[Any, ...], g: Any) -> Any:
    if isinstance(g, Cotangents):
        return Cotangents({i: part for i, part in enumerate(given) if part is not None})
    return given[0]


def before_node(node: TapeNode, hook: Hook) -> HookHandle:
    """Calls ``hook(grad_outputs)`` before the rule of a node."""
    if node.hooks is None:
        node.hooks = {}
    return HookHandle(node.hooks, _Before(hook))


def after_node(node: TapeNode, hook: Hook) -> HookHandle:
    """Calls ``hook(grad_inputs, grad_outputs)`` after the rule of a node."""
    if node.after is None:
        node.after = {}
    return HookHandle(node.after, hook)


def came_out(hooks: Iterable[Hook], parts: tuple[Any, ...], g: Any) -> tuple[Any, ...]:
    """What the hooks after a node make of the gradients of its inputs."""
    for hook in hooks:
        changed = hook(parts, _as_tuple(g))
        if changed is not None:
            given = changed if isinstance(changed, tuple) else (changed,)
            if len(given) != len(parts):
                raise RuntimeError(
                    f"hook {getattr(hook, '__name__', 'hook')!r} has returned an incorrect number "
                    f"of values (got {len(given)}, but expected {len(parts)})"
                )
            parts = given
    return parts


# ------------------------------------------------------------------------------- of several tensors


def register_multi_grad_hook(tensors: Any, fn: Hook, *, mode: str = "all") -> "MultiHandle":
    """Calls ``fn`` when the gradients of several tensors are known.

    With ``mode="all"`` once per backward pass, with the gradients (None where one does not come);
    with ``"any"`` with the first gradient that comes. Raises ValueError for another mode.
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    given = tuple(tensors)
    state = _Waiting([t._here()._tape_node() for t in given])

    def watch(number: int) -> Hook:
        def hook(g: Tensor) -> None:
            due = state.come(number, g, mode)
            if due is not None:
                with_grad, MODES.grad = MODES.grad, False
                try:
                    fn(g if mode == "any" else due)
                finally:
                    MODES.grad = with_grad

        return hook

    return MultiHandle([t.register_hook(watch(i)) for i, t in enumerate(given)])


class Pass:
    """One run of ``backward``: which nodes it will reach."""

    def __init__(self, seeds: Iterable[Node], reaching: "set[Node] | None") -> None:
        self._seeds = list(seeds)
        self._reaching = reaching
        self._nodes: set[Node] | None = None

    def reaches(self, node: Node) -> bool:
        if self._nodes is None:
            self._nodes = set(topological(self._seeds))
        return node in self._nodes and (self._reaching is None or node in self._reaching)


class _Running(threading.local):
    def __init__(self) -> None:
        self.passes: list[Pass] = []  # innermost last


RUNNING = _Running()


class _Waiting:
    """Which of several gradients have come in one backward pass."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self._grads: list[Any] = []
        self._come = self._expected = 0
        self._pass: Pass | None = None

    def come(self, number: int, g: Tensor, mode: str) -> "list[Any] | None":
        current = RUNNING.passes[-1]
        if current is not self._pass:
            self._pass, self._come, self._grads = current, 0, [None] * len(self._nodes)
            self._expected = sum(map(current.reaches, self._nodes))
        self._grads[number] = g
        self._come += 1
        return self._grads if self._come == (1 if mode == "any" else self._expected) else None


class MultiHandle:
    """Removes the hooks of several tensors at once."""

    def __init__(self, handles: Iterable[HookHandle]) -> None:
        self._handles = tuple(handles)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> "MultiHandle":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.remove()


for _function in (register_hook, register_post_accumulate_grad_hook, retain_grad):
    setattr(Tensor, _function.__name__, _function)
Tensor.retains_grad = property(  # type: ignore[attr-defined]
    lambda self: _retained(self._here()), doc="Whether a non-leaf keeps its ``.grad``."
)
