"""Layers that put something around the last dimensions."""

from typing import Any

from graphc.nn import functional as F
from graphc.nn.functional.arguments import repeated
from graphc.nn.module import Module
from graphc.tensor import Tensor


class _Pad(Module):
    spatial = 0
    mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = repeated(padding, 2 * self.spatial)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A constant around the last dimension."""

    spatial = 1


class ConstantPad2d(_ConstantPad):
    """A constant around the last two dimensions."""

    spatial = 2


class ConstantPad3d(_ConstantPad):
    """A constant around the last three dimensions."""

    spatial = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """Zeros around the last dimension."""

    spatial = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two dimensions."""

    spatial = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three dimensions."""

    spatial = 3


class ReflectionPad1d(_Pad):
    """The last dimension mirrored at its ends."""

    spatial, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The last two dimensions mirrored at their ends."""

    spatial, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The last three dimensions mirrored at their ends."""

    spatial, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The ends of the last dimension repeated."""

    spatial, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The ends of the last two dimensions repeated."""

    spatial, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The ends of the last three dimensions repeated."""

    spatial, mode = 3, "replicate"


class _CircularPad(_Pad):
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        n = self.spatial
        if input.ndim not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.ndim}D input)")
        return super().forward(input)


class CircularPad1d(_CircularPad):
    """The last dimension wrapped around."""

    spatial = 1


class CircularPad2d(_CircularPad):
    """The last two dimensions wrapped around."""

    spatial = 2


class CircularPad3d(_CircularPad):
    """The last three dimensions wrapped around."""

    spatial = 3
