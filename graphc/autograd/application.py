"""A ``Function`` on its way to the tape: nodes, their rule, and the levels of ``vmap`` around it.

Inside ``vmap`` a function sees one example, but the level outside may want gradients as well. It
gets a node of its own, whose rule goes back into the level: it runs the function's backward there,
on a batch of cotangents.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from graphc.autodiff import sum_to
from graphc.autograd.hooks import Cotangents, deliver
from graphc.errors import user_location
from graphc.func.batch_rules import Operand, full_batch
from graphc.func.batching import Batching
from graphc.functions.promotion import cast
from graphc.ir import OPS, Node, Op, TensorType
from graphc.modes import MODES
from graphc.tape import FUNCTION, FUNCTION_OUTPUT, TapeNode
from graphc.tensor import Tensor, apply
from graphc.tracing import suspended

Rule = Callable[..., Sequence[Tensor | None]]  # cotangents of results -> gradients of inputs


class Context(Protocol):
    """What nodes need to know of a function's ctx."""

    _materialize: bool

    def _free(self) -> None: ...


class FunctionNode(TapeNode):
    """A ``Function`` on the tape; it shows the attributes of its ctx."""

    __slots__ = ("context", "frees")

    context: Context
    frees: bool  # what the ctx has saved goes with this node, not with one further out

    def __getattr__(self, name: str) -> Any:
        if name in ("context", "frees"):
            raise AttributeError(name)
        return getattr(self.context, name)

    @property
    def next_functions(self) -> tuple[tuple[Node | None, int], ...]:
        if self.op is FUNCTION_OUTPUT:
            return self.inputs[0].next_functions  # type: ignore[attr-defined, no-any-return]
        return super().next_functions

    def free(self) -> None:
        if self.op is FUNCTION and self.frees:
            self.context._free()


