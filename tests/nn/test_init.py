"""Initial values: bounds, deviations, structure."""

import math

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.nn import init


def filled(fill, *shape):
    graphc.manual_seed(0)
    weight = nn.Parameter(graphc.empty(*shape))
    assert fill(weight) is weight
    assert weight.is_leaf
    assert weight.requires_grad
    return weight.detach().numpy()


# A convolution of 20 channels to 30 by 3 x 4 windows: fan in 240, fan out 360.
SHAPE = (30, 20, 3, 4)
UNIFORM = {
    "xavier": (init.xavier_uniform_, math.sqrt(6 / 600)),
    "xavier gain": (lambda t: init.xavier_uniform_(t, 2.0), 2 * math.sqrt(6 / 600)),
    "kaiming": (init.kaiming_uniform_, math.sqrt(6 / 240)),
    "kaiming out": (
        lambda t: init.kaiming_uniform_(t, mode="fan_out", nonlinearity="relu"),
        math.sqrt(6 / 360),
    ),
    "kaiming slope": (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(240)),
    "uniform": (lambda t: init.uniform_(t, -0.3, 0.3), 0.3),
}
NORMAL = {
    "xavier": (init.xavier_normal_, 0, math.sqrt(2 / 600)),
    "kaiming": (lambda t: init.kaiming_normal_(t, nonlinearity="relu"), 0, math.sqrt(2 / 240)),
    "normal": (lambda t: init.normal_(t, 2.0, 0.5), 2, 0.5),
    "truncated": (lambda t: init.trunc_normal_(t, std=0.1), 0, 0.1),
}


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform(name):
    fill, bound = UNIFORM[name]
    values = filled(fill, *SHAPE)
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.99 * bound
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.03)


@pytest.mark.parametrize("name", NORMAL)
def test_normal(name):
    fill, mean, deviation = NORMAL[name]
    values = filled(fill, *SHAPE)
    assert values.mean() == pytest.approx(mean, abs=deviation / 20)
    assert values.std() == pytest.approx(deviation, rel=0.03)


def test_truncation_keeps_the_bounds():
    values = filled(lambda t: init.trunc_normal_(t, 0.0, 1.0, -0.5, 1.0), 50, 50)
    assert values.min() >= -0.5
    assert values.max() <= 1
    assert (np.abs(values) < 0.25).mean() > (values > 0.75).mean()


def test_structure():
    assert filled(init.eye_, 2, 3).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert filled(lambda t: init.constant_(t, 2.5), 2).tolist() == [2.5, 2.5]
    assert filled(init.ones_, 2).tolist() == [1, 1]
    assert filled(init.zeros_, 2).tolist() == [0, 0]
    x = graphc.randn(1, 3, 5, 5)
    kernel = nn.Parameter(graphc.empty(3, 3, 3, 3))
    init.dirac_(kernel)
    same = nn.functional.conv2d(x, kernel, padding=1)
    assert same.detach().tolist() == x.tolist()
    for shape in ((4, 6), (6, 4), (3, 2, 4)):
        q = filled(lambda t: init.orthogonal_(t, gain=2.0), *shape).reshape(shape[0], -1)
        product = q @ q.T if q.shape[0] <= q.shape[1] else q.T @ q
        np.testing.assert_allclose(product, 4 * np.eye(min(q.shape)), atol=1e-5)
    zeros = (filled(lambda t: init.sparse_(t, 0.3), 10, 7) == 0).sum(0)
    assert zeros.tolist() == [3] * 7


def test_gains():
    assert init.calculate_gain("linear") == 1
    assert init.calculate_gain("tanh") == 5 / 3
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu", 0.2) == math.sqrt(2 / 1.04)


def test_bad_arguments():
    with pytest.raises(ValueError, match="Unsupported nonlinearity"):
        init.calculate_gain("swish")
    with pytest.raises(ValueError, match="fewer than 2 dimensions"):
        init.xavier_uniform_(graphc.empty(3))
    with pytest.raises(ValueError, match="fan_in"):
        init.kaiming_uniform_(graphc.empty(3, 3), mode="sideways")
    with pytest.warns(UserWarning, match="zero-element"):
        init.kaiming_normal_(graphc.empty(0, 3))


LAYERS = {
    "Linear": (lambda: nn.Linear(100, 40), 100),
    "Conv2d": (lambda: nn.Conv2d(8, 40, (3, 5)), 120),
    "Conv2d groups": (lambda: nn.Conv2d(8, 40, (3, 5), groups=4), 30),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_begin_within_the_root_of_their_fan_in(name):
    make, fan = LAYERS[name]
    graphc.manual_seed(1)
    layer = make()
    bound = 1 / math.sqrt(fan)
    for p in layer.parameters():
        largest = p.detach().abs().max().item()
        assert 0.8 * bound < largest <= bound


def test_embedding_begins_normal_with_zero_padding():
    graphc.manual_seed(1)
    table = nn.Embedding(200, 50, padding_idx=3).weight.detach().numpy()
    assert (table[3] == 0).all()
    assert table.std() == pytest.approx(1, rel=0.03)
