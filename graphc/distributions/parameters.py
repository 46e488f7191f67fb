"""Parameters of distributions: brought to one shape, and one made from another when asked for."""

import itertools
from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.functions.creation import full, tensor
from graphc.functions.joining import broadcast_tensors
from graphc.functions.pointwise import where
from graphc.functions.promotion import cast
from graphc.modes import MODES, enable_grad
from graphc.nn.functional import softmax
from graphc.tensor import Tensor

EULER = 0.57721566490153286060


def is_tensor(value: Any) -> bool:
    """Whether a parameter is a tensor; a number argument of a compiled function is a number."""
    return isinstance(value, Tensor) and not value._weak


def broadcast_all(*values: Any) -> list[Tensor]:
    """Numbers and tensors as tensors of one shape.

    Numbers get the dtype of the first tensor, or the default dtype. Raises ValueError for anything
    else.
    """
    if not all(isinstance(value, (Tensor, int, float)) for value in values):
        raise ValueError(
            "Input arguments must all be instances of Number, graphc.Tensor or objects "
            "implementing __torch_function__."
        )
    dtype = next((v.dtype for v in values if is_tensor(v)), dtypes.get_default_dtype())
    return list(broadcast_tensors(*(as_parameter(value, dtype) for value in values)))


def as_parameter(value: Any, dtype: dtypes.dtype) -> Tensor:
    """A number as a tensor of a dtype; a tensor as it is."""
    if is_tensor(value):
        return value
    return cast(value, dtype) if isinstance(value, Tensor) else full((), value, dtype=dtype)


def count_like(count: Any, parameter: Any) -> Any:
    """A count as a number of the dtype of another parameter."""
    both = is_tensor(count) and is_tensor(parameter)
    return cast(count, parameter.dtype) if both else count


def values_known(*tensors: Any) -> bool:
    """Whether values can be looked at: not while they are traced."""
    return MODES.trace is None and not any(
        isinstance(tensor, Tensor) and tensor._traced for tensor in tensors
    )


class lazy_property:  # noqa: N801 - PyTorch's name
    """A parameter made from others when it is first asked for, and kept.

    In a compiled function it is not kept: the distribution may live longer than the trace.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        with enable_grad():
            value = self._function(instance)
        if MODES.trace is None:
            instance.__dict__[self.__name__] = value
        return value


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Probabilities of unnormalised log probabilities (of log odds where there are two)."""
    return logits.sigmoid() if is_binary else softmax(logits, dim=-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities that differ from 0 and 1 by a rounding error at least."""
    eps = dtypes.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Log probabilities (log odds where there are two)."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def sum_rightmost(value: Tensor, dims: int) -> Tensor:
    """The sum over the last dimensions."""
    if dims == 0:
        return value
    return value.reshape(*value.shape[: value.ndim - dims], -1).sum(-1)


def filled(like: Tensor, value: float) -> Tensor:
    """A tensor of the same shape and dtype with one value everywhere."""
    return full(like.shape, value, dtype=like.dtype)


def _triangle(n: int, diag: int) -> list[tuple[int, int]]:
    """Rows and columns up to a diagonal, row by row."""
    return [(row, column) for row in range(n) for column in range(min(row + diag + 1, n))]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Lower triangular matrices of vectors of their elements, row by row, up to a diagonal."""
    count = vec.shape[-1]
    n = next(n for n in itertools.count(max(1 - diag, 1)) if len(_triangle(n, diag)) >= count)
    places = {place: number for number, place in enumerate(_triangle(n, diag))}
    grid = [(row, column) for row in range(n) for column in range(n)]
    picked = vec[..., tensor([places.get(place, 0) for place in grid])]
    inside = tensor([place in places for place in grid])
    return where(inside, picked, 0.0).reshape(*vec.shape[:-1], n, n)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The elements of lower triangular matrices, row by row, up to a diagonal.

    Raises ValueError for a diagonal that the matrices do not have.
    """
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    places = tensor([row * n + column for row, column in _triangle(n, diag)], dtype=dtypes.int64)
    return mat.reshape(*mat.shape[:-2], n * n)[..., places]
