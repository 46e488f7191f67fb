"""Gradients of eager tensors: ``backward``, ``grad``, and the modes that switch recording."""

from graphc.autograd import forward_ad, function, functional, graph, profiler
from graphc.autograd.anomaly import (
    detect_anomaly,
    is_anomaly_check_nan_enabled,
    is_anomaly_enabled,
    set_detect_anomaly,
)
from graphc.autograd.backward import backward, grad
from graphc.autograd.function import Function
from graphc.autograd.gradcheck import gradcheck, gradgradcheck
from graphc.autograd.variable import Variable
from graphc.modes import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

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
