"""Pools with padding and overlapping windows, compiled: values, places and gradients as eagerly."""

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F

# spatial size, window, stride, padding, dilation, ceil_mode
POOLS = {
    "resnet": ((16, 16), (3, 3), (2, 2), (1, 1), (1, 1), False),
    "odd": ((13, 17), (3, 3), (2, 2), (1, 1), (1, 1), False),
    "steps of one": ((9, 12), (3, 3), (1, 1), (1, 1), (1, 1), False),
    "apart": ((12, 12), (2, 2), (2, 2), (1, 1), (1, 1), False),
    "gaps": ((14, 20), (2, 3), (3, 4), (1, 1), (1, 1), False),
    "steps of three": ((19, 23), (5, 4), (2, 3), (2, 1), (1, 1), False),
    "dilated": ((14, 15), (3, 2), (2, 1), (1, 1), (2, 3), False),
    "over the end": ((10, 11), (3, 3), (2, 2), (1, 0), (1, 1), True),
    "long rows": ((40, 600), (3, 3), (2, 2), (1, 1), (1, 1), False),
    "no padding": ((21, 33), (3, 3), (2, 2), (0, 0), (1, 1), False),
    "volume": ((7, 9, 12), (3, 2, 3), (2, 1, 2), (1, 1, 1), (1, 1, 1), False),
    "line": ((50,), (5,), (2,), (2,), (1,), False),
}
MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def values(size, dtype=np.float32, batch=2, channels=3):
    random = np.random.default_rng(7)
    array = random.integers(-20, 20, (batch, channels, *size)) / 4  # with equal elements
    return array.astype(dtype)


def same(function, *arrays):
    """Compiled as eager, element for element."""
    eager = function(*map(graphc.tensor, arrays))
    compiled = graphc.compile(function)(*map(graphc.tensor, arrays))
    for ours, expected in zip(compiled, eager, strict=True):
        np.testing.assert_array_equal(ours.numpy(), expected.numpy())


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("batch", [2, 24])
def test_largest_elements_their_places_and_gradients(name, batch):
    size, window, stride, padding, dilation, ceil_mode = POOLS[name]
    x = values(size, batch=batch)

    def pooled(x, scale):
        x = x.detach().requires_grad_()
        y, place = MAX[len(size)](
            (x * 2 + 1).relu(), window, stride, padding, dilation, ceil_mode, return_indices=True
        )
        (gradient,) = graphc.autograd.grad((y * y * scale).sum(), x)
        return y.detach(), place, gradient

    same(pooled, x, np.float32(0.25))


@pytest.mark.parametrize("name", ["resnet", "steps of one", "no padding", "volume", "line"])
def test_averages_and_their_gradients(name):
    size, window, stride, padding, _, ceil_mode = POOLS[name]

    def pooled(x):
        x = x.detach().requires_grad_()
        y = AVERAGE[len(size)]((x * 2 + 1).relu(), window, stride, padding, ceil_mode)
        (gradient,) = graphc.autograd.grad((y * y).sum(), x)
        return y.detach(), gradient

    x = graphc.tensor(values(size, batch=24))
    for ours, expected in zip(graphc.compile(pooled)(x), pooled(x), strict=True):
        np.testing.assert_allclose(ours.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("value", [-np.inf, np.nan, np.inf])
def test_windows_of_special_numbers(value):
    x = values((16, 16), batch=24)
    x[0, 0] = value
    x[1, :, ::2] = value
    x[2, :, :, 5:9] = value

    def pooled(x):
        return F.max_pool2d(x, 3, 2, 1, return_indices=True)

    same(pooled, x)


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float64])
def test_other_dtypes(dtype):
    lowest = np.iinfo(dtype).min if dtype is not np.float64 else -np.inf
    x = (values((16, 16), batch=24) * 4).astype(dtype)
    x[0] = lowest

    def pooled(x):
        return F.max_pool2d(x, 3, 2, 1, return_indices=True)

    same(pooled, x)


def test_an_element_of_several_windows_is_computed_once():
    def pooled(x):
        return F.max_pool2d(x.exp(), 3, 2, 1)

    compiled = graphc.compile(pooled)
    compiled(graphc.tensor(values((16, 16), batch=24)))
    text = str(compiled.source)
    assert text.count("gc_exp_f32(") == 1
    assert "_windows[" in text
