"""One level of vectorisation: a function runs on examples, its operations on whole batches.

Inside ``vmap`` a tensor shows the shape of one example. Its value is a :class:`BatchedNode`, which
holds the *physical* tensor of the level outside: the same thing with the batch in front, or just
the tensor itself where all examples share it. Every operation is carried out at once on physical
tensors (:mod:`graphc.func.batch_rules`). So levels nest, the level outside may be a trace of
``graphc.compile``, and gradients are recorded inside and outside.
"""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import Location, TraceError, user_location
from graphc.func.batch_rules import RANDOM, Operand, batched_apply, full_batch, one_by_one
from graphc.ir import INPUT, Attrs, Builder, Decompose, Node, Op, TensorType, infer_type
from graphc.modes import MODES
from graphc.tape import TapeNode, outer_node
from graphc.tensor import Tensor, apply, number
from graphc.tracing import Trace, explain_escape, suspended


class BatchedNode(Node):
    """The value of a tensor inside ``vmap``; see the module's text."""

    __slots__ = ("batched", "physical")

    def __init__(self, physical: Tensor, batched: bool, type: TensorType, builder: Builder) -> None:
        super().__init__(INPUT, (), {"name": "batched", "type": type}, type, builder)
        self.physical = physical
        self.batched = batched


class _BatchBuilder(Builder):
    """Applies operations at once, where an ordinary builder only notes them."""

    def __init__(self, size: int, randomness: str, outer: Trace | None) -> None:
        super().__init__()
        self._size = size
        self._randomness = randomness
        self._outer = outer

    def apply(
        self,
        op: Op,
        operands: Sequence[Any],
        attrs: Attrs,
        location: Location | None = None,
    ) -> Node:
        del location
        nodes = self._lift(op, operands)
        infer_type(op, [n.type for n in nodes], attrs)  # errors speak of one example
        given = [Operand(n.physical, n.batched) for n in nodes]  # type: ignore[attr-defined]
        with suspended(self._outer):
            if op.name in RANDOM:
                made = self._random(op, given, attrs)
            elif any(x.batched for x in given):
                made = batched_apply(op, given, attrs, self._size, partial(_expanded, op, nodes))
            else:
                made = Operand(apply(op, [x.tensor for x in given], attrs), False)
        return self.hold(made)

    def hold(self, made: Operand) -> BatchedNode:
        """The value of this level that an operand of the level outside stands for."""
        type_ = made.tensor._type
        logical = type_.with_shape(type_.shape[1:]) if made.batched else type_
        return BatchedNode(made.tensor, made.batched, logical, self)

    def _random(self, op: Op, given: Sequence[Operand], attrs: Attrs) -> Operand:
        if self._randomness == "error":
            raise RuntimeError(
                "vmap: called random operation while in randomness error mode. Please either use "
                "the 'same' or 'different' randomness flags on vmap or perform the randomness "
                "operation out of vmap"
            )
        if self._randomness == "different":
            if op.name == "random":
                attrs = {**attrs, "shape": (self._size, *attrs["shape"])}
                return Operand(apply(op, [given[0].tensor], attrs), True)
            spread = [full_batch(x, self._size) for x in given[1:]]
            return Operand(apply(op, [given[0].tensor, *spread], attrs), True)
        if not any(x.batched for x in given):
            return Operand(apply(op, [x.tensor for x in given], attrs), False)
        return Operand(one_by_one(op, given, attrs, self._size), True)  # the same state for each


def _expanded(op: Op, nodes: Sequence[Node], attrs: Attrs) -> Operand:
    """A decomposition, carried out on the operands of this level."""
    assert isinstance(op.lower, Decompose)
    made = op.lower.rule(*nodes, **attrs)
    return Operand(made.physical, made.batched)


