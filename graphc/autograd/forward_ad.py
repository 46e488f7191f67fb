"""``autograd.forward_ad``: tensors that carry a tangent, by gradients of gradients.

A dual tensor is a variable of the tape that remembers a direction. Its results are asked how they
change along it: their pullback is linear in the cotangent, and the gradient of that is the change.
So everything with a double backward has a forward mode.
"""

import threading
from typing import NamedTuple

from graphc.func.gradients import entered, pushed_forward
from graphc.modes import MODES, enable_grad
from graphc.tensor import Tensor


class UnpackedDualTensor(NamedTuple):
    """A tensor and how it changes; None where it does not."""

    primal: Tensor
    tangent: Tensor | None


class _Levels(threading.local):
    def __init__(self) -> None:
        self.open: list[list[tuple[Tensor, Tensor]]] = []


_LEVELS = _Levels()


class dual_level:  # noqa: N801 - PyTorch's name
    """The ``with`` in which dual tensors live. They cannot be nested. As in PyTorch."""

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *_exc: object) -> None:
        exit_dual_level()


def enter_dual_level() -> int:
    """Opens a level and gives its number. Raises RuntimeError while another one is open."""
    if _LEVELS.open:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    _LEVELS.open.append([])
    return 0


def exit_dual_level(*, level: int | None = None) -> None:
    """Closes the level; its tangents are forgotten."""
    del level
    if not _LEVELS.open:
        raise RuntimeError("Trying to exit a forward AD level that was not the last one entered")
    _LEVELS.open.pop()


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """The tensor with a tangent: what is computed from it changes along.

    Raises RuntimeError outside of a level, or when shapes or dtypes differ.
    """
    del level
    if not _LEVELS.open:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    if not tensor.dtype.is_floating_point:
        raise ValueError(
            f"Expected primal to be floating point or complex, but got: {tensor.dtype}"
        )
    if tuple(tensor.shape) != tuple(tangent.shape) or tensor.dtype is not tangent.dtype:
        raise RuntimeError(
            f"make_dual: a tensor of type {tensor._type} cannot have a tangent of type "
            f"{tangent._type}"
        )
    if not MODES.grad:
        raise RuntimeError("make_dual: dual tensors are recorded on the tape; leave no_grad")
    dual = entered(tensor)
    _LEVELS.open[-1].append((dual, tangent))
    return dual


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The tensor itself, and its change along the tangents of the level; None where none comes."""
    del level
    pairs = _LEVELS.open[-1] if _LEVELS.open else []
    if not pairs or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    for dual, tangent in pairs:
        if dual is tensor:
            return UnpackedDualTensor(tensor, tangent)
    with enable_grad():
        changes, _ = pushed_forward([tensor], [d for d, _ in pairs], [t for _, t in pairs])
    return UnpackedDualTensor(tensor, changes[0])