class Application:
    """One call: its inputs that are tensors, and the rule for their gradients."""

    def __init__(self, name: str, context: Context, inputs: Sequence[Tensor], rule: Rule) -> None:
        self.name, self.context, self.rule = name, context, rule
        self._inputs = [t._here() for t in inputs]
        self._types = [t._type for t in self._inputs]
        self._results: list[TensorType | None] = []
        self.hub: FunctionNode | None = None

    def record(
        self, results: Sequence[Any], constant: Sequence[Tensor], dirty: Sequence[Tensor]
    ) -> tuple[list[Any], dict[int, TapeNode]]:
        """The results on the tape, and their nodes by the ids of tensors."""
        before = [x._here() if isinstance(x, Tensor) else x for x in results]
        without = {id(t._here()) for t in constant}
        followed = [
            i
            for i, x in enumerate(before)
            if isinstance(x, Tensor) and x.dtype.is_floating_point and id(x) not in without
        ]
        self._results = [x._type if isinstance(x, Tensor) else None for x in before]
        if not followed:
            return list(results), {}
        nodes = self._nodes(followed)
        written = {id(t._here()) for t in dirty}
        placed = [
            self._placed(x, me, nodes.get(i), id(me) in written) if isinstance(x, Tensor) else x
            for i, (x, me) in enumerate(zip(results, before, strict=True))
        ]
        own = {id(t) for t in self._inputs}
        found = {id(placed[i]._here()): node for i, node in nodes.items()}
        # Outputs may be saved under the objects that forward made.
        found |= {id(before[i]): node for i, node in nodes.items() if id(before[i]) not in own}
        trace = MODES.trace
        if isinstance(trace, Batching):
            self._record_outside(trace, placed, nodes)
        self._inputs = []  # their memory is free again, unless it was saved
        return placed, found

    # ------------------------------------------------------------------------------------- nodes

    def _nodes(self, followed: list[int]) -> dict[int, TapeNode]:
        """A node for each followed result; several come from one hub."""
        inputs = tuple(t._tape_node() for t in self._inputs)
        first = self._results[followed[0]]
        assert first is not None
        hub = self.hub = self._node(FUNCTION, inputs, first)
        hub.custom = self._pull
        if len(self._results) == 1:
            return {followed[0]: hub}
        nodes: dict[int, TapeNode] = {}
        for i in followed:
            type_ = self._results[i]
            assert type_ is not None
            nodes[i] = self._node(FUNCTION_OUTPUT, (hub,), type_)
            nodes[i].custom = deliver(i)
        return nodes

    def _node(self, op: Op, inputs: tuple[Node, ...], type: TensorType) -> FunctionNode:
        node = FunctionNode(op, inputs, {}, type)
        node.context, node.frees = self.context, True
        node.known_as = f"{self.name}Backward"
        if MODES.anomaly:
            node.location = user_location()
        return node

    def _placed(self, x: Tensor, me: Tensor, node: TapeNode | None, dirty: bool) -> Tensor:
        """A result on the tape: itself if it is new, else another tensor on the same memory."""
        if me._base is None and not any(me is t for t in self._inputs):
            me._node = node
            return x
        alias: Tensor = Tensor._make(me._current(), me._type, me._storage)
        alias._node = node
        return x._write(alias) if dirty else alias

    # -------------------------------------------------------------------------------------- rules

    def pull(self, given: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The gradients of the inputs, in their shapes and dtypes, from those of the results."""
        full = [self._cotangent(g, t) for g, t in zip(given, self._results, strict=True)]
        found = self.rule(*full)
        return [
            None if g is None else fitting(g, t, f"{self.name}Backward", i)
            for i, (g, t) in enumerate(zip(found, self._types, strict=True))
        ]

    def _pull(self, g: Any, wanted: Sequence[bool]) -> list[Any]:
        arrived = g if isinstance(g, Cotangents) else Cotangents({0: g})
        found = self.pull([arrived.get(i) for i in range(len(self._results))])
        return [g if want else None for g, want in zip(found, wanted, strict=True)]

    def _cotangent(self, g: Tensor | None, type: TensorType | None) -> Tensor | None:
        if g is not None or type is None or not self.context._materialize:
            return g
        attrs = {"value": 0, "shape": type.shape, "dtype": type.dtype, "device": type.device}
        return apply(OPS["full"], (), attrs)

    # -------------------------------------------------------------------------- the level outside

    def _record_outside(
        self, level: Batching, placed: list[Any], nodes: dict[int, TapeNode]
    ) -> None:
        """The same call as the level outside of a ``vmap`` sees it: on batches."""
        inputs = [level.leave(t) for t in self._inputs]
        with suspended(level.outer):
            if not any(x.tensor.requires_grad for x in inputs):
                return
        mapped = any(x.batched for x in inputs)
        results = [level.leave(placed[i]) if i in nodes else None for i in range(len(placed))]
        outer = Application(
            self.name,
            self.context,
            [],
            _OutsideRule(level, self, [x.batched for x in inputs], mapped),
        )
        with suspended(level.outer):
            outer._inputs = [x.tensor._here() for x in inputs]
            outer._types = [t._type for t in outer._inputs]
            physical = [
                None if r is None else full_batch(r, level.size) if mapped else r.tensor
                for r in results
            ]
            made, _ = outer.record(physical, (), ())
        for i in nodes:
            placed[i]._here()._value = level.hold(Operand(made[i], mapped))
        if self.hub is not None:
            self.hub.frees = False


class _OutsideRule:
    """Runs the backward of one level on batches of cotangents from outside."""

    def __init__(
        self, level: Batching, inside: Application, batched: list[bool], mapped: bool
    ) -> None:
        self._level, self._inside = level, inside
        self._batched, self._mapped = batched, mapped

    def __call__(self, *cotangents: Tensor | None) -> list[Tensor | None]:
        level = self._level
        with level.again():
            given = [
                None if g is None else level.enter(g) if self._mapped else level.twin(g)
                for g in cotangents
            ]
            found = [None if g is None else level.leave(g) for g in self._inside.pull(given)]
        return [
            None if x is None else self._outside(x, batched)
            for x, batched in zip(found, self._batched, strict=True)
        ]

    def _outside(self, x: Operand, batched: bool) -> Tensor:
        """The gradient of what all examples share is the sum over them."""
        if not self._mapped:
            return x.tensor
        full = full_batch(x, self._level.size)
        return full if batched else apply(OPS["sum"], (full,), {"dims": (0,), "keepdim": False})


def fitting(g: Any, type: TensorType, name: str, position: int) -> Tensor:
    """A gradient in the shape and dtype of its input. Raises RuntimeError where it has neither."""
    if not isinstance(g, Tensor):
        raise RuntimeError(f"expected Variable or None (got {g.__class__.__name__}) from {name}")
    shape, wanted = tuple(g.shape), type.shape
    if shape != wanted:
        lead = len(shape) - len(wanted)
        if lead < 0 or any(b not in (1, a) for a, b in zip(shape[lead:], wanted, strict=True)):
            raise RuntimeError(
                f"Function {name} returned an invalid gradient at index {position} - got "
                f"{list(shape)} but expected shape compatible with {list(wanted)}"
            )
        g = sum_to(g, wanted)
    return cast(g, type.dtype)
