"""The tape around compiled functions: hooks, retained gradients, anomalies, accumulation."""

from typing import Any

import pytest

import graphc
from tests.autograd.both import leaf, numbers
from tests.compile.comparing import compare

pytestmark = pytest.mark.differential


def product(x: Any, w: Any) -> Any:
    return (x @ w).tanh(), x.exp().sum()


def test_hooks_on_what_goes_in_and_comes_out() -> None:
    results = []
    for life in (product, graphc.compile(product)):
        x, w = leaf(graphc, 2, 3), leaf(graphc, 3, 2, salt=1)
        seen: list[Any] = []
        handle = x.register_hook(lambda g: g * 2)
        w.register_post_accumulate_grad_hook(lambda p, seen=seen: seen.append(p.grad.clone()))
        for _ in range(2):
            y, z = life(x, w)
            y.retain_grad()
            y.register_hook(lambda g: g + 1)
            (y.square().sum() * z).backward()
            results.append((x.grad, w.grad, y.grad, *seen))
            handle.remove()
    for eager, compiled in zip(results[:2], results[2:], strict=True):
        assert len(eager) == len(compiled)
        for a, b in zip(eager, compiled, strict=True):
            assert graphc.allclose(a, b)


def test_accumulation_hooks_inside_a_compiled_step() -> None:
    def train(compiled: bool) -> Any:
        w = leaf(graphc, 3, 2, salt=1)
        optimizer = graphc.optim.SGD([w], lr=0.1)

        def update(_p: Any) -> None:
            optimizer.step()
            optimizer.zero_grad()

        w.register_post_accumulate_grad_hook(update)

        def step(x: Any) -> Any:
            loss = (x @ w).square().sum()
            loss.backward()
            return loss

        run = graphc.compile(step) if compiled else step
        losses = [run(numbers(graphc, 2, 3, salt=k)) for k in range(3)]
        return losses, w, w.grad

    eager, compiled = train(False), train(True)
    for a, b in zip(eager[0], compiled[0], strict=True):
        assert graphc.allclose(a, b)
    assert graphc.allclose(eager[1], compiled[1])
    assert eager[2] is compiled[2] is None


def test_a_hook_that_comes_later_compiles_again() -> None:
    w = leaf(graphc, 3)
    w.grad = graphc.zeros_like(w).detach()

    @graphc.compile
    def step(x: Any) -> Any:
        (x * w).sum().backward()
        return x * 1

    step(graphc.ones(3, dtype=graphc.float64))
    handle = w.register_hook(lambda g: g * 10)
    step(graphc.ones(3, dtype=graphc.float64))
    handle.remove()
    step(graphc.ones(3, dtype=graphc.float64))
    assert w.grad.tolist() == [12.0] * 3
    assert len(step.receipts) == 2


def batched_gradients(x: Any, v: Any) -> Any:
    y = x.sin() * x.sum()
    return graphc.autograd.grad(y, x, v, is_grads_batched=True)


def modes_inside(x: Any) -> Any:
    @graphc.no_grad()
    def halves() -> Any:
        yield x / 2
        yield x / 4

    a, b = halves()
    with graphc.inference_mode(False):
        c = x * a
    return c + b, a.requires_grad, graphc.is_grad_enabled()


def through_nodes(x: Any) -> Any:
    y = x.exp()
    seen = []
    y.grad_fn.register_prehook(lambda outs: (outs[0] * 3,))
    graphc.autograd.graph.register_multi_grad_hook((x, y), lambda gs: seen.extend(gs))
    (y * y).sum().backward()
    return x.grad, seen


def once(x: Any) -> Any:
    from tests.autograd.test_function import OURS

    (g,) = graphc.autograd.grad(OURS["Once"].apply(x).sum(), x, create_graph=True)
    return g.detach()


def test_programs_compiled() -> None:
    x = leaf(graphc, 3)
    compare(batched_gradients, x, numbers(graphc, 4, 3))
    compare(modes_inside, x)
    compare(through_nodes, x)
    compare(once, x)


def test_anomalies_of_compiled_functions_name_the_call() -> None:
    x = graphc.tensor([0.0, 1.0], requires_grad=True)
    compiled = graphc.compile(lambda v: (v.log() * 0).sum())
    with graphc.autograd.set_detect_anomaly(True):
        y = compiled(x)  # the line
        with pytest.raises(RuntimeError, match="nan values") as caught:
            y.backward()
    assert "CompiledFunctionBackward" in str(caught.value)
    assert "y = compiled(x)  # the line" in str(caught.value)
