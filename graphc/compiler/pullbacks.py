"""The gradient of a compiled function: a compiled backward program on the eager tape."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from graphc.autograd.backward import run_backward
from graphc.autograd.hooks import Cotangents, deliver
from graphc.compiler.executable import Executable
from graphc.control import applied
from graphc.errors import TraceError, user_location
from graphc.ir import INPUT, Graph, Node, TensorType, topological
from graphc.modes import MODES
from graphc.passes import run_pipeline
from graphc.passes.partition import Partition, partition
from graphc.tape import COMPILED, COMPILED_OUTPUT, Storage, TapeNode
from graphc.tensor import Tensor
from graphc.tracing import TensorInput, Trace, suspended

Array = np.ndarray[Any, Any]
_KNOWN_AS = "CompiledFunctionBackward"
Cut = Callable[[Graph, int], tuple[Graph, int]]


class Differentiated(NamedTuple):
    """A forward graph that saves what its backward needs; None where no input gets a gradient.

    ``ending`` are outputs that are on the tape without a gradient that goes on. Where eager code
    would refuse it, its error is there: the graph was freed by a ``backward`` in the trace, or a
    value it needs was overwritten.
    """

    backward: "CompiledBackward | None"
    forward: Graph
    ending: dict[int, RuntimeError | None]


def _walk(
    trace: Trace, tracked: Mapping[int, Tensor], wanted: Iterable[TapeNode]
) -> tuple[list[Node], dict[Node, Any]]:
    """New inputs for the cotangents of the tracked outputs, and the gradients of what is wanted."""
    seeds: dict[Node, Any] = {}
    cotangents: list[Node] = []
    for number, tensor in tracked.items():
        node = trace.builder.input(f"grad_{number}", tensor._type)
        cotangents.append(node)
        start = tensor._tape_node()
        g = Tensor._make(node, node.type)
        seeds[start] = seeds[start] + g if start in seeds else g
    return cotangents, run_backward(seeds, retain_graph=True, create_graph=False, wanted=wanted)


def _refusals(
    trace: Trace, tracked: Mapping[int, Tensor], wanted: Iterable[TapeNode]
) -> dict[int, RuntimeError]:
    found: dict[int, RuntimeError] = {}
    for number, tensor in tracked.items():
        try:
            _walk(trace, {number: tensor}, wanted)
        except TraceError:
            raise
        except RuntimeError as error:
            found[number] = error
    return found


class CompiledBackward:
    """Runs the backward program of one specialisation, and puts it on the tape of its outputs."""

    def __init__(
        self,
        joint: Graph,
        part: Partition,
        tracked: Sequence[int],
        wanted: Sequence[int],
    ) -> None:
        self.joint = joint
        self.executable = Executable(part.backward)
        self.wanted = tuple(wanted)  # graph inputs that get gradients
        self.given = len(joint.inputs) - len(tracked)
        self._part = part
        self._tracked = tuple(tracked)
        self._types = [joint.outputs[n].type for n in tracked]
        self._gradients = joint.outputs[len(joint.outputs) - len(wanted) :]
        # What gradients of gradients compute again, and which inputs that takes.
        self._again = [n for n in topological(self._gradients) if n.op is not INPUT]
        needed = set(topological(self._gradients))
        self._needed = tuple(i for i, n in enumerate(joint.inputs) if n in needed)

    @staticmethod
    def build(
        trace: Trace, graph: Graph, tracked: Mapping[int, Tensor], cut: Cut
    ) -> "Differentiated":
        """The backward of a traced graph.

        ``tracked`` gives the traced tensor of each output that carries a gradient. ``cut`` gives
        the last part of a graph whose first parts run before it.
        """
        given = len(graph.inputs)
        places: dict[int, TapeNode] = {}
        for i, x in enumerate(trace.inputs):
            if isinstance(x, TensorInput):
                if x.tape is not None:
                    places[i] = x.tape
                elif x.twin._requires_grad:
                    places[i] = x.twin._tape_node()
        hooks = {place: place.hooks for place in places.values()}
        for place in places.values():
            place.hooks = None  # they run on the eager tape
        ending: dict[int, RuntimeError | None] = {}
        with suspended(trace):
            try:
                cotangents, found = _walk(trace, tracked, places.values())
            except RuntimeError:
                ending |= _refusals(trace, tracked, places.values())
                tracked = {n: t for n, t in tracked.items() if n not in ending}
                cotangents, found = _walk(trace, tracked, places.values())
            reached = [(i, found[p]._current()) for i, p in places.items() if p in found]
        for place, kept in hooks.items():
            place.hooks = kept
        if not reached:
            return Differentiated(None, cut(graph, given)[0], ending | dict.fromkeys(tracked))
        joint = Graph(
            graph.name,
            (*graph.inputs, *cotangents),
            (*graph.outputs, *(g for _, g in reached)),
            graph.writes,
            graph.names,
            trace.builder.locations,
        )
        reaching = set(topological(joint.outputs[len(graph.outputs) :]))
        written = {target for target, _ in graph.writes}
        originals = [i for i, n in enumerate(graph.inputs) if n in written and n in reaching]
        last, first = cut(joint, given)
        part = partition(run_pipeline(last), len(graph.outputs), first, originals)
        backward = CompiledBackward(joint, part, list(tracked), [i for i, _ in reached])
        return Differentiated(backward, part.forward, ending)

    def attach(
        self,
        inputs: Sequence[Tensor | None],
        arrays: Sequence[Array],
        values: Sequence[Array],
        outputs: Sequence[Tensor],
    ) -> None:
        """Puts one run on the tape.

        ``inputs`` are its tensors (None for numbers) at their present versions, ``arrays`` their
        memory, ``values`` all results including the saved ones, ``outputs`` the tensors of those
        the caller gets.
        """
        run = _Run(self, inputs, arrays, values)
        hub = TapeNode(COMPILED, run.nodes, {}, outputs[self._tracked[0]]._type)
        hub.custom = run
        hub.known_as = _KNOWN_AS
        if MODES.anomaly:
            hub.location = user_location()
        for position, number in enumerate(self._tracked):
            node = TapeNode(COMPILED_OUTPUT, (hub,), {}, outputs[number]._type)
            node.custom = deliver(position)
            node.known_as = _KNOWN_AS
            outputs[number]._node = node


class _Run:
    """What one forward run left for its backward."""

    def __init__(
        self,
        program: CompiledBackward,
        inputs: Sequence[Tensor | None],
        arrays: Sequence[Array],
        values: Sequence[Array],
    ) -> None:
        self._program = program
        part = program._part
        targets = [inputs[i] for i in program.wanted]
        self.nodes = tuple(t._tape_node() for t in targets if t is not None)
        # Inputs are held with their place on the tape and their version, never as tensors: those
        # may be written, detached or dropped before the backward comes.
        self._inputs: dict[int, tuple[Array, Storage | None, int, TapeNode | None]] = {}
        for i in program._needed:
            if i < program.given:
                self._inputs[i] = self._kept(inputs[i], arrays[i])
        for i, place in part.originals.items():
            if i in self._inputs:
                self._inputs[i] = (values[place], None, 0, self._inputs[i][3])
        self._arrays: list[Array | None] = []
        self._versions: list[tuple[Storage, int, TensorType]] = []
        for kind, i in part.saved:
            if kind == "output":
                self._arrays.append(values[i])
            elif i < len(arrays):
                self._arrays.append(arrays[i])
                tensor = inputs[i]
                if tensor is not None:
                    storage = tensor._storage
                    self._versions.append((storage, storage.version, tensor._type))
            else:
                self._arrays.append(None)  # a cotangent, known later

    @staticmethod
    def _kept(
        tensor: Tensor | None, array: Array
    ) -> tuple[Array, Storage | None, int, TapeNode | None]:
        if tensor is None:
            return array, None, 0, None
        node = tensor._tape_node() if tensor._tracked() else None
        return array, tensor._storage, tensor._storage.version, node

    def __call__(self, g: Cotangents, wanted: Sequence[bool]) -> Sequence[Any]:
        for storage, version, type_ in self._versions:
            self._check(storage, version, type_)
        program = self._program
        cotangents = [g[k] if k in g else _zeros(t) for k, t in enumerate(program._types)]
        if MODES.grad or MODES.trace is not None:
            results = self._differentiable(cotangents)
        else:
            late = iter(cotangents)
            arrays = [
                np.ascontiguousarray(_array(next(late))) if a is None else a for a in self._arrays
            ]
            values = program.executable.run(arrays)
            types = program.executable.output_types
            results = [Tensor._make(v, t) for v, t in zip(values, types, strict=True)]
        return [r if w else None for r, w in zip(results, wanted, strict=True)]

    def _check(self, storage: Storage, version: int, type: TensorType) -> None:
        if storage.version != version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: [{type}], an input of the compiled function "
                f"{self._program.joint.name}, is at version {storage.version}; expected "
                f"version {version} instead. Hint: write into a .clone() of it, or after backward."
            )

    def _differentiable(self, cotangents: list[Tensor]) -> list[Tensor]:
        """The gradients by eager operations on the tape, for gradients of gradients."""
        program = self._program
        joint = program.joint
        values: dict[Node, Any] = {}
        for i, g in enumerate(cotangents):
            values[joint.inputs[program.given + i]] = g
        for i, (array, storage, version, node) in self._inputs.items():
            type_ = joint.inputs[i].type
            if storage is not None:
                self._check(storage, version, type_)
            values[joint.inputs[i]] = Tensor._restore(array, Storage(), node, type_)
        for step in program._again:
            values[step] = applied(step, [values[n] for n in step.inputs])
        return [values[n] for n in program._gradients]


def _array(g: Tensor) -> Array:
    return g._current()  # type: ignore[no-any-return]


def _zeros(type_: TensorType) -> Tensor:
    return Tensor._make(np.zeros(type_.shape, type_.dtype.numpy), type_)  # type: ignore[no-any-return]
