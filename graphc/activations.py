"""The activations that PyTorch has outside of ``nn.functional`` too, and their in-place twins."""

from graphc.functions.registry import tensor_function
from graphc.generator import Generator
from graphc.nn import functional as F
from graphc.tensor import Tensor

relu_, threshold_, celu_, selu_ = F.relu_, F.threshold_, F.celu_, F.selu_
threshold = tensor_function(F.threshold, name="threshold", method=False, public=False, out=True)


def celu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """``max(0, x) + min(0, alpha * (exp(x / alpha) - 1))``."""
    return F.celu(input, alpha)


def selu(input: Tensor) -> Tensor:
    """The self-normalising exponential unit of Klambauer et al. (2017)."""
    return F.selu(input)


def rrelu(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """Negative elements times a slope: drawn from ``[lower, upper)`` in training, else the mean."""
    return F.rrelu(input, lower, upper, training, generator=generator)


def rrelu_(
    input: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: Generator | None = None,
) -> Tensor:
    """:func:`rrelu` in place."""
    return F.rrelu(input, lower, upper, training, True, generator=generator)
