"""Gradients of eager tensors: ``backward``, ``grad``, and the modes that switch recording."""

from graphc.autograd.backward import backward, grad
from graphc.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__all__ = [
    "backward",
    "enable_grad",
    "grad",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]
