"""Places of values in sorted sequences, and how many values fall in which bin."""

import math
from typing import Any

from graphc import dtypes, return_types
from graphc.errors import DtypeError, ShapeError
from graphc.functions.promotion import cast, common_dtype
from graphc.functions.registry import tensor_function, write_out
from graphc.functions.scans import not_implemented
from graphc.ir import CPU
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _full(shape: tuple[int, ...], value: float, dtype: dtypes.dtype) -> Tensor:
    return apply(OPS["full"], (), {"value": value, "shape": shape, "dtype": dtype, "device": CPU})


def _reshaped(x: Tensor, *shape: int) -> Tensor:
    return apply(OPS["reshape"], (x,), {"shape": shape})


def _added_up(positions: Tensor, amounts: Tensor, count: int) -> Tensor:
    """``count`` bins, each with the sum of the amounts whose position it is, in order."""
    bins = _full((count,), 0, amounts.dtype)
    return apply(OPS["put_index"], (bins, positions, amounts), {"dim": 0, "add": True})


# ------------------------------------------------------------------------------------ searchsorted


@tensor_function(method=False)
def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Where each value would have to be inserted to keep the innermost dim sorted (int64).

    ``sorted_sequence`` is a vector, or has the leading dims of ``input``; ``sorter`` are the
    positions that sort it, where it is not sorted itself. Equal elements come after the value, or
    before it with ``right`` (``side="right"``). Raises RuntimeError for shapes that do not fit.
    """
    name = "torch.searchsorted()"
    if side is not None and side not in ("left", "right"):
        raise RuntimeError(f"{name}: side can only be 'left' or 'right' but got {side}")
    if right and side == "left":
        raise RuntimeError(
            f"{name}: side and right can't be set to opposites, got side of left while right was "
            "True"
        )
    dtype = common_dtype((sorted_sequence, input))
    if not isinstance(input, Tensor):
        input = _full((), input, dtype)
    _check_rows(name, sorted_sequence, input)
    if sorter is not None:
        sorted_sequence = _sorted_by(name, sorted_sequence, sorter)
    if dtype is dtypes.bool:
        raise not_implemented("searchsorted_out_cpu", dtype)
    result = dtypes.int32 if out_int32 else dtypes.int64
    if out is not None and out.dtype is not result:
        raise DtypeError(
            f"{name}: output tensor's dtype is wrong, it can only be Int(int32) or Long(int64) "
            f"depending on whether out_int32 flag is True, but we got output tensor's dtype "
            f"{out.dtype.type_name} and out_int32 flag is {out_int32}"
        )
    length = sorted_sequence.shape[-1]
    batch = math.prod(sorted_sequence.shape[:-1])
    # Where one sequence serves all values, each of them is a row, so that threads share them out.
    rows = input.numel() if sorted_sequence.ndim == 1 else batch
    values = _reshaped(cast(input, dtype), rows, input.numel() // rows if rows else 0)
    sequences = _reshaped(cast(sorted_sequence, dtype), batch, length)
    attrs = {"dim": 1, "right": right or side == "right"}
    found = apply(OPS["searchsorted"], (values, sequences), attrs)
    placed = cast(_reshaped(found, *input.shape), result)
    return placed if out is None else write_out(out, placed, "searchsorted")


def _check_rows(name: str, sequence: Tensor, values: Tensor) -> None:
    if not values.ndim and sequence.ndim != 1:
        raise ShapeError(
            f"{name}: input value can be a scalar only when boundaries tensor dimension is 1, but "
            f"we got boundaries tensor dim({sequence.ndim}) and input value's dim(0) numel(1)"
        )
    if not sequence.ndim:
        raise ShapeError(
            f"{name}: boundaries tensor should have positive dimension, but got 0 dimension"
        )
    if sequence.ndim != 1 and tuple(sequence.shape[:-1]) != tuple(values.shape[:-1]):
        raise ShapeError(
            f"{name}: boundaries tensor should be 1 dimension or the first N-1 dimensions of "
            f"boundaries tensor and input value tensor must match, but we got boundaries tensor "
            f"{list(sequence.shape)} and input value tensor {list(values.shape)}"
        )


def _sorted_by(name: str, sequence: Tensor, sorter: Tensor) -> Tensor:
    if tuple(sorter.shape) != tuple(sequence.shape):
        raise ShapeError(
            f"{name}: boundary and sorter must have the same size, but got boundary tensor "
            f"{list(sequence.shape)} and got sorter tensor {list(sorter.shape)}"
        )
    if sorter.dtype is not dtypes.int64:
        raise DtypeError(
            f"{name}: sorter must be a tensor of long dtype but got dtype {sorter.dtype.type_name}"
        )
    try:
        return apply(OPS["gather"], (sequence, sorter), {"dim": sequence.ndim - 1})
    except IndexError as error:
        raise RuntimeError(f"{name}: sorter index out of range") from error


@tensor_function(method=False)
def bucketize(
    input: Any,
    boundaries: Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The index of the bucket of each value, between sorted ``boundaries`` (a vector).

    Bucket ``i`` ends at ``boundaries[i]``, which belongs to it, or with ``right`` to the next.
    """
    if not isinstance(boundaries, Tensor):
        raise TypeError(
            f"bucketize(): boundaries must be a Tensor, not {type(boundaries).__name__}"
        )
    if boundaries.ndim != 1:
        raise ShapeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right, out=out)  # type: ignore[no-any-return]


