"""``backward``, ``grad``, hooks and modes: the same programs with PyTorch."""

from typing import Any

import pytest

import graphc
from tests.autograd.both import leaf, numbers, same, same_error

pytestmark = pytest.mark.differential

# ---------------------------------------------------------------------------------- backward, grad


def test_backward_with_given_inputs_reaches_only_those() -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 3, salt=1)
        z = x * y
        (z * z).sum().backward(inputs=[x, z])
        return x.grad, y.grad, z.grad

    same(program)


def test_backward_of_several_tensors_and_of_one_twice() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = x.sin()
        t.autograd.backward([y, y, (x * x).sum()], [t.ones_like(y), 2 * t.ones_like(y), None])
        return x.grad

    same(program)


def test_gradients_of_another_dtype_are_cast() -> None:
    def program(t: Any) -> Any:
        x = numbers(t, 3, dtype="float32").requires_grad_()
        (x * 2).backward(numbers(t, 3, dtype="float64"))
        return x.grad

    same(program)


@pytest.mark.filterwarnings("ignore:Using backward")
def test_create_graph_accumulates_a_differentiable_gradient() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        (x**3).sum().backward(create_graph=True)
        first = x.grad
        (g,) = t.autograd.grad((first * first).sum(), x)
        return first.detach(), g

    same(program)


def test_grad_gives_zeros_or_none_for_what_is_unused() -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 2)
        return (
            t.autograd.grad(x.sum(), [x, y], allow_unused=True),
            t.autograd.grad(x.sum(), [x, y], materialize_grads=True),
        )

    same(program)


def test_grad_by_an_intermediate() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = x.exp()
        return t.autograd.grad((y * y).sum(), [y, x])

    same(program)


@pytest.mark.parametrize("create_graph", [False, True])
def test_batched_gradients(create_graph: bool) -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 3, salt=2)
        z = x.sin() * y.sum()
        found = t.autograd.grad(
            z, [x, y], numbers(t, 4, 3, salt=3), is_grads_batched=True, create_graph=create_graph
        )
        if create_graph:
            return t.autograd.grad(sum(g.square().sum() for g in found), [x, y])
        return found

    same(program)


def test_batched_gradients_of_several_outputs_and_unused_inputs() -> None:
    def program(t: Any) -> Any:
        x, y, z = leaf(t, 3), leaf(t, 3, salt=2), leaf(t, 2)
        outputs = [x * y, (x * x).sum()]
        cotangents = [numbers(t, 5, 3), numbers(t, 5)]
        return t.autograd.grad(
            outputs, [x, z, y], cotangents, is_grads_batched=True, allow_unused=True
        )

    same(program)


ERRORS = {
    "nothing requires gradients": lambda t: t.zeros(1).backward(),
    "not a scalar": lambda t: (leaf(t, 2) * 2).backward(),
    "shape of the cotangent": lambda t: (leaf(t, 2) * 2).backward(t.ones(3, dtype=t.float64)),
    "kind of the cotangent": lambda t: (leaf(t, 2) * 2).backward(3),
    "no inputs": lambda t: (leaf(t, 2) * 2).sum().backward(inputs=[]),
    "inputs without gradient": lambda t: (leaf(t, 2) * 2).sum().backward(inputs=[t.zeros(2)]),
    "grad by a constant": lambda t: t.autograd.grad(leaf(t, 2).sum(), t.zeros(2)),
    "grad by nothing": lambda t: t.autograd.grad(leaf(t, 2).sum(), []),
    "grad by a word": lambda t: t.autograd.grad(leaf(t, 2).sum(), "x"),
    "unused": lambda t: t.autograd.grad(leaf(t, 2).sum(), leaf(t, 2)),
    "zeros and not unused": lambda t: t.autograd.grad(
        leaf(t, 2).sum(), leaf(t, 2), materialize_grads=True, allow_unused=False
    ),
    "number of cotangents": lambda t: t.autograd.grad(
        [leaf(t, 2).sum(), leaf(t, 2).sum()], leaf(t, 2), grad_outputs=[t.ones(())]
    ),
    "hook of a constant": lambda t: t.zeros(2).register_hook(lambda g: g),
    "retain_grad of a constant": lambda t: t.zeros(2).retain_grad(),
    "accumulation at an intermediate": lambda t: (
        leaf(t, 2) * 2
    ).register_post_accumulate_grad_hook(lambda p: None),
    "accumulation at a constant": lambda t: t.zeros(2).register_post_accumulate_grad_hook(print),
    "write into a leaf": lambda t: leaf(t, 2).add_(1),
    "write into part of a leaf": lambda t: leaf(t, 2)[0].add_(1),
    "integers": lambda t: t.tensor([1]).requires_grad_(),
    "switching off an intermediate": lambda t: (leaf(t, 2) * 2).requires_grad_(False),
    "detaching a view": lambda t: (leaf(t, 2) * 2)[0].detach_(),
    "numpy": lambda t: leaf(t, 2).numpy(),
    "gradient of another shape": lambda t: setattr(leaf(t, 2), "grad", t.zeros(3)),
    "gradient of another dtype": lambda t: setattr(leaf(t, 2), "grad", t.zeros(2)),
    "gradient of another kind": lambda t: setattr(leaf(t, 2), "grad", 3),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str) -> None:
    same_error(ERRORS[name])


