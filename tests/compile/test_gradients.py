"""Compiled forward, eager backward; and gradients taken inside of compiled functions."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import graphc as torch
from graphc import nn
from tests.compile.comparing import assert_same, gradients


def r(*shape: int, grad: bool = False, seed: int = 0) -> Any:
    values = np.random.default_rng(sum(shape) + seed).standard_normal(shape, np.float32)
    return torch.from_numpy(values).requires_grad_(grad)


# ------------------------------------------------------------------------ compiled, then backward


def test_gradients_of_arguments() -> None:
    gradients(lambda x, y: (x @ y).tanh() * 2, r(3, 4, grad=True), r(4, 2, grad=True))
    gradients(lambda x, y: (x @ y).tanh() * 2, r(3, 4), r(4, 2, grad=True))
    gradients(lambda x: (x * 2, x.sum(), x.exp().mean(0)), r(3, 4, grad=True))


def test_one_argument_twice() -> None:
    x = r(3, grad=True)
    gradients(lambda a, b: a * b + a, x, x)


def test_gradients_of_views_and_writes() -> None:
    def f(x: Any, y: Any) -> Any:
        z = x * 2
        z[0] = y
        z[1:].mul_(y)
        return z.t() * x.t(), z[1]

    gradients(f, r(3, 4, grad=True), r(4, grad=True))


def test_untracked_results() -> None:
    def f(x: Any) -> Any:
        y = x * 2
        with torch.no_grad():
            z = y * 3
        return y, z, y.detach() * x, x.argmax(), (x > 0).sum()

    gradients(f, r(5, grad=True))


def test_unused_and_integer_inputs() -> None:
    def f(x: Any, y: Any, i: Any) -> Any:
        return x[i] * 2

    gradients(f, r(5, grad=True), r(2, grad=True), torch.tensor([0, 3, 3]))


def test_results_that_get_no_cotangent() -> None:
    f = torch.compile(lambda x: (x * 2, x * x, x.exp()))
    x = r(4, grad=True)
    f(x)[1].sum().backward()
    assert_same(x.grad, (2 * x).detach())


def test_results_used_several_times() -> None:
    f = torch.compile(lambda x: (x * 2, x * x))
    x = r(4, grad=True)
    a, b = f(x)
    (a * b + a + b.exp()).sum().backward()
    y = x.detach().requires_grad_()
    ((y * 2) * (y * y) + y * 2 + (y * y).exp()).sum().backward()
    assert_same(x.grad, y.grad)


def test_second_backward() -> None:
    f = torch.compile(lambda x: (x * x).sum())
    x = r(3, grad=True)
    y = f(x)
    y.backward(retain_graph=True)
    y.backward()
    assert_same(x.grad, (4 * x).detach())
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


def test_gradients_of_gradients() -> None:
    def f(x: Any, w: Any) -> Any:
        return ((x @ w).tanh() ** 2).sum()

    results = []
    for life in (f, torch.compile(f)):
        x, w = r(3, 4, grad=True), r(4, 2, grad=True)
        gx, gw = torch.autograd.grad(life(x, w), (x, w), create_graph=True)
        assert gx.requires_grad and gw.requires_grad
        ((gx**2).sum() + gw.exp().sum()).backward()
        results.append((gx, gw, x.grad, w.grad))
    assert_same(*results, rtol=1e-4)


def test_gradients_of_gradients_of_what_was_written() -> None:
    """The backward reads what an input held before the program overwrote it."""

    def f(x: Any, state: Any) -> Any:
        y = (x * (state * 2)).tanh().sum()
        state.mul_(3)
        return y

    results = []
    for life in (f, torch.compile(f)):
        x, state = r(3, grad=True), torch.full((3,), 0.5)
        (g,) = torch.autograd.grad(life(x, state), x, create_graph=True)
        (g**2).sum().backward()
        results.append((g, x.grad, state))
    assert_same(*results, rtol=1e-4)


def test_value_overwritten_inside() -> None:
    """The forward is fine; only asking for the gradient that lost its value raises."""

    def f(x: Any, y: Any) -> Any:
        z = x * y
        y.mul_(3)
        return z, x * 2

    for life in (f, torch.compile(f)):
        x = r(3, grad=True)
        z, twice = life(x, r(3))
        twice.sum().backward()
        assert_same(x.grad, torch.full((3,), 2.0))
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()


def test_gradients_through_random_numbers() -> None:
    def f(x: Any) -> Any:
        return (x * torch.rand(3)).tanh().sum()

    results = []
    for life in (f, torch.compile(f)):
        torch.manual_seed(5)
        x = r(3, grad=True)
        (g,) = torch.autograd.grad(life(x), x, create_graph=True)
        (g**2).sum().backward()
        results.append((g, x.grad))
    assert_same(*results, rtol=1e-4)


def test_input_overwritten_before_backward() -> None:
    f = torch.compile(lambda x, y: (x * y).sum())
    x, y = r(3, grad=True), r(3)
    z = f(x, y)
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
    z = f(x, y)
    with torch.no_grad():
        x.add_(1)
    z.backward()  # only y was read
    assert_same(x.grad, y)


def test_result_overwritten_is_not_noticed_where_it_does_not_matter() -> None:
    f = torch.compile(lambda x: x * 2)
    x = r(3, grad=True)
    y = f(x)
    y.add_(1)
    y.sum().backward()
    assert_same(x.grad, torch.full((3,), 2.0))


def test_tracked_argument_written_in_place() -> None:
    def f(y: Any) -> Any:
        y.mul_(3)
        return y.exp()

    results = []
    for life in (f, torch.compile(f)):
        x = r(4, grad=True)
        y = x * 2
        z = life(y)
        (z.sum() + (y * y).sum()).backward()
        results.append((y, z, x.grad))
    assert_same(*results, rtol=1e-4)


def test_tracked_view_written_in_place() -> None:
    def f(part: Any) -> Any:
        part.mul_(3)
        return part.sum()

    results = []
    for life in (f, torch.compile(f)):
        x = r(4, grad=True)
        y = x * 2
        part = y[1:]
        z = life(part)
        (z + (y * y).sum() + part.exp().sum()).backward()
        results.append((y, z, x.grad))
    assert_same(*results, rtol=1e-4)


def test_leaf_written_in_place() -> None:
    f = torch.compile(lambda x: x.add_(1))
    for life in (f._function, f):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            life(r(3, grad=True))
    with torch.no_grad():
        x = r(3, grad=True)
        f(x)
        assert_same(x.detach(), r(3) + 1)


def test_views_of_tracked_inputs() -> None:
    f = torch.compile(lambda x: x[0])
    x = r(3, 4, grad=True)
    y = f(x)
    (y * 2).sum().backward()
    expected = torch.zeros(3, 4)
    expected[0] = 2
    assert_same(x.grad, expected)


def test_hooks() -> None:
    seen: list[Any] = []
    f = torch.compile(lambda x: (x * 3).sum())
    x = r(2, grad=True)
    handle = x.register_hook(lambda g: seen.append(g) or g * 10)
    f(x).backward()
    assert len(seen) == 1
    assert_same(x.grad, torch.full((2,), 30.0))
    handle.remove()
    y = r(2, grad=True) * 2
    y.register_hook(lambda g: seen.append(g))
    f(y).backward()
    assert len(seen) == 2


def test_hooks_inside() -> None:
    def f(x: Any) -> Any:
        y = x * 2
        y.register_hook(lambda g: g * 5)
        return y.sum()

    gradients(f, r(3, grad=True))


def test_requires_grad_switched_inside() -> None:
    def f(x: Any) -> Any:
        x.requires_grad_()
        return (x * x).sum()

    results = []
    for life in (f, torch.compile(f)):
        x = r(3)
        y = life(x)
        assert x.requires_grad
        y.backward()
        results.append((y, x.grad))
    assert_same(*results)


def test_leaf_made_inside() -> None:
    @torch.compile
    def f() -> Any:
        return torch.ones(3).requires_grad_()

    w = f()
    assert w.requires_grad and w.is_leaf
    (w * 2).sum().backward()
    assert_same(w.grad, torch.full((3,), 2.0))


def test_module_with_eager_backward() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))
    compiled = torch.compile(net)
    loss = compiled(r(3, 4)).square().sum()
    loss.backward()
    found = [p.grad for p in net.parameters()]
    net.zero_grad()
    net(r(3, 4)).square().sum().backward()
    assert_same([p.grad for p in net.parameters()], found, rtol=1e-4)


def test_grad_mode_is_guarded() -> None:
    f = torch.compile(lambda x: x * 2)
    x = r(3, grad=True)
    assert f(x).requires_grad
    with torch.no_grad():
        assert not f(x).requires_grad
    assert f(x).requires_grad
    assert [receipt.reason for receipt in f.receipts] == ["first call", "gradients are now off"]


def test_grad_mode_switched_inside() -> None:
    @torch.compile
    def f(x: Any, on: bool) -> Any:
        torch.set_grad_enabled(on)
        return x * 2

    x = r(3, grad=True)
    try:
        for on in (True, False):
            torch.set_grad_enabled(True)
            assert f(x, on).requires_grad is on
            assert torch.is_grad_enabled() is on
    finally:
        torch.set_grad_enabled(True)


# --------------------------------------------------------------------------------- backward inside


def test_backward_inside() -> None:
    def f(x: Any, w: Any) -> Any:
        loss = ((x @ w) ** 2).mean()
        loss.backward()
        return loss.detach()

    results = []
    for life in (f, torch.compile(f)):
        w = r(4, 2, grad=True)
        for _ in range(3):
            loss = life(r(3, 4), w)
        results.append((loss, w.grad))
    assert_same(*results, rtol=1e-4)


def test_accumulated_gradients_keep_their_tensor() -> None:
    w = r(3, grad=True)

    @torch.compile
    def f(x: Any) -> None:
        (w * x).sum().backward()

    f(torch.ones(3))
    first = w.grad
    f(torch.ones(3))
    f(torch.ones(3))
    assert w.grad is first
    assert_same(first, torch.full((3,), 3.0))
    assert len(f.receipts) == 2
    assert f.receipts[1].reason == "w.grad was None, is a tensor"


def test_grad_inside() -> None:
    def f(x: Any) -> Any:
        y = (x**3).sum()
        (g,) = torch.autograd.grad(y, x, create_graph=True)
        (h,) = torch.autograd.grad(g.sum(), x)
        return g.detach(), h

    results = [life(r(3, grad=True)) for life in (f, torch.compile(f))]
    assert_same(*results, rtol=1e-4)


def test_gradients_assigned() -> None:
    def f(x: Any, g: Any) -> Any:
        x.grad = g
        x.grad.mul_(2)
        return x.grad

    x, g = r(3, grad=True), r(3)
    result = torch.compile(f)(x, g)
    assert x.grad is g and result is g
    assert_same(g, r(3) * 2)
    x.grad = None
    assert torch.compile(lambda x: x.grad)(x) is None


def test_backward_that_leaves_the_function() -> None:
    @torch.compile
    def f(y: Any) -> None:
        (y * 2).sum().backward()

    x = r(3, grad=True)
    with pytest.raises(RuntimeError, match="computed outside of the compiled function"):
        f(x * 2)
    assert x.grad is None
    f(x)
    assert_same(x.grad, torch.full((3,), 2.0))


def test_spent_graph() -> None:
    def f(x: Any) -> Any:
        y = (x * x).sum()
        y.backward()
        return y

    for life in (f, torch.compile(f)):
        x = r(3, grad=True)
        y = life(x)
        assert y.requires_grad
        with pytest.raises(RuntimeError, match="a second time"):
            y.backward()
        x.grad = None


def test_nothing_requires_gradients() -> None:
    f = torch.compile(lambda x: x.sum().backward())
    for life in (f._function, f):
        with pytest.raises(RuntimeError, match="does not require grad"):
            life(r(3))


# ------------------------------------------------------------------------------------------ memory


def test_batches_are_freed() -> None:
    """Without the cyclic collector: neither programs nor their tapes keep a batch alive."""
    w = r(4, 2, grad=True)
    f = torch.compile(lambda x: (x @ w).tanh().sum())
    gc.collect()
    gc.disable()
    try:
        arrays = []
        for _ in range(3):
            x = r(3, 4)
            arrays.append(weakref.ref(x._value))
            y = f(x)
            y.backward()
            y = f(x)  # dropped without a backward
            del x, y
        assert [a() is None for a in arrays] == [True] * 3
    finally:
        gc.enable()


def test_tracked_result_without_a_way_to_any_input() -> None:
    def f(x: Any) -> Any:
        y = x * 1
        turned = y.t()
        y[:].t().fill_(0)
        return turned

    for life in (f, torch.compile(f)):
        x = r(3, 4, grad=True)
        y = life(x)
        assert y.requires_grad
        y.sum().backward()
        assert x.grad is None or (x.grad == 0).all()
