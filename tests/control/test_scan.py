"""``graphc.scan``: one loop in the graph, whatever its length; eager code is the reference."""

from typing import Any

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc.ir import Graph
from graphc.ir_text import parse_graph
from graphc.ops.loops import SCAN


def scans(graph: Graph) -> int:
    return sum(node.op is SCAN for node in graph.nodes)


def tensors(*shapes: tuple[int, ...], seed: int = 0) -> list[Any]:
    graphc.manual_seed(seed)
    return [(graphc.randn(*shape) * 0.5).requires_grad_() for shape in shapes]


def assert_close(actual: Any, expected: Any) -> None:
    np.testing.assert_allclose(
        actual.detach().numpy(), expected.detach().numpy(), rtol=1e-4, atol=1e-5
    )


def lstm(x: Any, h: Any, c: Any, weight: Any, reverse: bool = False) -> Any:
    def step(state: Any, gates: Any) -> Any:
        h, c = state
        i, f, g, o = (gates + F.linear(h, weight)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return (h, c), h

    return graphc.scan(step, (h, c), x, reverse=reverse)


def lstm_loss(x: Any, h: Any, c: Any, weight: Any, reverse: bool = False) -> Any:
    (h, c), y = lstm(x, h, c, weight, reverse)
    return (y * y).sum() + 2 * h.sum() + c.sin().sum()


LSTM = ((7, 5, 32), (5, 8), (5, 8), (32, 8))


@pytest.mark.parametrize("reverse", [False, True])
def test_values_and_gradients_are_those_of_eager_code(reverse: bool) -> None:
    given = tensors(*LSTM)
    expected = lstm_loss(*given, reverse)
    compiled = graphc.compile(lambda *args: lstm_loss(*args, reverse))
    found = compiled(*given)
    assert_close(found, expected)
    for a, b in zip(
        graphc.autograd.grad(found, given), graphc.autograd.grad(expected, given), strict=True
    ):
        assert_close(a, b)


@pytest.mark.parametrize("compiled_forward", [False, True])
def test_gradients_of_gradients(compiled_forward: bool) -> None:
    given = tensors(*LSTM)

    def second(loss: Any) -> Any:
        gradients = graphc.autograd.grad(loss, given, create_graph=True)
        total = sum((g * g).sum() for g in gradients)
        return graphc.autograd.grad(total, given)

    expected = second(lstm_loss(*given))
    if compiled_forward:
        found = second(graphc.compile(lstm_loss)(*given))
    else:
        found = graphc.compile(lambda *args: second(lstm_loss(*args)))(*given)
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)


def test_the_code_does_not_grow_with_the_sequence() -> None:
    sizes = []
    for steps in (20, 400):
        given = tensors((steps, 5, 32), *LSTM[1:])

        @graphc.compile
        def step(*args: Any) -> Any:
            return graphc.autograd.grad(lstm_loss(*args), args)

        step(*given)
        graph = step.receipts[0]
        sizes.append((len(graph.kernels), str(step.source).count("\n")))
    (kernels, lines), (more_kernels, more_lines) = sizes
    assert more_kernels <= kernels + 2  # sums over many steps may be divided among threads
    assert more_lines <= 1.5 * lines


def test_the_gradient_is_a_scan_and_weights_get_one_product_over_all_steps() -> None:
    given = tensors(*LSTM)

    @graphc.compile
    def step(*args: Any) -> Any:
        return graphc.autograd.grad(lstm_loss(*args), args)

    step(*given)
    graph = step.stages[0].graphs["loops"]
    assert scans(graph) == 2
    assert any(
        node.op.name == "contract" and node.shape == (32, 8) and node.inputs[0].ndim == 3
        for node in graph.nodes
    )


def test_the_text_of_a_graph_with_a_loop_reads_back() -> None:
    given = tensors(*LSTM)
    compiled = graphc.compile(lstm_loss)
    compiled(*given)
    for graph in compiled.stages[0].graphs.values():
        text = str(graph)
        assert "\n\ngraph step(" in text
        assert str(parse_graph(text)) == text


def test_a_constant_that_is_no_sum_of_products_is_accumulated() -> None:
    x, h, scale = tensors((6, 4), (4,), (4,))

    def loss(x: Any, h: Any, scale: Any) -> Any:
        last, y = graphc.scan(lambda c, v: ((c * scale).tanh() + v, c * v), h, x)
        return last.sum() + (y * y).sum()

    given = (x, h, scale)
    expected = graphc.autograd.grad(loss(*given), given)
    found = graphc.autograd.grad(graphc.compile(loss)(*given), given)
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)


