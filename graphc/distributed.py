"""Training in several processes, which graphc does not have: the answers are those of one process.

``is_available()`` is false, so programs that ask go on by themselves; what joins processes refuses.
"""

from collections.abc import Callable
from typing import Any, NoReturn


def is_available() -> bool:
    """Whether processes can be joined: they cannot."""
    return False


def is_initialized() -> bool:
    """Whether this process has joined others: it has not."""
    return False


def is_nccl_available() -> bool:
    """Whether GPUs can talk to each other: there are none."""
    return False


def is_gloo_available() -> bool:
    """Whether processes can talk through Gloo: they cannot."""
    return False


def is_mpi_available() -> bool:
    """Whether processes can talk through MPI: they cannot."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether PyTorch's launcher started this process."""
    return False


# What needs other processes.
_REFUSED = """
    init_process_group destroy_process_group new_group get_rank get_world_size get_backend barrier
    all_reduce all_gather all_gather_object broadcast broadcast_object_list reduce scatter gather
    reduce_scatter send recv
"""


def _refusing(name: str) -> Callable[..., NoReturn]:
    def refusing(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise RuntimeError(
            f"graphc.distributed.{name}: graphc trains in one process, whose threads share the "
            "work; graphc.distributed.is_available() tells beforehand"
        )

    refusing.__name__ = refusing.__qualname__ = name
    refusing.__doc__ = "Needs other processes. Raises RuntimeError."
    return refusing


globals().update({name: _refusing(name) for name in _REFUSED.split()})
