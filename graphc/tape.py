"""The dynamic graph: what eager operations leave behind so that ``backward`` can walk them.

A :class:`TapeNode` is a node of the IR that was applied once and may hold the values its gradient
rule reads. It is never interned. The same tape serves eager tensors and tensors being traced; in a
trace the held values are nodes of the traced graph, so the gradient becomes part of that graph.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from graphc.autodiff import Pullback
from graphc.errors import Location, user_location
from graphc.ir import INPUT, Attrs, Leaf, Node, Op, TensorType, topological
from graphc.modes import MODES

if TYPE_CHECKING:
    from graphc.tensor import Tensor


class Storage:
    """The memory that a tensor and its views share; ``version`` counts in-place writes."""

    # Defaults of the class: most storages are never written, and making one costs no Python call.
    version: int = 0
    address: int | None = None  # of the owner's first element, once somebody asked


class Saved:
    """A value kept for a gradient rule, with the version it had.

    With ``unpack`` set it is what a pack hook made of the value (see ``saved_tensors_hooks``).
    """

    unpack: Callable[[Any], Any] | None = None

    def __init__(self, value: Any, tensor: "Tensor", node: "TapeNode | None") -> None:
        self.value = value
        self.storage = storage = tensor._storage
        self.version = storage.version
        self.node = node


def _outside(*_args: Any, **_attrs: Any) -> Any:
    raise RuntimeError("the tape outside of a trace cannot be reached from within")


OUTER = Op("outer", _outside, _outside, Leaf())


class TapeNode(Node):
    """One recorded application, or a leaf (``tensor`` is then set)."""

    # Defaults of the class: few nodes differ from them, and many nodes are made.
    saved: "tuple[Saved | None, ...]" = ()
    requires: bool = True
    freed: bool = False
    tensor: "Tensor | None" = None
    hooks: dict[int, Callable[[Any], Any]] | None = None
    rule: Pullback | None = None
    location: Location | None = None  # of the operation: in a trace, or to find anomalies
    custom: Callable[[Any, Sequence[bool]], Sequence[Any]] | None = None  # not one row
    known_as: str | None = None  # the name of a custom node
    after: dict[int, Callable[..., Any]] | None = None  # hooks that see what comes out
    notes: dict[Any, Any] | None = None  # see metadata

    def name(self) -> str:
        """The name PyTorch would print: ``AddBackward0``."""
        from graphc.autograd.names import backward_name

        if self.tensor is not None:
            return "AccumulateGrad"
        return self.known_as or backward_name(self.op.name, self.attrs, self.inputs)

    @property
    def next_functions(self) -> tuple[tuple["Node | None", int], ...]:
        """Where the gradients of this node's inputs go, each with the number of an output."""
        return tuple((n if getattr(n, "requires", False) else None, 0) for n in self.inputs)

    def free(self) -> None:
        """Lets go of what was saved; another backward through this node is refused then."""
        if self.custom is not None or any(s is not None for s in self.saved):
            self.custom = None
            self.saved = ()
            self.freed = True

    @property
    def metadata(self) -> dict[Any, Any]:
        """What the user wants to keep with the node."""
        if self.notes is None:
            self.notes = {}
        return self.notes

    @property
    def variable(self) -> "Tensor":
        """The leaf of an ``AccumulateGrad`` node."""
        if self.tensor is None:
            raise AttributeError(f"{self.name()!r} object has no attribute 'variable'")
        return self.tensor

    def register_prehook(self, fn: Callable[..., Any]) -> Any:
        """Calls ``fn(grad_outputs)`` before the node's rule; it may return others."""
        from graphc.autograd.hooks import before_node

        return before_node(self, fn)

    def register_hook(self, fn: Callable[..., Any]) -> Any:
        """Calls ``fn(grad_inputs, grad_outputs)`` after the node's rule; it may return others."""
        from graphc.autograd.hooks import after_node

        return after_node(self, fn)

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    def __str__(self) -> str:
        return f"<{self.name()}>"