def test_integer_carries_nests_and_other_dims() -> None:
    x = graphc.arange(24.0).reshape(2, 4, 3)

    def count(x: Any) -> Any:
        def step(carry: Any, v: Any) -> Any:
            new = {"n": carry["n"] + 1, "s": carry["s"] + v["a"]}
            return new, [new["s"], v["b"] * carry["n"]]

        init = {"n": graphc.tensor(0), "s": graphc.zeros(2, 3)}
        return graphc.scan(step, init, {"a": x, "b": -x}, dim=1)

    (carry, (sums, scaled)), (carry2, (sums2, scaled2)) = count(x), graphc.compile(count)(x)
    assert carry["n"].item() == carry2["n"].item() == 4
    assert sums.shape == sums2.shape == (2, 4, 3)
    for a, b in ((carry["s"], carry2["s"]), (sums, sums2), (scaled, scaled2)):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    np.testing.assert_array_equal(sums.numpy(), x.cumsum(1).numpy())


def test_a_loop_in_a_loop() -> None:
    x, h, weight = tensors((3, 4, 5), (5,), (5,))

    def loss(x: Any, h: Any, weight: Any) -> Any:
        def outer(carry: Any, rows: Any) -> Any:
            last, y = graphc.scan(lambda c, v: ((c * weight + v).tanh(), c.sum()), carry, rows)
            return last, y

        last, y = graphc.scan(outer, h, x)
        return last.sum() + (y * y).sum()

    given = (x, h, weight)
    expected = graphc.autograd.grad(loss(*given), given)
    compiled = graphc.compile(loss)
    for a, b in zip(graphc.autograd.grad(compiled(*given), given), expected, strict=True):
        assert_close(a, b)
    assert scans(compiled.stages[0].graphs["loops"]) == 1


def test_a_step_that_asks_for_values_is_unrolled() -> None:
    x = graphc.tensor([1.0, -2.0, 3.0])

    def total(x: Any) -> Any:
        def step(carry: Any, v: Any) -> Any:
            return (carry + v if v > 0 else carry - v), carry

        return graphc.scan(step, graphc.zeros(()), x)

    expected, found = total(x), graphc.compile(total)(x)
    assert found[0].item() == expected[0].item() == 6.0
    np.testing.assert_array_equal(found[1].numpy(), expected[1].numpy())


def test_random_numbers_are_drawn_anew_at_every_step() -> None:
    def draws(x: Any) -> Any:
        return graphc.scan(lambda c, v: (c, v + graphc.rand(3)), x[0], x)[1]

    x = graphc.zeros(4, 3)
    graphc.manual_seed(5)
    expected = draws(x)
    graphc.manual_seed(5)
    found = graphc.compile(draws)(x)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    assert len({tuple(row) for row in found.numpy().tolist()}) == 4


def test_writes_to_tensors_outside_reach_them() -> None:
    count = graphc.zeros(())

    @graphc.compile
    def run(x: Any) -> Any:
        def step(carry: Any, v: Any) -> Any:
            count.add_(1)
            return carry + v, v

        return graphc.scan(step, graphc.zeros(2), x)[0]

    np.testing.assert_array_equal(run(graphc.ones(5, 2)).numpy(), [5.0, 5.0])
    assert count.item() == 5


def test_inside_vmap() -> None:
    x = graphc.arange(12.0).reshape(3, 4)

    def last(x: Any) -> Any:
        return graphc.scan(lambda c, v: (c * 0.5 + v, c), graphc.zeros(()), x)[0]

    expected = graphc.stack([last(row) for row in x])
    np.testing.assert_allclose(graphc.func.vmap(last)(x).numpy(), expected.numpy())
    compiled = graphc.compile(graphc.func.vmap(last))
    np.testing.assert_allclose(compiled(x).numpy(), expected.numpy())


@pytest.mark.parametrize(
    ("init", "xs", "kind", "message"),
    [
        (1.0, graphc.ones(3), TypeError, "init holds tensors, not float"),
        (graphc.ones(()), [], ValueError, "no tensor"),
        (graphc.ones(()), [graphc.ones(3), graphc.ones(4)], ValueError, "sizes"),
        (graphc.ones(()), graphc.ones(0), ValueError, "no slice"),
    ],
)
def test_bad_arguments(init: Any, xs: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        graphc.scan(lambda c, v: (c, c), init, xs)


def test_a_carry_keeps_its_structure_and_type() -> None:
    x = graphc.ones(3, 2)
    with pytest.raises(RuntimeError, match="structure of init"):
        graphc.scan(lambda c, v: ((c, c), v), x[0], x)

    def grow(x: Any) -> Any:
        return graphc.scan(lambda c, v: (graphc.cat([c, v]), v), x[0], x)

    for call in (grow, graphc.compile(grow)):
        with pytest.raises(RuntimeError, match=r"carry 0 is f32\[2\] before a step and f32\[4\]"):
            call(x)
