"""PyTorch's choice among kernels of attention; here it never changes a result.

How :func:`~graphc.nn.functional.scaled_dot_product_attention` is computed follows from the shapes
alone, so the choice is checked and forgotten.
"""

import contextlib
from collections.abc import Iterator
from enum import Enum, IntEnum

from graphc.errors import unknown_name

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(IntEnum):
    """PyTorch's kernels."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    __str__ = Enum.__str__  # not the number


@contextlib.contextmanager
def sdpa_kernel(
    backends: list[SDPBackend] | SDPBackend, set_priority: bool = False
) -> Iterator[dict[str, object]]:
    """A block whose attention PyTorch would compute with one of these kernels.

    Raises AssertionError for what is neither a kernel nor a list of them.
    """
    del set_priority
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances, got "
            f"{type(backends).__name__}"
        )
    yield {}


def __getattr__(name: str) -> object:
    raise unknown_name("module 'graphc.nn.attention'", name, __all__)
