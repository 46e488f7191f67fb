"""Gradients kept from growing too large."""

import types
import warnings
from collections.abc import Iterable
from typing import Any

from graphc.functions.creation import tensor
from graphc.functions.joining import stack
from graphc.linalg import vector_norm
from graphc.modes import no_grad
from graphc.tensor import Tensor

Tensors = Tensor | Iterable[Tensor]


def _listed(tensors: Tensors) -> list[Any]:
    return [tensors] if isinstance(tensors, Tensor) else list(tensors)


def _gradients(parameters: Tensors) -> list[Any]:
    return [p.grad for p in _listed(parameters) if p.grad is not None]


@no_grad()
def get_total_norm(
    tensors: Tensors,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of several tensors together; 0 of none.

    With ``error_if_nonfinite`` it raises RuntimeError where the norm is NaN or infinite.
    """
    del foreach
    given = _listed(tensors)
    if not given:
        return tensor(0.0)
    order = float(norm_type)
    total: Any = vector_norm(stack([vector_norm(x, order) for x in given]), order)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"The total norm of order {order} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total  # type: ignore[no-any-return]


@no_grad()
def clip_grads_with_norm_(
    parameters: Tensors, max_norm: float, total_norm: Tensor, foreach: bool | None = None
) -> None:
    """Scales all gradients in place by ``max_norm / total_norm`` where that is less than 1."""
    del foreach
    factor: Any = float(max_norm) / (total_norm + 1e-6)  # type: ignore[operator]
    factor = factor.clamp(max=1.0)
    for g in _gradients(parameters):
        g.mul_(factor)


@no_grad()
def clip_grad_norm_(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients in place so that their common norm is at most ``max_norm``.

    Returns the norm before. Raises RuntimeError for a norm that is not finite, if asked to.
    """
    given = _listed(parameters)
    if not given and isinstance(parameters, types.GeneratorType):
        warnings.warn(
            "`parameters` is an empty generator, no gradient clipping will occur.", stacklevel=3
        )
    total = get_total_norm(_gradients(given), norm_type, error_if_nonfinite, foreach)
    clip_grads_with_norm_(given, max_norm, total, foreach)
    return total


def clip_grad_norm(
    parameters: Tensors,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The old name of :func:`clip_grad_norm_`."""
    warnings.warn(
        "`graphc.nn.utils.clip_grad_norm` is now deprecated in favor of "
        "`graphc.nn.utils.clip_grad_norm_`.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite, foreach)


@no_grad()
def clip_grad_value_(parameters: Tensors, clip_value: float, foreach: bool | None = None) -> None:
    """Limits every element of every gradient to ``[-clip_value, clip_value]``, in place."""
    del foreach
    limit = float(clip_value)
    for g in _gradients(parameters):
        g.clamp_(-limit, limit)
