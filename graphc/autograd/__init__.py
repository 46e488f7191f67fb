"""Gradients of eager tensors: ``backward``, ``grad``, and the modes that switch recording."""

from typing import TYPE_CHECKING

from graphc.autograd import graph
from graphc.autograd.anomaly import (
    detect_anomaly,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_detect_anomaly,
)
from graphc.autograd.backward import backward, grad
from graphc.autograd.gradcheck import gradcheck, gradgradcheck
from graphc.autograd.variable import Variable
from graphc.later import loading
from graphc.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

if TYPE_CHECKING:
    from graphc.autograd import forward_ad, function, functional, profiler
    from graphc.autograd.function import Function

__all__ = [
    "Function",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "forward_ad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "no_grad",
    "profiler",
    "set_detect_anomaly",
    "set_grad_enabled",
]

__getattr__ = loading(
    __name__,
    "forward_ad function functional profiler".split(),
    {"Function": "function"},
    __all__,
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
