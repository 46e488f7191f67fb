"""Every registered row, decomposed and lowered, gives the values of its evaluation."""

from typing import Any

import numpy as np
import pytest

from graphc.dtypes import from_numpy_dtype
from graphc.interpret import evaluate
from graphc.ir import OPS, Builder, Decompose, Graph, Host, Leaf, Named, Sample, TensorType
from graphc.lowering import lower
from graphc.passes import run_pipeline
from tests.lowering.loop_machine import run_program
from tests.lowering.lowered_programs import constants, same

_WITHOUT = (Host, Leaf, Named)


def _samples() -> list[Any]:
    found = []
    for name, op in OPS.items():
        if op.samples is None or isinstance(op.lower, _WITHOUT):
            continue
        samples = list(op.samples())
        if isinstance(op.lower, Decompose) and _needs_others(_graph(name, samples[0])):
            continue
        for number, sample in enumerate(samples):
            found.append(pytest.param(name, sample, id=f"{name}-{number}"))
    return found


def _needs_others(graph: Graph) -> bool:
    """Whether a row is made of templates and host steps, which the loop machine does not know."""
    return any(isinstance(node.op.lower, (Host, Named)) for node in run_pipeline(graph).nodes)


def _graph(name: str, sample: Sample) -> Graph:
    builder = Builder()
    inputs = [
        builder.input(f"x{i}", TensorType(a.shape, from_numpy_dtype(a.dtype)))
        for i, a in enumerate(sample.arrays)
    ]
    if inputs:
        made = OPS[name](*inputs, **sample.attrs)
    else:
        made = builder.apply(OPS[name], (), sample.attrs)
    return Graph(name, tuple(inputs), (made,), (), builder.names, builder.locations)


@pytest.mark.parametrize(("name", "sample"), _samples())
def test_row(name: str, sample: Sample) -> None:
    graph = run_pipeline(_graph(name, sample))
    arrays = [np.asarray(a) for a in sample.arrays]
    lowered = lower(graph, threads=2)
    wanted = evaluate(graph, arrays)
    got, _ = run_program(lowered.program, arrays, constants(graph))
    for a, b in zip(got, wanted, strict=True):
        same(a, b)
