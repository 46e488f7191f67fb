"""Tracing: running a function once on symbols, and what it read, wrote and returned.

Inside a trace every eager tensor is replaced by its *twin*, a tensor of the same shape whose value
is a node of the traced graph. In-place writes, gradients and views act on twins with the very
code that serves eager tensors, so the traced program is functional; afterwards the trace knows
which inputs were written and which gradients were set.
"""

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from graphc import dtypes
from graphc.errors import Location, TraceError, located, user_location
from graphc.interpret import evaluate
from graphc.ir import INPUT, Attrs, Builder, Graph, Node, Op, TensorType, topological
from graphc.modes import MODES, is_compiling
from graphc.ops import OPS
from graphc.tape import Storage, TapeNode, outer_node
from graphc.tensor import Tensor

UNREAD: Any = object()

# ``graphc.compile``, for what lies below it: graphc itself puts it here.
compile_function: Callable[..., Any]


class NeedsBases(Exception):  # noqa: N818 - a signal to trace again, not an error
    """Memory shared by several inputs is written: trace again with views taken from their bases."""


class NeedsPlaces(Exception):  # noqa: N818 - a signal to trace again, not an error
    """``x[i]`` is read after ``x`` was written, where ``i`` varies: trace again for its value."""


@dataclass
class StandIn:
    """A copy where eager code has a view: of memory ``root``, into which ``carry`` writes it."""

    storage: Storage
    root: Storage
    carry: Callable[[Tensor], None]


class ValueNeededError(TraceError):
    """The program asks for the value of ``tensor``, which is known only when it runs."""

    def __init__(self, tensor: Tensor, message: str) -> None:
        super().__init__(message)
        self.tensor = tensor


@dataclass
class TensorInput:
    """A graph input that is an eager tensor; ``twin`` stands for it inside the trace."""

    tensor: Tensor
    twin: Tensor
    node: Node
    tape: TapeNode | None  # where the tape inside the trace ends, if the tensor is tracked

    @property
    def layout_matters(self) -> bool:
        """Whether the trace looked at strides: they decide what is a view of what."""
        return self.twin._shadow_array is not None


@dataclass
class NumberInput:
    """A graph input that is a Python float: argument ``leaf``, or ``container[key]``."""

    node: Node
    leaf: int | None = None
    container: Any = None
    key: Any = None


class Answers(Protocol):
    """Finds values while tracing: :class:`graphc.compiler.segments.Course`."""

    def answer(self, node: Node, text: str) -> "np.ndarray[Any, Any]": ...

    def positions(self, node: Node, text: str) -> Node: ...


