"""The tape: accumulation, hooks, freeing, versions, and memory that gradients own."""

import numpy as np
import pytest

import graphc
import graphc.inspect


def leaf(*values: float) -> graphc.Tensor:
    return graphc.tensor([float(v) for v in values], requires_grad=True)


def test_gradients_accumulate_and_are_owned_by_their_leaf() -> None:
    a, b = leaf(1, 2), leaf(3, 4)
    (a + b).sum().backward()
    a.grad.zero_()
    assert b.grad.tolist() == [1, 1]
    (a * b).sum().backward()
    assert a.grad.tolist() == [3, 4]
    assert b.grad.tolist() == [2, 3]


def test_a_gradient_that_the_caller_gave_is_copied() -> None:
    a = leaf(1, 2)
    g = graphc.tensor([5.0, 6.0])
    a.backward(g) if a.grad_fn else (a * 1).backward(g)
    a.grad.zero_()
    assert g.tolist() == [5, 6]


def test_graph_is_freed_and_can_be_retained() -> None:
    a = leaf(2)
    y = a * a
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    assert a.grad.tolist() == [8]
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_hooks_see_and_replace_gradients() -> None:
    a = leaf(1, 2)
    seen = []
    y = a * 3
    handle = y.register_hook(lambda g: seen.append(g.tolist()) or g * 2)
    a.register_hook(lambda g: seen.append(g.tolist()))
    y.sum().backward(retain_graph=True)
    assert seen == [[1, 1], [6, 6]]
    assert a.grad.tolist() == [6, 6]
    handle.remove()
    y.sum().backward()
    assert a.grad.tolist() == [9, 9]


def test_retain_grad_keeps_the_gradient_of_an_intermediate() -> None:
    a = leaf(1, 2)
    y = a * 3
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [6, 12]


def test_no_grad_detach_and_modes() -> None:
    a = leaf(1)
    with graphc.no_grad():
        assert not (a * 2).requires_grad
        with graphc.enable_grad():
            assert (a * 2).requires_grad
    assert not a.detach().requires_grad
    a.detach().add_(1)
    assert a.tolist() == [2]

    @graphc.no_grad()
    def inside() -> bool:
        return graphc.is_grad_enabled()

    assert not inside() and graphc.is_grad_enabled()
    graphc.set_grad_enabled(False)
    assert not graphc.is_grad_enabled()
    graphc.set_grad_enabled(True)
    with graphc.inference_mode():
        assert not (a * 2).requires_grad


def test_a_value_written_before_backward_raises() -> None:
    a = leaf(1, 2)
    y = a * 1
    z = y.exp() + y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_a_write_that_no_gradient_reads_is_allowed() -> None:
    a = leaf(1, 2)
    y = a * 1
    z = y + 1
    y.mul_(5)
    z.sum().backward()
    assert a.grad.tolist() == [1, 1]


def test_double_backward() -> None:
    x = leaf(2)
    (g,) = graphc.autograd.grad((x**3).sum(), x, create_graph=True)
    (h,) = graphc.autograd.grad(g.sum(), x, create_graph=True)
    (k,) = graphc.autograd.grad(h.sum(), x)
    assert (g.item(), h.item(), k.item()) == (12, 12, 6)


def test_grad_of_unused_inputs() -> None:
    x, y = leaf(1), leaf(2)
    with pytest.raises(RuntimeError, match="not have been used"):
        graphc.autograd.grad((x * 2).sum(), [x, y])
    gx, gy = graphc.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)
    assert gx.tolist() == [2] and gy is None
    _, gy = graphc.autograd.grad((x * 2).sum(), [x, y], materialize_grads=True)
    assert gy.tolist() == [0]


def test_the_tape_prints_as_a_graph() -> None:
    x = leaf(1, 2)
    text = str(graphc.inspect.graph((x * 2 + 1).sum()))
    assert "leaf_0: f32[2]" in text
    assert "sum: f32[] = sum(add, dims=(0,), keepdim=False)" in text
    with pytest.raises(RuntimeError, match="no history"):
        graphc.inspect.graph(x.detach())


def test_numpy_shares_memory_both_ways() -> None:
    array = np.arange(6.0).reshape(2, 3)
    t = graphc.from_numpy(array)
    t.t()[1].zero_()
    assert array[:, 1].tolist() == [0, 0]
    array[0, 0] = 9
    assert t[0, 0].item() == 9
    assert np.shares_memory(t.numpy(), array)


def test_errors_name_the_operation_the_shapes_and_the_line() -> None:
    with pytest.raises(RuntimeError) as caught:
        graphc.ones(2, 3) + graphc.ones(2, 4)
    text = str(caught.value)
    assert "add" in text and "f32[2, 3]" in text and "f32[2, 4]" in text and "test_tape.py" in text


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(AttributeError, match="matmul"):
        graphc.matmull  # noqa: B018


def test_a_quotient_may_be_written() -> None:
    a, b = (
        graphc.tensor([1.0, 2.0], requires_grad=True),
        graphc.tensor([2.0, 4.0], requires_grad=True),
    )
    y = a / b
    y += 1
    y.sum().backward()
    assert a.grad.tolist() == [0.5, 0.25]
    assert b.grad.tolist() == [-0.25, -0.125]
