# ruff: noqa: ARG004 - forward and backward take what PyTorch passes
"""``autograd.Function``: the same programs with PyTorch, compiled, and under vmap."""

from typing import Any

import pytest

import graphc
from tests.autograd.both import leaf, numbers, same, same_error
from tests.compile.comparing import compare, gradients

pytestmark = pytest.mark.differential


def functions(t: Any) -> Any:
    """Functions of both libraries, by name."""
    base = t.autograd.Function

    class Scaled(base):
        """An exponential times a number that is no tensor; saves its output."""

        @staticmethod
        def forward(ctx: Any, x: Any, k: float) -> Any:
            y = x.exp() * k
            ctx.save_for_backward(y)
            ctx.k = k
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (y,) = ctx.saved_tensors
            return g * y, None

    class InTwoSteps(base):
        @staticmethod
        def forward(x: Any, k: float) -> Any:
            return x.exp() * k

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(output)
            ctx.k = inputs[1]

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (y,) = ctx.saved_tensors
            return g * y, None

    class ProductAndSum(base):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.save_for_backward(x, y)
            ctx.needed = ctx.needs_input_grad
            return x * y, x + y

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            x, y = ctx.saved_tensors
            return a * y + b, a * x + b

    class Lazy(base):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            ctx.set_materialize_grads(False)
            return x * 1, y * 1

        @staticmethod
        def backward(ctx: Any, a: Any, b: Any) -> Any:
            return None if a is None else a * 2, None if b is None else b * 3

    class Partly(base):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            a, b, c = x * 2, x > 0, x * 3
            ctx.mark_non_differentiable(c)
            return a, b, c, "text", None

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return grads[0] * 2 + grads[2]

    class Tripled(base):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            x.mul_(3)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    class Same(base):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 5

    class Once(base):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @t.autograd.function.once_differentiable
        def backward(ctx: Any, g: Any) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * g

    class Broadcast(base):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any) -> Any:
            return x + y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g, g.double()

    class Bad(base):
        @staticmethod
        def forward(ctx: Any, x: Any, k: Any, what: Any) -> Any:
            ctx.what = what
            return x * 1

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return ctx.what(t, g)

    class Forgotten(base):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

    found = [
        Scaled, InTwoSteps, ProductAndSum, Lazy, Partly, Tripled, Same, Once, Broadcast, Bad,
        Forgotten,
    ]  # fmt: skip
    return {c.__name__: c for c in found}


OURS = functions(graphc)


@pytest.mark.parametrize("name", ["Scaled", "InTwoSteps"])
def test_values_first_and_second_gradients(name: str) -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = functions(t)[name].apply(x, 3.0)
        (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
        (h,) = t.autograd.grad((g * g).sum(), x)
        return y, g, h, y.grad_fn.name(), y.grad_fn.k

    same(program)


def test_several_inputs_and_outputs() -> None:
    def program(t: Any) -> Any:
        function = functions(t)["ProductAndSum"]
        x, y, z = leaf(t, 3), leaf(t, 3, salt=1), numbers(t, 3)
        p, q = function.apply(x, y)
        (p * q).sum().backward()
        r, s = function.apply(x, z)
        r.sum().backward()
        return x.grad, y.grad, z.grad, s, r.grad_fn.needed, q.grad_fn.name()

    same(program)


def test_gradients_that_nobody_asked_for() -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 3, salt=1)
        p, _ = functions(t)["Lazy"].apply(x, y)
        p.sum().backward()
        return x.grad, y.grad

    same(program)


def test_outputs_without_gradient_and_other_values() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        results = functions(t)["Partly"].apply(x)
        results[0].sum().backward()
        return results, x.grad

    same(program)


def test_writes_in_place() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = x * 1
        z = functions(t)["Tripled"].apply(y)
        (z * z).sum().backward()
        w = x * 1
        functions(t)["Tripled"].apply(w[:1])
        (g,) = t.autograd.grad((w * w).sum(), x)
        return z is y, y, x.grad, g, y.grad_fn.name()

    same(program)


def test_an_input_given_back_is_another_tensor() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = functions(t)["Same"].apply(x)
        y.sum().backward()
        with t.no_grad():
            z = functions(t)["Same"].apply(x)
        return y is x, x.grad, z.requires_grad

    same(program)


def test_gradients_are_summed_and_cast_to_their_inputs() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = numbers(t, 4, 1, dtype="float32").requires_grad_()
        functions(t)["Broadcast"].apply(x, y).sum().backward()
        return x.grad, y.grad

    same(program)


def test_once_differentiable() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = functions(t)["Once"].apply(x)
        (g,) = t.autograd.grad(y.sum(), x, retain_graph=True)
        (h,) = t.autograd.grad((y * y).sum(), x, create_graph=True)
        return g, h.requires_grad

    def twice(t: Any) -> None:
        x = leaf(t, 3)
        (g,) = t.autograd.grad((functions(t)["Once"].apply(x) ** 2).sum(), x, create_graph=True)
        g.sum().backward()

    same(program)
    same_error(twice)


