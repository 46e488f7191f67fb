"""Whatever accelerator there is: today none, and tensors live on the CPU."""

from typing import Any

from graphc import cuda
from graphc.device import device


def is_available() -> bool:
    """Whether there is one."""
    return cuda.is_available()


def device_count() -> int:
    """How many there are."""
    return cuda.device_count()


def current_accelerator(check_available: bool = False) -> device | None:
    """Its kind of device; None where there is none."""
    del check_available
    return device("cuda") if is_available() else None


def current_device_index() -> int:
    """The number of the one in use. Raises RuntimeError where there is none."""
    raise cuda.NoGPUError("graphc.accelerator.current_device_index: there is no accelerator")


def synchronize(device: Any = None) -> None:
    """Waits for it. Raises RuntimeError where there is none."""
    del device
    raise cuda.NoGPUError("graphc.accelerator.synchronize: there is no accelerator")


def empty_cache() -> None:
    """Gives unused memory back; there is none."""
