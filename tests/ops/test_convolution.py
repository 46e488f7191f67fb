"""Convolutions against PyTorch's, with all settings; what does not fit, in PyTorch's words."""

from typing import Any

import numpy as np
import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.dtypes import float32, float64
from graphc.errors import DtypeError, ShapeError
from graphc.ir import OPS, TensorType, infer_type
from graphc.ops import convolution_arrays as arrays

SETTINGS = [
    # x, w, stride, padding, dilation, groups
    ((3, 4, 11), (6, 4, 3), (2,), (2,), (2,), 1),
    ((3, 4, 11), (8, 2, 4), (3,), (0,), (1,), 2),
    ((5, 3, 12, 9), (4, 3, 5, 3), (1, 1), (0, 0), (1, 1), 1),
    ((5, 3, 12, 9), (4, 3, 5, 3), (2, 1), (2, 1), (1, 2), 1),
    ((5, 6, 12, 9), (6, 1, 3, 3), (1, 1), (1, 1), (1, 1), 6),
    ((5, 6, 12, 9), (9, 2, 2, 3), (3, 2), (1, 2), (2, 1), 3),
    ((5, 6, 7, 7), (4, 6, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((5, 6, 7, 7), (4, 6, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 3, 4, 4), (2, 3, 1, 1), (1, 1), (3, 3), (1, 1), 1),
    ((2, 4, 5, 6, 7), (6, 2, 2, 3, 3), (1, 2, 2), (1, 0, 1), (1, 2, 1), 2),
]


def run(name: str, *arrays: Any, **attrs: Any) -> Any:
    return OPS[name].evaluate(*arrays, **attrs)


@pytest.mark.differential
@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("chunk", [1, 1 << 20])
def test_all_three_rows_agree_with_pytorch(
    setting: Any, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(arrays, "_CHUNK", chunk)
    x_shape, w_shape, stride, padding, dilation, groups = setting
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    random = np.random.default_rng(0)
    x, w = random.standard_normal(x_shape), random.standard_normal(w_shape)
    tx = torch.from_numpy(x).requires_grad_()
    tw = torch.from_numpy(w).requires_grad_()
    ty = getattr(torch, f"conv{len(stride)}d")(tx, tw, **attrs)
    y = run("convolution", x, w, **attrs)
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-10, atol=1e-10)
    g = random.standard_normal(y.shape)
    gx, gw = torch.autograd.grad(ty, (tx, tw), torch.from_numpy(g))
    mine = run("conv_input_grad", g, w, input_shape=x_shape, **attrs)
    np.testing.assert_allclose(mine, gx.numpy(), rtol=1e-10, atol=1e-10)
    mine = run("conv_weight_grad", g, x, weight_shape=w_shape, **attrs)
    np.testing.assert_allclose(mine, gw.numpy(), rtol=1e-10, atol=1e-10)


def test_operands_of_any_layout_give_the_same() -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((4, 6, 8, 10))
    w = random.standard_normal((3, 6, 2, 2))
    attrs = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    expected = run("convolution", x, w, **attrs)
    turned = run("convolution", x.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2), w, **attrs)
    np.testing.assert_allclose(turned, expected, rtol=1e-12)
    strided = np.zeros((4, 6, 16, 10))
    strided[:, :, ::2] = x
    flipped = np.flip(np.flip(w, 0).copy(), 0)
    np.testing.assert_allclose(
        run("convolution", strided[:, :, ::2], flipped, **attrs), expected, rtol=1e-12
    )
    g = np.broadcast_to(np.float64(1), expected.shape)
    plain = run("conv_input_grad", g.copy(), w, input_shape=x.shape, **attrs)
    np.testing.assert_allclose(
        run("conv_input_grad", g, w, input_shape=x.shape, **attrs), plain, rtol=1e-12
    )


def test_no_images_and_no_channels_give_zeros() -> None:
    attrs = {"stride": (1,), "padding": (1,), "dilation": (1,), "groups": 1}
    x, w = np.ones((2, 0, 5), np.float32), np.ones((3, 0, 3), np.float32)
    y = run("convolution", x, w, **attrs)
    assert y.shape == (2, 3, 5)
    assert not y.any()
    empty = run("conv_weight_grad", y[:0], x[:0], weight_shape=(3, 0, 3), **attrs)
    assert empty.shape == (3, 0, 3)
    none = run(
        "conv_weight_grad", y[:0], np.ones((0, 2, 5), np.float32), weight_shape=(3, 2, 3), **attrs
    )
    assert none.shape == (3, 2, 3)
    assert not none.any()


DEFAULTS: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
WRONG: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3), (1, 1, 2, 2), {}),
    ((2, 3, 4, 5), (1, 3, 2), {}),
    ((2, 3, 8, 8), (6, 1, 5, 5), {}),
    ((2, 3, 2, 2), (6, 3, 3, 3), {}),
    ((2, 3, 4, 4), (6, 3, 3, 3), {"padding": -1}),
    ((2, 3, 4, 4), (6, 3, 3, 3), {"stride": 0}),
    ((2, 3, 4, 4), (6, 3, 3, 3), {"dilation": 0}),
    ((2, 4, 5, 5), (3, 2, 3, 3), {"groups": 2}),
    ((2, 4, 5, 5), (1, 2, 3, 3), {"groups": 2}),
    ((2, 4, 5, 5), (1, 2, 3, 3), {"groups": 0}),
]


