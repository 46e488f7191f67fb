"""Graphs to lower, and the comparison of a lowered program with the graph's own values."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import graphc.ops  # noqa: F401 - fills the registry
from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.interpret import evaluate
from graphc.ir import CONSTANT, CPU, OPS, Builder, Graph, Node, TensorType
from graphc.lowering import Lowered, lower
from graphc.ops.rules import row
from graphc.passes import run_pipeline
from tests.lowering.loop_machine import run_program

Array = np.ndarray[Any, Any]
F32 = dtypes.float32


def graph_of(
    build: Callable[..., Any],
    *shapes: tuple[int, ...],
    kinds: Sequence[DType] = (),
    names: Sequence[str] = (),
) -> Graph:
    """The graph of ``build`` on inputs of these shapes; it returns outputs, or (outputs, writes).

    Writes are pairs of an input and its new value.
    """
    builder = Builder()
    inputs = []
    for i, shape in enumerate(shapes):
        kind = kinds[i] if i < len(kinds) else F32
        name = names[i] if i < len(names) else f"x{i}"
        inputs.append(builder.input(name, TensorType(tuple(shape), kind)))
    made = build(*inputs)
    writes: tuple[tuple[Node, Node], ...] = ()
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], list):
        made, writes = made[0], tuple(made[1])
    outputs = made if isinstance(made, tuple) else (made,)
    graph = Graph("program", tuple(inputs), outputs, writes, builder.names, builder.locations)
    return run_pipeline(graph)


def full(like: Node, value: Any, shape: tuple[int, ...] = (), kind: DType | None = None) -> Node:
    attrs = {"value": value, "shape": shape, "dtype": kind or like.dtype, "device": CPU}
    result: Node = like.__apply__(OPS["full"], (), attrs)
    return result


def arguments(graph: Graph, low: int = 0, high: int = 3, seed: int = 0) -> list[Array]:
    random = np.random.default_rng(seed)
    arrays = []
    for node in graph.inputs:
        if node.dtype.is_floating_point:
            arrays.append(np.asarray(random.normal(size=node.shape), node.dtype.numpy))
        else:
            arrays.append(np.asarray(random.integers(low, high, size=node.shape), node.dtype.numpy))
    return arrays


def constants(graph: Graph) -> list[Array]:
    return [n.attrs["value"].array for n in graph.nodes if n.op is CONSTANT]


def same(got: Array, wanted: Array, tolerance: float = 2e-5) -> None:
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    if wanted.dtype.kind in "biu":
        np.testing.assert_array_equal(got, wanted)
        return
    exact = wanted.dtype in (np.float32, np.float64)
    near = tolerance if exact else 2e-2
    np.testing.assert_allclose(
        got.astype(np.float64), wanted.astype(np.float64), rtol=near, atol=near
    )


def check(graph: Graph, arrays: Sequence[Array] | None = None, tolerance: float = 2e-5) -> Lowered:
    """Lowers a graph, runs the loop IR literally, and compares every result."""
    lowered = lower(graph, threads=2)
    given = list(arrays) if arrays is not None else arguments(graph)
    wanted = evaluate(graph, [a.copy() for a in given])
    outputs, updated = run_program(lowered.program, given, constants(graph))
    for got, value in zip(outputs, wanted, strict=False):
        same(got, value, tolerance)
    for (target, _), value in zip(graph.writes, wanted[len(outputs) :], strict=True):
        before = given[graph.inputs.index(target)]
        now = updated.get(target.attrs["name"], before)  # absent: written with itself
        same(now.reshape(value.shape), value, tolerance)
    return lowered


def kernel_names(lowered: Lowered) -> list[str]:
    return [launch.kernel.name for launch in lowered.program.launches()]


__all__ = ["F32", "arguments", "check", "full", "graph_of", "kernel_names", "row", "same"]
