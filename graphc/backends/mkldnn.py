"""PyTorch's settings of oneDNN: remembered, without effect."""

import contextlib
import sys

from graphc.backends.switches import Switches, changed

enabled = True
deterministic = False
allow_tf32 = True
fp32_precision = "none"
matmul = Switches(fp32_precision="none")
conv = Switches(fp32_precision="none")
rnn = Switches(fp32_precision="none")


def is_available() -> bool:
    """Whether oneDNN is there: graphc has its own kernels instead."""
    return False


def flags(
    enabled: bool = False,
    deterministic: bool = False,
    allow_tf32: bool = True,
    fp32_precision: str = "none",
) -> contextlib.AbstractContextManager[None]:
    """Settings for the length of a ``with``."""
    return changed(
        sys.modules[__name__],
        enabled=enabled,
        deterministic=deterministic,
        allow_tf32=allow_tf32,
        fp32_precision=fp32_precision,
    )
