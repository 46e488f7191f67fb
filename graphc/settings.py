"""PyTorch's switches for what graphc has only one way of doing: they remember and tell.

Results here never depend on the order of threads, so every algorithm is deterministic already.
"""

import warnings
from typing import Any

from graphc.device import device as Device
from graphc.functions.promotion import supported
from graphc.ir import CPU


class _Settings:
    """The settings of this process."""

    device: Device = CPU
    deterministic = False
    warn_only = False
    warn_always = False
    matmul_precision = "highest"
    interop_threads = 1


def set_default_device(device: Any) -> None:
    """Where tensors are made; None is the CPU. Raises RuntimeError where none can be."""
    _Settings.device = CPU if device is None else supported(Device(device))


def get_default_device() -> Device:
    """Where tensors are made unless a device is given."""
    return _Settings.device


def _need_bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}(): argument 'mode' must be bool, not {type(value).__name__}")
    return value


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Asks for results that are the same every time, which they are in any case."""
    _Settings.deterministic = _need_bool("use_deterministic_algorithms", mode)
    _Settings.warn_only = _need_bool("use_deterministic_algorithms", warn_only)


def are_deterministic_algorithms_enabled() -> bool:
    """Whether :func:`use_deterministic_algorithms` was asked for."""
    return _Settings.deterministic


def is_deterministic_algorithms_warn_only_enabled() -> bool:
    """Whether a warning was to replace the error."""
    return _Settings.warn_only


_DEBUG_MODES = {"default": 0, "warn": 1, "error": 2}


def set_deterministic_debug_mode(debug_mode: int | str) -> None:
    """``default`` (0), ``warn`` (1) or ``error`` (2). Raises RuntimeError for anything else."""
    number = _DEBUG_MODES.get(debug_mode) if isinstance(debug_mode, str) else debug_mode
    if number not in (0, 1, 2):
        raise RuntimeError(
            "invalid value of debug_mode, expected `default`, `warn`, `error`, 0, 1 or 2, but got "
            f"{debug_mode}"
        )
    use_deterministic_algorithms(number > 0, warn_only=number == 1)


def get_deterministic_debug_mode() -> int:
    """0, 1 or 2: see :func:`set_deterministic_debug_mode`."""
    return (1 if _Settings.warn_only else 2) if _Settings.deterministic else 0


_PRECISIONS = ("highest", "high", "medium")


def set_float32_matmul_precision(precision: str) -> None:
    """``highest``, ``high`` or ``medium``; products are computed in float32 in any case."""
    if precision not in _PRECISIONS:
        warnings.warn(
            f"{precision} is not one of 'highest', 'high', or 'medium'; the call has no effect",
            stacklevel=2,
        )
        return
    _Settings.matmul_precision = precision


def get_float32_matmul_precision() -> str:
    """What :func:`set_float32_matmul_precision` was given last."""
    return _Settings.matmul_precision


def set_flush_denormal(mode: bool) -> bool:
    """Whether subnormal numbers become zeros: they never do, so True is answered with False."""
    return not _need_bool("set_flush_denormal", mode)


def set_warn_always(b: bool) -> None:
    """Remembers the wish that warnings be repeated; Python's filters decide."""
    _Settings.warn_always = _need_bool("set_warn_always", b)


def is_warn_always_enabled() -> bool:
    """What :func:`set_warn_always` was given last."""
    return _Settings.warn_always


def set_num_interop_threads(num_threads: int) -> None:
    """Remembers a number: operations run one after the other. Raises RuntimeError below 1."""
    if not isinstance(num_threads, int) or num_threads < 1:
        raise RuntimeError(f"expected a positive number of threads, got {num_threads!r}")
    _Settings.interop_threads = num_threads


def get_num_interop_threads() -> int:
    """What :func:`set_num_interop_threads` was given last."""
    return _Settings.interop_threads


__all__ = sorted(
    name for name in globals() if not name.startswith("_") and name.islower() and "_" in name
)
