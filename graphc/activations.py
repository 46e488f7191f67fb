"""The activations that PyTorch has outside of ``nn.functional`` too, and their in-place twins."""

from typing import Any

from graphc.functions.registry import FUNCTIONS, tensor_function
from graphc.generator import Generator
from graphc.nn import functional as F
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

relu_ = F.relu_
prelu = tensor_function(F.prelu, name="prelu", public=False)
threshold = tensor_function(F.threshold, name="threshold", method=False, public=False, out=True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """:func:`threshold` in place."""
    return F.threshold(input, threshold, value, True)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    return F.celu(input, alpha)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """:func:`celu` in place."""
    return F.celu(input, alpha, True)


def selu(input: Tensor) -> Tensor:
    """The self-normalising exponential unit of Klambauer et al. (2017)."""
    return F.selu(input)


def selu_(input: Tensor) -> Tensor:
    """:func:`selu` in place."""
    return F.selu(input, True)


def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Negative elements times a slope: drawn from ``[lower, upper)`` in training, else the mean."""
    if lower > upper:
        raise RuntimeError(f"Lower bound should be less than or equal to the upper bound, but got "
                           f"{lower} > {upper}")  # fmt: skip
    if not training:
        return F.leaky_relu(input, (lower + upper) / 2)
    slopes: Any = FUNCTIONS["empty_like"](input.detach()).uniform_(
        lower, upper, generator=generator
    )
    scaled = apply(OPS["mul"], (input, slopes), {})
    return apply(OPS["where"], (apply(OPS["le"], (input, 0), {}), scaled, input), {})


def rrelu_(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """:func:`rrelu` in place."""
    return input.copy_(rrelu(input, lower, upper, training, generator))  # type: ignore[no-any-return]
