"""Every registered row, decomposed and lowered, gives the values of its evaluation."""

import numpy as np
import pytest

from graphc.dtypes import from_numpy_dtype
from graphc.interpret import evaluate
from graphc.ir import OPS, Builder, Decompose, Graph, Host, Leaf, Named, Op, Sample, TensorType
from graphc.lowering import lower
from graphc.passes import run_pipeline
from tests.lowering.loop_machine import run_program
from tests.lowering.lowered_programs import constants, same
from tests.ops.test_rows import NAME, of_sample

_WITHOUT = (Host, Leaf, Named)


def _rows() -> list[Op]:
    found = []
    for op in OPS.values():
        if op.samples is None or isinstance(op.lower, _WITHOUT):
            continue
        first = next(iter(op.samples()))
        if not (isinstance(op.lower, Decompose) and _needs_others(_graph(op, first))):
            found.append(op)
    return found


def _needs_others(graph: Graph) -> bool:
    """Whether a row is made of templates and host steps, which the loop machine does not know."""
    return any(isinstance(node.op.lower, (Host, Named)) for node in run_pipeline(graph).nodes)


def _graph(op: Op, sample: Sample) -> Graph:
    builder = Builder()
    inputs = [
        builder.input(f"x{i}", TensorType(a.shape, from_numpy_dtype(a.dtype)))
        for i, a in enumerate(sample.arrays)
    ]
    made = op(*inputs, **sample.attrs) if inputs else builder.apply(op, (), sample.attrs)
    return Graph(op.name, tuple(inputs), (made,), (), builder.names, builder.locations)


@pytest.mark.parametrize("op", _rows(), ids=NAME)
def test_row(op: Op) -> None:
    assert op.samples is not None
    for number, sample in enumerate(op.samples()):
        with of_sample(op, number, sample):
            graph = run_pipeline(_graph(op, sample))
            arrays = [np.asarray(a) for a in sample.arrays]
            lowered = lower(graph, threads=2)
            wanted = evaluate(graph, arrays)
            got, _ = run_program(lowered.program, arrays, constants(graph))
            for a, b in zip(got, wanted, strict=True):
                same(a, b)
