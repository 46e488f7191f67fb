"""Lowering stays near linear in the size of a graph, and does not recurse through it."""

import numpy as np

from graphc.errors import Location
from graphc.ir import Builder, Node
from graphc.kernel import Nest, Phase
from graphc.lowering import Lowered, lower
from graphc.lowering.access import DEEPEST
from tests.lowering.loop_machine import run_program
from tests.lowering.lowered_programs import Array, arguments, check, graph_of, row


def phases(lowered: Lowered) -> list[Phase]:
    """Every phase of every nest of a program."""
    return [
        phase
        for kernel in lowered.program.kernels
        for nest in kernel.nests
        if isinstance(nest, Nest)
        for phase in nest.phases
    ]


def doubled(x: Node, levels: int) -> Node:
    """A scan: every step multiplies each value with one further on, so reads it at two places."""
    size = x.shape[0]
    for level in range(levels):
        step = 2**level
        parts = {"starts": (0,), "stops": (size - step,), "steps": (1,)}
        shifted = row.pad(row.slice(x, **parts), before=(step,), after=(0,), value=1.0)
        x = x * shifted
    return x


def test_a_chain_that_reads_each_value_twice_does_not_double_with_every_level() -> None:
    lowered = check(graph_of(lambda x: doubled(x, 12), (2**12 + 5,)))
    assert len(str(lowered.program)) < 400_000
    assert sum(len(p.body) for p in phases(lowered)) < 600
    assert len(lowered.program.kernels) <= 6


def test_the_size_of_a_program_grows_with_its_levels() -> None:
    sizes = [
        len(str(lower(graph_of(lambda x: doubled(x, levels), (2**18,)), threads=2).program))  # noqa: B023
        for levels in (8, 16)
    ]
    assert sizes[1] < 3 * sizes[0]


def test_short_chains_of_shifted_reads_are_still_one_kernel() -> None:
    lowered = check(graph_of(lambda x: doubled(x, 3), (40,)))
    assert len(lowered.program.kernels) == 1


def test_values_shared_by_a_pointwise_chain_are_no_reason_to_cut_it() -> None:
    def build(x: Node) -> Node:
        for _ in range(40):
            x = row.tanh(x) + x * 0.5
        return x

    assert len(check(graph_of(build, (24,))).program.kernels) == 1


def test_a_pointwise_chain_of_3000_steps_is_cut_into_long_kernels() -> None:
    def build(x: Node) -> Node:
        for _ in range(3000):
            x = row.sin(x)
        return x

    graph = graph_of(build, (16,))
    lowered = lower(graph, threads=2)
    assert 3000 // (DEEPEST + 4) <= len(lowered.program.kernels) <= 3000 // (DEEPEST - 4)
    (x,) = arguments(graph)
    (result,), _ = run_program(lowered.program, [x], [])
    wanted: Array = x
    for _ in range(3000):
        wanted = np.sin(wanted)
    np.testing.assert_allclose(result, wanted, rtol=1e-3)


def test_a_chain_of_2000_kernels_is_lowered() -> None:
    def build(x: Node, w: Node) -> Node:
        for _ in range(2000):
            x = row.relu(row.contract(x, w, spec="mk,kn->mn"))
        return x

    lowered = lower(graph_of(build, (8, 8), (8, 8)), threads=2)
    assert len(lowered.program.stages) == 2000


def test_an_iteration_through_sums_of_everything_is_lowered() -> None:
    def build(x: Node) -> Node:
        for _ in range(150):
            x = row.tanh(x + row.sum(x, dims=(0,), keepdim=True) * 0.01)
        return x

    check(graph_of(build, (6,)))


def test_rebuilding_keeps_the_lines_of_everything_that_is_made_of_a_node() -> None:
    def build(x: Node) -> Node:
        return row.relu(x)

    graph = graph_of(build, (3,))
    where = Location("model.py", 7, "forward")
    graph = type(graph)(
        graph.name, graph.inputs, graph.outputs, (), graph.names, {graph.outputs[0]: where}
    )

    def replace(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        return row.tanh(row.exp(*inputs)) if node.op.name == "relu" else None

    after = graph.rebuild(replace)
    assert [n.op.name for n in after.nodes] == ["input", "exp", "tanh"]
    assert [after.locations.get(n) for n in after.nodes] == [None, where, where]
