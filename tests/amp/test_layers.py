"""Recurrent and attention layers under autocast, compared with PyTorch."""

import pytest

import graphc

torch = pytest.importorskip("torch")

from tests.nn.same_program import assert_same, plain, values  # noqa: E402

pytestmark = pytest.mark.differential

LAYERS = {
    "LSTM": lambda t: t.nn.LSTM(4, 3),
    "two LSTMs, both directions": lambda t: t.nn.LSTM(4, 3, 2, bidirectional=True),
    "projecting LSTM": lambda t: t.nn.LSTM(4, 3, proj_size=2),
    "GRU": lambda t: t.nn.GRU(4, 3),
    "RNN": lambda t: t.nn.RNN(4, 3, 2),
    "attention": lambda t: t.nn.MultiheadAttention(4, 2),
    "encoder": lambda t: t.nn.TransformerEncoderLayer(4, 2, 8, 0.0, "gelu"),
}


def filled(t, layer):
    with t.no_grad():
        for number, p in enumerate(layer.parameters()):
            p.copy_(values(t, *p.shape, salt=number) / 4)
    return layer


def first(result):
    return result[0] if isinstance(result, tuple) else result


def run(t, name, x, compiled=False):
    """The result, and gradients of the input and the parameters."""
    layer = filled(t, LAYERS[name](t))
    call = t.compile(layer) if compiled else layer
    x = x.requires_grad_()
    arguments = (x, x, x) if name == "attention" else (x,)
    with t.autocast("cpu"):
        result = call(*arguments)
    first(result).float().mul(values(t, *first(result).shape, salt=7)).sum().backward()
    return result, [x.grad, *(p.grad for p in layer.parameters())]


def dtypes_of(nest):
    if isinstance(nest, (tuple, list)):
        return [dtypes_of(x) for x in nest]
    return str(nest.dtype).split(".")[-1]


def floats(nest):
    return [floats(x) for x in nest] if isinstance(nest, (tuple, list)) else plain(nest.float())


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_layers(name, low, compiled):
    def inputs(t):
        x = values(t, 5, 2, 4) / 3
        return x.bfloat16() if low else x

    mine = run(graphc, name, inputs(graphc), compiled)
    theirs = run(torch, name, inputs(torch))
    assert dtypes_of(mine) == dtypes_of(theirs)
    assert_same(floats(mine), floats(theirs), 0.1, 0.05)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_packed_sequences(kind):
    def program(t):
        layer = filled(t, getattr(t.nn, kind)(4, 3))
        packed = t.nn.utils.rnn.pack_padded_sequence(values(t, 5, 3, 4), [5, 3, 1])
        with t.autocast("cpu"):
            output, state = layer(packed)
        return output.data, state

    mine, theirs = program(graphc), program(torch)
    assert dtypes_of(mine) == dtypes_of(theirs)
    assert_same(floats(mine), floats(theirs), 0.05, 0.03)
