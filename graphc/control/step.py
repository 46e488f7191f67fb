"""One step of a loop as a graph: its function runs once on symbols, inside the trace around it."""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

from graphc.autograd.backward import run_backward
from graphc.ir import Body, Graph, Node, TensorType
from graphc.modes import MODES
from graphc.passes import run_pipeline
from graphc.passes.partition import Partition, partition
from graphc.tensor import Tensor
from graphc.tracing import Trace, ValueNeededError, suspended

Tensors = Sequence[Tensor]
Run = Callable[[list[Tensor], list[Tensor]], tuple[Tensors, Tensors]]


class NotOneGraphError(Exception):
    """The steps of a loop are not all the same graph: values are asked for, or state is written."""


class StepTrace(Trace):
    """The trace of a step; tensors from outside become constants of the loop."""

    def __init__(self, outer: Trace) -> None:
        super().__init__()
        self.outer = outer
        self.names = outer.names
        self.constants: list[Tensor] = []  # as the trace outside knows them
        self.entries: list[Tensor] = []
        self._entered: dict[int, Tensor] = {}  # id of a tensor outside -> its twin here

    def enter(self, name: str, type: TensorType, tracked: bool) -> Tensor:
        """A new input of the step."""
        node = self.builder.input(name, type)
        made: Tensor = Tensor._make(node, type)
        made._requires_grad = tracked and type.dtype.is_floating_point
        self.entries.append(made)
        return made

    def twin(self, tensor: Tensor) -> Tensor:
        value = tensor._value
        if isinstance(value, Node) and value.builder is self.builder:
            return tensor
        with suspended(self.outer):
            outside = self.outer.twin(tensor)
            node = outside._current()
            tracked = outside._tracked()
        found = self._entered.get(id(node))
        if found is None:
            name = self.outer.builder.names.get(node, "constant")
            found = self.enter(name, outside._type, tracked)
            found._weak = outside._weak
            found._origin = outside
            self._entered[id(node)] = found
            self.constants.append(outside)
        return found

    def runtime_number(self, container: Any, key: Any, name: str) -> Tensor:
        with suspended(self.outer):
            return self.outer.runtime_number(container, key, name)

    def wrote(self, base: Tensor) -> None:
        if base._origin is not None:
            raise NotOneGraphError("a step writes a tensor from outside")
        super().wrote(base)

    def grad_of(self, _tensor: Tensor) -> Tensor | None:
        raise NotOneGraphError("a step reads .grad")

    def set_grad(self, _tensor: Tensor, _value: Tensor | None) -> None:
        raise NotOneGraphError("a step sets .grad")

    def set_attribute(self, _where: dict[str, Any], _name: str, _value: Tensor) -> None:
        raise NotOneGraphError("a step sets an attribute")


class Step:
    """A traced step, and the step of its gradient.

    The inputs are the carries, the slices of the sequences, and the constants. The outputs are the
    next carries, the slices that are stacked, and the next carries again, to be stacked too: the
    gradient needs them. ``graph`` has more outputs, values kept for the gradient.

    ``joint``      forward and backward in one graph: the inputs, then a cotangent for each output
                   numbered in ``followed``; the outputs, then the gradients of the inputs
                   numbered in ``reached``
    """

    def __init__(
        self, run: Run, carries: Tensors, sequences: Tensors, reverse: bool, name: str
    ) -> None:
        outer = MODES.trace
        assert outer is not None
        self.reverse = reverse
        self.carries, self.sequences = len(carries), len(sequences)
        trace = self._trace = StepTrace(outer)
        record = MODES.grad
        state = [trace.enter(f"carry_{i}", t._type, record) for i, t in enumerate(carries)]
        slices = [
            trace.enter(f"slice_{i}", t._type.with_shape(t._type.shape[1:]), t._tracked())
            for i, t in enumerate(sequences)
        ]
        try:
            with suspended(trace, record):
                following, stacked = run(state, slices)
                outputs = [trace.twin(t) for t in (*following, *stacked, *following)]
                check_carries(state, following)
                values = [t._current() for t in outputs]
        except ValueNeededError as error:
            raise NotOneGraphError(str(error)) from error
        self.stacked = len(stacked)
        self.constants = trace.constants
        self.inputs = [t._value for t in trace.entries]
        self.joint: Graph | None = None
        self.backwards: dict[
            Any, Any
        ] = {}  # traced steps of the gradient's loop, outside of traces
        self.part: Partition | None = None
        self.graph = self._graph(name, values, ())
        tracked = [*(t._tracked() for t in (*carries, *sequences)), *self._tracked_constants()]
        if record and any(tracked):
            self._differentiate(name, outputs, values)
        trace.close()

    @cached_property
    def body(self) -> Body:
        """The graph as the attribute of a scan."""
        return Body(self.graph)

    def _tracked_constants(self) -> Iterable[bool]:
        return (t._tracked() for t in self.constants)

    def _graph(self, name: str, outputs: Iterable[Node], more: Iterable[Node]) -> Graph:
        builder = self._trace.builder
        return Graph(
            name, (*self.inputs, *more), tuple(outputs), (), builder.names, builder.locations
        )

    def _differentiate(self, name: str, outputs: Tensors, values: list[Node]) -> None:
        trace = self._trace
        entries = {i: t for i, t in enumerate(trace.entries) if t._requires_grad}
        seeds: dict[Node, Any] = {}
        cotangents: list[Node] = []
        self.followed: list[int] = []
        with suspended(trace, record=True):
            for number, t in enumerate(outputs):
                if not t._tracked() or not t.dtype.is_floating_point:
                    continue
                node = trace.builder.input(f"grad_{number}", t._type)
                cotangents.append(node)
                self.followed.append(number)
                start, g = t._tape_node(), Tensor._make(node, t._type)
                seeds[start] = seeds[start] + g if start in seeds else g
            places = {i: t._tape_node() for i, t in entries.items()}
            found = run_backward(
                seeds, retain_graph=True, create_graph=False, wanted=places.values()
            )
            gradients = {i: found[p]._current() for i, p in places.items() if p in found}
        self.reached = list(gradients)
        whole = self._graph(name, (*values, *gradients.values()), cotangents)
        self.joint = run_pipeline(whole)
        self.part = partition(self.joint, len(values), len(self.inputs))
        self.graph = self.part.forward


def check_carries(before: Tensors, after: Tensors) -> None:
    """Raises RuntimeError where a step does not hand on what it was given, in shape and dtype."""
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        if old._type != new._type:
            raise RuntimeError(
                f"scan(): carry {number} is {old._type} before a step and {new._type} after it; "
                "each step has to hand on what it was given, in shape and dtype"
            )
