"""Hooks of modules compared with PyTorch: around forward, and on gradients."""

import copy

import pytest

torch = pytest.importorskip("torch")

from tests.nn.module_programs import network, same  # noqa: E402
from tests.nn.same_program import values  # noqa: E402

pytestmark = pytest.mark.differential


# ------------------------------------------------------------------------------------ forward hooks


def calls(t):
    """A network whose hooks tell of themselves, and what they told."""
    net, told = network(t), []

    def note(text):
        def hook(*args):
            told.append((text, type(args[0]).__name__, len(args)))

        return hook

    return net, told, note


FORWARD_HOOKS = {
    "order": lambda t, n, note: (
        n.register_forward_pre_hook(note("pre")),
        n.register_forward_hook(note("post")),
        n.register_forward_hook(note("first"), prepend=True),
        n.register_forward_pre_hook(note("pre, first"), prepend=True),
        n.first.register_forward_hook(note("inner"), with_kwargs=True),
        n.first.register_forward_pre_hook(note("inner pre"), with_kwargs=True),
    ),
    "other arguments": lambda t, n, note: (
        n.register_forward_pre_hook(lambda m, args: args[0] * 2),
        n.register_forward_pre_hook(lambda m, args: (args[0] + 1,)),
        n.first.register_forward_pre_hook(
            lambda m, args, kwargs: (args, {"scale": 3.0}), with_kwargs=True
        ),
        n.register_forward_hook(lambda m, args, y: y * 5),
        n.first.register_forward_hook(
            lambda m, args, kwargs, y: y * kwargs["scale"], with_kwargs=True
        ),
    ),
    "wrong pair": lambda t, n, note: (
        n.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True),
    ),
    "always": lambda t, n, note: (
        n.register_forward_pre_hook(lambda m, args: 1 / 0),
        n.register_forward_hook(note("never")),
        n.register_forward_hook(note("always"), always_call=True),
        n.register_forward_hook(lambda m, args, y: {}["no"], always_call=True),
    ),
    "of all": lambda t, n, note: (
        t.nn.modules.module.register_module_forward_pre_hook(note("all pre")),
        t.nn.modules.module.register_module_forward_hook(note("all")),
        n.first.register_forward_hook(note("own")),
    ),
    "of all, always": lambda t, n, note: (
        t.nn.modules.module.register_module_forward_hook(note("all"), always_call=True),
        t.nn.modules.module.register_module_forward_hook(note("kw"), with_kwargs=True),
        n.tied.register_forward_hook(lambda m, args, y: 1 / 0),
    ),
    "removed": lambda t, n, note: (
        n.register_forward_hook(note("gone")).remove(),
        n.register_forward_hook(note("here")),
    ),
}


@pytest.mark.parametrize("name", FORWARD_HOOKS)
def test_forward_hooks(name):
    def program(t):
        n, told, note = calls(t)
        handles = FORWARD_HOOKS[name](t, n, note)
        try:
            result = n(values(t, 3, 2))
        except (ZeroDivisionError, RuntimeError) as error:
            result = str(error)
        finally:
            for handle in handles:
                if handle is not None:
                    handle.remove()
        return result, told, len(n._forward_hooks), len(n._forward_hooks_always_called)

    same(program)


def test_handles_are_context_managers_and_survive_copies():
    def program(t):
        n, told, note = calls(t)
        with n.register_forward_hook(note("in")):
            n(values(t, 1, 2))
        n(values(t, 1, 2))
        handle = n.first.register_forward_hook(note("copied"))
        other, other_handle = copy.deepcopy((n, handle))
        other_handle.remove()
        n(values(t, 1, 2))
        other(values(t, 1, 2))
        return told

    same(program)


# ----------------------------------------------------------------------------------- backward hooks


def gradient_program(t, register, needs=True, make=network, compiled=False):
    n, told = make(t), []

    def note(text, change=None):
        def hook(module, *grads):
            told.append([text, type(module).__name__, *grads])
            return None if change is None else change(*grads)

        return hook

    handles = register(t, n, note)
    x = values(t, 3, 2).requires_grad_(needs)
    try:
        n(x).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    return told, x.grad, [p.grad for p in n.parameters()]


BACKWARD_HOOKS = {
    "seen": lambda t, n, note: (
        n.register_full_backward_hook(note("outer")),
        n.first.register_full_backward_hook(note("inner")),
        n.layers[0].register_full_backward_pre_hook(note("pre")),
    ),
    "changed": lambda t, n, note: (
        n.layers[1].register_full_backward_hook(note("post", lambda gi, go: (gi[0] * 2,))),
        n.layers[0].register_full_backward_pre_hook(note("pre", lambda go: (go[0] * 3,))),
        n.layers[0].register_full_backward_hook(note("after pre")),
    ),
    "order": lambda t, n, note: (
        n.first.register_full_backward_hook(note("second")),
        n.first.register_full_backward_hook(note("first"), prepend=True),
        t.nn.modules.module.register_module_full_backward_pre_hook(note("all pre")),
        t.nn.modules.module.register_module_full_backward_hook(note("all")),
    ),
    "too many": lambda t, n, note: (
        n.first.register_full_backward_hook(note("x", lambda gi, go: (gi[0], gi[0]))),
    ),
    "too many before": lambda t, n, note: (
        n.first.register_full_backward_pre_hook(note("x", lambda go: (go[0], go[0]))),
    ),
}


@pytest.mark.parametrize("needs", [True, False], ids=["of input too", "of parameters"])
@pytest.mark.parametrize("name", BACKWARD_HOOKS)
def test_backward_hooks(name, needs):
    same(lambda t: gradient_program(t, BACKWARD_HOOKS[name], needs))


def several(t):
    class Several(t.nn.Module):
        def forward(self, x):
            return self.pair(x, 3, x.detach())[1]

    class Pair(t.nn.Module):
        def forward(self, a, number, b):
            return (a + b, a * b * number, b)

    module = Several()
    module.pair = Pair()
    return module


def test_backward_hooks_of_several_values():
    def register(t, n, note):
        return (n.pair.register_full_backward_hook(note("pair")),)

    same(lambda t: gradient_program(t, register, make=several))


def test_backward_hooks_with_other_results():
    def program(t):
        class Named(t.nn.Module):
            def forward(self, x):
                return {"y": x * 2}

        module, told = Named(), []
        module.register_full_backward_hook(lambda *args: told.append(1))
        x = values(t, 2).requires_grad_()
        module(x)["y"].sum().backward()
        return told, x.grad

    same(program)


def test_hooks_of_the_older_kind():
    def program(t):
        module, told = t.nn.ReLU(), []
        module.register_backward_hook(lambda m, gi, go: told.append([gi, go]))
        x = values(t, 3).requires_grad_()
        module(x * 2).sum().backward()
        return told, x.grad

    same(program)