@dataclass
class Trace:
    """One run of a user's function on symbols."""

    mapped: ClassVar[bool] = False  # a level of vmap: carries operations out at once, outside

    use_bases: bool = False
    course: Answers | None = None  # None: the graph is whole, no value is known
    places_known: bool = False  # x[i] with a traced number i is the view at the value of i
    floats_stay: bool = False  # item() gives a Python float, also where a symbol for one would do
    names: dict[int, str] = field(default_factory=dict)  # id of an eager tensor -> its name
    location: Location | None = None  # of what is traced now, if not the user's innermost line
    inputs: list[TensorInput | NumberInput] = field(default_factory=list)
    grad_reads: list[tuple[Tensor, bool]] = field(default_factory=list)
    grad_owners: dict[int, Tensor] = field(default_factory=dict)  # id of a .grad -> its tensor
    touched: dict[int, tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=dict)
    base_owners: dict[int, Tensor] = field(default_factory=dict)  # id of a base -> a view of it
    stand_ins: dict[int, StandIn] = field(default_factory=dict)  # by id of their storage
    # Optimizer state made while tracing: (dict, key, value), to stay when the trace is undone.
    made_state: list[tuple[Any, Any, Any]] = field(default_factory=list)
    results: "list[weakref.ref[Tensor]]" = field(default_factory=list)  # of operations
    casts: dict[Any, Any] = field(default_factory=dict)  # see graphc.autocasting
    _twins: dict[int, Tensor] = field(default_factory=dict)
    _kept: list[Any] = field(default_factory=list)  # keeps ids valid while the trace lives
    _written: dict[int, Tensor] = field(default_factory=dict)
    _grads: dict[int, Tensor] = field(default_factory=dict)
    _numbers: dict[tuple[int, Any], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.builder = Builder(lambda: self.location or user_location())

    # ---------------------------------------------------------------------------- used by tensors

    def twin(self, tensor: Tensor) -> Tensor:
        """The tensor inside this trace: itself if it is traced, else the symbol for it."""
        value = tensor._value
        if isinstance(value, Node):
            if value.builder is not self.builder:
                raise explain_escape(tensor)
            return tensor
        found = self._twins.get(id(tensor))
        if found is not None:
            return found
        base = tensor._root()
        if base is not None and self.use_bases:
            self.base_owners.setdefault(id(base), tensor)
            found = self.twin(base)
            with suspended(self, record=tensor._tracked()):
                for op, attrs in tensor._view:
                    found = op(found, **attrs)
        else:
            found = self._input(tensor)
        self._twins[id(tensor)] = found
        self._kept.append(tensor)
        return found

    def _input(self, tensor: Tensor) -> Tensor:
        name = self.names.get(id(tensor))
        if name is None:
            owner = self.grad_owners.get(id(tensor))
            stem = None if owner is None else self.names.get(id(owner), "tensor")
            name = "captured" if stem is None else f"{stem}.grad"
        node = self.builder.input(name, tensor._type)
        twin: Tensor = Tensor._make(node, tensor._type)
        twin._origin = tensor
        twin._grad = UNREAD
        twin._hooks = tensor._hooks
        twin._weak = tensor._weak
        tape: TapeNode | None = None
        if tensor._tracked():
            if tensor._node is None:
                twin._requires_grad = True
                tape = twin._tape_node()
            else:
                twin._node = tape = outer_node(tensor._type)
        self.inputs.append(TensorInput(tensor, twin, node, tape))
        return twin

    def apply(self, op: Op, nodes: Sequence[Node], attrs: Attrs) -> Node:
        try:
            return self.builder.apply(op, nodes, attrs)
        except (RuntimeError, IndexError, TypeError, ValueError) as error:
            raise located(error, op.name, *nodes) from None

    def number(self, value: bool | int | float, dtype: dtypes.dtype) -> Tensor:
        """A Python number as a constant of the graph."""
        node = self.builder.number(value, dtype)
        return Tensor._make(node, node.type)  # type: ignore[no-any-return]

    def literal(self, array: "np.ndarray[Any, Any]", type: TensorType) -> Tensor:
        """Data written in the traced function itself."""
        return Tensor._make(self.builder.constant(array, type), type)  # type: ignore[no-any-return]

    def argument_number(self, name: str, leaf: int) -> Tensor:
        """A float argument, read anew at every call; it promotes like a Python float."""
        node = self.builder.input(name, TensorType((), dtypes.float64))
        tensor: Tensor = Tensor._make(node, node.type)
        tensor._weak = True
        self.inputs.append(NumberInput(node, leaf))
        return tensor

    def runtime_number(self, container: Any, key: Any, name: str) -> Tensor:
        """The float ``container[key]``, read anew at every call."""
        found = self._numbers.get((id(container), key))
        if found is None:
            found = self.argument_number(name, -1)
            self.inputs[-1] = NumberInput(found._value, None, container, key)
            self._numbers[id(container), key] = found
        return found

    def grad_of(self, tensor: Tensor) -> Tensor | None:
        twin = self.twin(tensor)
        if twin._grad is UNREAD:
            origin = twin._origin
            assert origin is not None
            twin._grad = origin._grad
            self.grad_reads.append((origin, origin._grad is None))
            if origin._grad is not None:
                self.grad_owners[id(origin._grad)] = origin
        return twin._grad  # type: ignore[no-any-return]

    def set_grad(self, tensor: Tensor, value: Tensor | None) -> None:
        twin = self.twin(tensor)
        twin._grad = value
        if twin._origin is not None:
            self._grads[id(twin)] = twin

    def wrote(self, base: Tensor) -> None:
        written = self.stand_ins.get(id(base._storage))
        for other in self.stand_ins.values():
            if other.root is base._storage:
                other.storage.version += 1  # no longer what the view would show
        if written is not None:
            version = written.storage.version
            written.carry(base)
            written.storage.version = version  # it wrote itself
        origin = base._origin
        if origin is not None:
            if origin._base is not None and (base._tracked() or origin._base._tracked()):
                raise NeedsBases  # the tape of the whole base changes
            self._written[id(base)] = base

    def catch_up(self, tensor: Tensor) -> None:
        """Refuses a copy that stands for a view whose memory was written since."""
        if id(tensor._storage) in self.stand_ins:
            raise NeedsPlaces("x[i] is read after x was written, where i varies")

    def stand_in(self, copy: Tensor, of: Tensor, carry: Callable[[Tensor], None]) -> None:
        """Remembers a copy that eager code would take as a view, and how to write through it."""
        self.stand_ins[id(copy._storage)] = StandIn(copy._storage, of._storage, carry)

    def set_attribute(self, where: dict[str, Any], name: str, value: Tensor) -> None:
        """A module attribute or buffer is set to a traced tensor; undone when the trace ends."""
        self.touched.setdefault(id(where), (where, where.copy()))
        where[name] = value

    # ----------------------------------------------------------------------- values, while tracing

    def value_of(self, tensor: Tensor) -> "np.ndarray[Any, Any]":
        """The value as a read-only array. The trace goes on for calls that have the same one.

        Raises TraceError where the graph has to be whole.
        """
        node = self.twin(tensor)._current()
        known = topological([node])
        if all(n.op is not INPUT for n in known):
            return evaluate(Graph("constant", (), (node,)), ())[0]
        return self._answers(tensor, known).answer(node, _question(tensor))

    def positions(self, tensor: Tensor) -> Tensor:
        """Where a tensor is not zero, ``[count, ndim]`` in int64, for calls with as many places."""
        node = self.twin(tensor)._current()
        text = f"how many elements are not zero of {_question(tensor)}"
        found = self._answers(tensor, topological([node])).positions(node, text)
        return Tensor._make(found, found.type)  # type: ignore[no-any-return]

    def item(self, tensor: Tensor) -> Any:
        """The one element as a number: of a float a symbol that stays in the graph."""
        if self.floats_stay or not tensor.dtype.is_floating_point:
            return self.value_of(tensor).item()
        with suspended(self, record=False):
            flat = OPS["reshape"](self.twin(tensor), shape=())
            result = OPS["cast"](flat, dtype=dtypes.float64)
        result._weak = True
        return result

    def _answers(self, tensor: Tensor, behind: Sequence[Node]) -> Answers:
        numbers = [i.node for i in self.inputs if isinstance(i, NumberInput) and i.leaf is not None]
        if self.course is None or not set(numbers).isdisjoint(behind):
            raise self.value_needed(tensor)  # a float argument becomes a constant, like an int
        return self.course

    def alive(self) -> set[Node]:
        """The values of tensors that the function can still use."""
        tensors = (result() for result in self.results)
        return {t._value for t in tensors if t is not None}

    def value_needed(self, tensor: Tensor) -> TraceError:
        """The error for a tensor of this trace whose value is asked for."""
        return value_needed(tensor)

    def unmapped(self) -> "Trace | None":
        """The trace outside of all levels of ``vmap``."""
        return self

    def close(self) -> None:
        """Lets go of the user's tensors: the graph, whose nodes know their builder, lives on."""
        self.builder._location = None

    # ------------------------------------------------------------------------------- what happened

    @property
    def written(self) -> list[Tensor]:
        """Twins whose memory was written in place, in order of their first write."""
        return list(self._written.values())

    @property
    def grads_set(self) -> list[Tensor]:
        """Twins whose ``.grad`` was assigned; the value is in ``_grad``."""
        return list(self._grads.values())


class suspended:  # noqa: N801
    """Leaves the active trace (to create lasting state), or enters another mode of recording."""

    def __init__(self, trace: Trace | None = None, record: bool | None = None) -> None:
        self._trace = trace
        self._record = record

    def __enter__(self) -> None:
        self._before = (MODES.trace, MODES.grad)
        MODES.trace = self._trace
        if self._record is not None:
            MODES.grad = self._record

    def __exit__(self, *_exc: object) -> None:
        MODES.trace, MODES.grad = self._before


def is_tracing() -> bool:
    """Whether this thread is inside ``graphc.compile`` tracing a function."""
    return MODES.trace is not None


def runtime_number(container: Any, key: Any, name: str) -> Any:
    """``container[key]``; while tracing a float becomes an input read anew at each call."""
    value = container[key]
    if MODES.trace is None or type(value) is not float:
        return value
    return MODES.trace.runtime_number(container, key, name)


def _question(tensor: Tensor) -> str:
    return f"the value of a tensor of type {tensor._type} at {user_location()}"


def value_needed(tensor: Tensor) -> TraceError:
    """A traced tensor was asked for its value."""
    where = user_location()
    return ValueNeededError(
        tensor,
        f"the value of a tensor of type {tensor._type} is needed at {where}, but in a whole graph "
        "only its shape and dtype are known. Keep the value in the graph (graphc.where instead of "
        "if, no .item(), bool(), float() or numpy()), or compile without fullgraph=True, or do "
        "this part outside of the compiled function.",
    )


def backward_leaves(node: Node) -> TraceError:
    """``backward`` inside a trace reached a tensor that was computed, with gradients, before it."""
    return TraceError(
        f"backward at {user_location()} reaches a tensor of type {node.type} that was computed "
        "outside of the compiled function (or of one that vmap maps), and has to go on there. Call "
        "backward outside, compute that tensor inside, or pass it detached."
    )


def explain_escape(tensor: Tensor) -> TraceError:
    """A traced tensor is used outside of its trace, or its value is wanted inside."""
    if MODES.trace is not None and tensor._traced and tensor._value.builder is MODES.trace.builder:
        return MODES.trace.value_needed(tensor)
    made = tensor._value.builder.locations.get(tensor._value) if tensor._traced else None
    origin = f" (made at {made})" if made is not None else ""
    return TraceError(
        f"this tensor{origin} was made while graphc.compile or vmap ran a function on symbols and "
        "left it other than by return, so it has no value. Return it from the function, or store "
        "it with an in-place write into a tensor that exists outside."
    )


class NeedsEager(TraceError):  # noqa: N818 - a signal to run the function, not an error
    """What a function does cannot be in a program: it runs eagerly, with a warning."""


def eager_only(why: str) -> None:
    """Raises NeedsEager inside a compiled function, whose caller then runs it eagerly."""
    if is_compiling():
        raise NeedsEager(why)
