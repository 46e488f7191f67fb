"""Mixed precision under PyTorch's older names, which are for GPUs: prefer :mod:`graphc.amp`."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.amp import autocast_mode, grad_scaler
from graphc.dtypes import dtype as DType

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


def _deprecated(name: str) -> None:
    call = f"{name}('cuda', args...)" if name[0] in "aG" else f"{name}(args..., device_type='cuda')"
    warnings.warn(
        f"`graphc.cuda.amp.{name}(args...)` is deprecated. Please use `graphc.amp.{call}` instead.",
        FutureWarning,
        stacklevel=3,
    )


class autocast(autocast_mode.autocast):  # noqa: N801 - PyTorch's name
    """``graphc.amp.autocast("cuda", ...)``."""

    def __init__(
        self, enabled: bool = True, dtype: DType = dtypes.float16, cache_enabled: bool = True
    ) -> None:
        _deprecated("autocast")
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(grad_scaler.GradScaler):
    """``graphc.amp.GradScaler("cuda", ...)``."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        _deprecated("GradScaler")
        super().__init__(
            "cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled
        )


def custom_fwd(fwd: Callable[..., Any] | None = None, *, cast_inputs: DType | None = None) -> Any:
    """``graphc.amp.custom_fwd(..., device_type="cuda")``."""
    _deprecated("custom_fwd")
    return functools.partial(autocast_mode.custom_fwd, device_type="cuda")(
        fwd, cast_inputs=cast_inputs
    )


def custom_bwd(bwd: Callable[..., Any]) -> Any:
    """``graphc.amp.custom_bwd(..., device_type="cuda")``."""
    _deprecated("custom_bwd")
    return autocast_mode.custom_bwd(bwd, device_type="cuda")
