"""Every row of the registry as generated C: forward and gradient, against its own evaluation.

All samples of a row are one graph, so that a row costs one program to build.
"""

from typing import Any

import numpy as np
import pytest

from graphc.autodiff import apply_rule
from graphc.compiler.executable import Executable
from graphc.dtypes import from_numpy_dtype
from graphc.interpret import evaluate
from graphc.ir import Builder, Graph, Node, Op, TensorType
from tests.ops.test_rows import NAME, ROWS, arrays_of, assert_close, samples_of


def graph_of_samples(op: Op, gradient: bool) -> tuple[Graph, list[Any]]:
    """One output per sample, or (with ``gradient``) one per differentiable operand of each."""
    builder = Builder()
    inputs: list[Node] = []
    arrays: list[Any] = []
    outputs: list[Node] = []

    def given(array: Any) -> Node:
        node = builder.input("x", TensorType(array.shape, from_numpy_dtype(array.dtype)))
        inputs.append(node)
        arrays.append(np.array(array, order="C"))
        return node

    for sample in samples_of(op):
        if gradient and not sample.differentiable:
            continue
        operands = [given(a) for a in arrays_of(sample)]
        y = builder.apply(op, operands, sample.attrs)
        if not gradient:
            outputs.append(y)
            continue
        wanted = [n.dtype.is_floating_point for n in operands]
        if not y.dtype.is_floating_point or not any(wanted):
            continue
        size = int(np.prod(y.shape))  # type: ignore[arg-type]
        seed = np.linspace(-1, 1, size).reshape(y.shape).astype(y.dtype.numpy)  # type: ignore[arg-type]
        g = given(seed)
        parts = apply_rule(op, g, y, operands, sample.attrs, wanted)
        outputs += [p for p in parts if p is not None]
    return Graph(op.name, tuple(inputs), tuple(outputs)), arrays


def check(op: Op, gradient: bool) -> None:
    graph, arrays = graph_of_samples(op, gradient)
    if not graph.outputs:
        return
    expected = evaluate(graph, arrays)
    actual = Executable(graph).run([a.copy() for a in arrays])
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs, loose=4)


@pytest.mark.parametrize("op", ROWS, ids=NAME)
def test_compiled_row_agrees_with_eager(op: Op) -> None:
    check(op, gradient=False)


@pytest.mark.parametrize("op", [op for op in ROWS if op.vjp is not None], ids=NAME)
def test_compiled_gradient_agrees_with_eager(op: Op) -> None:
    check(op, gradient=True)
