"""Losses of class labels against PyTorch's, and what they refuse."""

from itertools import product

import numpy as np
import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.autodiff import apply_rule
from graphc.dtypes import float32, int32, int64
from graphc.ir import OPS, Builder, TensorType, infer_type
from graphc.ops.operands import Evaluated

NAMES = ("nll_loss", "cross_entropy")
REDUCTIONS = ("none", "mean", "sum")


@pytest.mark.differential
@pytest.mark.parametrize(
    ("name", "reduction", "weighted"), list(product(NAMES, REDUCTIONS, (False, True)))
)
@pytest.mark.parametrize("shape", [(5,), (6, 5), (3, 5, 4), (2, 5, 3, 2)])
def test_values_and_gradients_agree_with_pytorch(
    name: str, reduction: str, weighted: bool, shape: tuple[int, ...]
) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(0)
    x = random.standard_normal(shape)
    outer = shape[:1] * (len(shape) > 1) + shape[2:]
    target = random.integers(0, 5, outer)
    target = np.where(random.random(outer) < 0.3, -100, target) if len(shape) > 1 else target
    weight = random.random(5) + 0.5
    tx = torch.from_numpy(x).requires_grad_()
    more = {"weight": torch.from_numpy(weight)} if weighted else {}
    ty = getattr(torch.nn.functional, name)(
        tx, torch.from_numpy(np.asarray(target)), reduction=reduction, **more
    )
    operands = [x, np.asarray(target), *([weight] if weighted else [])]
    attrs = {"ignore_index": -100, "reduction": reduction}
    y = OPS[name].evaluate(*operands, **attrs)
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-12, atol=1e-12)
    g = random.standard_normal(y.shape)
    ty.backward(torch.from_numpy(np.asarray(g)))
    wanted = (True, *(False for _ in operands[1:]))
    parts = apply_rule(
        OPS[name], Evaluated(np.asarray(g)), Evaluated(y), [Evaluated(a) for a in operands],
        attrs, wanted,
    )  # fmt: skip
    np.testing.assert_allclose(parts[0].array, tx.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [12, -1])
def test_a_label_out_of_range_is_named(name: str, wrong: int) -> None:
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(IndexError, match=f"Target {wrong} is out of bounds."):
        OPS[name].evaluate(x, np.array([0, wrong]), ignore_index=-100, reduction="mean")
    y = OPS[name].evaluate(x, np.array([0, wrong]), ignore_index=wrong, reduction="mean")
    assert np.isfinite(y)


def test_large_scores_do_not_overflow() -> None:
    x = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    attrs = {"ignore_index": -100, "reduction": "none"}
    y = OPS["cross_entropy"].evaluate(x, np.array([0, 0]), **attrs)
    assert y.tolist() == [0, 2e4]


def test_ignored_examples_count_nothing_even_where_they_are_infinite() -> None:
    x = np.array([[0.0, -np.inf], [-np.inf, -1.0]], np.float32)
    target = np.array([1, 1])
    parts = OPS["nll_loss"].evaluate(x, target, ignore_index=1, reduction="none")
    assert parts.tolist() == [0, 0]
    mean = OPS["nll_loss"].evaluate(x, target, ignore_index=1, reduction="mean")
    assert np.isnan(mean)  # 0 / 0, as in PyTorch


def test_the_gradient_needs_no_scatter() -> None:
    """So that it fuses with the softmax before it."""
    builder = Builder()
    x = builder.input("x", TensorType((4, 3), float32))
    target = builder.input("target", TensorType((4,), int64))
    g = builder.input("g", TensorType((), float32))
    for name in NAMES:
        attrs = {"ignore_index": -100, "reduction": "mean"}
        y = builder.apply(OPS[name], (x, target), attrs)
        part = apply_rule(OPS[name], g, y, (x, target), attrs, (True, False))[0]
        seen, stack = set(), [part]
        while stack:
            node = stack.pop()
            seen.add(node.op.name)
            stack.extend(node.inputs)
        assert seen.isdisjoint({"scatter", "put_index", "gather", name})


def refused(name: str, x: tuple[int, ...], target: TensorType, *weight: TensorType) -> str:
    attrs = {"ignore_index": -100, "reduction": "mean"}
    with pytest.raises((RuntimeError, ValueError)) as error:
        infer_type(OPS[name], [TensorType(x, float32), target, *weight], attrs)
    return str(error.value)


def test_operands_that_do_not_fit_are_refused_in_the_words_of_pytorch() -> None:
    labels = TensorType((2,), int64)
    for name in NAMES:
        assert refused(name, (2, 3), TensorType((2,), int32)) == (
            "expected target dtype to be Long or Byte, but got Int"
        )
        assert refused(name, (2, 3), TensorType((4,), int64)) == (
            "Expected input batch_size (2) to match target batch_size (4)."
        )
        assert refused(name, (2, 3, 4), TensorType((2, 5), int64)) == (
            "Expected target size [2, 4], got [2, 5]"
        )
        assert refused(name, (2, 3), labels, TensorType((2,), float32)) == (
            "weight tensor should be defined either for all 3 classes or no classes but got "
            "weight tensor of shape: [2]"
        )
    with pytest.raises(ValueError, match="average is not a valid value for reduction"):
        attrs = {"ignore_index": -100, "reduction": "average"}
        infer_type(OPS["nll_loss"], [TensorType((2, 3), float32), labels], attrs)
