"""Normalisations against PyTorch's, with gradients of every operand."""

from typing import Any

import numpy as np
import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.autodiff import apply_rule
from graphc.dtypes import float32, float64
from graphc.errors import DtypeError, ShapeError
from graphc.ir import OPS, TensorType, infer_type
from graphc.ops.operands import Evaluated


def compare(name: str, arrays: list[Any], attrs: dict[str, Any], theirs: Any) -> None:
    """Value and all gradients of a row against a function of torch tensors."""
    torch = pytest.importorskip("torch")
    tensors = [torch.from_numpy(a).requires_grad_() for a in arrays]
    ty = theirs(torch, *tensors)
    y = OPS[name].evaluate(*arrays, **attrs)
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-10, atol=1e-10)
    g = np.random.default_rng(1).standard_normal(y.shape)
    expected = torch.autograd.grad(ty, tensors, torch.from_numpy(g))
    wanted = (True,) * len(arrays)
    operands = [Evaluated(a) for a in arrays]
    parts = apply_rule(OPS[name], Evaluated(g), Evaluated(y), operands, attrs, wanted)
    for part, grad in zip(parts, expected, strict=True):
        np.testing.assert_allclose(part.array, grad.numpy(), rtol=1e-9, atol=1e-9)


def drawn(*shapes: tuple[int, ...]) -> list[Any]:
    random = np.random.default_rng(0)
    return [random.standard_normal(s) for s in shapes]


SHAPES = [(8, 4), (5, 4, 3), (3, 4, 5, 6), (2, 4, 3, 2, 5)]


@pytest.mark.differential
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_agrees_with_pytorch(shape: tuple[int, ...]) -> None:
    x, weight, bias, mean, spread = drawn(shape, (4,), (4,), (4,), (4,))
    compare(
        "batch_norm",
        [x, weight, bias],
        {"eps": 1e-5},
        lambda torch, x, w, b: torch.nn.functional.batch_norm(x, None, None, w, b, True),
    )
    var = spread**2 + 0.1
    torch = pytest.importorskip("torch")
    theirs = torch.nn.functional.batch_norm(*map(torch.from_numpy, (x, mean, var, weight, bias)))
    ours = OPS["batch_norm_inference"].evaluate(x, mean, var, weight, bias, eps=1e-5)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.differential
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_agrees_with_pytorch(shape: tuple[int, ...], groups: int) -> None:
    compare(
        "group_norm",
        drawn(shape, (4,), (4,)),
        {"groups": groups, "eps": 1e-5},
        lambda torch, x, w, b: torch.nn.functional.group_norm(x, groups, w, b),
    )


@pytest.mark.differential
def test_rms_norm_agrees_with_pytorch() -> None:
    compare(
        "rms_norm",
        drawn((3, 4, 5), (4, 5)),
        {"dims": (1, 2), "eps": 1e-3},
        lambda torch, x, w: torch.nn.functional.rms_norm(x, (4, 5), w, 1e-3),
    )


def test_float32_statistics_of_many_values_stay_exact() -> None:
    """A mean far from zero: the variance must not drown in rounding."""
    x = (np.random.default_rng(0).standard_normal((64, 2, 40, 40)) + 100).astype(np.float32)
    nothing = np.ones((), np.float32), np.zeros((), np.float32)
    y = OPS["batch_norm"].evaluate(x, *nothing, eps=1e-5)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean((0, 2, 3), keepdims=True)) / wide.std((0, 2, 3), keepdims=True)
    np.testing.assert_allclose(y, expected, atol=2e-4)


def refused(name: str, *types: TensorType, **attrs: Any) -> str:
    with pytest.raises((ShapeError, DtypeError)) as error:
        infer_type(OPS[name], types, {"eps": 1e-5, **attrs})
    return str(error.value)


def test_operands_that_do_not_fit_are_refused() -> None:
    x, four = TensorType((2, 4, 3), float32), TensorType((4,), float32)
    three = TensorType((3,), float32)
    assert "weight should contain 4 elements not 3" in refused("batch_norm", x, three, four)
    assert "bias should contain 4 elements not 3" in refused("group_norm", x, four, three, groups=2)
    assert "divisible by num_groups" in refused("group_norm", x, four, four, groups=3)
    assert "expected at least 2D" in refused("batch_norm", three, three, three)
    assert "one dtype" in refused("batch_norm", x, four.with_dtype(float64), four)
    assert "does not fit the last dimensions" in refused("rms_norm", x, four, dims=(2,))
