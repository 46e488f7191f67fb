"""The text form of graphs: what is printed is read back as the same graph."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc import dtypes
from graphc.autodiff import backward_graph
from graphc.device import device
from graphc.errors import GraphError, Location
from graphc.interpret import evaluate
from graphc.ir import (
    CONSTANT,
    CPU,
    INPUT,
    OPS,
    Builder,
    Graph,
    Literal,
    Op,
    TensorType,
    node_names,
)
from graphc.ir_text import parse_graph, parse_type
from graphc.passes import run_pipeline
from graphc.sizes import floordiv, mod, symbol
from tests.ops.test_rows import NAME, ROWS, arrays_of, graph_of, of_sample, samples_of
from tests.passes.programs import assert_same_values, op, program
from tests.passes.test_pipeline import network, programs

TEXT = """graph step(
    x: f32[3, 4],
    layers[0].weight: f32[4]@cuda:1,
) {
    full: f32[] = full(value=-0.0, shape=(), dtype=f32, device=device('cpu'))
    scaled: f32[3, 4] = mul(x, full)        # model.py:7
    cast: f64[3, 4] = cast(scaled, dtype=f64)  # model.py:8
    best: f32[3] = amax(scaled, dims=(1,), keepdim=False)
    constant: i32[2] = constant(value=literal('int32', (2,), '0100000002000000'))
    write x <- scaled
    return cast, best, constant
}"""


def signature(graph: Graph) -> Any:
    """Everything a graph says, as plain values in the order of its nodes."""
    places = {node: i for i, node in enumerate(graph.nodes)}
    return (
        graph.name,
        [
            (n.op.name, [places[x] for x in n.inputs], sorted(map(str, n.attrs.items())), n.type)
            for n in graph.nodes
        ],
        [places[n] for n in graph.inputs],
        [places[n] for n in graph.outputs],
        [(places[t], places[v]) for t, v in graph.writes],
    )


def assert_round_trip(graph: Graph) -> Graph:
    again = parse_graph(str(graph))
    assert str(again) == str(graph)
    assert signature(again) == signature(graph)
    return again


def test_text_says_what_it_means() -> None:
    graph = parse_graph(TEXT)
    assert graph.name == "step"
    assert [str(n.type) for n in graph.inputs] == ["f32[3, 4]", "f32[4]@cuda:1"]
    assert graph.inputs[1].device is device("cuda:1")
    assert [n.op.name for n in graph.outputs] == ["cast", "amax", "constant"]
    assert graph.outputs[0].attrs["dtype"] is dtypes.float64
    assert graph.outputs[1].attrs == {"dims": (1,), "keepdim": False}
    assert graph.outputs[2].attrs["value"].array.tolist() == [1, 2]
    ((target, written),) = graph.writes
    assert target is graph.inputs[0]
    assert graph.names[written] == "scaled"
    assert graph.locations[written] == Location("model.py", 7, "")
    assert np.signbit(written.inputs[1].attrs["value"])


def test_round_trip_of_the_example() -> None:
    assert_round_trip(parse_graph(TEXT))


@pytest.mark.parametrize("each", ROWS, ids=NAME)
def test_every_row_round_trips(each: Op) -> None:
    for number, sample in enumerate(samples_of(each)[::3]):
        with of_sample(each, 3 * number, sample):
            graph = graph_of(each, sample)
            again = assert_round_trip(graph)
            values, read = (evaluate(g, arrays_of(sample)) for g in (graph, again))
            for old, new in zip(values, read, strict=True):
                assert old.tobytes() == new.tobytes()


@given(programs(exact=False))
def test_random_programs_round_trip(graph: Graph) -> None:
    assert_same_values(graph, assert_round_trip(graph))
    assert_round_trip(run_pipeline(graph))


def test_backward_graphs_round_trip() -> None:
    assert_round_trip(run_pipeline(backward_graph(program(network, (3, 4), (4,)))))


def test_literals_of_every_dtype_round_trip() -> None:
    builder = Builder()
    outputs = []
    for dtype in dtypes.ALL:
        array = np.array([[0, 1], [1, 3]]).astype(dtype.numpy)
        attrs = {"value": Literal(array), "type": TensorType(array.shape, dtype)}
        outputs.append(builder.apply(CONSTANT, (), attrs))
    graph = assert_round_trip(Graph("literals", (), tuple(outputs)))
    assert [n.dtype for n in graph.outputs] == list(dtypes.ALL)


def sizes() -> st.SearchStrategy[Any]:
    base = st.one_of(st.integers(1, 9), st.sampled_from([symbol("N"), symbol("batch")]))
    return st.recursive(
        base,
        lambda inner: st.one_of(
            st.tuples(inner, inner).map(lambda p: p[0] + p[1]),
            st.tuples(inner, inner).map(lambda p: p[0] * p[1]),
            st.tuples(inner, st.integers(2, 5)).map(lambda p: floordiv(p[0], p[1])),
            st.tuples(inner, st.integers(2, 5)).map(lambda p: mod(p[0], p[1])),
            st.tuples(inner, st.integers(1, 3)).map(lambda p: p[0] - p[1]),
        ),
        max_leaves=5,
    )


@given(st.lists(sizes(), max_size=3), st.sampled_from(dtypes.ALL))
def test_types_with_named_sizes_round_trip(shape: list[Any], dtype: Any) -> None:
    type = TensorType(tuple(shape), dtype)
    assert parse_type(str(type)) == type


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_any_name_can_be_printed(names: list[str]) -> None:
    builder = Builder()
    inputs = tuple(builder.input(name, TensorType((2,), dtypes.float32)) for name in names)
    result = op("neg", inputs[0])
    graph = Graph("g", inputs, (result,), (), {result: names[-1]})
    again = parse_graph(str(graph))
    assert str(again) == str(graph)
    assert len(set(node_names(graph).values())) == len(names) + 1


def test_names_that_read_well_stay() -> None:
    builder = Builder()
    wanted = ("x", "layers[0].weight", "self.fc1.bias", "größe")
    for name in wanted:
        builder.input(name, TensorType((), dtypes.float32))
    assert tuple(n.attrs["name"] for n in builder.names) == wanted
    graph = Graph("g", tuple(builder.names), ())
    assert tuple(node_names(graph).values()) == wanted
    assert_round_trip(graph)


@pytest.mark.parametrize(
    ("broken", "line", "message"),
    [
        (TEXT.replace("graph step(", "grph step("), 1, "begins with 'graph NAME\\('"),
        (TEXT.replace("f32[4]@cuda:1", "f99[4]"), 3, "'f99' is no dtype"),
        (TEXT.replace("f32[4]@cuda:1", "f32(4)"), 3, "is no type"),
        (TEXT.replace("mul(x, full)", "mull(x, full)"), 6, "no operation is called 'mull'"),
        (TEXT.replace("mul(x, full)", "mul(x, y)"), 6, "no value is called 'y'"),
        (TEXT.replace("mul(x, full)", "mul(x, full"), 6, "never closed"),
        (TEXT.replace("scaled: f32[3, 4] =", "scaled: f32[4] ="), 6, "declared as f32\\[4\\]"),
        (TEXT.replace("    best:", "    cast:"), 8, "two values are called cast"),
        (TEXT.replace("dims=(1,)", "dims=open('f')"), 8, "is no attribute"),
        (TEXT.replace("dims=(1,)", "dims=(7,)"), 8, "Dimension out of range"),
        (TEXT.replace("write x <- scaled", "write x scaled"), 10, ""),
        (TEXT.replace("\n}", ""), 11, "ends early"),
        (TEXT.replace("return cast, best, constant\n", ""), 11, "ends early|is missing|"),
        (TEXT.replace("amax(", "input("), 8, "no operation"),
    ],
)
def test_mistakes_are_reported_with_their_line(broken: str, line: int, message: str) -> None:
    with pytest.raises(GraphError, match=f"line {line} of the graph: .*{message}"):
        parse_graph(broken)


def test_inputs_are_not_operations() -> None:
    assert OPS["input"] is INPUT
    assert CPU is device("cpu")
