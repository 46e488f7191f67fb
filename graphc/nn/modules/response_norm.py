"""Response normalisation across the channels of an image."""

from typing import Any

from graphc.functions.registry import FUNCTIONS
from graphc.nn import functional as F
from graphc.nn.module import Module
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


class CrossMapLRN2d(Module):
    """Each element of (N, C, H, W) divided by a power of the squares of neighbouring channels.

    The sum runs over ``2 * h + 1`` channels, ``h = (size - 1) // 2``, and from channel ``h + 1`` on
    over channel 0 as well, as it does in PyTorch. Raises ValueError for other ranks.
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.ndim}D instead.")
        half = int((self.size - 1) / 2)
        squares: Any = input * input
        around = F.pad(squares, (0, 0, 0, 0, half, half))
        window = {"dims": (1,), "sizes": (2 * half + 1,), "strides": (1,), "dilations": (1,)}
        total: Any = apply(OPS["window"], (around,), window).sum(-1)
        channels = int(input.shape[1])
        if channels > half + 1:
            far = FUNCTIONS["arange"](channels).reshape(channels, 1, 1) > half
            total = total + apply(OPS["where"], (far, squares[:, :1], 0.0), {})
        scale = total * (self.alpha / self.size) + self.k
        return input * scale.pow(-self.beta)  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