# ---------------------------------------------------------------------------------------- bincount


@tensor_function
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each number from 0 to the largest (or ``minlength - 1``) occurs, or the sum of its
    ``weights``.

    ``input`` is a vector of non-negative integers. Counts are int64, sums float32 for float32
    weights and else float64. Raises RuntimeError for other shapes and negative numbers,
    NotImplementedError for other dtypes. The length of the result depends on the values.
    """
    if input.dtype.is_floating_point or input.dtype is dtypes.bool:
        raise not_implemented("bincount_cpu", input.dtype)
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.ndim == 1 and input.numel() == 0:
        return _full((minlength,), 0, dtypes.int64)
    if input.ndim != 1:
        raise ShapeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is not None and tuple(weights.shape) != tuple(input.shape):
        raise ShapeError("weights should be 1-d and have the same length as input")
    count = max(_largest(input) + 1, minlength)
    if weights is None:
        amounts = _full(tuple(input.shape), 1, dtypes.int64)
    else:
        weights = weights.detach()
        amounts = weights if weights.dtype is dtypes.float32 else cast(weights, dtypes.float64)
    return _added_up(cast(input, dtypes.int64), amounts, count)


def _largest(input: Tensor) -> int:
    """The largest element, which decides how long the counts are. RuntimeError for negative ones.

    This reads values, so a traced tensor refuses it.
    """
    values = input._array()
    if values.min() < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    return int(values.max())


# -------------------------------------------------------------------------------------- histograms


def _borders(
    input: Tensor, given: tuple[float, float] | None, wider: float, infinite: str
) -> tuple[Tensor, Tensor]:
    """The ends of the range, those of the data where none are given.

    Equal ones move by ``wider`` each. Both are 0-dim tensors of the dtype of ``input``.
    Raises RuntimeError (eagerly, where values are known) when one of them is not finite.
    """
    if given is None:
        dims = {"dims": tuple(range(input.ndim)), "keepdim": False}
        first, last = (apply(OPS[extreme], (input,), dims) for extreme in ("amin", "amax"))
    else:
        first, last = (_full((), end, input.dtype) for end in given)
    if not first._traced:
        ends = first.item(), last.item()
        if not all(map(math.isfinite, ends)):
            raise RuntimeError(infinite.format(*ends))
    same = apply(OPS["eq"], (first, last), {})
    first, last = (
        apply(OPS["where"], (same, end + by, end), {})
        for end, by in ((first, -wider), (last, wider))
    )
    return first, last


def _check_bins(bins: int) -> None:
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")


@tensor_function(out=True)
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall in each of ``bins`` equal parts of the range from ``min`` to ``max``.

    Equal ends stand for the smallest and the largest element. Elements outside of the range and NaN
    are not counted. Raises RuntimeError for a range that is empty or infinite.
    """
    if not hasattr(bins, "__index__"):
        raise TypeError(f"histc(): argument 'bins' must be int, not {type(bins).__name__}")
    if not input.dtype.is_floating_point:
        raise not_implemented("histogram_cpu", input.dtype)
    _check_bins(bins)
    if min > max:
        raise RuntimeError("torch.histc: max must be larger than min")
    values = _reshaped(input.detach(), input.numel())
    if not all(map(math.isfinite, (min, max))):
        raise RuntimeError(f"torch.histc: range of [{min}, {max}] is not finite")
    infinite = "torch.histc: range of [{}, {}] is not finite"
    given = None if min == max and values.numel() else (min, max)
    first, last = _borders(values, given, 1, infinite)
    inside = apply(OPS["logical_and"], (values >= first, values <= last), {})
    place: Any = (values - first) * bins / (last - first)  # type: ignore[operator]
    place = cast(apply(OPS["where"], (inside, place, 0), {}), dtypes.int64)
    place = apply(OPS["minimum"], (place, bins - 1), {})
    counts = _added_up(place, cast(inside, dtypes.int64), bins)
    return cast(counts, input.dtype)


