"""Rows of networks with a batch size that is a name: nothing may need to know it."""

from typing import Any

import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.autodiff import apply_rule
from graphc.dtypes import dtype, float32, int64
from graphc.ir import OPS, Builder, Decompose, Node, TensorType
from graphc.sizes import Int, symbol

N = symbol("n")
WINDOW: dict[str, Any] = {"kernel": (2, 2), "stride": (2, 2), "padding": (1, 1)}
CONVOLUTION: dict[str, Any] = {
    "stride": (2, 1),
    "padding": (1, 0),
    "dilation": (1, 1),
    "groups": 2,
}
IMAGES: tuple[Int, ...] = (N, 4, 6, 6)
CASES: list[tuple[str, list[tuple[Int, ...]], dict[str, Any], tuple[Int, ...]]] = [
    ("linear", [(N, 3), (4, 3), (4,)], {}, (N, 4)),
    ("matmul", [(N, 2, 3), (3, 4)], {}, (N, 2, 4)),
    ("matmul", [(N, 2, 3), (N, 3, 4)], {}, (N, 2, 4)),
    ("convolution", [IMAGES, (8, 2, 3, 3)], CONVOLUTION, (N, 8, 3, 4)),
    ("max_pool", [IMAGES], {**WINDOW, "dilation": (1, 1), "ceil_mode": True}, (N, 4, 4, 4)),
    (
        "avg_pool",
        [IMAGES],
        {**WINDOW, "ceil_mode": False, "count_include_pad": False, "divisor_override": None},
        (N, 4, 4, 4),
    ),
    ("cross_entropy", [(N, 5), (N,)], {"ignore_index": -100, "reduction": "mean"}, ()),
    ("nll_loss", [(N, 5, 2), (N, 2)], {"ignore_index": -100, "reduction": "none"}, (N, 2)),
    ("mse_loss", [(N, 3), (N, 3)], {"reduction": "mean"}, ()),
    ("batch_norm", [IMAGES, (4,), (4,)], {"eps": 1e-5}, IMAGES),
    ("group_norm", [IMAGES, (4,), (4,)], {"eps": 1e-5, "groups": 2}, IMAGES),
    ("argsort", [(N, 3)], {"dim": 1, "descending": True, "first": 2}, (N, 2)),
    ("argsort", [(N, 3)], {"dim": 0, "descending": False, "first": N}, (N, 3)),
    ("median_place", [(N, 3)], {"dim": 1, "ignore_nan": True}, (N, 1)),
    ("reshape", [(N, 2, 3)], {"shape": (N * 2, 3)}, (N * 2, 3)),
    ("cat", [(N, 2), (3, 2)], {"dim": 0}, (N + 3, 2)),
    ("pad", [(N, 2)], {"before": (1, 0), "after": (0, 1), "value": 0}, (N + 1, 3)),
    (
        "slice",
        [(N, 4)],
        {"starts": (0, 1), "stops": (N, 4), "steps": (1, 2)},
        (N, 2),
    ),
]


def operand(builder: Builder, i: int, name: str, shape: tuple[Int, ...]) -> Node:
    labels = name in ("cross_entropy", "nll_loss") and i == 1
    kind: dtype = int64 if labels else float32
    return builder.input(f"x{i}", TensorType(shape, kind))


@pytest.mark.parametrize(("name", "shapes", "attrs", "expected"), CASES)
def test_type_decomposition_and_gradient(
    name: str, shapes: list[tuple[Int, ...]], attrs: dict[str, Any], expected: tuple[Int, ...]
) -> None:
    op, builder = OPS[name], Builder()
    xs = [operand(builder, i, name, shape) for i, shape in enumerate(shapes)]
    y = builder.apply(op, xs, attrs)
    assert y.shape == expected
    if isinstance(op.lower, Decompose):
        assert op.lower.rule(*xs, **attrs).shape == expected
    g = builder.input("g", y.type)
    parts = apply_rule(op, g, y, xs, attrs, (True,) * len(xs))
    for x, part in zip(xs, parts, strict=True):
        assert part is None or part.type == x.type
    assert op.vjp is None or any(part is not None for part in parts)
