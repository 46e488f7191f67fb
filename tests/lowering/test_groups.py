"""What is computed together: one kernel where the values allow it, and right values always."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from graphc import dtypes
from graphc.autodiff import gradients
from graphc.expressions import within
from graphc.ir import Node
from graphc.kernel import Contraction, Expr, Masked, Nest, Skeleton
from graphc.lowering import Lowered, lower
from graphc.lowering.rewriting import phase_exprs, phase_indices
from tests.lowering.lowered_programs import F32, arguments, check, full, graph_of, kernel_names, row


def only(lowered: Lowered) -> Any:
    """The only nest of a program."""
    (launch,) = lowered.program.launches()
    (nest,) = launch.kernel.nests
    return nest


def every(nest: Nest) -> Iterator[Expr]:
    """All expressions of a nest, with those inside them."""
    for phase in nest.phases:
        for expr in phase_exprs(phase):
            yield from within(expr)


def softmax(x: Node) -> Node:
    e = row.exp(x - row.amax(x, dims=(1,), keepdim=True))
    return e / row.sum(e, dims=(1,), keepdim=True)


# ------------------------------------------------------------------------------------- pointwise


def test_a_pointwise_chain_is_one_nest_over_one_axis() -> None:
    graph = graph_of(lambda x, y: row.relu(row.tanh(x) * 2.0 + y), (6, 4, 5), (6, 4, 5))
    nest = only(check(graph))
    assert [axis.extent for axis in nest.axes] == [120]
    assert nest.schedule.skeleton is Skeleton.MAP


def test_axes_stay_apart_where_an_operand_is_broadcast_between_them() -> None:
    nest = only(check(graph_of(lambda x, y: x + y, (6, 4, 5, 2), (4, 1, 1))))
    assert [axis.extent for axis in nest.axes] == [6, 4, 10]


def test_several_outputs_of_one_shape_share_a_nest_and_its_values() -> None:
    def build(x: Node) -> Any:
        t = row.tanh(x)
        return t * 2.0, t + 1.0, t

    lowered = check(graph_of(build, (7, 3)))
    nest = only(lowered)
    assert len(nest.phases[0].stores) == 3
    assert sum("tanh" in str(s.expr) for s in nest.phases[0].body) == 1


def test_views_are_composed_never_copied() -> None:
    def build(x: Node) -> Node:
        y = row.permute(x, dims=(2, 0, 1))
        y = row.slice(y, starts=(1, 0, 0), stops=(5, 4, 3), steps=(2, 1, 1))
        return row.flip(y, dims=(1,)) + 1.0

    assert len(kernel_names(check(graph_of(build, (4, 3, 6))))) == 1


def test_reshapes_between_nests_need_no_division() -> None:
    def build(x: Node, y: Node) -> Node:
        return row.reshape(x, shape=(4, 30)) * 2.0 + row.reshape(y, shape=(4, 30))

    nest = only(check(graph_of(build, (4, 5, 6), (20, 6))))
    assert [axis.extent for axis in nest.axes] == [120]


def test_a_transposed_reshape_splits_axes_instead_of_dividing() -> None:
    def build(x: Node) -> Node:
        return row.reshape(row.permute(x, dims=(0, 2, 1)), shape=(4, 30)) + 0.5

    nest = only(check(graph_of(build, (4, 5, 6))))
    assert [axis.extent for axis in nest.axes] == [4, 6, 5]


def test_padding_and_concatenation_of_computed_values() -> None:
    def build(x: Node, y: Node) -> Node:
        joined = row.cat(row.exp(x), row.tanh(y), x, dim=1)
        return row.pad(joined * 3.0, before=(1, 0), after=(0, 2), value=7.0)

    assert len(kernel_names(check(graph_of(build, (3, 4), (3, 2))))) == 1


def test_pieces_of_equal_length_are_computed_where_they_are_only() -> None:
    def joined(x: Node, y: Node) -> Node:
        return row.cat(row.exp(x), row.tanh(x) * y, row.cat(y, x, dim=1), dim=1)

    nest = only(check(graph_of(joined, (3, 32), (3, 32))))
    assert [axis.extent for axis in nest.axes] == [3, 32]
    assert len(nest.phases[0].stores) == 4
    assert not any(isinstance(e, Masked) or getattr(e, "mask", ()) for e in every(nest))

    def padded(x: Node, y: Node) -> Node:
        left = row.pad(row.exp(x), before=(0, 0), after=(0, 64), value=0.0)
        right = row.pad(row.tanh(y), before=(0, 32), after=(0, 0), value=-1.0)
        return left + right

    nest = only(check(graph_of(padded, (3, 32), (3, 64))))
    assert [axis.extent for axis in nest.axes] == [3, 32]
    assert len(nest.phases[0].stores) == 3

    def channels(x: Node, y: Node) -> Node:
        return row.cat(row.exp(x), row.tanh(y), dim=1)

    nest = only(check(graph_of(channels, (2, 6, 5, 4), (2, 3, 5, 4))))
    assert len(nest.phases[0].stores) == 3  # cut where the channels of both divide
    assert not any(isinstance(e, Masked) or getattr(e, "mask", ()) for e in every(nest))

    for sizes in ((32, 31), (8, 8), (16, 256)):  # unequal, short, many
        nest = only(
            check(graph_of(lambda x, y: row.cat(x, y * 2.0, dim=1), *((3, n) for n in sizes)))
        )
        assert len(nest.phases[0].stores) == 1


def test_pointwise_values_that_meet_are_one_nest() -> None:
    def build(x: Node) -> Any:
        left = row.sigmoid(row.slice(x, starts=(0, 0), stops=(5, 24), steps=(1, 1)))
        right = row.tanh(row.slice(x, starts=(0, 24), stops=(5, 48), steps=(1, 1)))
        return left, right, left * right, row.flip(right, dims=(1,)) + 1.0

    lowered = check(graph_of(build, (5, 48)))
    stores = [
        len(nest.phases[0].stores)
        for launch in lowered.program.launches()
        for nest in launch.kernel.nests
    ]
    assert sorted(stores) == [1, 3]


def test_an_expensive_value_of_two_kernels_is_stored_once() -> None:
    def build(x: Node) -> Any:
        t = row.pow(row.tanh(x), full(x, 1.7) * 2.0)
        return row.sum(t, dims=(0,), keepdim=False), row.sum(t, dims=(1,), keepdim=False)

    lowered = check(graph_of(lambda x: build(row.abs(x)), (90, 80)))
    assert kernel_names(lowered) == ["tanh_pow", "sum"]


def test_a_cheap_value_of_two_kernels_is_computed_twice() -> None:
    def build(x: Node) -> Any:
        t = x * 2.0
        return row.sum(t, dims=(0,), keepdim=False), row.sum(t, dims=(1,), keepdim=False)

    lowered = check(graph_of(build, (9, 8)))
    assert lowered.program.arena_bytes == 0


# ------------------------------------------------------------------------------------- reductions


def test_softmax_is_one_kernel() -> None:
    nest = only(check(graph_of(softmax, (33, 40))))
    assert len(nest.phases) == 3
    assert nest.schedule.skeleton is Skeleton.ROWS


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_gradients_are_one_kernel(name: str) -> None:
    def build(x: Node, g: Node) -> Any:
        y = getattr(row, name)(x, dim=1)
        return gradients([y], [g], [x])[0]

    assert len(kernel_names(check(graph_of(build, (33, 40), (33, 40))))) == 1


def test_layer_norm_and_its_gradient_over_rows_are_one_kernel_each() -> None:
    def forward(x: Node) -> Node:
        centred = x - row.mean(x, dims=(2,), keepdim=True)
        spread = row.mean(centred * centred, dims=(2,), keepdim=True)
        return centred * row.rsqrt(spread + 1e-5)

    assert len(kernel_names(check(graph_of(forward, (3, 5, 40))))) == 1

    def backward(x: Node, g: Node) -> Any:
        return gradients([forward(x)], [g], [x])[0]

    graph = graph_of(backward, (3, 5, 40), (3, 5, 40))
    assert len(kernel_names(check(graph, tolerance=1e-4))) == 1


def test_cross_entropy_and_its_gradient_read_the_scores_in_one_kernel() -> None:
    def build(x: Node, target: Node) -> Any:
        loss = row.cross_entropy(x, target, ignore_index=-100, reduction="mean")
        (g,) = gradients([loss], [full(x, 1.0)], [x])
        return loss, g

    graph = graph_of(build, (12, 7), (12,), kinds=(F32, dtypes.int64))
    names = kernel_names(check(graph, arguments(graph, 0, 7)))
    assert len(names) <= 3


def test_reductions_of_the_same_data_share_a_sweep() -> None:
    def build(x: Node) -> Any:
        return (
            row.sum(x, dims=(1,), keepdim=False),
            row.amax(x, dims=(1,), keepdim=False),
            row.sum(x * x, dims=(1,), keepdim=False),
        )

    nest = only(check(graph_of(build, (20, 50))))
    (phase,) = nest.phases
    assert len(phase.reductions) == 3


def test_a_reduction_across_rows_keeps_the_columns_together() -> None:
    nest = only(check(graph_of(lambda x: row.sum(x, dims=(0,), keepdim=False), (50, 60))))
    assert nest.schedule.skeleton is Skeleton.COLUMNS


def test_a_reduction_of_everything_is_divided_among_threads() -> None:
    graph = graph_of(lambda x: row.sum(x, dims=(0, 1), keepdim=False), (500, 300))
    nest = only(lower(graph, threads=2))
    assert nest.schedule.skeleton is Skeleton.TOTAL
    assert nest.axes == ()
    assert [axis.extent for axis in nest.phases[0].axes] == [150000]


def test_values_of_part_of_the_rows_do_not_join_the_rows() -> None:
    def build(x: Node) -> Any:
        s = row.sum(x, dims=(1,), keepdim=False)
        return s, row.slice(s, starts=(0,), stops=(5,), steps=(1,)) * 2.0

    assert len(kernel_names(check(graph_of(build, (10, 4))))) == 2


def test_a_sum_across_rows_waits_for_all_of_them() -> None:
    def build(x: Node, y: Node) -> Node:
        z = row.exp(x) + y
        p = softmax(z)
        down = row.reshape(row.sum(p * z, dims=(0,), keepdim=False), shape=(3, 1))
        return row.sum(p * z, dims=(1,), keepdim=True) * y + down

    assert len(kernel_names(check(graph_of(build, (1, 3), (3, 1))))) == 2


def test_phases_of_one_depth_agree_on_when_a_value_is_known() -> None:
    def build(x: Node, y: Node, z: Node) -> Any:
        first = row.sqrt(row.sum(row.abs(x), dims=(0,), keepdim=False))
        second = row.sqrt(row.sum(row.abs(x + first), dims=(0,), keepdim=False))
        return second, y * first, z / second

    only(check(graph_of(build, (3,), (3, 3), (3,))))


def test_only_the_part_of_a_reduction_that_is_used_is_computed() -> None:
    def build(x: Node) -> Node:
        s = row.sum(x * 3.0, dims=(1,), keepdim=True)
        return row.slice(s, starts=(1, 0), stops=(9, 1), steps=(2, 1)) * 2.0

    nest = only(check(graph_of(build, (10, 4))))
    assert [axis.extent for axis in nest.axes] == [4]


def test_a_row_read_by_other_rows_goes_through_memory() -> None:
    def build(x: Node) -> Node:
        s = row.sum(x, dims=(1,), keepdim=True)
        return x - row.flip(s, dims=(0,))

    assert len(kernel_names(check(graph_of(build, (10, 4))))) == 2


def test_results_of_rows_are_stored_through_views_of_them() -> None:
    def build(x: Node) -> Node:
        s = row.sum(x, dims=(2,), keepdim=False)
        return row.permute(row.tanh(s), dims=(1, 0)) + 1.0

    assert len(kernel_names(check(graph_of(build, (4, 3, 5))))) == 1


def test_group_norm_splits_channels_into_groups() -> None:
    def build(x: Node) -> Node:
        grouped = row.reshape(x, shape=(2, 3, 20))
        mean = row.mean(grouped, dims=(2,), keepdim=True)
        return row.reshape(grouped - mean, shape=(2, 6, 10)) * 2.0

    assert len(kernel_names(check(graph_of(build, (2, 6, 10))))) == 1


def test_positions_of_extremes_count_in_the_reduced_dims() -> None:
    def build(x: Node) -> Any:
        return row.argmax(x, dims=(0, 2), keepdim=False), row.argmin(x, dims=(1,), keepdim=True)

    check(graph_of(build, (3, 4, 5)))


# ----------------------------------------------------------------------------------- contractions


def test_a_product_takes_bias_activation_and_residual() -> None:
    def build(x: Node, w: Node, b: Node, r: Node) -> Node:
        return row.relu(row.contract(x, w, spec="mk,nk->mn") + b) * 0.5 + r

    nest = only(check(graph_of(build, (9, 8), (7, 8), (7,), (9, 7))))
    assert isinstance(nest, Contraction)
    assert len(nest.epilogue.stores) == 1


def test_the_sum_before_the_activation_is_stored_too_where_it_is_needed() -> None:
    def build(x: Node, w: Node) -> Any:
        z = row.contract(x, w, spec="mk,kn->mn")
        return z, row.tanh(z)

    nest = only(check(graph_of(build, (9, 8), (8, 7))))
    assert len(nest.epilogue.stores) == 2


def test_operands_are_packed_through_their_views() -> None:
    def build(x: Node, w: Node) -> Node:
        return row.contract(row.permute(x, dims=(1, 0)), row.flip(w, dims=(0,)), spec="mk,kn->mn")

    assert isinstance(only(check(graph_of(build, (8, 9), (8, 7)))), Contraction)


def test_a_cheap_prologue_is_packed_and_a_dear_one_stored() -> None:
    def cheap(x: Node, w: Node) -> Node:
        return row.contract(row.relu(x), w, spec="mk,kn->mn")

    assert len(kernel_names(check(graph_of(cheap, (9, 8), (8, 7))))) == 1

    def dear(x: Node, w: Node) -> Node:
        return row.contract(row.tanh(x), w, spec="mk,kn->mn")

    assert len(kernel_names(check(graph_of(dear, (9, 8), (8, 7))))) == 2


def test_a_matrix_and_a_vector_make_a_reduction() -> None:
    nest = only(check(graph_of(lambda x, v: row.contract(x, v, spec="mk,k->m"), (9, 8), (8,))))
    assert isinstance(nest, Nest)


def test_an_outer_product_is_pointwise() -> None:
    nest = only(check(graph_of(lambda a, b: row.contract(a, b, spec="m,n->mn"), (9,), (8,))))
    assert isinstance(nest, Nest)
    assert not nest.phases[0].reductions


_PLAIN = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


@pytest.mark.parametrize(
    "settings",
    [
        _PLAIN,
        {**_PLAIN, "padding": (1, 2)},
        {**_PLAIN, "stride": (2, 1), "padding": (1, 1)},
        {**_PLAIN, "dilation": (2, 1)},
        {**_PLAIN, "groups": 2},
    ],
)
def test_a_convolution_with_its_activation_is_one_contraction(settings: dict[str, Any]) -> None:
    def build(x: Node, w: Node, b: Node) -> Node:
        y = row.convolution(x, w, **settings)
        return row.relu(y + row.reshape(b, shape=(1, 6, 1, 1)))

    shapes = ((2, 4, 8, 9), (6, 4 // settings["groups"], 3, 3), (6,))
    assert isinstance(only(check(graph_of(build, *shapes))), Contraction)

    def both(x: Node, w: Node) -> Any:
        y = row.convolution(x, w, **settings)
        g = full(y, 0.5, tuple(y.shape)) * 1.0
        return (*gradients([y], [row.exp(y)], [x, w]), g)

    check(graph_of(both, *shapes[:2]), tolerance=2e-3)


# ----------------------------------------------------------------------------------------- pools


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 3, 0), (2, 1, 0), (3, 2, 0)]
)
def test_pools_and_their_gradients(kernel: int, stride: int, padding: int) -> None:
    window = {
        "kernel": (kernel, kernel),
        "stride": (stride, stride),
        "padding": (padding, padding),
        "dilation": (1, 1),
        "ceil_mode": False,
    }

    def build(x: Node, g: Node) -> Any:
        y = row.max_pool(row.relu(x), **window)
        return y, *gradients([y], [row.reshape(g, shape=tuple(y.shape))], [x])

    out = (12 + 2 * padding - kernel) // stride + 1
    lowered = check(graph_of(build, (2, 3, 12, 12), (2, 3, out, out)))
    assert len(kernel_names(lowered)) == 2


def test_windows_that_do_not_overlap_are_spread_without_a_sum() -> None:
    def build(g: Node) -> Node:
        return row.fold(
            row.expand(row.reshape(g, shape=(3, 8, 6, 1, 1)), shape=(3, 8, 6, 2, 2)),
            shape=(3, 16, 12),
            dims=(1, 2),
            sizes=(2, 2),
            strides=(2, 2),
            dilations=(1, 1),
        )

    nest = only(check(graph_of(build, (3, 8, 6))))
    assert not any(phase.reductions for phase in nest.phases)
    indices = [str(index) for index in phase_indices(nest.phases[0])]
    assert not any("/" in index or "%" in index for index in indices)


# ------------------------------------------------------------------------------ gather and scatter


def test_gathers_are_composed_and_scatters_run_in_order() -> None:
    def build(x: Node, at: Node) -> Any:
        taken = row.take(x * 2.0, at, dim=0)
        back = row.put_index(full(x, 0.0, (5, 6)), at, taken, dim=0, add=True)
        return taken, back

    graph = graph_of(build, (5, 6), (7,), kinds=(F32, dtypes.int64))
    check(graph, arguments(graph, -5, 5))


def test_nothing_is_looked_up_for_an_empty_result() -> None:
    def build(x: Node) -> Any:
        none = row.all(row.ne(x, 0), dims=(0, 1), keepdim=False)
        at = full(x, 0, (0, 4), dtypes.int64)
        return none, row.gather(row.where(none, x, -x), at, dim=0)

    check(graph_of(build, (0, 4)))


def test_a_reduction_that_is_looked_up_goes_through_memory() -> None:
    def build(x: Node, at: Node) -> Node:
        return row.take(row.sum(x, dims=(0,), keepdim=False), at, dim=0)

    graph = graph_of(build, (3, 3), (3,), kinds=(F32, dtypes.int64))
    assert len(kernel_names(check(graph, arguments(graph, -3, 3)))) == 2


@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize(("dim", "shape"), [(0, (7, 4, 3)), (2, (5, 4, 9)), (1, (2, 6, 3))])
def test_scatters(add: bool, dim: int, shape: tuple[int, ...]) -> None:
    def build(x: Node, at: Node, v: Node) -> Node:
        return row.scatter(x * 1.5, at, row.exp(v), dim=dim, add=add) + 1.0

    graph = graph_of(build, (5, 4, 3), shape, shape, kinds=(F32, dtypes.int64, F32))
    check(graph, arguments(graph, 0, (5, 4, 3)[dim]))


def test_one_hot_is_a_choice_not_a_scatter() -> None:
    def build(at: Node, x: Node) -> Node:
        ones = full(x, 1.0, (6, 1))
        return row.scatter(full(x, 0.0, (6, 9)), at, ones, dim=1, add=False) * x

    graph = graph_of(build, (6, 1), (6, 9), kinds=(dtypes.int64, F32))
    assert len(kernel_names(check(graph, arguments(graph, 0, 9)))) == 1


# ----------------------------------------------------------------------------------- half floats


@pytest.mark.parametrize("kind", [dtypes.float16, dtypes.bfloat16])
def test_halves_are_rounded_after_every_operation(kind: dtypes.dtype) -> None:
    def build(x: Node, y: Node) -> Node:
        return (x + y) - x

    graph = graph_of(build, (50,), (50,), kinds=(kind, kind))
    given = arguments(graph)
    lowered = lower(graph, threads=1)
    from tests.lowering.loop_machine import run_program

    (got,), _ = run_program(lowered.program, given)
    wide = [a.astype(np.float32) for a in given]
    once = (wide[0] + wide[1]).astype(kind.numpy).astype(np.float32)
    np.testing.assert_array_equal(got, (once - wide[0]).astype(kind.numpy))
    assert (got != ((wide[0] + wide[1]) - wide[0]).astype(kind.numpy)).any()


# ----------------------------------------------------------------------------------------- names


def test_kernels_are_called_by_the_composites_they_are_left_of() -> None:
    assert kernel_names(check(graph_of(lambda x: row.softmax(x, dim=1), (4, 6)))) == ["softmax"]

    def layer(x: Node, w: Node, b: Node) -> Node:
        return row.relu(row.linear(x, w, b))

    assert kernel_names(check(graph_of(layer, (4, 6), (5, 6), (5,)))) == ["linear_relu"]


def test_rebuilding_keeps_origins_and_gives_the_outermost() -> None:
    graph = graph_of(lambda x: row.softmax(x, dim=1) * 2.0, (4, 6))
    again = graph.rebuild(lambda _builder, _node, _inputs: None)
    for each in (graph, again):
        found = {each.origins.get(n, n.op.name) for n in each.nodes if n.inputs}
        assert found == {"softmax", "mul"}
