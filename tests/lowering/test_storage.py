"""Which values get memory: as few bytes as the nests that compute them again need."""

from typing import Any

from graphc.ir import Node
from graphc.kernel import Contraction, Load
from graphc.lowering import Lowered
from tests.lowering.lowered_programs import check, graph_of, row


def kept(lowered: Lowered) -> list[str]:
    """The types of the intermediates of a program."""
    made = [b for b in lowered.program.buffers if b.role.value == "intermediate"]
    return sorted(f"{b.dtype.short}{list(b.shape)}" for b in made)


def test_a_position_is_kept_in_the_bits_it_needs_not_the_masks_made_of_it() -> None:
    window = {"kernel": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1)}

    def build(x: Node, weight: Node) -> Node:
        pooled = row.max_pool(x, **window, ceil_mode=False)
        flat = row.reshape(pooled, shape=(6, 16))
        g = row.reshape(row.contract(flat, weight, spec="mk,kn->mn"), shape=(2, 3, 4, 4))
        return row.max_pool_backward(g, x, **window, ceil_mode=False)

    lowered = check(graph_of(build, (2, 3, 8, 8), (16, 16)))
    assert kept(lowered) == ["f32[2, 3, 4, 4]", "f32[6, 16]", "i32[2, 3, 4, 4]"]


def test_two_reductions_are_kept_as_the_one_value_made_of_them() -> None:
    def build(x: Node, g: Node) -> Node:
        top = row.amax(x, dims=(1,), keepdim=True)
        scale = row.log(row.sum(row.exp(x - top), dims=(1,), keepdim=True)) + top
        h = row.permute(g, dims=(1, 0))
        return row.sum((x - scale) * h, dims=(0,), keepdim=False)

    assert kept(check(graph_of(build, (64, 64), (64, 64)))) == ["f32[64, 1]"]


def test_what_a_convolution_reads_is_stored_where_its_reductions_are() -> None:
    """Normalised and padded values are not computed again for every window that shows them."""

    def build(x: Node, w: Node) -> Any:
        mean = row.mean(x, dims=(0, 2, 3), keepdim=True)
        shown = row.relu(x - mean)
        y = row.convolution(shown, w, stride=(1, 1), padding=(1, 1), dilation=(1, 1), groups=1)
        return y, row.le(shown, 0.5)

    lowered = check(graph_of(build, (2, 3, 6, 6), (4, 3, 3, 3)))
    nests = [n for launch in lowered.program.launches() for n in launch.kernel.nests]
    (contraction,) = (n for n in nests if isinstance(n, Contraction))
    assert isinstance(contraction.lhs, Load)
    assert isinstance(contraction.rhs, Load)
    assert not contraction.lhs_body
    assert not contraction.rhs_body