BAD: dict[str, Any] = {
    "too many": lambda t, g: (g, None, None, g),
    "too few": lambda t, g: (g, None),
    "for a number": lambda t, g: (g, g, None),
    "of another shape": lambda t, g: (t.ones(2, 5), None, None),
    "of another kind": lambda t, g: (3, None, None),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_gradients(name: str) -> None:
    same_error(lambda t: functions(t)["Bad"].apply(leaf(t, 3), 1, BAD[name]).sum().backward())


def test_other_errors() -> None:
    def saving(t: Any) -> Any:
        class Saving(t.autograd.Function):
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                ctx.save_for_backward(3)
                return x * 1

        return Saving.apply(leaf(t, 3))

    def overwritten(t: Any) -> None:
        y = leaf(t, 3) * 1
        z, _ = functions(t)["ProductAndSum"].apply(y, y)
        y.add_(1)
        z.sum().backward()

    def twice(t: Any) -> None:
        y = functions(t)["Scaled"].apply(leaf(t, 3), 2.0).sum()
        y.backward()
        y.backward()

    same_error(lambda t: functions(t)["Forgotten"].apply(leaf(t, 3)).sum().backward())
    same_error(lambda t: functions(t)["Tripled"].apply(leaf(t, 3)))
    for program in (saving, overwritten, twice):
        same_error(program)


def test_without_saved_tensors_backward_may_run_again() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = functions(t)["Same"].apply(x)
        y.sum().backward()
        y.backward(t.ones_like(y))
        return x.grad

    same(program)


# ---------------------------------------------------------------------------------------- compiled


def forward_only(x: Any, y: Any) -> Any:
    p, q = OURS["ProductAndSum"].apply(x, y)
    return OURS["Scaled"].apply(p, 2.0) + OURS["Same"].apply(q)


def whole_step(x: Any, y: Any) -> Any:
    p, q = OURS["ProductAndSum"].apply(x, y)
    loss = (OURS["InTwoSteps"].apply(p, 2.0) * q).sum()
    loss.backward()
    return loss


def second_order(x: Any, y: Any) -> Any:
    (g,) = graphc.autograd.grad(forward_only(x, y).sum(), x, create_graph=True)
    return graphc.autograd.grad((g * g).sum(), [x, y])


def partly(x: Any, y: Any) -> Any:
    a, _, c, *_rest = OURS["Partly"].apply(x)
    return a * y + c


def dirty(x: Any, y: Any) -> Any:
    z = x * y
    OURS["Tripled"].apply(z)
    return z * z


def test_forward_bodies_and_backward_bodies_are_compiled() -> None:
    x, y = leaf(graphc, 3), leaf(graphc, 3, salt=1)
    for program in (forward_only, partly, dirty):
        gradients(program, x, y)
    for program in (whole_step, second_order):
        compare(program, x, y)


# -------------------------------------------------------------------------------------- under vmap


def test_functions_under_vmap() -> None:
    x, y = leaf(graphc, 4, 3), leaf(graphc, 4, 3, salt=1)

    def one(a: Any, b: Any) -> Any:
        return graphc.func.grad(lambda a: forward_only(a, b).sum())(a)

    together = graphc.vmap(one)(x, y)
    for k in range(4):
        expected = one(x[k], y[k])
        assert graphc.allclose(together[k], expected)
    (g,) = graphc.autograd.grad(together.sum(), x)
    (h,) = graphc.autograd.grad(sum(one(a, b).sum() for a, b in zip(x, y, strict=True)), x)
    assert graphc.allclose(g, h)


def test_functions_under_vmap_share_and_differentiate_twice() -> None:
    x, y = leaf(graphc, 4, 3), leaf(graphc, 3, salt=1)

    def one(a: Any, b: Any) -> Any:
        p, q = OURS["ProductAndSum"].apply(a, b)
        return OURS["Scaled"].apply(p * q, 0.5) * OURS["Same"].apply(b)

    results = []
    for together in (
        graphc.vmap(one, in_dims=(0, None))(x, y),
        graphc.stack([one(a, y) for a in x]),
    ):
        first = graphc.autograd.grad(together.sum(), [x, y], create_graph=True)
        second = graphc.autograd.grad(sum((g * g).sum() for g in first), [x, y])
        results.append((together, *first, *second))
    for a, b in zip(*results, strict=True):
        assert graphc.allclose(a, b)


def test_functions_under_two_levels_and_batched_cotangents() -> None:
    x = leaf(graphc, 2, 4, 3)

    def one(a: Any) -> Any:
        return OURS["InTwoSteps"].apply(a, 0.5) * a

    twice = graphc.vmap(graphc.vmap(one))(x)
    cotangents = numbers(graphc, 5, 2, 4, 3, salt=4)
    (found,) = graphc.autograd.grad(twice, x, cotangents, is_grads_batched=True)
    for g, v in zip(found, cotangents, strict=True):
        (expected,) = graphc.autograd.grad(one(x), x, v)
        assert graphc.allclose(g, expected)


def mapped(x: Any, y: Any) -> Any:
    def one(a: Any, b: Any) -> Any:
        p, q = OURS["ProductAndSum"].apply(a, b)
        return OURS["Scaled"].apply(p, 0.5) * q

    return graphc.vmap(one, in_dims=(0, None))(x, y)


def mapped_step(x: Any, y: Any) -> Any:
    loss = mapped(x, y).square().sum()
    loss.backward()
    return loss


def test_functions_under_vmap_compiled() -> None:
    x, y = leaf(graphc, 4, 3), leaf(graphc, 3, salt=1)
    gradients(mapped, x, y)
    compare(mapped_step, x, y)
