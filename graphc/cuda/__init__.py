"""GPUs, as far as there are any: today graphc runs on CPUs, and these functions say so.

What a program asks before it uses a GPU (``is_available``, ``device_count``, seeds, memory in use,
``empty_cache``) is answered. What only makes sense on a GPU raises :class:`NoGPUError`.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NoReturn

from graphc.cuda import amp as amp
from graphc.device import device as Device

has_half = True


class NoGPUError(AssertionError, RuntimeError):
    """Something was asked of a GPU; PyTorch without CUDA raises AssertionError or RuntimeError."""


OutOfMemoryError = type("OutOfMemoryError", (RuntimeError,), {"__module__": __name__})


def _refuse(what: str) -> NoReturn:
    raise NoGPUError(
        f"graphc.cuda.{what} needs a GPU, and graphc runs on CPUs; "
        "graphc.cuda.is_available() tells beforehand"
    )


# ------------------------------------------------------------------------------- what there is


def is_available() -> bool:
    """Whether tensors can live on a GPU: not yet."""
    return False


def device_count() -> int:
    """The number of GPUs that graphc can use."""
    return 0


def is_initialized() -> bool:
    """Whether a GPU is in use."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether a GPU computes in bfloat16."""
    del including_emulation
    return False


def get_arch_list() -> list[str]:
    """The architectures that kernels exist for."""
    return []


# What only makes sense on a GPU, and what it would do there.
_ONLY_ON_GPUS = {
    "init": "Starts the GPU's runtime.",
    "current_device": "The index of the GPU in use.",
    "get_device_name": "The name of a GPU.",
    "get_device_capability": "The compute capability of a GPU.",
    "get_device_properties": "Name, memory and so on of a GPU.",
    "can_device_access_peer": "Whether one GPU reads the memory of another.",
    "synchronize": "Waits for a GPU.",
    "current_stream": "The queue that work goes into.",
    "default_stream": "The first queue of a GPU.",
    "ipc_collect": "Gives memory shared with other processes back.",
    "memory_summary": "A table of :func:`memory_stats`.",
    "mem_get_info": "Free and total bytes of a GPU.",
    "set_per_process_memory_fraction": "Limits the memory that is used of a GPU.",
    "initial_seed": "What the GPU's generator was seeded with.",
    "get_rng_state": "The state of the GPU's generator.",
}
_MADE_ON_GPUS = {
    "Stream": "A queue of a GPU's work.",
    "Event": "A mark in a GPU's queue.",
    "CUDAGraph": "Recorded work of a GPU.",
}


def _refusing(name: str, doc: str) -> Callable[..., NoReturn]:
    def refusing(*_args: Any, **_kwargs: Any) -> NoReturn:
        _refuse(name)

    refusing.__name__ = refusing.__qualname__ = name
    refusing.__doc__ = f"{doc} Raises NoGPUError."
    return refusing


def _refusing_class(name: str, doc: str) -> type:
    members = {"__init__": _refusing(name, doc), "__module__": __name__}
    return type(name, (), {**members, "__doc__": f"{doc} Making one raises NoGPUError."})


globals().update({name: _refusing(name, doc) for name, doc in _ONLY_ON_GPUS.items()})
globals().update({name: _refusing_class(name, doc) for name, doc in _MADE_ON_GPUS.items()})


# --------------------------------------------------------------------------------- choosing a GPU


def _index(chosen: Any) -> int:
    """The number of a GPU; below zero for none and for the CPU."""
    if chosen is None:
        return -1
    if isinstance(chosen, int):
        return chosen
    place = Device(chosen)
    return -1 if place.type == "cpu" else (place.index or 0)


def set_device(device: Any) -> None:
    """Chooses a GPU; a negative number chooses nothing. Raises NoGPUError for any other."""
    if _index(device) >= 0:
        _refuse("set_device")


class device:  # noqa: N801 - PyTorch's name
    """``with device(0):`` chooses a GPU. None and -1 choose nothing; others raise NoGPUError."""

    def __init__(self, device: Any) -> None:
        self.idx = _index(device)

    def __enter__(self) -> None:
        if self.idx >= 0:
            _refuse("device")

    def __exit__(self, *_exc: object) -> None: ...


class device_of(device):  # noqa: N801 - PyTorch's name
    """Chooses the GPU of a tensor, if it is on one."""

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.device)


class stream:  # noqa: N801 - PyTorch's name
    """``with stream(s):`` puts work into a queue; None, the only one there is, changes nothing."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __enter__(self) -> None: ...

    def __exit__(self, *_exc: object) -> None: ...


StreamContext = stream


def set_stream(stream: Any) -> None:
    """Chooses the queue that work goes into; there is none but None."""
    del stream


# ------------------------------------------------------------------------------------------ memory


def empty_cache() -> None:
    """Gives unused memory of GPUs back; there is none."""


def _nothing(name: str, doc: str) -> Any:
    def count(_device: Any = None) -> int:
        return 0

    count.__name__ = count.__qualname__ = name
    count.__doc__ = doc
    return count


memory_allocated = _nothing("memory_allocated", "Bytes that tensors take on a GPU.")
max_memory_allocated = _nothing("max_memory_allocated", "The most that memory_allocated was.")
memory_reserved = _nothing("memory_reserved", "Bytes kept for tensors on a GPU.")
max_memory_reserved = _nothing("max_memory_reserved", "The most that memory_reserved was.")
memory_cached = memory_reserved
max_memory_cached = max_memory_reserved


def memory_stats(device: Any = None) -> "OrderedDict[str, Any]":
    """What is known about a GPU's memory, by name: nothing."""
    del device
    return OrderedDict()


def reset_peak_memory_stats(device: Any = None) -> None:
    """Begins anew with the most that was in use, which is nothing."""
    del device


reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats
reset_accumulated_memory_stats = reset_peak_memory_stats


# -------------------------------------------------------------------------------- random numbers


def manual_seed(seed: int) -> None:
    """Seeds the GPU's generator; without one there is nothing to seed."""
    del seed


def manual_seed_all(seed: int) -> None:
    """Seeds every GPU's generator; without one there is nothing to seed."""
    del seed


def seed() -> None:
    """Seeds the GPU's generator at random; without one there is nothing to seed."""


def seed_all() -> None:
    """Seeds every GPU's generator at random; without one there is nothing to seed."""


def get_rng_state_all() -> list[Any]:
    """The states of all GPUs' generators, of which there are none."""
    return []


def set_rng_state(new_state: Any, device: Any = "cuda") -> None:
    """Sets the state of the GPU's generator; without one there is nothing to set."""
    del new_state, device


def set_rng_state_all(new_states: Any) -> None:
    """Sets the states of all GPUs' generators; without any there is nothing to set."""
    del new_states


_IMPORTED = ("Any", "Callable", "Device", "NoReturn", "OrderedDict")
__all__ = sorted(name for name in globals() if not name.startswith("_") and name not in _IMPORTED)
