"""Programs that random search found to differ once, compiled against eager code."""

from typing import Any

import numpy as np

import graphc


def same(function: Any, *shapes: tuple[int, ...]) -> list[Any]:
    """Runs a program both ways on equal arguments; gives the eager results."""
    runs = []
    for call in (function, graphc.compile(function)):
        given = [graphc.arange(float(np.prod(s))).reshape(s) - 2 for s in shapes]
        runs.append([*call(*given), *given])
    for a, b in zip(*runs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)
    return runs[0]


def test_an_index_that_two_phases_of_a_kernel_use_is_declared_once() -> None:
    def program(x: Any) -> Any:
        one = x[1].reshape(-1)
        place = one.argmax(0)
        twice = one.repeat_interleave(2, 0)
        middle = one.flip(0).median()
        share = (place + twice) / (twice.abs() + 1)
        total = middle * 0.5 + share.tile((2,)).sum() * 0.5
        return [place, middle, share, *graphc.autograd.grad(total, [x])]

    runs = []
    for call in (program, graphc.compile(program)):
        runs.append(call(graphc.tensor([1.0, -3.0, 2.0, 0.5], requires_grad=True)))
    for a, b in zip(*runs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)


def test_an_index_that_a_sweep_and_its_end_use_is_declared_once() -> None:
    weight = graphc.tensor([0.5, 1.0, 2.0, 0.7])

    def program(x: Any, y: Any) -> Any:
        loss = graphc.nn.functional.cross_entropy(
            x, y, weight, ignore_index=1, label_smoothing=0.1, reduction="none"
        )
        (loss * (graphc.arange(8 * 24.0).reshape(8, 24) * 0.75 % 1)).sum().backward()
        return loss, x.grad

    runs = []
    for call in (program, graphc.compile(program)):
        x = graphc.arange(8 * 4 * 24.0).reshape(8, 4, 24) * 0.37 % 3
        y = graphc.arange(8 * 24).reshape(8, 24) * 7 % 4
        runs.append(call(x.requires_grad_(), y))
    for a, b in zip(*runs, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_nothing_is_looked_up_for_a_sum_of_nothing() -> None:
    def program(x: Any) -> Any:
        found = graphc.gather(x, 1, graphc.zeros_like(x, dtype=graphc.int64))
        return [graphc.count_nonzero(found, 0), found.sum(0), found.prod(0), (found > 0).all(0)]

    count, total, product, every = same(program, (0, 4))[:4]
    assert count.tolist() == [0] * 4
    assert total.tolist() == [0.0] * 4
    assert product.tolist() == [1.0] * 4
    assert every.tolist() == [True] * 4


def test_truth_values_are_written_through_windows() -> None:
    def program(x: Any) -> Any:
        positive = x > 3
        positive.unfold(1, 2, 3)[::2].fill_(True)
        return [positive]

    positive = same(program, (3, 6))[0]
    assert positive[0].tolist() == [True, True, False, True, True, False]


def test_writing_nothing_stays_on_the_tape() -> None:
    values = graphc.zeros(0, 4, requires_grad=True)
    index = graphc.zeros(0, 4, dtype=graphc.int64)
    for call in (
        lambda: graphc.zeros(2, 4).scatter_add(0, index, values),
        lambda: graphc.zeros(2, 4).scatter_reduce(0, index, values, "sum"),
    ):
        result = call()
        assert result.requires_grad
        result.sum().backward()
        assert values.grad.shape == (0, 4)


def test_what_works_element_by_element_keeps_the_order_of_its_operand() -> None:
    """So ``contiguous`` is a copy, which a later write does not reach."""
    f = graphc.nn.functional
    for function in (f.silu, f.gelu, f.softplus, f.mish, f.elu, graphc.special.ndtr):

        def program(x: Any, function: Any = function) -> Any:
            y = function(x.transpose(0, 1))
            flat = y.contiguous().view(-1)
            y.zero_()
            return [flat, y]

        flat, y = same(program, (3, 2))[:2]
        assert y.stride() == (1, 2)
        assert flat.abs().sum() > 0
    assert f.softmax(graphc.rand(3, 2).t(), 0).stride() == (3, 1)


def test_values_of_two_phases_of_a_kernel_are_told_apart() -> None:
    """They were told apart by address, also after the first phase's were freed."""
    sizes = ((19, 24), (12, 24), (24,), (24,), (72, 24), (72,), (24, 24), (24,)) * 2
    for _ in range(10):

        def program(*tensors: Any) -> Any:
            norms = [graphc.linalg.vector_norm(x) for x in tensors]
            return [graphc.stack(norms), graphc.stack(norms).norm()]

        same(program, *sizes)


def test_one_row_of_a_tensor_turned_round() -> None:
    def program(x: Any) -> Any:
        y = (x * 1).flip(0)
        parts = [y[0], y[1:], y[:, ::2].flip(1)[1], x.flip(1)[::2, :3]]
        sums = [(p * (graphc.arange(float(p.numel())).reshape(p.shape) + 1)).sum() for p in parts]
        return [graphc.autograd.grad(total, x, retain_graph=True)[0] for total in sums]

    for shape in ((3, 4), (5, 7)):
        values = graphc.arange(float(np.prod(shape))).reshape(shape)
        expected = program(values.clone().requires_grad_())
        found = graphc.compile(program)(values.clone().requires_grad_())
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.abs().sum() > 0


def test_reductions_that_meet_at_one_row_here_and_at_others_there() -> None:
    """One nest for both serves the quotient; the product needs another row of each."""

    def program(x: Any, y: Any) -> Any:
        scores, total = x.log_softmax(0), y.sum(0)
        return [scores.flatten()[:, None] * total, total / scores]

    same(program, (3, 3), (2, 3))


def test_joining_with_nothing_stays_on_the_tape() -> None:
    """Shape (0,) passes among tensors of any rank."""
    nothing = graphc.zeros(0, requires_grad=True)
    for call in (graphc.cat, graphc.compile(graphc.cat)):
        joined = call([nothing, graphc.ones(2, 3)], 1)
        assert joined.shape == (2, 3)
        joined.sum().backward()
        assert nothing.grad.shape == (0,)
        nothing.grad = None
