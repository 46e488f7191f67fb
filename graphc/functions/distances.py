"""Distances of tensors and of points: all pairs of two sets, all pairs of one."""

import math
from typing import Any

from graphc.errors import DtypeError, ShapeError
from graphc.functions.norms import vector_norm
from graphc.functions.promotion import promoted
from graphc.functions.registry import FUNCTIONS, tensor_function
from graphc.ops import OPS
from graphc.ops.rules import broadcast
from graphc.tensor import Tensor, apply

_MANY = 25  # points from which PyTorch takes Euclidean distances from a matrix product
_MODES = (
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


@tensor_function
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of ``input - other``, which broadcast, over all elements."""
    a, b = promoted("dist", input, other)
    return vector_norm(apply(OPS["sub"], (a, b), {}), p)  # type: ignore[no-any-return]


def _between(a: Tensor, b: Tensor, p: float) -> Tensor:
    """The p-norms of ``a - b`` along the last dimension; 0 for points without coordinates."""
    apart = apply(OPS["sub"], (a, b), {})
    if apart.shape[-1] == 0 and (p < 1 or p == math.inf):
        attrs = {"dims": (apart.ndim - 1,), "keepdim": False}
        return apply(OPS["sum"], (apart,), attrs)
    return vector_norm(apart, p, -1)  # type: ignore[no-any-return]


@tensor_function(method=False)
def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str | None = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """The p-norm distance of every row of ``x1`` from every row of ``x2``.

    Shapes ``(*, P, M)`` and ``(*, R, M)`` give ``(*, P, R)``. ``compute_mode`` says whether
    Euclidean distances come from a matrix product, which is faster and rounds more.
    """
    for name, x in (("X1", x1), ("X2", x2)):
        if x.ndim < 2:
            raise ShapeError(f"cdist only supports at least 2D tensors, {name} got: {x.ndim}D")
        if not x.dtype.is_floating_point:
            raise DtypeError(f"cdist only supports floating-point dtypes, {name} got: {x.dtype}")
    if x1.shape[-1] != x2.shape[-1]:
        raise ShapeError(
            f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}"
        )
    if not p >= 0:
        raise RuntimeError("cdist only supports non-negative p values")
    mode = _MODES[0] if compute_mode is None else compute_mode
    if mode not in _MODES:
        raise ValueError(f"{mode} is not a valid value for compute_mode")
    many = x1.shape[-2] > _MANY or x2.shape[-2] > _MANY
    if p == 2 and (mode == _MODES[1] or (mode == _MODES[0] and many)):
        a, b = promoted("cdist", x1, x2)
        lead = broadcast(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
        a, b = (_expanded(x, (*lead, *x.shape[-2:])) for x in (a, b))
        return apply(OPS["euclidean_distances"], (a, b), {})
    a, b = promoted("cdist", x1.unsqueeze(-2), x2.unsqueeze(-3))
    return _between(a, b, p)


def _expanded(x: Tensor, shape: tuple[Any, ...]) -> Tensor:
    lead = len(shape) - x.ndim
    if lead:
        x = apply(OPS["reshape"], (x,), {"shape": (1,) * lead + tuple(x.shape)})
    return x if tuple(x.shape) == shape else apply(OPS["expand"], (x,), {"shape": shape})


@tensor_function(method=False)
def pdist(input: Tensor, p: float = 2) -> Tensor:
    """The p-norm distances of all pairs of rows, as the upper triangle of cdist row by row."""
    if input.ndim != 2:
        raise ShapeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if not input.dtype.is_floating_point:
        raise DtypeError(f"pdist only supports floating-point dtypes, not {input.dtype}")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    count = input.shape[0]
    if count < 2:  # no pairs, but on the tape
        none = FUNCTIONS["narrow"](input, 0, 0, 0)
        return _between(none, none, p)
    pairs = FUNCTIONS["triu_indices"](count, count, 1)
    first, second = (FUNCTIONS["index_select"](input, 0, pairs[i]) for i in (0, 1))
    return _between(first, second, p)
