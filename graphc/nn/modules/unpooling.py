"""Layers that put maxima back where a pool found them."""

from typing import Any

from graphc.nn import functional as F
from graphc.nn.functional.arguments import Sizes, repeated
from graphc.nn.module import Module
from graphc.tensor import Tensor


class _MaxUnpool(Module):
    spatial = 0

    def __init__(self, kernel_size: Sizes, stride: Any = None, padding: Sizes = 0) -> None:
        super().__init__()
        self.kernel_size = repeated(kernel_size, self.spatial)
        self.stride = repeated(kernel_size if stride is None else stride, self.spatial)
        self.padding = repeated(padding, self.spatial)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        unpool = (F.max_unpool1d, F.max_unpool2d, F.max_unpool3d)[self.spatial - 1]
        return unpool(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """What :class:`MaxPool1d` was given, its maxima in place and zeros elsewhere."""

    spatial = 1


class MaxUnpool2d(_MaxUnpool):
    """What :class:`MaxPool2d` was given, its maxima in place and zeros elsewhere."""

    spatial = 2


class MaxUnpool3d(_MaxUnpool):
    """What :class:`MaxPool3d` was given, its maxima in place and zeros elsewhere."""

    spatial = 3