def test_a_freed_graph_and_an_overwritten_value_are_refused() -> None:
    def twice(t: Any) -> None:
        y = (leaf(t, 2) ** 2).sum()
        y.backward()
        y.backward()

    def overwritten(t: Any) -> None:
        y = (leaf(t, 2) * 2).exp()
        z = y.sum()
        y.add_(1)
        z.backward()

    same_error(twice)
    same_error(overwritten)
    x = leaf(graphc, 2)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match="output of exp, is at version 1; expected version 0"):
        y.sum().backward()


# ------------------------------------------------------------------------------------------- hooks


def test_hooks_see_and_replace() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = x * 3
        seen = []
        first = y.register_hook(lambda g: g * 2)
        y.register_hook(lambda g: seen.append(g.clone()))
        x.register_hook(lambda g: g + 1)
        y.retain_grad()
        (y * y).sum().backward(retain_graph=True)
        first.remove()
        (y * y).sum().backward()
        return seen, x.grad, y.grad, y.retains_grad, x.retains_grad

    same(program)


def test_a_retained_gradient_follows_writes_in_place() -> None:
    def program(t: Any) -> Any:
        y, z = leaf(t, 3) * 1, leaf(t, 3) * 1
        seen: list[Any] = []
        y.retain_grad()
        y.register_hook(lambda g: seen.append(g.clone()))
        y.mul_(3)
        (y * y).sum().backward()
        z.retain_grad()
        z[0].mul_(5)
        z.sum().backward()
        return y.grad, seen, y.retains_grad, z.grad

    same(program)


def test_a_handle_is_a_context() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        with x.register_hook(lambda g: g * 10):
            (x * x).sum().backward()
        (x * x).sum().backward()
        return x.grad

    same(program)


def test_accumulation_hooks_get_the_leaf() -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 3, salt=1)
        seen = []

        def hook(p: Any) -> None:
            seen.append((p is x, p.grad.clone()))
            p.grad = None

        handle = x.register_post_accumulate_grad_hook(hook)
        (x * y).sum().backward()
        between = x.grad
        handle.remove()
        (x * y).sum().backward()
        return seen, between, x.grad, y.grad

    same(program)


def test_an_optimizer_step_in_a_hook() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        optimizer = t.optim.SGD([x], lr=0.1)

        def step(_p: Any) -> None:
            optimizer.step()
            optimizer.zero_grad()

        x.register_post_accumulate_grad_hook(step)
        for _ in range(3):
            (x * x).sum().backward()
        return x.detach(), x.grad

    same(program)


@pytest.mark.parametrize("bad", [lambda g: 3, lambda g: g.sum()])
def test_hooks_that_give_something_else(bad: Any) -> None:
    def program(t: Any) -> None:
        y = leaf(t, 3) * 2
        y.register_hook(bad)
        y.sum().backward()

    same_error(program)


def test_hooks_of_nodes() -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 3, salt=1)
        z = x * y
        seen = []
        z.grad_fn.register_prehook(lambda outs: (outs[0] * 2,))
        z.grad_fn.register_hook(lambda ins, outs: seen.append((ins, outs)))
        z.grad_fn.register_hook(lambda ins, outs: (ins[0] + 1, ins[1]))
        z.sum().backward()
        return seen, x.grad, y.grad

    same(program)


@pytest.mark.parametrize("mode", ["all", "any"])
def test_hooks_on_several_tensors(mode: str) -> None:
    def program(t: Any) -> Any:
        x, y, z = leaf(t, 3), leaf(t, 3, salt=1), leaf(t, 3, salt=2)
        seen: list[Any] = []
        handle = t.autograd.graph.register_multi_grad_hook(
            (x, y, z), lambda g: seen.append(mode if mode == "any" else g), mode=mode
        )
        (x * y).sum().backward()
        (x * y * z).sum().backward()
        handle.remove()
        (x * y * z).sum().backward()
        return seen, x.grad

    same(program)


