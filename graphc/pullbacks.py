"""The gradient of a compiled function: a compiled backward program on the eager tape."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.autograd.backward import run_backward
from graphc.executable import Executable
from graphc.ir import INPUT, Graph, Node, TensorType
from graphc.modes import MODES
from graphc.passes import run_pipeline
from graphc.passes.partition import Partition, partition
from graphc.tape import COMPILED, COMPILED_OUTPUT, Storage, TapeNode
from graphc.tensor import Tensor, apply
from graphc.tracing import TensorInput, Trace, suspended

Array = np.ndarray[Any, Any]


class _Cotangents(dict[int, Tensor]):
    """The cotangents of a program's outputs on their way to its one backward call."""

    def __add__(self, other: "_Cotangents") -> "_Cotangents":
        merged = _Cotangents(self)
        for number, g in other.items():
            merged[number] = merged[number] + g if number in merged else g
        return merged


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
        self._saved = part.saved
        self._tracked = tuple(tracked)
        self._wanted = tuple(wanted)  # graph inputs that get gradients

    @staticmethod
    def build(
        trace: Trace, graph: Graph, tracked: Mapping[int, Tensor]
    ) -> "tuple[CompiledBackward, Graph]":
        """The backward of a traced graph, and the forward graph that saves what it needs.

        ``tracked`` gives the traced tensor of each output that carries a gradient.
        """
        builder = trace.builder
        wanted = [
            (i, given.twin)
            for i, given in enumerate(trace.inputs)
            if isinstance(given, TensorInput) and given.twin._requires_grad
        ]
        seeds: dict[Node, Any] = {}
        cotangents: list[Node] = []
        with suspended(trace):
            for number, tensor in tracked.items():
                node = builder.input(f"grad_{number}", tensor._type)
                cotangents.append(node)
                g = Tensor._make(node, node.type)
                place = tensor._tape_node()
                seeds[place] = seeds[place] + g if place in seeds else g
            places = [twin._tape_node() for _, twin in wanted]
            found = run_backward(seeds, retain_graph=True, create_graph=False, wanted=places)
            reached = [
                (i, found[place]._current())
                for (i, _), place in zip(wanted, places, strict=True)
                if place in found
            ]
        joint = Graph(
            graph.name,
            (*graph.inputs, *cotangents),
            (*graph.outputs, *(g for _, g in reached)),
            graph.writes,
            graph.names,
            builder.locations,
        )
        part = partition(run_pipeline(joint), len(graph.outputs), len(graph.inputs))
        backward = CompiledBackward(joint, part, list(tracked), [i for i, _ in reached])
        return backward, part.forward

    def attach(
        self,
        inputs: Sequence[Tensor | None],
        arrays: Sequence[Array],
        values: Sequence[Array],
        outputs: Sequence[Tensor],
    ) -> None:
        """Puts one run on the tape.

        ``inputs`` are its tensors (None for numbers), ``arrays`` their memory, ``values`` all
        results including the saved ones, ``outputs`` the tensors of those the caller gets.
        """
        targets = [inputs[i] for i in self._wanted]
        nodes = tuple(t._tape_node() for t in targets if t is not None)
        hub = TapeNode(COMPILED, nodes, {}, outputs[self._tracked[0]]._type)
        hub.custom = _Run(self, hub, inputs, arrays, values)
        for position, number in enumerate(self._tracked):
            node = TapeNode(COMPILED_OUTPUT, (hub,), {}, outputs[number]._type)
            node.custom = lambda g, _wanted, p=position: (_Cotangents({p: g}),)
            outputs[number]._node = node

    def types(self) -> list[TensorType]:
        return [self.joint.outputs[n].type for n in self._tracked]


class _Run:
    """What one forward run left for its backward."""

    def __init__(
        self,
        program: CompiledBackward,
        hub: TapeNode,
        inputs: Sequence[Tensor | None],
        arrays: Sequence[Array],
        values: Sequence[Array],
    ) -> None:
        self._program = program
        self._inputs = list(inputs)
        self._arrays: list[Array | None] = []
        self._versions: list[tuple[Storage, int, TensorType]] = []
        for kind, i in program._saved:
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

    def __call__(self, g: _Cotangents, wanted: Sequence[bool]) -> Sequence[Any]:
        for storage, version, type_ in self._versions:
            if storage.version != version:
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an "
                    f"inplace operation: [{type_}], an input of the compiled function "
                    f"{self._program.joint.name}, is at version {storage.version}; expected "
                    f"version {version} instead."
                )
        program = self._program
        cotangents = [g[k] if k in g else _zeros(type_) for k, type_ in enumerate(program.types())]
        if MODES.grad:
            results = self._differentiable(cotangents)
        else:
            late = iter(cotangents)
            arrays = [
                np.ascontiguousarray(next(late)._current()) if a is None else a
                for a in self._arrays
            ]
            values = program.executable.run(arrays)
            types = program.executable.output_types
            results = [Tensor._make(v, t) for v, t in zip(values, types, strict=True)]
        return [r if w else None for r, w in zip(results, wanted, strict=True)]

    def _differentiable(self, cotangents: list[Tensor]) -> list[Tensor]:
        """The gradients by eager operations on the tape, for gradients of gradients."""
        joint = self._program.joint
        values: dict[Node, Tensor] = {}
        late = iter(cotangents)
        for i, node in enumerate(joint.inputs):
            given = self._inputs[i] if i < len(self._inputs) else next(late)
            if given is None:
                array = self._arrays[self._program._saved.index(("input", i))]
                given = Tensor._make(array)
            values[node] = given
        for node in joint.nodes:
            if node.op is not INPUT:
                values[node] = apply(node.op, [values[n] for n in node.inputs], node.attrs)
        return [values[n] for n in joint.outputs[-len(self._program._wanted) :]]


def _zeros(type_: TensorType) -> Tensor:
    return Tensor._make(np.zeros(type_.shape, type_.dtype.numpy), type_)  # type: ignore[arg-type, no-any-return]
