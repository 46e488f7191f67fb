"""Gradients kept from growing too large."""

from collections.abc import Iterable
from typing import Any

from graphc.functions.joining import stack
from graphc.modes import no_grad
from graphc.tensor import Tensor


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Any]:
    given = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in given if p.grad is not None]


@no_grad()
def get_total_norm(
    tensors: Tensor | Iterable[Tensor],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all elements of several tensors together."""
    del foreach
    given: list[Any] = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if not given:
        return Tensor(()).sum()  # type: ignore[attr-defined, no-any-return]
    norms = [g.norm(float(norm_type)) for g in given]
    total: Any = stack(norms).norm(float(norm_type))
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, "
            "so it cannot be clipped. To disable this error and scale the gradients by the "
            "non-finite norm anyway, set `error_if_nonfinite=False`"
        )
    return total  # type: ignore[no-any-return]


@no_grad()
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scales all gradients in place so that their common norm is at most ``max_norm``.

    Returns the norm before. Raises RuntimeError for a norm that is not finite, if asked to.
    """
    gradients = _gradients(parameters)
    total: Any = get_total_norm(gradients, norm_type, error_if_nonfinite, foreach)
    factor = (float(max_norm) / (total + 1e-6)).clamp(max=1.0)
    for g in gradients:
        g.mul_(factor)
    return total  # type: ignore[no-any-return]


@no_grad()
def clip_grad_value_(
    parameters: Tensor | Iterable[Tensor], clip_value: float, foreach: bool | None = None
) -> None:
    """Limits every element of every gradient to ``[-clip_value, clip_value]``, in place."""
    del foreach
    limit = float(clip_value)
    for g in _gradients(parameters):
        g.copy_(g.clamp(-limit, limit))
