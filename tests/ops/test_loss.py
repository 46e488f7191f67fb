"""Elementwise losses against PyTorch's, at the places where they bend."""

from typing import Any

import numpy as np
import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.autodiff import apply_rule
from graphc.dtypes import float32, int64
from graphc.errors import DtypeError, ShapeError
from graphc.ir import OPS, TensorType, infer_type
from graphc.ops.operands import Evaluated

EDGES = np.array([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5])
UNIT = np.array([0.0, 1.0, 1e-40, 0.25, 0.5, 1.0, 0.0])
LOSSES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("mse_loss", {}, EDGES, EDGES * 0),
    ("l1_loss", {}, EDGES, EDGES * 0),
    ("smooth_l1_loss", {"beta": 1.0}, EDGES, EDGES * 0),
    ("smooth_l1_loss", {"beta": 0.0}, EDGES, EDGES * 0),
    ("huber_loss", {"delta": 1.0}, EDGES, EDGES * 0),
    ("huber_loss", {"delta": 0.5}, EDGES, EDGES * 0),
    ("binary_cross_entropy", {}, UNIT, np.array([0.0, 1.0, 1.0, 0.5, 1.0, 0.0, 0.25])),
    ("binary_cross_entropy_with_logits", {}, EDGES * 400, UNIT),
    ("kl_div", {"log_target": False}, -np.abs(EDGES), UNIT),
    ("kl_div", {"log_target": True}, -np.abs(EDGES), -np.abs(EDGES) - 1),
]


@pytest.mark.differential
@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize(("name", "settings", "x", "t"), LOSSES)
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_values_and_gradients_agree_with_pytorch(
    name: str, settings: dict[str, Any], x: Any, t: Any, reduction: str
) -> None:
    torch = pytest.importorskip("torch")
    attrs = {**settings, "reduction": reduction}
    tx, tt = torch.from_numpy(x).requires_grad_(), torch.from_numpy(t)
    ty = getattr(torch.nn.functional, name)(tx, tt, **attrs)
    y = OPS[name].evaluate(x, t, **attrs)
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-12, atol=1e-12)
    g = np.linspace(0.5, 2, y.size).reshape(y.shape)
    ty.backward(torch.from_numpy(g))
    operands = (Evaluated(x), Evaluated(t))
    part, _ = apply_rule(OPS[name], Evaluated(g), Evaluated(y), operands, attrs, (True, False))
    np.testing.assert_allclose(
        part.array, tx.grad.numpy(), rtol=1e-8, atol=1e-12
    )  # PyTorch bounds slopes by a float32 1e-12


def test_probabilities_outside_of_the_unit_interval_are_refused() -> None:
    loss = OPS["binary_cross_entropy"]
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(RuntimeError, match="all elements of input should be between 0 and 1"):
            loss.evaluate(np.array([0.5, wrong]), np.array([1.0, 1.0]), reduction="sum")


def refusal(name: str, *types: TensorType, **attrs: Any) -> Any:
    return infer_type(OPS[name], types, {"reduction": "mean", **attrs})


def test_what_does_not_fit_is_refused() -> None:
    x = TensorType((2, 3), float32)
    with pytest.raises(ShapeError, match=r"Target size \[3\] must be the same as input size"):
        refusal("mse_loss", x, TensorType((3,), float32))
    with pytest.raises(DtypeError, match="l1_loss needs a tensor of floating-point dtype"):
        refusal("l1_loss", x.with_dtype(int64), x.with_dtype(int64))
    with pytest.raises(ShapeError, match="does not support negative values for beta"):
        refusal("smooth_l1_loss", x, x, beta=-1.0)
    with pytest.raises(ShapeError, match="does not support non-positive values for delta"):
        refusal("huber_loss", x, x, delta=0.0)
    with pytest.raises(ValueError, match="is not a valid value for reduction"):
        refusal("mse_loss", x, x, reduction="avg")
