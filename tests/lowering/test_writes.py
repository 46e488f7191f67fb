"""Updates in place: the old value for everybody who needs it, the new one afterwards."""

from typing import Any

from graphc.ir import Node
from graphc.kernel import Role
from graphc.lowering import lower
from tests.lowering.lowered_programs import check, graph_of, kernel_names, row


def test_the_updates_of_an_optimizer_are_one_kernel_without_memory_of_its_own() -> None:
    def build(*nodes: Node) -> Any:
        lr = nodes[0]
        writes: list[tuple[Node, Node]] = []
        for p, m, g in zip(nodes[1::3], nodes[2::3], nodes[3::3], strict=True):
            new = m * 0.9 + g
            writes += [(m, new), (p, p - lr * new)]
        return (), writes

    shapes = [(), *[(5, 4)] * 3, *[(7,)] * 3, *[(2, 3, 4)] * 3]
    lowered = check(graph_of(build, *shapes))
    assert kernel_names(lowered) == ["update"]
    assert lowered.program.arena_bytes == 0


def test_updates_are_not_part_of_the_product_that_gives_the_gradient() -> None:
    def build(x: Node, g: Node, w: Node) -> Any:
        back = row.contract(g, w, spec="mn,kn->mk")
        new = w - row.contract(x, g, spec="mk,mn->kn") * 0.1
        return back, [(w, new)]

    lowered = check(graph_of(build, (9, 4), (9, 5), (4, 5)))
    assert kernel_names(lowered)[-1] == "update"
    updated = [b for b in lowered.program.buffers if b.updated]
    assert [b.name for b in updated] == ["x2"]


def test_a_swap_goes_through_memory() -> None:
    check(graph_of(lambda a, b: ((), [(a, b), (b, a)]), (3, 4), (3, 4)))


def test_a_rotation_of_computed_values() -> None:
    def build(a: Node, b: Node, c: Node) -> Any:
        return (a + b, c), [(a, b * 2.0), (b, c + a), (c, row.tanh(a))]

    check(graph_of(build, (3, 4), (3, 4), (3, 4)))


def test_a_value_read_at_other_places_is_not_overwritten_before() -> None:
    def build(a: Node) -> Any:
        return (), [(a, row.flip(a, dims=(0,)) + 1.0)]

    lowered = check(graph_of(build, (6, 5)))
    assert any(b.role is Role.INTERMEDIATE for b in lowered.program.buffers)


def test_an_update_in_place_of_a_row_that_is_reduced() -> None:
    def build(a: Node) -> Any:
        return (), [(a, a / row.sum(a, dims=(1,), keepdim=True))]

    check(graph_of(build, (6, 5)))


def test_outputs_have_memory_of_their_own() -> None:
    def build(a: Node) -> Any:
        y = row.exp(a)
        return (y, y, a, row.reshape(y, shape=(20,)), row.permute(a, dims=(1, 0))), [(a, y)]

    lowered = check(graph_of(build, (4, 5)))
    outputs = [b.name for b in lowered.program.buffers if b.role is Role.OUTPUT]
    assert len(set(outputs)) == 5


def test_a_write_that_is_also_read_afterwards() -> None:
    def build(a: Node, x: Node) -> Any:
        new = a * 0.9 + row.mean(x, dims=(0,), keepdim=False) * 0.1
        return (x - new) * 2.0, [(a, new)]

    check(graph_of(build, (5,), (20, 5)))


def test_a_constant_written() -> None:
    def build(a: Node) -> Any:
        return a * 2.0, [(a, a * 0.0)]

    check(graph_of(build, (3,)))


def test_lowering_twice_gives_the_same_program() -> None:
    def build(a: Node, w: Node) -> Any:
        y = row.contract(row.softmax(a, dim=1), w, spec="mk,kn->mn")
        return (y, row.sum(y, dims=(0,), keepdim=False)), [(a, a * 0.5)]

    first = lower(graph_of(build, (6, 5), (5, 4)), threads=2)
    again = lower(graph_of(build, (6, 5), (5, 4)), threads=2)
    assert first.program == again.program
    assert str(first.explanation) == str(again.explanation)
