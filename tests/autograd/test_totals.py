"""Cotangents of eager tensors: added up in place, those of slices where they lie."""

from typing import Any

import numpy as np
import pytest

import graphc


def test_parts_of_a_tensor_arrive_in_their_places() -> None:
    """Slices, whole uses and both orders; what is handed to hooks is a tensor like any other."""
    x = graphc.arange(12.0).reshape(3, 4).requires_grad_()
    inner = x * 1
    seen: list[Any] = []
    inner.register_hook(lambda g: seen.append(g.clone()))
    rows = [inner[i] for i in range(3)]
    loss = (rows[0] * rows[2]).sum() + (inner[:, 1:3] * 2).sum() + inner.sum() + inner[1, 0]
    loss.backward()
    wanted = np.ones((3, 4)) + [[0, 2, 2, 0]] * 3
    wanted[0] += np.arange(8, 12)
    wanted[2] += np.arange(4)
    wanted[1, 0] += 1
    np.testing.assert_array_equal(x.grad.numpy(), wanted)
    np.testing.assert_array_equal(seen[0].numpy(), wanted)


def test_one_slice_alone_is_filled_up_with_zeros() -> None:
    x = graphc.ones(4, requires_grad=True)
    y = x * 3
    y.retain_grad()
    y[1:3].sum().backward()
    assert y.grad.tolist() == [0, 1, 1, 0]
    assert x.grad.tolist() == [0, 3, 3, 0]


def test_given_cotangents_stay_as_they_are() -> None:
    x = graphc.ones(3, requires_grad=True)
    y, z = x * 2, x * 3
    g = graphc.ones(3)
    graphc.autograd.backward([y, z, y], [g, g, g])
    assert g.tolist() == [1, 1, 1]
    assert x.grad.tolist() == [7, 7, 7]
    x.grad.add_(1)
    assert g.tolist() == [1, 1, 1]


def test_an_expanded_gradient_cannot_be_written() -> None:
    x = graphc.ones(2, 3, requires_grad=True)
    (g,) = graphc.autograd.grad(x.sum(), x)
    assert g.stride() == (0, 0)
    for part in (g, g[0], g.t()):
        with pytest.raises(RuntimeError, match="more than one element"):
            part.add_(1)


def test_gradients_with_and_without_their_own_graph_agree() -> None:
    x = graphc.linspace(-2, 2, 24).reshape(4, 6).requires_grad_()

    def gradient(create_graph: bool) -> Any:
        y = x.relu() * x.sigmoid() + graphc.nn.functional.gelu(x[:, ::2]).sum(1, keepdim=True)
        loss = graphc.nn.functional.layer_norm(y, (6,)).pow(2).mul(x).sum()
        return graphc.autograd.grad(loss, x, create_graph=create_graph)[0].detach().numpy()

    np.testing.assert_allclose(gradient(False), gradient(True), rtol=1e-5, atol=1e-6)