def test_nodes_tell_what_they_are() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = x * 2
        node = y.grad_fn
        node.metadata["note"] = 5
        assert isinstance(node, t.autograd.graph.Node)
        (leaf_node, first), (none, second) = node.next_functions
        edge = t.autograd.graph.get_gradient_edge(y)
        return (
            node.name(), first, none, second, leaf_node.variable is x, y.grad_fn.metadata,
            edge.output_nr, x.grad_fn,
        )  # fmt: skip

    same(program)


NAMED = {
    "add": lambda t, x: x + 1,
    "sum": lambda t, x: x.sum(),
    "sum over rows": lambda t, x: x.sum(0),
    "mean": lambda t, x: x.mean(),
    "mean over rows": lambda t, x: x.mean(0),
    "matrix product": lambda t, x: x @ x,
    "view": lambda t, x: x.view(4),
    "permute": lambda t, x: x.permute(1, 0),
    "power": lambda t, x: x**2,
    "softmax": lambda t, x: x.softmax(0),
    "log_softmax": lambda t, x: x.log_softmax(0),
    "cast": lambda t, x: x.float(),
    "cat": lambda t, x: t.cat([x, x]),
    "where": lambda t, x: t.where(x > 0, x, 0),
    "relu": lambda t, x: x.relu(),
    "layer_norm": lambda t, x: t.nn.functional.layer_norm(x, (2,)),
    "cross_entropy": lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([0, 1])),
    "slice": lambda t, x: x[:1],
    "index": lambda t, x: x[t.tensor([0])],
    "linear": lambda t, x: t.nn.functional.linear(x, x, x[0]),
    "expand": lambda t, x: x[None].expand(3, 2, 2),
    "in place": lambda t, x: (x * 1).mul_(2),
}


@pytest.mark.parametrize("name", NAMED)
def test_names_of_gradients(name: str) -> None:
    same(lambda t: NAMED[name](t, leaf(t, 2, 2)).grad_fn.name())


# ------------------------------------------------------------------------------------------- modes


def test_modes_as_decorators_of_functions_and_generators() -> None:
    def program(t: Any) -> Any:
        @t.no_grad()
        def plain() -> bool:
            return t.is_grad_enabled()

        @t.no_grad
        def bare() -> bool:
            return t.is_grad_enabled()

        @t.inference_mode()
        def inference() -> Any:
            return t.is_grad_enabled(), t.is_inference_mode_enabled()

        @t.set_grad_enabled(False)
        def switched() -> bool:
            return t.is_grad_enabled()

        closed = []

        @t.no_grad()
        def generator() -> Any:
            try:
                sent = yield t.is_grad_enabled()
                try:
                    yield sent, t.is_grad_enabled()
                except ValueError:
                    yield "caught", t.is_grad_enabled()
            finally:
                closed.append(t.is_grad_enabled())

        steps = generator()
        seen = [next(steps), t.is_grad_enabled(), steps.send(7), steps.throw(ValueError())]
        steps.close()
        return plain(), bare(), inference(), switched(), seen, closed, t.is_grad_enabled()

    same(program)


def test_modes_as_contexts() -> None:
    def program(t: Any) -> Any:
        seen = []

        def now() -> None:
            seen.append((t.is_grad_enabled(), t.is_inference_mode_enabled()))

        with t.no_grad():
            now()
            with t.enable_grad():
                now()
            with t.inference_mode(False):
                now()
            with t.set_grad_enabled(True):
                now()
            now()
        with t.inference_mode():
            now()
            with t.inference_mode(False):
                now()
        now()
        t.set_grad_enabled(False)
        now()
        t.set_grad_enabled(True)
        try:
            with t.no_grad():
                raise ValueError
        except ValueError:
            now()
        return seen

    same(program)


def test_generators_return_their_value() -> None:
    @graphc.no_grad()
    def generator() -> Any:
        yield 1
        return 2

    def outer() -> Any:
        return (yield from generator())

    steps = outer()
    assert next(steps) == 1
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == 2


def test_detach_in_place_and_out_of_place() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        y = x * 2
        z = y.detach()
        z.add_(1)
        y.detach_()
        return y, y.is_leaf, z.requires_grad, (x * y).sum().grad_fn.name()

    same(program)


def test_variables_are_tensors() -> None:
    def program(t: Any) -> Any:
        x = t.autograd.Variable(numbers(t, 3), requires_grad=True)
        return x, isinstance(x, t.autograd.Variable), isinstance(3, t.autograd.Variable)

    same(program)
