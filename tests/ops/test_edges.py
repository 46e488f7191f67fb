"""Gradients at the places where finite differences say nothing, against PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graphc import dtypes
from graphc.autodiff import backward_graph
from graphc.interpret import Array, evaluate
from graphc.ir import Node
from tests.passes.programs import op, program

INF, NAN = float("inf"), float("nan")
ALL = {"dims": (0,), "keepdim": False}

# (row, attributes, PyTorch's function, the operands)
EDGES: list[tuple[str, dict[str, Any], str, list[list[float]]]] = [
    ("abs", {}, "abs", [[0.0, -0.0, NAN, -2.0]]),
    ("sqrt", {}, "sqrt", [[0.0, 4.0]]),
    ("relu", {}, "relu", [[0.0, NAN, -1.0, 1.0, -0.0]]),
    ("maximum", {}, "maximum", [[1.0, 2.0, NAN, 0.0], [1.0, 1.0, 1.0, -0.0]]),
    ("minimum", {}, "minimum", [[1.0, 2.0, NAN, 0.0], [1.0, 1.0, 1.0, -0.0]]),
    ("fmax", {}, "fmax", [[1.0, 2.0, NAN, 1.0, NAN], [1.0, 1.0, 1.0, NAN, NAN]]),
    ("fmin", {}, "fmin", [[1.0, 2.0, NAN, 1.0, NAN], [1.0, 1.0, 1.0, NAN, NAN]]),
    ("pow", {}, "pow", [[0.0, 0.0, 0.0, -1.0, 0.0, 2.0], [0.0, 1.0, 2.0, 2.0, -1.0, 0.0]]),
    ("atan2", {}, "atan2", [[0.0, -0.0, 1.0], [0.0, 0.0, 0.0]]),
    ("hypot", {}, "hypot", [[0.0, 3.0], [0.0, 4.0]]),
    ("xlogy", {}, "xlogy", [[0.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, -1.0]]),
    ("copysign", {}, "copysign", [[0.0, 1.0, -1.0], [1.0, -1.0, -0.0]]),
    ("logaddexp", {}, "logaddexp", [[1.0, -INF], [-INF, 2.0]]),
    ("sinc", {}, "sinc", [[0.0, 1.0, 0.5]]),
    ("sigmoid", {}, "sigmoid", [[-200.0, 200.0, 0.0]]),
    ("clamp", {}, "clamp", [[0.0, 1, 2, 3, NAN], [0.0, 2, 0, 4, 0], [1.0, 1, 2, 1, 1]]),
    ("logit", {"eps": None}, "logit", [[0.0, 0.5, 2.0, -1.0]]),
    ("logit", {"eps": 0.01}, "logit", [[0.0, 0.5, 1.0, 0.99]]),
    ("nan_to_num", {"nan": 0.0, "posinf": 1, "neginf": -1}, "nan_to_num", [[NAN, INF, -INF, 2.0]]),
    ("amax", ALL, "amax", [[1.0, 1.0, 0.0, 1.0]]),
    ("amin", ALL, "amin", [[1.0, 0.0, 0.0]]),
    ("amax", ALL, "amax", [[NAN, 1.0, NAN]]),
    ("prod", ALL, "prod", [[0.0, 0.0, 2.0]]),
    ("prod", ALL, "prod", [[0.0, 3.0, 2.0, 5.0, -1.0]]),
    ("prod", ALL, "prod", [[4.0]]),
    ("logsumexp", ALL, "logsumexp", [[-INF, -INF]]),
    ("logsumexp", ALL, "logsumexp", [[-INF, 2.0, INF]]),
    ("softmax", {"dim": 0}, "softmax", [[-INF, 2.0, 1.0]]),
    ("log_softmax", {"dim": 0}, "log_softmax", [[-INF, 2.0, 1.0]]),
    ("var", {**ALL, "correction": 1}, "var", [[3.0]]),
    ("softplus", {"beta": 1, "threshold": 20}, "nn.functional.softplus", [[20.0, 25.0, -800.0]]),
    ("leaky_relu", {"slope": 0.1}, "nn.functional.leaky_relu", [[0.0, -0.0, 1.0, NAN]]),
    ("elu", {"alpha": 1.0}, "nn.functional.elu", [[0.0, -800.0, 1.0]]),
    ("frac", {}, "frac", [[1.0, -1.5]]),
    ("sign", {}, "sign", [[0.0, 2.0]]),
]  # fmt: skip
KEYWORDS = {"dims": "dim", "slope": "negative_slope"}


@pytest.mark.differential
@pytest.mark.parametrize(("name", "attrs", "theirs", "operands"), EDGES)
def test_gradients_at_edges_are_those_of_pytorch(
    name: str, attrs: dict[str, Any], theirs: str, operands: list[list[float]]
) -> None:
    torch = pytest.importorskip("torch")
    arrays = [np.array(values, np.float64) for values in operands]
    graph = program(
        lambda *xs: op(name, *xs, **attrs), *(a.shape for a in arrays), dtype=dtypes.float64
    )
    ours = gradients(graph, arrays)
    function: Callable[..., Any] = torch
    for part in theirs.split("."):
        function = getattr(function, part)
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    keywords = {KEYWORDS.get(k, k): v for k, v in attrs.items()}
    if name == "prod":
        keywords["dim"] = 0
    y = function(*leaves, **keywords)
    y.backward(torch.ones_like(y))
    for mine, leaf in zip(ours, leaves, strict=True):
        expected = leaf.grad.numpy()
        np.testing.assert_allclose(mine, expected, rtol=1e-12, atol=1e-300)


def gradients(graph: Any, arrays: list[Array]) -> list[Array]:
    shape = graph.outputs[0].shape
    return evaluate(backward_graph(graph), [*arrays, np.ones(shape)])[1:]


def second_order(function: Callable[[Node], Node], x: Array) -> Array:
    """The sum over all rows of the Hessian."""
    first = backward_graph(program(function, x.shape, dtype=dtypes.float64))
    alone = type(first)(first.name, first.inputs, first.outputs[1:])
    values = evaluate(backward_graph(alone), [x, np.ones(()), np.ones(x.shape)])
    return values[1]


def test_second_gradients_of_products_with_zeros() -> None:
    """The rows of the Hessian of x y z sum to (y + z, x + z, x + y)."""
    x = np.array([0.0, 3.0, 0.0])
    found = second_order(lambda n: op("prod", n, **ALL), x)
    np.testing.assert_allclose(found, [3.0, 0.0, 3.0])


def test_masks_do_not_leak_nan() -> None:
    graph = program(
        lambda x: op("where", op("gt", x, 0), op("log", op("where", op("gt", x, 0), x, 1)), 0),
        (3,),
        dtype=dtypes.float64,
    )
    (grad,) = gradients(graph, [np.array([0.0, -1.0, 2.0])])
    np.testing.assert_array_equal(grad, [0.0, 0.0, 0.5])