class Batching(Trace):
    """The level of one running ``vmap``; it stands in the place of a trace."""

    mapped = True

    def __init__(self, size: int, randomness: str) -> None:
        super().__init__()
        self.size = size
        self.outer = MODES.trace
        self.builder = _BatchBuilder(size, randomness, self.outer)
        # id of a tensor outside -> its twin, and the version at which their tapes were joined
        self._joined: dict[int, tuple[Tensor, int]] = {}
        self._outside: dict[int, tuple[Tensor, bool]] = {}  # id of a twin -> what it stands for
        self._leaves: list[TapeNode] = []

    def unmapped(self) -> Trace | None:
        return None if self.outer is None else self.outer.unmapped()

    # ---------------------------------------------------------------------------- in and out

    def hold(self, made: Operand) -> BatchedNode:
        """The value at this level of what the level outside has."""
        return self.builder.hold(made)  # type: ignore[attr-defined, no-any-return]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Goes back into the level, for gradients of what was done in it."""
        before, self.outer = self.outer, MODES.trace
        self.builder._outer = self.outer  # type: ignore[attr-defined]
        try:
            with suspended(self):
                yield
        finally:
            self.outer = before
            self.builder._outer = before  # type: ignore[attr-defined]

    def enter(self, physical: Tensor) -> Tensor:
        """An argument whose first dimension is the batch."""
        twin = self._stand_in(physical, True)
        layout = physical._layout()
        twin._shadow_array = layout[0, ...] if self.size else np.empty(twin.shape, twin.dtype.numpy)
        if physical._tracked():
            twin._node = outer_node(twin._type)
        return twin

    def leave(self, tensor: Tensor) -> Operand:
        """A result as the level outside knows it."""
        value = self.twin(tensor)._current()
        return Operand(value.physical, value.batched)

    def _stand_in(self, physical: Tensor, batched: bool) -> Tensor:
        value = self.hold(Operand(physical, batched))
        twin: Tensor = Tensor._make(value, value.type, physical._storage)
        twin._weak = physical._weak
        self._outside[id(twin)] = physical, batched
        self._kept.append(twin)
        return twin

    # ---------------------------------------------------------------------------- used by tensors

    def twin(self, tensor: Tensor) -> Tensor:
        """The tensor at this level: itself if it was made here, else the same for all examples."""
        value = tensor._value
        if isinstance(value, BatchedNode) and value.builder is self.builder:
            return tensor
        if self.outer is not None:
            tensor = self.outer.twin(tensor)
        elif isinstance(tensor._value, Node):
            raise explain_escape(tensor)
        version = tensor._storage.version
        found = self._joined.get(id(tensor))
        if found is not None and found[1] == version:
            return found[0]
        twin = found[0] if found is not None else self._stand_in(tensor, False)
        self._join_tapes(tensor, twin)
        if found is None:
            twin._origin = tensor
            twin._shadow_array = tensor._layout()
            self._kept.append(tensor)
        self._joined[id(tensor)] = twin, tensor._storage.version
        return twin

    def _join_tapes(self, tensor: Tensor, twin: Tensor) -> None:
        """The tape of the twin goes on where that of the tensor outside does."""
        with suspended(self.outer):
            tracked = tensor._tracked()
            if tracked and tensor._node is None:
                leaf = tensor._tape_node()
                self._leaves.append(leaf)
                twin._requires_grad, twin._leaf = True, weakref.ref(leaf)
            twin._node = tensor._node

    def number(self, value: bool | int | float, dtype: dtypes.dtype) -> Tensor:
        with suspended(self.outer):
            made = number(value, dtype)
        return self._shared(made)

    def literal(self, array: "np.ndarray[Any, Any]", type: TensorType) -> Tensor:
        if self.outer is not None:
            return self._shared(self.outer.literal(array, type))
        return self._shared(Tensor._make(array, type))

    def _shared(self, physical: Tensor) -> Tensor:
        value = self.hold(Operand(physical, False))
        made: Tensor = Tensor._make(value, value.type)
        made._weak = physical._weak
        return made

    def runtime_number(self, container: Any, key: Any, name: str) -> Any:
        if self.outer is None:
            return container[key]
        return self.outer.runtime_number(container, key, name)

    def grad_of(self, tensor: Tensor) -> Tensor | None:
        origin = self.twin(tensor)._origin
        if origin is None:
            return tensor._grad  # type: ignore[no-any-return]
        with suspended(self.outer):
            return origin.grad

    def set_grad(self, tensor: Tensor, value: Tensor | None) -> None:
        twin = self.twin(tensor)
        origin = twin._origin
        if origin is None:
            twin._grad = value
            return
        outside = None if value is None else self._common(value, ".grad of a tensor")
        with suspended(self.outer):
            origin.grad = outside

    def _common(self, value: Tensor, what: str) -> Tensor:
        """A value that all examples share, at the level outside."""
        left = self.leave(value)
        if left.batched:
            raise RuntimeError(
                f"vmap: {what} from outside of the function would be different for each example; "
                "return it from the function instead (func.grad gives gradients)"
            )
        return left.tensor

    def set_attribute(self, where: dict[str, Any], name: str, value: Tensor) -> None:
        outside = self._common(value, f"attribute {name!r} of a module")
        if self.outer is not None:
            self.outer.set_attribute(where, name, outside)
        else:
            where[name] = outside

    def wrote(self, base: Tensor) -> None:
        """Memory from outside is written there too, at once."""
        outside = self._outside.get(id(base))
        if outside is None:
            return
        target, batched = outside
        value = base._value
        if value.batched and not batched:
            raise RuntimeError(
                "vmap: inplace arithmetic(self, *extra_args) is not possible because there exists "
                "a Tensor `other` in extra_args that has more elements than `self`. This happened "
                "due to `other` being vmapped over but `self` not being vmapped over in a vmap. "
                "Please try to use out-of-place operators instead of inplace arithmetic."
            )
        with suspended(self.outer):
            physical = Operand(value.physical, value.batched)
            target._write(full_batch(physical, self.size) if batched else physical.tensor)
        if not batched:
            self._join_tapes(target, base)
            self._joined[id(target)] = base, target._storage.version
        base._seen = target._storage.version

    def value_of(self, tensor: Tensor) -> "np.ndarray[Any, Any]":
        shared = self._looked_at(tensor)
        with suspended(self.outer):
            return shared._array()

    def item(self, tensor: Tensor) -> Any:
        shared = self._looked_at(tensor)
        with suspended(self.outer):
            return shared.item()

    def positions(self, tensor: Tensor) -> Tensor:
        shared = self._looked_at(tensor)
        with suspended(self.outer):
            return shared.nonzero()  # type: ignore[no-any-return]

    def _looked_at(self, tensor: Tensor) -> Tensor:
        """What all examples share has one value, at the level outside."""
        left = self.leave(tensor)
        if left.batched:
            raise self.value_needed(tensor)
        return left.tensor

    def value_needed(self, tensor: Tensor) -> TraceError:
        return TraceError(
            "vmap: It looks like you're asking for the value of a Tensor, by .item(), .numpy(), "
            f"or as a condition of Python, at {user_location()}. Inside vmap a tensor has one "
            f"value for each example (here {tensor._type}): rewrite this with operations, such as "
            "where."
        )
