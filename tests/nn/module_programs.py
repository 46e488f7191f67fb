"""Programs about modules, run with graphc and with PyTorch: what they give, raise and warn of."""

import warnings
from collections import OrderedDict

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, values  # noqa: E402


def network(t):
    """A tree with a shared module, a tied parameter, an empty place and buffers of both kinds."""
    nn = t.nn

    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(values(t, 2, 2).clone())
            self.register_buffer("kept", values(t, 2, salt=1).clone())
            self.register_buffer("lost", values(t, 2, salt=2).clone(), persistent=False)
            self.register_buffer("nothing", None)
            self.register_parameter("absent", None)

        def forward(self, x, scale=1.0):
            return x @ self.weight * scale + self.kept + self.lost

        def extra_repr(self):
            return "two\nlines"

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = Inner()
            self.again = self.first
            self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2), nn.ReLU()])
            self.tied = nn.Linear(2, 2, bias=False)
            self.tied.weight = self.first.weight
            self.empty = None
            self.by_name = nn.ModuleDict(OrderedDict(a=nn.Tanh(), b=nn.Sequential(nn.Dropout(0.0))))
            self.scale = nn.Parameter(values(t, 2).clone())

        def forward(self, x):
            x = self.first(x)
            for layer in self.layers:
                x = layer(x)
            return self.by_name["b"](self.tied(x) * self.scale)

    net = Outer()
    with t.no_grad():
        for i, p in enumerate(net.layers.parameters()):
            p.copy_(values(t, *p.shape, salt=i))
    return net


def outcome(t, program):
    """What a program gives, or the type and text of its error; the warnings too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = program(t)
        except Exception as error:
            result = (type(error).__name__, str(error))
    told = [str(w.message) for w in caught if issubclass(w.category, (UserWarning, FutureWarning))]
    return result, told


def in_graphc_words(nest):
    if isinstance(nest, str):
        named = nest.replace("torch.", "graphc.").replace("torch Tensor", "graphc Tensor")
        for link in (" Refer to https", " See https", " Open an issue"):
            named = named.partition(link)[0]
        return named
    if isinstance(nest, dict):
        return {key: in_graphc_words(value) for key, value in nest.items()}
    if isinstance(nest, (tuple, list)):
        return [in_graphc_words(item) for item in nest]
    return nest


def same(program):
    mine, theirs = outcome(graphc, program), outcome(torch, program)
    assert_same(in_graphc_words(mine), in_graphc_words(theirs))
