"""Sizes that are not known when the program is made reach its kernels as parameters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc.errors import GraphError
from graphc.interpret import evaluate
from graphc.ir import Builder, Graph, Node, TensorType
from graphc.lowering import lower
from graphc.sizes import Int, symbol
from tests.lowering.loop_machine import run_program
from tests.lowering.lowered_programs import F32, row, same

N = symbol("n")


def graph_of(build: Callable[..., Node], shapes: tuple[tuple[Int, ...], ...]) -> Graph:
    builder = Builder()
    inputs = [builder.input(f"x{i}", TensorType(s, F32)) for i, s in enumerate(shapes)]
    return Graph("program", tuple(inputs), (build(*inputs),), (), builder.names, builder.locations)


def softmax(x: Node) -> Node:
    e = row.exp(x - row.amax(x, dims=(1,), keepdim=True))
    return e / row.sum(e, dims=(1,), keepdim=True)


def smoothed(x: Node) -> Node:
    padded = row.pad(x, before=(1, 0), after=(1, 0), value=0.5)
    parts = row.window(padded, dims=(0,), sizes=(3,), strides=(1,), dilations=(1,))
    return row.sum(parts, dims=(2,), keepdim=False)


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[tuple[Int, ...], ...]]] = {
    "pointwise": (lambda x, y: row.relu(x + y), ((N, 10), (10,))),
    "rows": (softmax, ((N, 10),)),
    "columns": (softmax, ((5, N),)),
    "total": (lambda x: row.sum(x, dims=(0, 1), keepdim=False), ((N, 10),)),
    "product": (lambda x, w: row.contract(x, w, spec="mk,nk->mn") * 0.5, ((N, 10), (6, 10))),
    "deep product": (lambda x, w: row.contract(x, w, spec="km,kn->mn"), ((N, 3), (N, 4))),
    "windows": (smoothed, ((N, 4),)),
}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("number", [1, 2, 7])
def test_a_program_runs_for_every_size(name: str, number: int) -> None:
    build, shapes = PROGRAMS[name]
    lowered = lower(graph_of(build, shapes), threads=2)
    assert lowered.program.sizes == ("n",)
    fixed = tuple(tuple(number if s is N else s for s in shape) for shape in shapes)
    random = np.random.default_rng(0)
    arrays = [random.normal(size=shape).astype(np.float32) for shape in fixed]  # type: ignore[arg-type]
    (wanted,) = evaluate(graph_of(build, fixed), arrays)
    (got,), _ = run_program(lowered.program, arrays, (), {"n": number})
    same(got, wanted)


def test_memory_of_unknown_size_is_refused_with_the_way_out() -> None:
    graph = graph_of(lambda x: row.flip(softmax(softmax(x)), dims=(0,)), ((N, 4),))
    with pytest.raises(GraphError, match="compile for fixed sizes"):
        lower(graph, threads=2)
