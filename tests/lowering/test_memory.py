"""The arena: nothing alive overlaps, and little is wasted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.ir import Node
from graphc.lowering.memory import ALIGNMENT, Lifetime, peak, planned
from tests.lowering.lowered_programs import check, graph_of, row

spans = st.tuples(
    st.integers(1, 400), st.integers(0, 30), st.integers(0, 6)
)  # cache lines, first stage, stages more


def lives_of(found: list[tuple[int, int, int]]) -> list[Lifetime]:
    return [
        Lifetime(f"b{i}", lines * ALIGNMENT, first, first + more)
        for i, (lines, first, more) in enumerate(found)
    ]


@given(st.lists(spans, max_size=40))
def test_what_is_alive_together_lies_apart(found: list[tuple[int, int, int]]) -> None:
    lives = lives_of(found)
    arena = planned(lives)
    assert arena.live == peak(lives) == _peak_by_stage(lives)
    assert arena.live <= arena.size <= 1.3 * arena.live
    for i, a in enumerate(lives):
        start = arena.offsets[a.name]
        assert start % ALIGNMENT == 0
        assert start + a.size <= arena.size
        for b in lives[:i]:
            if a.overlaps(b):
                other = arena.offsets[b.name]
                assert start + a.size <= other or other + b.size <= start


def _peak_by_stage(lives: list[Lifetime]) -> int:
    return max((sum(x.size for x in lives if x.first <= s <= x.last) for s in range(40)), default=0)


@pytest.mark.parametrize("depth", [3, 12])
def test_a_chain_needs_two_buffers_at_a_time(depth: int) -> None:
    def build(x: Node, w: Node) -> Node:
        for _ in range(depth):
            x = row.contract(row.tanh(x), w, spec="mk,kn->mn") * 0.5
        return x

    lowered = check(graph_of(build, (16, 16), (16, 16)))
    assert lowered.explanation.arena_live <= 2 * 16 * 16 * 4
    assert lowered.program.arena_bytes == lowered.explanation.arena_live