def leaf_node(tensor: "Tensor", type: TensorType, name: str, requires: bool) -> TapeNode:
    """The node where gradients of a leaf arrive; a constant operand has ``requires`` False."""
    node = TapeNode(INPUT, (), {"name": name, "type": type}, type)
    node.requires = requires
    if requires:
        node.tensor = tensor
    return node


def outer_node(type: TensorType) -> TapeNode:
    """Where the tape of a trace ends: a tensor that was computed, tracked, before the trace."""
    return TapeNode(OUTER, (), {}, type)


def ending_node(type: TensorType, error: RuntimeError | None = None) -> TapeNode:
    """A place on the tape where gradients end: asking for one raises the error, if there is one."""
    node = TapeNode(OUTER, (TapeNode(OUTER, (), {}, type),), {}, type)

    def end(_g: Any, _wanted: Sequence[bool]) -> Sequence[Any]:
        if error is not None:
            raise RuntimeError(*error.args)
        return (None,)

    node.custom = end
    return node


def record(
    op: Op,
    operands: Sequence["Tensor"],
    attrs: Attrs,
    result: "Tensor",
    rule_for: Callable[[tuple[bool, ...]], Pullback],
) -> TapeNode | None:
    """Puts an application on the tape and keeps exactly what its gradient rule will read.

    ``rule_for`` gives the rule for the operands that want a gradient. None when no gradient can
    pass (``stop_gradient``).
    """
    inputs = tuple([t._node or t._tape_node() for t in operands])
    rule = rule_for(tuple([n.requires for n in inputs]))
    if not rule.passes:
        return None
    node = TapeNode(op, inputs, attrs, result._type)
    node.rule = rule
    if isinstance(result._value, Node) and result._value.builder is not None:
        node.location = result._value.builder.locations.get(result._value)
    elif MODES.anomaly:
        node.location = user_location()
    save_ = Saved if MODES.saved_hooks is None else save
    uses = rule.uses
    saved: list[Saved | None] = [save_(result._value, result, None) if uses[0] else None]
    for number, t in enumerate(operands, 1):
        saved.append(save_(t._current(), t, inputs[number - 1]) if uses[number] else None)
    node.saved = tuple(saved)
    return node


def save(value: Any, tensor: "Tensor", node: TapeNode | None) -> Saved:
    """Keeps a tensor's value: as it is, or as the pack hook wants it.

    Inside ``vmap`` the hook sees only what is kept outside: whole batches.
    """
    kept = Saved(value, tensor, node)
    hooks = MODES.saved_hooks
    if hooks is not None and not (MODES.trace is not None and MODES.trace.mapped):
        before, MODES.grad, MODES.saved_hooks = MODES.grad, False, None
        try:
            kept.value = hooks[0](tensor.detach())
        finally:
            MODES.grad, MODES.saved_hooks = before, hooks
        kept.unpack = hooks[1]
    return kept


def _tape_only(*_args: Any, **_attrs: Any) -> Any:
    raise RuntimeError("compiled programs and autograd.Functions appear on the tape only")


# Not rows of the registry: they stand on the tape, where a rule of their own runs.
COMPILED, COMPILED_OUTPUT, FUNCTION, FUNCTION_OUTPUT = (
    Op(name, _tape_only, _tape_only, Leaf())
    for name in ("compiled", "compiled_output", "function", "function_output")
)


def is_spent(tensor: "Tensor") -> bool:
    """Whether a ``backward`` has freed part of what the tensor was computed by."""
    end = tensor._node
    return end is not None and any(isinstance(n, TapeNode) and n.freed for n in topological([end]))


def spent_node(type: TensorType) -> TapeNode:
    """The place of a compiled function's result on whose graph backward has run already."""
    node = TapeNode(
        COMPILED, (TapeNode(INPUT, (), {"name": "spent", "type": type}, type),), {}, type
    )
    node.freed = True
    return node
