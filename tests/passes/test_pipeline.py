"""The pipeline as a whole: order, properties, the guilty pass, and random programs."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc import dtypes
from graphc.errors import GraphError
from graphc.interpret import evaluate
from graphc.ir import OPS, Graph, Node, TensorType
from graphc.passes import PIPELINE, Pass, check, decompose, fold, run_pipeline, simplify
from graphc.rewrite import rewrite
from tests.passes.programs import assert_same_values, full, op, program


def network(x: Node, w: Node) -> Any:
    hidden = op("gelu", x * w, approximate="tanh")
    return op("log_softmax", hidden, dim=1), op("mean", hidden, dims=(0, 1), keepdim=False)


def test_every_stage_is_dumped_and_only_primitives_are_left() -> None:
    seen: list[tuple[str, Graph]] = []
    after = run_pipeline(
        program(network, (3, 4), (4,)), lambda name, graph: seen.append((name, graph)), verify=True
    )
    assert [name for name, _ in seen] == [each.name for each in PIPELINE if each.name != "loops"]
    assert seen[-1][1] is after
    assert "log_softmax" in {n.op.name for n in seen[0][1].nodes}
    assert not {"gelu", "log_softmax", "mean"} & {n.op.name for n in after.nodes}


def test_the_pipeline_has_settled() -> None:
    after = run_pipeline(program(network, (3, 4), (4,)))
    again = run_pipeline(after)
    assert str(again) == str(after)


def lying(graph: Graph) -> Graph:
    """Wraps the first result in a node that says another type than its row infers."""
    broken = Node(OPS["neg"], (graph.outputs[0],), {}, TensorType((9,), dtypes.float32))
    return Graph(graph.name, graph.inputs, (broken,))


def renaming(graph: Graph) -> Graph:
    other = program(lambda x, y: x + y, (3, 4), (4,))
    return Graph(graph.name, tuple(reversed(other.inputs)), graph.outputs)


def retyping(graph: Graph) -> Graph:
    return Graph(graph.name, graph.inputs, (op("cast", graph.outputs[0], dtype=dtypes.float64),))


@pytest.mark.parametrize("run", [lying, renaming, retyping])
def test_the_verifier_names_the_guilty_pass(run: Any) -> None:
    graph = program(lambda x, y: x * y, (3, 4), (4,))
    innocent = Pass("innocent", lambda g: g)
    with pytest.raises(GraphError, match="after pass guilty"):
        run_pipeline(graph, verify=True, pipeline=(innocent, Pass("guilty", run), innocent))


def test_a_broken_promise_is_noticed() -> None:
    graph = program(lambda x: op("softmax", x, dim=0), (4,))
    lazy = Pass("lazy", lambda g: g, guarantees=("primitive",))
    with pytest.raises(GraphError, match="after pass lazy.*softmax"):
        run_pipeline(graph, verify=True, pipeline=(lazy,))


def test_a_pass_without_its_requirement_is_refused() -> None:
    with pytest.raises(GraphError, match="pass fold requires a graph that is primitive"):
        run_pipeline(program(lambda x: -x, (4,)), pipeline=PIPELINE[-2:])


def test_written_inputs_stay_written() -> None:
    graph = program(lambda x, g: x - g * 0.5, (3, 4), (3, 4))
    step = Graph("step", graph.inputs, (), ((graph.inputs[0], graph.outputs[0] * 1),))
    after = run_pipeline(step, verify=True)
    assert [t.attrs["name"] for t, _ in after.writes] == ["x0"]
    assert_same_values(step, after)
    with pytest.raises(GraphError, match="writes"):
        check(step, Graph("step", after.inputs, ()), "pass forgetful")


def test_interpreter_refuses_wrong_arrays() -> None:
    graph = program(lambda x: -x, (3, 4))
    with pytest.raises(GraphError, match="has 1 inputs, 2"):
        evaluate(graph, [np.zeros((3, 4), np.float32)] * 2)
    with pytest.raises(GraphError, match="input x0 is"):
        evaluate(graph, [np.zeros((3, 4), np.float64)])
    with pytest.raises(GraphError, match="input x0 is"):
        evaluate(graph, [np.zeros((4, 3), np.float32)])


def test_interpreter_shows_every_computed_node() -> None:
    graph = program(lambda x: op("exp", -x), (2,))
    seen: list[str] = []
    (result,) = evaluate(graph, [np.zeros(2, np.float32)], lambda n, _: seen.append(n.op.name))
    assert seen == ["neg", "exp"]
    np.testing.assert_array_equal(result, np.ones(2, np.float32))


# ------------------------------------------------------------------------------- random programs

UNARY = ("neg", "abs", "square", "relu", "sign", "floor", "clone", "stop_gradient", "sigmoid")
BINARY = ("add", "sub", "mul", "maximum", "minimum", "fmax", "div", "add", "mul")
COMPOSITE = (
    ("gelu", {"approximate": "tanh"}),
    ("silu", {}),
    ("softmax", {"dim": 1}),
    ("log_softmax", {"dim": 0}),
    ("mean", {"dims": (0,), "keepdim": True}),
    ("var", {"dims": (1,), "keepdim": True, "correction": 0}),
)
NUMBERS = (0, -0.0, 1, -1, 2, 0.5, 0.25, 3, float("inf"))
SHAPE = (3, 4)


def grow(draw: Any, values: list[Node], exact: bool) -> Node:
    """One more node on top of earlier ones; every value broadcasts to ``SHAPE``."""

    def pick() -> Node:
        chosen: Node = draw(st.sampled_from(values))
        return chosen

    kind = draw(st.integers(0, 8 if exact else 9))
    x = pick()
    if kind <= 1:
        name = draw(st.sampled_from(UNARY if not exact else UNARY[:-1]))
        return op(name, x)
    if kind <= 3:
        other = draw(st.one_of(st.sampled_from(values), st.sampled_from(NUMBERS)))
        pair = (x, other) if draw(st.booleans()) else (other, x)
        return op(draw(st.sampled_from(BINARY)), *pair)
    if kind == 4:
        wide = x if x.shape == SHAPE else op("expand", at_rank(x), shape=SHAPE)
        return op("reshape", op("permute", wide, dims=(1, 0)), shape=SHAPE)
    if kind == 5:
        test = op(draw(st.sampled_from(("lt", "ge", "eq", "ne"))), x, pick())
        test = op("logical_not", test) if draw(st.booleans()) else test
        return op("where", test, pick(), pick())
    if kind == 6:
        power = draw(st.sampled_from((1, 2, 3)))
        return op("pow", x, power)
    if kind == 7:
        wide = at_rank(x)
        dims = draw(st.sampled_from(((0,), (1,), (0, 1))))
        name = draw(st.sampled_from(("amax", "amin")))
        return op(name, wide, dims=dims, keepdim=True)
    if kind == 8:
        inner = draw(st.sampled_from((dtypes.float64, dtypes.float32, dtypes.float16)))
        return op("cast", op("cast", x, dtype=inner), dtype=dtypes.float32)
    name, attrs = draw(st.sampled_from(COMPOSITE))
    return op(name, at_rank(x), **attrs)


def at_rank(x: Node) -> Node:
    lead = (1,) * (2 - x.ndim)
    return op("reshape", x, shape=(*lead, *x.shape)) if lead else x


@st.composite
def programs(draw: Any, exact: bool) -> Graph:
    def function(*inputs: Node) -> tuple[Node, ...]:
        values = [*inputs, full(inputs[0], draw(st.sampled_from(NUMBERS)), (4,))]
        for _ in range(draw(st.integers(1, 12))):
            values.append(grow(draw, values, exact))
        return tuple(values[-2:])

    return program(function, SHAPE, (4,), (3, 1), ())


@given(programs(exact=True))
def test_random_programs_keep_every_bit(graph: Graph) -> None:
    assert_same_values(graph, run_pipeline(graph, verify=True))


@given(programs(exact=False))
def test_one_walk_settles_a_graph(graph: Graph) -> None:
    fired: list[str] = []
    rewrite(run_pipeline(graph), simplify.TABLE + fold.TABLE + decompose.TABLE, fired)
    assert fired == []


@given(programs(exact=False))
def test_random_programs_with_composites_keep_their_values(graph: Graph) -> None:
    assert_same_values(graph, run_pipeline(graph, verify=True), exact=False)
