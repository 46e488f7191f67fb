"""``autograd.graph``: nodes of the tape, and hooks on what it saves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from graphc.autograd.hooks import register_multi_grad_hook
from graphc.modes import MODES
from graphc.tape import TapeNode as Node
from graphc.tensor import Tensor

__all__ = [
    "GradientEdge",
    "Node",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class saved_tensors_hooks:  # noqa: N801 - PyTorch's name
    """Within a ``with``, decides what operations keep for their gradients.

    ``pack_hook(tensor)`` is called for every value that an operation saves; what it returns is
    kept instead. ``unpack_hook`` makes of that a tensor of the same type when a gradient needs it,
    each time. Of nested contexts the innermost counts.
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self._before: list[Any] = []

    def __enter__(self) -> None:
        if MODES.saved_refusal is not None:
            raise RuntimeError(MODES.saved_refusal)
        self._before.append(MODES.saved_hooks)
        MODES.saved_hooks = self.pack_hook, self.unpack_hook

    def __exit__(self, *_exc: object) -> None:
        MODES.saved_hooks = self._before.pop()


class save_on_cpu(saved_tensors_hooks):  # noqa: N801
    """Keeps saved tensors in memory of the CPU, and brings them back to their device."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        del pin_memory, device_type
        super().__init__(lambda x: (x.device, x.to("cpu")), lambda kept: kept[1].to(kept[0]))


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Within a ``with``, entering :class:`saved_tensors_hooks` raises RuntimeError."""
    before, MODES.saved_refusal = MODES.saved_refusal, error_message
    try:
        yield
    finally:
        MODES.saved_refusal = before


class GradientEdge(NamedTuple):
    """A place on the tape: an output of a node."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of a tensor arrives. Raises RuntimeError if it requires none."""
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require "
            "gradients"
        )
    return GradientEdge(tensor._here()._tape_node(), 0)


def increment_version(tensor: "Tensor | Any") -> None:
    """Counts a write that graphc did not see, so that gradients notice it."""
    for t in (tensor,) if isinstance(tensor, Tensor) else tuple(tensor):
        me = t._here()
        me._storage.version += 1
        me._seen = me._storage.version
