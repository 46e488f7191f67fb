"""The place where PyTorch keeps the handles of hooks."""

from graphc.nn.structure import RemovableHandle

__all__ = ["RemovableHandle"]
