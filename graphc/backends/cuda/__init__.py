"""PyTorch's settings of CUDA libraries: remembered, without effect."""

import contextlib
import sys
from typing import Any

from graphc.backends.switches import Switches, changed

matmul = Switches(
    allow_tf32=False,
    allow_fp16_reduced_precision_reduction=True,
    allow_bf16_reduced_precision_reduction=True,
    allow_fp16_accumulation=False,
    fp32_precision="none",
)
_kernels = Switches(flash=True, mem_efficient=True, math=True, cudnn=True)
_linalg_library = "default"


def is_built() -> bool:
    """Whether graphc was built for CUDA: it was not."""
    return False


def flash_sdp_enabled() -> bool:
    """What :func:`enable_flash_sdp` was given."""
    return bool(_kernels.__dict__["flash"])


def enable_flash_sdp(enabled: bool) -> None:
    """Remembers whether attention may use a kernel of that kind."""
    _kernels.flash = enabled


def mem_efficient_sdp_enabled() -> bool:
    """What :func:`enable_mem_efficient_sdp` was given."""
    return bool(_kernels.__dict__["mem_efficient"])


def enable_mem_efficient_sdp(enabled: bool) -> None:
    """Remembers whether attention may use a kernel of that kind."""
    _kernels.mem_efficient = enabled


def math_sdp_enabled() -> bool:
    """What :func:`enable_math_sdp` was given."""
    return bool(_kernels.__dict__["math"])


def enable_math_sdp(enabled: bool) -> None:
    """Remembers whether attention may be composed of products."""
    _kernels.math = enabled


def cudnn_sdp_enabled() -> bool:
    """What :func:`enable_cudnn_sdp` was given."""
    return bool(_kernels.__dict__["cudnn"])


def enable_cudnn_sdp(enabled: bool) -> None:
    """Remembers whether attention may use cuDNN."""
    _kernels.cudnn = enabled


def sdp_kernel(
    enable_flash: bool = True,
    enable_math: bool = True,
    enable_mem_efficient: bool = True,
    enable_cudnn: bool = True,
) -> contextlib.AbstractContextManager[None]:
    """Kinds of kernels for the length of a ``with``."""
    return changed(
        _kernels,
        flash=enable_flash,
        math=enable_math,
        mem_efficient=enable_mem_efficient,
        cudnn=enable_cudnn,
    )


def preferred_linalg_library(backend: Any = None) -> Any:
    """Remembers which library is preferred; gives what was said last."""
    own = sys.modules[__name__].__dict__
    if backend is not None:
        own["_linalg_library"] = backend
    return own["_linalg_library"]
