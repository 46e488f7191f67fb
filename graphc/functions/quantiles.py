"""Quantiles: elements, or points between elements, of what is sorted."""

from typing import Any

import numpy as np

from graphc import dtypes
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function, write_out
from graphc.functions.sorting import argsorted, gathered, lined_up
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _check(input: Tensor, q: Tensor, interpolation: str, out: Tensor | None) -> None:
    if input.numel() == 0:
        raise RuntimeError("quantile() input tensor must be non-empty")
    if q.ndim > 1:
        raise RuntimeError("quantile() q must be a scalar or 1D tensor")
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError("quantile() input tensor must be either float or double dtype")
    if q.dtype is not input.dtype:
        raise RuntimeError("quantile() q tensor must be same dtype as the input tensor")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(
            "quantile() interpolation must be one of linear, lower, higher, midpoint or nearest, "
            f"but got {interpolation}"
        )
    if out is not None and out.dtype is not input.dtype:
        raise RuntimeError("quantile() out tensor must be same dtype as the input tensor")


def _wanted(q: Any, input: Tensor) -> Tensor:
    """``q`` as a tensor. Raises RuntimeError outside [0, 1], where its values are known."""
    if isinstance(q, Tensor):
        if MODES.trace is None and not bool(np.all((q._array() >= 0) & (q._array() <= 1))):
            raise RuntimeError("quantile() q values must be in the range [0, 1]")
        return q
    if not isinstance(q, (int, float)):
        raise TypeError(
            "quantile() received an invalid combination of arguments - got (Tensor, "
            f"{type(q).__name__}), but expected q to be a Tensor or a float"
        )
    if not 0 <= q <= 1:
        raise RuntimeError(f"quantile() q must be in the range [0, 1] but got {q:g}")
    attrs = {"value": float(q), "shape": (), "dtype": input.dtype, "device": CPU}
    return apply(OPS["full"], (), attrs)


def _quantile(
    input: Tensor,
    q: Any,
    dim: int | None,
    keepdim: bool,
    interpolation: str,
    out: Tensor | None,
    ignore_nan: bool,
) -> Tensor:
    if isinstance(q, Tensor):
        _check(input, q, interpolation, out)
    wanted = _wanted(q, input)
    _check(input, wanted, interpolation, out)
    rows, axis = lined_up(input.reshape(-1) if dim is None else input, 0 if dim is None else dim)
    rows = rows.movedim(axis, -1)
    lead, size = tuple(rows.shape[:-1]), rows.shape[-1]
    last = len(lead)
    ordered = gathered(rows, argsorted(rows, last, descending=False), last)
    levels = wanted.reshape(-1)
    nan = ordered.ne(ordered)
    if ignore_nan:
        known = (size - nan.sum(-1, keepdim=True)).clamp(min=1)
        ranks = levels * cast(known - 1, rows.dtype)
    else:
        # NaN is sorted to the end, which is where all of a row is taken from that has any.
        ranks = (levels * (size - 1)).masked_fill(nan.any(-1, keepdim=True), size - 1)
    result = _between(ordered, ranks, interpolation)
    if dim is None:
        shape: tuple[int, ...] = (1,) * input.ndim if keepdim else ()
    elif not input.ndim:
        shape = ()
    else:
        shape = (*lead[:axis], 1, *lead[axis:]) if keepdim else lead
    front = result.movedim(-1, 0).reshape(levels.numel(), *shape)
    done = front if wanted.ndim else front.reshape(shape)
    return done if out is None else write_out(out, done, "quantile")


def _between(ordered: Tensor, ranks: Tensor, interpolation: str) -> Tensor:
    """The points at ranks that lie between elements of sorted rows."""
    rounding = {"lower": "floor", "higher": "ceil", "nearest": "round"}
    last = ordered.ndim - 1
    if interpolation in rounding:
        at = apply(OPS[rounding[interpolation]], (ranks,), {})
        return gathered(ordered, cast(at, dtypes.int64), last)
    below = cast(ranks.detach(), dtypes.int64)
    above = cast(apply(OPS["ceil"], (ranks.detach(),), {}), dtypes.int64)
    half = {"value": 0.5, "shape": (), "dtype": ranks.dtype, "device": CPU}
    weight = ranks - below if interpolation == "linear" else apply(OPS["full"], (), half)
    ends = (gathered(ordered, below, last), gathered(ordered, above, last))
    return apply(OPS["lerp"], (*ends, weight), {})


@tensor_function
def quantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """The ``q``-th quantiles along ``dim`` (default: of all elements); NaN where there is any.

    ``q`` is a number in [0, 1], or a tensor of such numbers, whose dimension comes first in the
    result. A quantile between two elements ``a`` and ``b`` is ``a + (b - a) * fraction``, or as
    ``interpolation`` says: 'lower', 'higher', 'nearest' or 'midpoint'. float32 and float64 only.
    Raises RuntimeError for other dtypes, an empty input, and (of a tensor eagerly, where its values
    are known) for ``q`` outside [0, 1].
    """
    return _quantile(input, q, dim, keepdim, interpolation, out, ignore_nan=False)


@tensor_function
def nanquantile(
    input: Tensor,
    q: Any,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
    out: Tensor | None = None,
) -> Tensor:
    """:func:`quantile` of the elements that are not NaN; NaN where there are none."""
    return _quantile(input, q, dim, keepdim, interpolation, out, ignore_nan=True)
