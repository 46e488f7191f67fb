"""Pools against PyTorch's: sizes, ties, NaN, borders, divisors, gradients."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.autodiff import apply_rule
from graphc.dtypes import bool_, float32
from graphc.errors import DtypeError, ShapeError
from graphc.ir import OPS, TensorType, infer_type
from graphc.ops.operands import Evaluated

VALUES = {
    "plain": lambda r, s: r.standard_normal(s),
    "ties": lambda r, s: r.integers(-1, 2, s).astype(np.float64),
    "NaN": lambda r, s: np.where(r.random(s) < 0.2, np.nan, r.standard_normal(s)),
    "-inf": lambda r, s: np.where(r.random(s) < 0.8, -np.inf, r.standard_normal(s)),
}
KERNELS: list[tuple[int, int, int, int, bool]] = [
    (k, s, p, d, ceil)
    for k, s, p, d, ceil in product((1, 2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True))
    if p <= k // 2
]


def run(name: str, *arrays: Any, **attrs: Any) -> Any:
    return OPS[name].evaluate(*arrays, **attrs)


def gradient(name: str, x: Any, g: Any, **attrs: Any) -> Any:
    y = Evaluated(run(name, x, **attrs))
    (part,) = apply_rule(OPS[name], Evaluated(g), y, (Evaluated(x),), attrs, (True,))
    return part.array


@pytest.mark.differential
@pytest.mark.parametrize("setting", KERNELS, ids=str)
@pytest.mark.parametrize("kind", VALUES)
def test_max_pool_agrees_with_pytorch(kind: str, setting: tuple[int, int, int, int, bool]) -> None:
    torch = pytest.importorskip("torch")
    k, s, p, d, ceil_mode = setting
    x = VALUES[kind](np.random.default_rng(0), (2, 2, 7, 6))
    attrs = {"kernel": (k, k), "stride": (s, s), "padding": (p, p), "dilation": (d, d)}
    tx = torch.from_numpy(x).requires_grad_()
    ty, places = torch.nn.functional.max_pool2d(tx, k, s, p, d, ceil_mode, return_indices=True)
    y = run("max_pool", x, **attrs, ceil_mode=ceil_mode)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    index = run("max_pool_index", x, **attrs, ceil_mode=ceil_mode)
    np.testing.assert_array_equal(index, places.numpy())
    # Which of several NaN the cotangent reaches is left open: the gradient is lost anyhow.
    g = np.where(np.isnan(y), 0, np.random.default_rng(1).standard_normal(y.shape))
    ty.backward(torch.from_numpy(g))
    np.testing.assert_allclose(
        gradient("max_pool", x, g, **attrs, ceil_mode=ceil_mode), tx.grad.numpy(), atol=1e-12
    )


@pytest.mark.differential
@pytest.mark.parametrize("setting", [s for s in KERNELS if s[3] == 1], ids=str)
@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("divisor", [None, 3])
def test_avg_pool_agrees_with_pytorch(
    setting: tuple[int, int, int, int, bool], include: bool, divisor: int | None
) -> None:
    torch = pytest.importorskip("torch")
    k, s, p, _, ceil_mode = setting
    x = np.random.default_rng(0).standard_normal((2, 2, 7, 6))
    attrs: dict[str, Any] = {
        "kernel": (k, k),
        "stride": (s, s),
        "padding": (p, p),
        "ceil_mode": ceil_mode,
        "count_include_pad": include,
        "divisor_override": divisor,
    }
    tx = torch.from_numpy(x).requires_grad_()
    ty = torch.nn.functional.avg_pool2d(tx, k, s, p, ceil_mode, include, divisor)
    y = run("avg_pool", x, **attrs)
    np.testing.assert_allclose(y, ty.detach().numpy(), atol=1e-12)
    g = np.random.default_rng(1).standard_normal(y.shape)
    ty.backward(torch.from_numpy(g))
    np.testing.assert_allclose(gradient("avg_pool", x, g, **attrs), tx.grad.numpy(), atol=1e-12)


@pytest.mark.differential
@pytest.mark.parametrize("n", [1, 3])
def test_other_numbers_of_dims_agree_with_pytorch(n: int) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 5, 6)[: n + 2])
    k, s, p = (3, 2, 3)[:n], (2, 1, 2)[:n], (1, 0, 1)[:n]
    attrs: dict[str, Any] = {"kernel": k, "stride": s, "padding": p, "ceil_mode": True}
    functional, tx = torch.nn.functional, torch.from_numpy(x)
    ty, places = getattr(functional, f"max_pool{n}d")(
        tx, k, s, p, ceil_mode=True, return_indices=True
    )
    more = {**attrs, "dilation": (1,) * n}
    np.testing.assert_array_equal(run("max_pool", x, **more), ty.numpy())
    np.testing.assert_array_equal(run("max_pool_index", x, **more), places.numpy())
    ty = getattr(functional, f"avg_pool{n}d")(tx, k, s, p, True, False)
    y = run("avg_pool", x, **attrs, count_include_pad=False, divisor_override=None)
    np.testing.assert_allclose(y, ty.numpy(), atol=1e-12)


WRONG: list[tuple[tuple[int, ...], dict[str, int]]] = [
    ((2, 3, 2, 2), {"kernel": 3}),
    ((2, 3, 5, 5), {"kernel": 2, "padding": 2}),
    ((2, 3, 5, 5), {"kernel": 2, "stride": 0}),
    ((2, 3, 5, 5, 5), {"kernel": 9}),
]


@pytest.mark.differential
@pytest.mark.parametrize(("shape", "settings"), WRONG)
def test_settings_that_do_not_fit_are_told_in_the_words_of_pytorch(
    shape: tuple[int, ...], settings: dict[str, int]
) -> None:
    torch = pytest.importorskip("torch")
    n = len(shape) - 2
    given = {"stride": settings["kernel"], "padding": 0, **settings}
    with pytest.raises(RuntimeError) as theirs:
        getattr(torch.nn.functional, f"max_pool{n}d")(
            torch.ones(shape), given["kernel"], given["stride"], given["padding"]
        )
    attrs = {k: (v,) * n for k, v in given.items()}
    with pytest.raises(ShapeError) as ours:
        infer_type(
            OPS["max_pool"],
            [TensorType(shape, float32)],
            {**attrs, "dilation": (1,) * n, "ceil_mode": False},
        )
    assert str(ours.value) == str(theirs.value)


def test_dtypes_and_a_divisor_of_zero_are_refused() -> None:
    attrs = {"kernel": (2,), "stride": (2,), "padding": (0,), "ceil_mode": False}
    average = {**attrs, "count_include_pad": True, "divisor_override": None}
    with pytest.raises(DtypeError, match="avg_pool needs"):
        infer_type(OPS["avg_pool"], [TensorType((1, 1, 4), bool_)], average)
    with pytest.raises(DtypeError, match="max_pool needs"):
        infer_type(OPS["max_pool"], [TensorType((1, 1, 4), bool_)], {**attrs, "dilation": (1,)})
    with pytest.raises(ShapeError, match="divisor must be not zero"):
        infer_type(
            OPS["avg_pool"], [TensorType((1, 1, 4), float32)], {**average, "divisor_override": 0}
        )