@pytest.mark.differential
@pytest.mark.parametrize(("x", "w", "settings"), WRONG)
def test_misfits_are_told_in_the_words_of_pytorch(
    x: tuple[int, ...], w: tuple[int, ...], settings: dict[str, Any]
) -> None:
    torch = pytest.importorskip("torch")
    n = len(w) - 2
    attrs = {k: v if k == "groups" else (v,) * n for k, v in {**DEFAULTS, **settings}.items()}
    with pytest.raises(RuntimeError) as theirs:
        getattr(torch, f"conv{n}d")(torch.ones(x), torch.ones(w), **attrs)
    with pytest.raises(ShapeError) as ours:
        infer_type(OPS["convolution"], [TensorType(x, float32), TensorType(w, float32)], attrs)
    assert str(ours.value) == str(theirs.value)


def test_dtypes_and_cotangents_that_do_not_fit_are_refused() -> None:
    attrs = {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}
    x, w = TensorType((2, 3, 5), float64), TensorType((4, 3, 2), float32)
    with pytest.raises(DtypeError, match="expected scalar type Double but found Float"):
        infer_type(OPS["convolution"], [x, w], attrs)
    g = TensorType((2, 4, 5), float32)
    with pytest.raises(ShapeError, match=r"give \[2, 4, 4\], but the cotangent has shape"):
        infer_type(OPS["conv_input_grad"], [g, w], {**attrs, "input_shape": (2, 3, 5)})


@pytest.mark.parametrize("where", ["x", "w"])
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_infinities_stay_in_their_windows(where, value):
    """What lies between the lines of a result is no part of it, nor of a gradient."""
    random = np.random.default_rng(0)
    padding = (1, 0) if where == "x" else (0, 0)  # the border's zeros times infinity are NaN
    attrs = {"stride": (1, 1), "padding": padding, "dilation": (1, 2), "groups": 2}
    x, w = random.normal(size=(2, 4, 6, 7)), random.normal(size=(6, 2, 3, 2))
    {"x": x, "w": w}[where][0, 1, 2, 0] = value
    y = OPS["convolution"].evaluate(x, w, **attrs)
    np.testing.assert_allclose(y, OPS["convolution"].reference(x, w, **attrs), rtol=1e-9)
    g = random.normal(size=y.shape)
    for name, operand, shape in (
        ("conv_input_grad", w, {"input_shape": x.shape}),
        ("conv_weight_grad", x, {"weight_shape": w.shape}),
    ):
        op = OPS[name]
        found = op.evaluate(g, operand, **shape, **attrs)
        wanted = op.reference(g, operand, **shape, **attrs)
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
