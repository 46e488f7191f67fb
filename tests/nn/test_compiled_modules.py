"""A compiled module is the original in everything but how its calls run."""

import copy

import pytest

import graphc
from graphc import nn


def values(*shape: int) -> graphc.Tensor:
    count = graphc.Size(shape).numel()
    return graphc.tensor([(i + 1) * 7919 % 1009 / 168 - 3 for i in range(count)]).reshape(shape)


def assert_same(mine, theirs):
    graphc.testing.assert_close(mine, theirs, rtol=2e-5, atol=2e-6)


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(values(2, 2))
        self.register_buffer("kept", values(2))

    def forward(self, x):
        return x @ self.weight + self.kept


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Inner()
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.ReLU()])
        self.scale = nn.Parameter(values(2))

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return x * self.scale


def test_a_compiled_module_is_the_original():
    net = Outer()
    compiled = graphc.compile(net)
    x = values(3, 2)
    assert_same(compiled(x), net(x))
    assert list(compiled.state_dict()) == list(net.state_dict())
    assert [n for n, _ in compiled.named_parameters()] == [n for n, _ in net.named_parameters()]
    assert all(a is b for a, b in zip(compiled.parameters(), net.parameters(), strict=True))
    assert compiled.layers is net.layers
    assert compiled.eval() is compiled
    assert not net.training
    assert not compiled.training
    compiled.scale = graphc.nn.Parameter(graphc.zeros(2))
    assert net.scale is compiled.scale
    assert_same(compiled(x), net(x))
    assert str(compiled.load_state_dict(net.state_dict())) == "<All keys matched successfully>"
    compiled.double()
    assert net.scale.dtype is graphc.float64
    compiled.extra = 3
    assert net.extra == 3
    del compiled.extra
    assert not hasattr(net, "extra")


def test_a_compiled_module_has_the_operators_of_the_original():
    net = graphc.nn.Sequential(graphc.nn.Linear(2, 2), graphc.nn.ReLU())
    compiled = graphc.compile(net)
    assert len(compiled) == 2
    assert compiled[0] is net[0]
    assert list(compiled) == list(net)
    compiled[1] = graphc.nn.Tanh()
    x = values(3, 2)
    assert_same(compiled(x), net(x))
    with pytest.raises(TypeError):
        len(graphc.compile(graphc.nn.Linear(2, 2)))


def test_methods_that_a_class_writes_anew_are_those_of_the_compiled_module():
    class Named(graphc.nn.Linear):
        def state_dict(self, *args, **kwargs):
            return {"mine": super().state_dict(*args, **kwargs)}

        def train(self, mode=True):
            self.asked = mode
            return super().train(mode)

        def predict(self, x):
            return self(x).argmax(1)

    compiled = graphc.compile(Named(2, 3))
    assert list(compiled.state_dict()) == ["mine"]
    compiled.eval()
    assert compiled.asked is False
    assert compiled.predict(values(4, 2)).shape == (4,)


def test_a_compiled_module_inside_another():
    inner = graphc.compile(graphc.nn.Linear(2, 2))
    outer = graphc.nn.Sequential(inner, graphc.nn.ReLU())
    plain = graphc.nn.Sequential(inner._orig_mod, graphc.nn.ReLU())
    assert list(outer.state_dict()) == ["0.weight", "0.bias"]
    state = {k: graphc.zeros_like(v) for k, v in outer.state_dict().items()}
    outer.load_state_dict(state)
    assert plain[0].weight.tolist() == [[0, 0], [0, 0]]
    outer.eval()
    assert not inner.training
    assert_same(outer(values(3, 2)), plain(values(3, 2)))


def test_hooks_of_a_compiled_module():
    net = graphc.nn.Linear(2, 2)
    compiled = graphc.compile(net)
    x = values(3, 2)
    before = compiled(x)
    handle = compiled.register_forward_hook(lambda m, args, y: y * 2)
    assert_same(compiled(x), before * 2)
    handle.remove()
    assert_same(compiled(x), before)
    every = graphc.nn.modules.module.register_module_forward_hook(lambda m, args, y: y + 1)
    assert_same(compiled(x), before + 1)
    every.remove()
    assert_same(compiled(x), before)
    net._forward_hooks[0] = lambda m, args, y: y * 3
    assert_same(compiled(x), before * 3)
    net._forward_hooks.clear()
    assert_same(compiled(x), before)


def test_changes_to_the_tables_are_seen():
    net = graphc.nn.Sequential(graphc.nn.Linear(2, 2), graphc.nn.ReLU())
    compiled = graphc.compile(net)
    x = values(3, 2)
    compiled(x)
    net._modules["1"] = graphc.nn.Tanh()
    assert_same(compiled(x), net(x))
    net[0]._parameters["bias"] = graphc.nn.Parameter(graphc.ones(2))
    assert_same(compiled(x), net(x))


def test_compile_in_place():
    net = graphc.nn.Linear(2, 2)
    before = net(values(3, 2))
    net.compile()
    assert_same(net(values(3, 2)), before)
    assert len(net._compiled_call_impl.receipts) == 1
    assert "_compiled_call_impl" not in vars(copy.deepcopy(net))
    assert list(net.state_dict()) == ["weight", "bias"]


def test_lazy_modules_compile_after_their_first_call():
    net = graphc.nn.Sequential(graphc.nn.LazyLinear(3), graphc.nn.LazyBatchNorm1d())
    compiled = graphc.compile(net)

    @graphc.compile
    def step(x):
        loss = net(x).square().sum()
        loss.backward()
        return loss

    x = values(4, 2)
    first = step(x)
    assert net[0].in_features == 2
    assert_same(step(x), first)
    assert len(step.receipts) == 1
    assert_same(compiled(x), net(x))
