"""All parameters as one vector, and back."""

from collections.abc import Iterable
from typing import Any

from graphc.functions.joining import cat
from graphc.modes import no_grad
from graphc.tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other."""
    return cat([p.view(-1) for p in parameters])  # type: ignore[attr-defined, no-any-return]


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Makes parameters of the elements of a vector, whose memory they then share.

    Raises TypeError for what is no tensor, RuntimeError for a vector that is too short.
    """
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected graphc.Tensor, but got: {type(vec).__name__}")
    source: Any = vec
    start = 0
    for p in parameters:
        n = p.numel()
        p.data = source[start : start + n].view_as(p).data  # type: ignore[attr-defined]
        start += n
