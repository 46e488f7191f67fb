"""The place where PyTorch keeps the class of its version."""

from graphc.version import Version as TorchVersion

__all__ = ["TorchVersion"]
