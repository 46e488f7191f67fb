"""Hooks on what the tape saves, anomaly mode, and checkpoints."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest

import graphc
from graphc.utils.checkpoint import CheckpointError, checkpoint
from tests.autograd.both import leaf, numbers, same, same_error
from tests.compile.comparing import compare, gradients

pytestmark = pytest.mark.differential

# -------------------------------------------------------------------------- hooks on saved tensors


def test_saved_tensors_are_packed_and_unpacked() -> None:
    def program(t: Any) -> Any:
        x, y = leaf(t, 3), leaf(t, 3, salt=1)
        packed, unpacked = [], []

        def pack(value: Any) -> Any:
            packed.append(value.clone())
            return len(packed) - 1, value

        def unpack(kept: Any) -> Any:
            unpacked.append(kept[0])
            return kept[1] * 2

        with t.autograd.graph.saved_tensors_hooks(pack, unpack):
            z = (x * y).exp()
        (z * z).sum().backward()
        return len(packed), len(unpacked), x.grad, y.grad

    same(program)


def test_second_gradients_go_through_unpacked_tensors() -> None:
    def program(t: Any) -> Any:
        x = leaf(t, 3)
        with t.autograd.graph.saved_tensors_hooks(lambda v: v.clone(), lambda v: v):
            y = (x**3).sum()
        (g,) = t.autograd.grad(y, x, create_graph=True)
        return g, t.autograd.grad(g.sum(), x)

    same(program)


def test_hooks_nest_and_may_be_forbidden() -> None:
    def nested(t: Any) -> Any:
        seen = []

        def named(name: str) -> Any:
            return t.autograd.graph.saved_tensors_hooks(
                lambda v: seen.append(name) or v, lambda v: v
            )

        x = leaf(t, 3)
        with named("outer"):
            a = x.exp()
            with named("inner"):
                b = x.exp()
            c = x.exp()
        with t.autograd.graph.save_on_cpu():
            d = x.exp()
        (a + b + c + d).sum().backward()
        return seen, x.grad

    def forbidden(t: Any) -> None:
        with (
            t.autograd.graph.disable_saved_tensors_hooks("not here"),
            t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: v),
        ):
            pass

    same(nested)
    same_error(forbidden)


def test_what_unpack_gives_is_checked() -> None:
    def giving(value: Any) -> Any:
        def program(t: Any) -> None:
            x = leaf(t, 3)
            with t.autograd.graph.saved_tensors_hooks(lambda v: v, lambda v: value(t)):
                y = x.exp()
            y.sum().backward()

        return program

    same_error(giving(lambda t: 3))
    with pytest.raises(RuntimeError, match="in the place of"):
        giving(lambda t: t.ones(2))(graphc)


def test_a_version_may_be_counted_by_hand() -> None:
    def program(t: Any) -> None:
        x = leaf(t, 3)
        y = x.exp()
        t.autograd.graph.increment_version(y)
        y.sum().backward()

    same_error(program)


# ------------------------------------------------------------------------------------ anomaly mode


def test_a_gradient_that_is_nan_names_the_line() -> None:
    x = graphc.tensor([0.0, 1.0], requires_grad=True)
    with warnings.catch_warnings(), graphc.autograd.set_detect_anomaly(True):
        warnings.simplefilter("error")
        y = x.log() * 0
        z = graphc.where(x > 0.5, y, x)
        with pytest.raises(RuntimeError, match="returned nan values in its 0th output") as caught:
            z.sum().backward()
    text = str(caught.value)
    assert "MulBackward0" in text or "LogBackward0" in text
    assert "test_graph.py" in text and "y = x.log() * 0" in text


def test_anomaly_mode_is_a_mode() -> None:
    def program(t: Any) -> Any:
        seen = []

        def now() -> None:
            seen.append((t.is_anomaly_enabled(), t.is_anomaly_check_nan_enabled()))

        now()
        with t.autograd.detect_anomaly():
            now()
            with t.autograd.set_detect_anomaly(False):
                now()
            with t.autograd.set_detect_anomaly(True, check_nan=False):
                now()
                x = t.tensor([0.0], requires_grad=True)
                (x.sqrt() * 0).sum().backward()
                seen.append(bool(x.grad.isnan().all()))
        now()
        return seen

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(program)
    with pytest.warns(UserWarning, match="Anomaly Detection has been enabled"):
        graphc.autograd.detect_anomaly()


def test_nan_raises_as_in_pytorch() -> None:
    def program(t: Any) -> None:
        with t.autograd.set_detect_anomaly(True):
            x = t.tensor([0.0], requires_grad=True)
            (x.sqrt() * 0).sum().backward()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same_error(program)


def test_overwritten_values_tell_the_line_in_anomaly_mode() -> None:
    x = leaf(graphc, 3)
    with graphc.autograd.set_detect_anomaly(True):
        y = x.exp()
        y.add_(1)
        with pytest.raises(RuntimeError, match=r"it was called at .*test_graph.py.*y = x.exp\(\)"):
            y.sum().backward()


# ------------------------------------------------------------------------------------- checkpoints


def block(t: Any, w: Any) -> Callable[..., Any]:
    def run(x: Any, scale: float = 1.0) -> Any:
        y = (x @ w).tanh() * scale
        return y * y.exp()

    return run


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoints_change_nothing(use_reentrant: bool) -> None:
    def program(t: Any) -> Any:
        checkpoint = t.utils.checkpoint.checkpoint
        x, w = leaf(t, 2, 3), leaf(t, 3, 3, salt=1)
        y = checkpoint(block(t, w), x, use_reentrant=use_reentrant)
        y = checkpoint(block(t, w), y, use_reentrant=use_reentrant)
        y.sum().backward()
        return y, x.grad, w.grad

    import torch.utils.checkpoint  # noqa: F401

    same(program)


def test_without_reentrance_all_of_autograd_works() -> None:
    def program(t: Any) -> Any:
        checkpoint = t.utils.checkpoint.checkpoint
        x, w = leaf(t, 2, 3), leaf(t, 3, 3, salt=1)
        y = checkpoint(block(t, w), x, scale=2.0, use_reentrant=False)
        found = t.autograd.grad(y.sum(), [x, w], create_graph=True)
        second = t.autograd.grad(sum((g * g).sum() for g in found), [x, w])
        inner = checkpoint(
            lambda v: checkpoint(block(t, w), v.sin(), use_reentrant=False), x, use_reentrant=False
        )
        inner.sum().backward()
        return found, second, x.grad, w.grad

    same(program)


def test_the_function_runs_twice_and_no_further_than_needed() -> None:
    def program(t: Any) -> Any:
        calls = []

        def run(x: Any) -> Any:
            calls.append("begin")
            y = x.exp()
            z = y.sin()
            calls.append("end")
            return z

        x = leaf(t, 3)
        y = t.utils.checkpoint.checkpoint(run, x, use_reentrant=False)
        before = list(calls)
        y.sum().backward()
        return before, calls, x.grad

    same(program)


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("preserve", [True, False])
def test_random_numbers_are_drawn_again(use_reentrant: bool, preserve: bool) -> None:
    seen = []

    def run(x: Any) -> Any:
        mask = graphc.rand(50)
        seen.append(mask)
        return x * mask

    x = graphc.ones(50, requires_grad=True)
    y = checkpoint(run, x, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    state = graphc.get_rng_state()
    y.sum().backward()
    assert graphc.equal(seen[0], seen[1]) is preserve
    assert graphc.equal(x.grad, seen[1])
    assert graphc.equal(state, graphc.get_rng_state()) is preserve


def test_a_second_run_that_differs_is_refused() -> None:
    flips = [False, True, True, True]

    def other_shape(x: Any) -> Any:
        return (x[:1] if flips.pop(0) else x).exp().sin().sum()

    y = checkpoint(other_shape, leaf(graphc, 3), use_reentrant=False)
    with pytest.raises(CheckpointError, match="different metadata"):
        y.backward()
    steps = [2, 1]

    def fewer(x: Any) -> Any:
        for _ in range(steps.pop(0)):
            x = x.sin()
        return x.sum()

    y = checkpoint(fewer, leaf(graphc, 3), use_reentrant=False)
    with pytest.raises(CheckpointError, match="different number"):
        y.backward()


def test_checkpoint_errors() -> None:
    def grad_of_reentrant(t: Any) -> None:
        x = leaf(t, 3)
        y = t.utils.checkpoint.checkpoint(lambda v: v.exp(), x, use_reentrant=True)
        t.autograd.grad(y.sum(), x)

    def keywords(t: Any) -> None:
        t.utils.checkpoint.checkpoint(lambda v, k: v, leaf(t, 3), k=3, use_reentrant=True)

    same_error(grad_of_reentrant)
    same_error(keywords)


@pytest.mark.parametrize("use_reentrant", [True, False])
@pytest.mark.parametrize("segments", [1, 2, 3, 4])
def test_checkpointed_chains(segments: int, use_reentrant: bool) -> None:
    def program(t: Any) -> Any:
        w = leaf(t, 3, 3, salt=1)
        x = leaf(t, 2, 3)
        steps = [block(t, w), t.sin, block(t, w), t.tanh, t.exp]
        y = t.utils.checkpoint.checkpoint_sequential(
            steps, segments, x, use_reentrant=use_reentrant
        )
        y.sum().backward()
        return y, x.grad, w.grad

    same(program)


def test_contexts_around_both_runs() -> None:
    def program(t: Any) -> Any:
        entered = []

        class Context:
            def __init__(self, name: str) -> None:
                self.name = name

            def __enter__(self) -> None:
                entered.append(self.name)

            def __exit__(self, *_exc: object) -> None:
                entered.append(f"end of {self.name}")

        x = leaf(t, 3)
        y = t.utils.checkpoint.checkpoint(
            lambda v: v.exp().sin(),
            x,
            use_reentrant=False,
            context_fn=lambda: (Context("first"), Context("second")),
        )
        y.sum().backward()
        return entered, x.grad

    same(program)


def test_checkpoints_and_hooks_with_functions_of_functions() -> None:
    def saved(v: Any) -> Any:
        with graphc.autograd.graph.saved_tensors_hooks(lambda u: u * 2, lambda u: u / 2):
            return (v.exp() * v).sin()

    def again(v: Any) -> Any:
        return checkpoint(lambda u: (u.exp() * u).sin(), v, use_reentrant=False)

    def plain(v: Any) -> Any:
        return (v.exp() * v).sin()

    func = graphc.func
    results = []
    for f in (plain, again, saved):
        x = leaf(graphc, 2, 3)
        found = [
            func.grad(lambda v, f=f: f(v).sum())(x),
            graphc.vmap(f)(x),
            graphc.vmap(func.grad(lambda v, f=f: f(v).sum()))(x),
            func.jacrev(f)(x[0]),
            func.hessian(lambda v, f=f: f(v).sum())(x[0]),
        ]
        y = f(x)
        found += graphc.autograd.grad(
            y, x, numbers(graphc, 4, 2, 3), is_grads_batched=True, create_graph=True
        )
        total = sum((part * part).sum() for part in found)
        results.append([*found, *graphc.autograd.grad(total, x)])
    for others in results[1:]:
        for a, b in zip(results[0], others, strict=True):
            assert graphc.allclose(a, b)


def checkpointed(x: Any, w: Any) -> Any:
    y = checkpoint(block(graphc, w), x, use_reentrant=False)
    return checkpoint(block(graphc, w), y, use_reentrant=True)


def dropped(x: Any, w: Any) -> Any:
    y = checkpoint(
        lambda v: graphc.nn.functional.dropout(v @ w, 0.5).tanh(), x, use_reentrant=False
    )
    y.sum().backward()
    return y


def test_checkpoints_and_hooks_compiled() -> None:
    x, w = leaf(graphc, 2, 3), leaf(graphc, 3, 3, salt=1)
    gradients(checkpointed, x, w)
    results = []
    for life in (dropped, graphc.compile(dropped)):
        graphc.manual_seed(3)
        a, b = leaf(graphc, 2, 3), leaf(graphc, 3, 3, salt=1)
        results.append((life(a, b), a.grad, b.grad, graphc.rand(3)))
    for eager, compiled in zip(*results, strict=True):
        assert graphc.allclose(eager, compiled)


def hooked(x: Any, w: Any) -> Any:
    y = x @ w
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    with graphc.autograd.graph.saved_tensors_hooks(lambda v: v * 2, lambda v: v / 2):
        z = y.exp()
    z.grad_fn.register_hook(lambda ins, outs: (ins[0] + 1,))
    z.sum().backward()
    return z, y.grad


def test_hooks_compiled() -> None:
    compare(hooked, leaf(graphc, 2, 3), leaf(graphc, 3, 3, salt=1))