@tensor_function(out=True)
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Any = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Any:
    """(hist, bin_edges): how many elements (or which sum of ``weight``) fall in each bin.

    ``bins`` is their number, for equal ones over ``range`` (default: of the data), or a vector of
    their edges, ascending. A bin holds its left edge; the last one both. ``density`` divides by the
    total and the width. Raises RuntimeError for ranges, weights and edges that do not fit, and
    NotImplementedError for other dtypes than float32 and float64.
    """
    name = "torch.histogramdd"
    if isinstance(bins, Tensor):
        if bins.ndim != 1:
            raise ShapeError(
                f"{name}: bins tensor should have one dimension, but got {bins.ndim} dimensions in "
                "the bins tensor for dimension 0"
            )
        if bins.dtype is not input.dtype:
            raise DtypeError(
                f"{name}: input tensor and bins tensors should have the same dtype, but got input "
                f"with dtype {input.dtype} and bins for dimension 0 with dtype {bins.dtype}"
            )
        _check_bins(bins.shape[0] - 1)
    else:
        _check_bins(bins)
    _check_weight(name, input, weight)
    if input.dtype not in (dtypes.float32, dtypes.float64):
        raise not_implemented("histogramdd", input.dtype)
    values = _reshaped(input.detach(), input.numel())
    edges = bins.detach().clone() if isinstance(bins, Tensor) else _edges(name, values, bins, range)
    count = edges.shape[0] - 1
    first, last = edges.select(0, 0), edges.select(0, -1)
    inside = apply(OPS["logical_and"], (values >= first, values <= last), {})
    place = searchsorted(edges, values, right=True) - 1
    place = apply(OPS["clamp"], (place, 0, count - 1), {})
    if weight is None:
        amounts = cast(inside, dtypes.int64)
    else:
        given = _reshaped(weight.detach(), values.numel())
        amounts = apply(OPS["where"], (inside, given, 0), {})
    hist = cast(_added_up(place, amounts, count), input.dtype)
    if density:
        hist = hist / hist.sum() / edges.diff()
    return return_types.histogram(hist, edges)


def _check_weight(name: str, input: Tensor, weight: Tensor | None) -> None:
    if weight is None:
        return
    if weight.dtype is not input.dtype:
        raise DtypeError(
            f"{name}: if weight tensor is provided, input tensor and weight tensor should have the "
            f"same dtype, but got input({input.dtype}), and weight({weight.dtype})"
        )
    if tuple(weight.shape) != tuple(input.shape):
        raise ShapeError(
            f"{name}: if weight tensor is provided it should have the same shape as the input "
            f"tensor, but got input with shape {list(input.shape)}, and weight with shape "
            f"{list(weight.shape)}"
        )


def _edges(name: str, values: Tensor, bins: int, range: Any) -> Tensor:
    """``bins + 1`` evenly spaced numbers, counted from both ends so that both are exact."""
    if range is not None and range[0] > range[1]:
        raise RuntimeError(
            f"{name}: min should not exceed max, but got min {range[0]} max {range[1]} for "
            "dimension 0"
        )
    given = (0, 1) if range is None and not values.numel() else range
    infinite = f"{name}: dimension 0's range [{{}}, {{}}] is not finite"
    first, last = _borders(values, given, 0.5, infinite)
    steps = {"shape": (bins + 1,), "dim": 0, "dtype": values.dtype, "start": 0, "step": 1}
    index = apply(OPS["iota"], (), {**steps, "device": CPU})
    step = (last - first) / bins  # type: ignore[operator]
    near = index < (bins + 1) // 2  # type: ignore[operator]
    ends = (first + step * index, last - step * (bins - index))
    return apply(OPS["where"], (near, *ends), {})
