"""Contractions whose operands have gaps: a nest for each class of places that meets elements."""

import pytest

from graphc.ir import Node
from graphc.kernel import Contraction, Divisible, Kernel
from graphc.lowering import Lowered
from graphc.lowering.rewriting import contraction_exprs, expr_loads
from graphc.lowering.schedule import extent_of
from tests.lowering.lowered_programs import check, graph_of, row


def kernel_of(lowered: Lowered) -> Kernel:
    (launch,) = lowered.program.launches()
    return launch.kernel


def input_gradient(
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> Kernel:
    """The kernel of a gradient of two images of four channels, its values checked."""
    out = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(image, kernel, stride, padding, dilation, strict=True)
    )

    def build(g: Node, w: Node) -> Node:
        result: Node = row.conv_input_grad(
            g,
            w,
            input_shape=(2, 4, *image),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        return result

    return kernel_of(
        check(graph_of(build, (2, 6 * groups, *out), (6 * groups, 4 // groups, *kernel)))
    )


def products(kernel: Kernel) -> int:
    total = 0
    for nest in kernel.nests:
        assert isinstance(nest, Contraction)
        total += extent_of((*nest.batch, *nest.rows, *nest.cols, *nest.depth))
        for expr in contraction_exprs(nest):
            for load in expr_loads(expr):
                assert not any(isinstance(c, Divisible) for c in load.mask)
    return total


def test_a_stride_of_two_makes_four_classes_that_multiply_no_zeros() -> None:
    kernel = input_gradient((8, 8), (3, 3), (2, 2), (1, 1))
    assert len(kernel.nests) == 4
    # Of the 9 weights each place meets 1, 2, 2 or 4, by its class.
    assert products(kernel) == 2 * 4 * 6 * 16 * (1 + 2 + 2 + 4)


def test_places_that_no_window_reaches_are_zeros() -> None:
    kernel = input_gradient((7, 6), (1, 1), (2, 2))
    assert len(kernel.nests) == 4
    assert products(kernel) == 2 * 4 * 6 * 4 * 3


@pytest.mark.parametrize(
    ("image", "kernel", "stride", "padding", "dilation", "classes"),
    [
        ((9, 7), (4, 4), (2, 2), (1, 1), (1, 1), 4),
        ((9, 10), (3, 5), (3, 2), (1, 2), (1, 1), 6),
        ((9, 10), (3, 3), (1, 2), (0, 1), (1, 1), 2),
        ((11, 12), (3, 2), (2, 3), (2, 0), (3, 2), 6),
        ((11, 12), (3, 2), (2, 2), (2, 1), (2, 2), 4),  # windows reach every second place only
        ((12, 9), (2, 2), (5, 4), (0, 0), (1, 1), 5),  # too many classes: cut along one dimension
    ],
)
def test_any_stride(
    image: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    classes: int,
) -> None:
    assert len(input_gradient(image, kernel, stride, padding, dilation).nests) == classes


def test_channel_by_channel() -> None:
    kernel = input_gradient((8, 9), (3, 3), (2, 2), (1, 1), groups=4)
    assert len(kernel.nests) == 4
    products(kernel)


def test_without_strides_there_is_one_nest() -> None:
    assert len(input_gradient((8, 8), (3, 3), (1, 1), (1, 1)).nests) == 1


def test_what_follows_runs_in_every_class() -> None:
    def build(g: Node, w: Node, x: Node) -> Node:
        gradient = row.conv_input_grad(
            g, w, input_shape=(2, 3, 7), stride=(2,), padding=(1,), dilation=(1,), groups=1
        )
        result: Node = row.tanh(gradient * x + 1.0)
        return result

    kernel = kernel_of(check(graph_of(build, (2, 5, 4), (5, 3, 3), (2, 3, 7))))
    assert len(kernel.nests) == 2
