"""PyTorch's settings of cuDNN: remembered, without effect."""

import contextlib
import sys
from typing import Any

from graphc.backends.switches import Switches, changed

enabled = True
benchmark = False
benchmark_limit: int | None = None
deterministic = False
allow_tf32 = True
fp32_precision = "none"
conv = Switches(fp32_precision="tf32")
rnn = Switches(fp32_precision="tf32")


def version() -> int | None:
    """The version of cuDNN: there is none."""
    return None


def is_available() -> bool:
    """Whether cuDNN is there: it is not."""
    return False


def is_acceptable(tensor: Any) -> bool:
    """Whether cuDNN would compute with a tensor."""
    del tensor
    return False


def set_flags(
    _enabled: bool | None = None,
    _benchmark: bool | None = None,
    _benchmark_limit: int | None = None,
    _deterministic: bool | None = None,
    _allow_tf32: bool | None = None,
    _fp32_precision: str = "none",
) -> tuple[Any, ...]:
    """Sets what is not None; gives what was set before."""
    own, given = sys.modules[__name__], {
        "enabled": _enabled, "benchmark": _benchmark, "benchmark_limit": _benchmark_limit,
        "deterministic": _deterministic, "allow_tf32": _allow_tf32,
        "fp32_precision": _fp32_precision,
    }  # fmt: skip
    before = tuple(getattr(own, name) for name in given)
    for name, value in given.items():
        if value is not None:
            setattr(own, name, value)
    return before


def flags(
    enabled: bool = False,
    benchmark: bool = False,
    benchmark_limit: int | None = 10,
    deterministic: bool = False,
    allow_tf32: bool = True,
    fp32_precision: str = "none",
) -> contextlib.AbstractContextManager[None]:
    """Settings for the length of a ``with``."""
    return changed(
        sys.modules[__name__],
        enabled=enabled,
        benchmark=benchmark,
        benchmark_limit=benchmark_limit,
        deterministic=deterministic,
        allow_tf32=allow_tf32,
        fp32_precision=fp32_precision,
    )
