"""Rows with templates of their own, from a graph to what runs: sizes, destinations, scratch."""

import numpy as np
import pytest

import graphc
from graphc.errors import GraphError
from graphc.ir import OPS, Builder, Graph, TensorType
from graphc.kernel import Nest, Template
from graphc.lowering import lower
from graphc.sizes import symbol
from tests.codegen.execution import run_program
from tests.lowering.lowered_programs import F32

N = symbol("n")


def sorted_rows(*shape):
    builder = Builder()
    x = builder.input("x", TensorType(shape, F32))
    y = OPS["argsort"](x, dim=1, descending=False, first=shape[1])
    return Graph("program", (x,), (y,), (), builder.names, builder.locations)


@pytest.mark.parametrize("rows", [1, 9])
def test_the_number_of_rows_may_be_a_name(rows):
    program = lower(sorted_rows(N, 100), threads=2).program
    assert program.sizes == ("n",)
    x = np.random.default_rng(0).normal(size=(rows, 100)).astype(np.float32)
    y = np.full(x.shape, -1)
    source, target = program.buffers
    run_program(program, {source.name: x, target.name: y}, {"n": rows}, threads=2)
    np.testing.assert_array_equal(y, np.argsort(x, 1))


def test_scratch_of_a_size_that_is_not_known_is_refused():
    with pytest.raises(GraphError, match="compile for fixed sizes"):
        lower(sorted_rows(3, N), threads=2)


def test_a_template_has_a_kernel_of_its_own_and_writes_one_buffer():
    builder = Builder()
    x = builder.input("x", TensorType((4, 6), F32))
    order = OPS["argsort"](OPS["exp"](x), dim=1, descending=True, first=6)
    graph = Graph("program", (x,), (order, order), (), builder.names, builder.locations)
    nests = [kernel.nests for kernel in lower(graph, threads=2).program.kernels]
    assert [[type(nest) for nest in each] for each in nests] == [[Nest], [Template], [Nest]]
    fields = dict(nests[1][0].fields)
    assert (fields["lead"], fields["length"], fields["inner"]) == (4, 6, 1)
    assert len(fields["outputs"]) == 1


def test_results_may_overwrite_what_was_sorted():
    def step(x, places):
        places.copy_(x.argsort())
        values, came_from = x.sort(descending=True)
        x.copy_(values)
        return came_from, came_from, x.argsort()

    start = np.random.default_rng(0).normal(size=50).astype(np.float32)
    x, places = graphc.tensor(start), graphc.zeros(50, dtype=graphc.int64)
    first, second, again = graphc.compile(step)(x, places)
    assert places.tolist() == np.argsort(start).tolist()
    assert x.tolist() == np.sort(start)[::-1].tolist()
    assert first.tolist() == second.tolist() == np.argsort(-start).tolist()
    assert again.tolist() == list(range(49, -1, -1))
