"""Channels exchanged among each other."""

from graphc.nn import functional as F
from graphc.nn.module import Module
from graphc.tensor import Tensor


class ChannelShuffle(Module):
    """The channels of (N, C, ...) dealt out to ``groups`` in turn."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
