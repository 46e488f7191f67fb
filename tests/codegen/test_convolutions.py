"""Convolutions and both gradients as compiled programs against the rows' own evaluation."""

from typing import Any

import numpy as np
import pytest

import graphc
from graphc.ir import OPS
from graphc.nn import functional as F

# x, w, stride, padding, dilation, groups
CASES = [
    ((3, 6, 7, 7), (6, 1, 3, 3), 1, 1, 1, 6),  # channel by channel, short rows
    ((3, 6, 4, 4), (12, 1, 3, 3), 1, 1, 1, 6),
    ((2, 40, 2, 2), (40, 1, 3, 3), 1, 1, 1, 40),
    ((2, 5, 19, 33), (5, 1, 5, 3), 1, 2, 1, 5),
    ((2, 6, 14, 15), (6, 1, 3, 3), 2, 1, 1, 6),
    ((2, 4, 14, 15), (4, 1, 3, 3), 1, 2, 2, 4),
    ((2, 4, 16, 18), (4, 1, 3, 3), 2, 1, 1, 4),  # neighbours of a stride written together
    ((2, 4, 17, 30), (4, 1, 5, 5), 2, 2, 1, 4),
    ((1, 4, 30, 30), (4, 1, 3, 3), 3, 1, 1, 4),
    ((2, 1, 9, 20), (3, 1, 3, 3), 1, 1, 1, 1),  # a single channel on one side
    ((2, 3, 9, 20), (1, 3, 3, 3), 1, 1, 1, 1),
    ((4, 20, 7, 7), (24, 20, 3, 3), 1, 1, 1, 1),  # several rows in one run of memory
    ((3, 16, 4, 6), (33, 16, 3, 3), 1, 1, 1, 1),
    ((5, 40, 2, 2), (48, 40, 3, 3), 1, 1, 1, 1),
    ((1, 70, 7, 7), (64, 70, 3, 3), 2, 1, 1, 1),
    ((2, 6, 16, 16), (10, 6, 4, 4), 2, 1, 1, 1),
    ((2, 8, 12, 12), (6, 8, 2, 2), 2, 0, 1, 1),
    ((2, 8, 9, 12), (6, 8, 1, 1), 2, 0, 1, 1),
    ((16, 70, 2, 2), (272, 70, 3, 3), 1, 1, 1, 1),  # one place of several images in a tile
    ((11, 272, 3, 2), (70, 272, 3, 3), 1, 1, 1, 1),
    ((1, 288, 7, 7), (70, 288, 3, 3), 1, 1, 1, 1),  # each thread packs panels of its own
    ((12, 40, 4, 4), (260, 40, 4, 4), 1, 3, 1, 1),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_convolution_and_its_gradients(case: Any) -> None:
    x_shape, w_shape, stride, padding, dilation, groups = case
    random = np.random.default_rng(0)
    x, w = (random.standard_normal(s).astype(np.float32) for s in (x_shape, w_shape))
    attrs = {
        "stride": (stride,) * 2,
        "padding": (padding,) * 2,
        "dilation": (dilation,) * 2,
        "groups": groups,
    }
    y = OPS["convolution"].evaluate(x, w, **attrs)
    g = random.standard_normal(y.shape).astype(np.float32)
    wanted = (
        y,
        OPS["conv_input_grad"].evaluate(g, w, input_shape=x_shape, **attrs),
        OPS["conv_weight_grad"].evaluate(g, x, weight_shape=w_shape, **attrs),
    )

    @graphc.compile(fullgraph=True)
    def three(x: Any, w: Any, g: Any) -> Any:
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        y = F.conv2d(x, w, None, stride, padding, dilation, groups)
        return (y.detach(), *graphc.autograd.grad(y, (x, w), g))

    for mine, value in zip(three(*map(graphc.tensor, (x, w, g))), wanted, strict=True):
        scale = float(np.abs(value).max())
        np.testing.assert_allclose(mine.numpy(), value, rtol=2e-5, atol=2e-5 * scale)
