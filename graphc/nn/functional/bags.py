"""Bags of embeddings: rows of a table summed, averaged or maximised."""

from typing import Any

from graphc import dtypes
from graphc.functions.counting import searchsorted
from graphc.functions.promotion import cast
from graphc.ir import CPU
from graphc.modes import MODES
from graphc.nn.functional.sparse import (
    check_padding,
    check_table,
    looked_up,
    row_numbers,
    shorten,
)
from graphc.ops import OPS
from graphc.tensor import Tensor, apply

_MODES = ("sum", "mean", "max")


def _iota(count: int, start: int = 0, step: int = 1) -> Tensor:
    attrs = {"shape": (count,), "dim": 0, "dtype": dtypes.int64, "start": start, "step": step}
    return apply(OPS["iota"], (), {**attrs, "device": CPU})


def _row(name: str, *operands: Any, **attrs: Any) -> Any:
    return apply(OPS[name], operands, attrs)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or largest of the rows of ``weight`` that each bag of ``input`` names.

    ``input`` holds int64 or int32: (B, N) for B bags of N rows, or a vector of which ``offsets``
    (B,) tells where each bag begins (with ``include_last_offset`` one more entry, the end). An
    empty bag gives zeros. Entries equal to ``padding_idx`` count nothing.
    ``per_sample_weights`` multiplies the rows of a sum. ``max_norm`` shortens used rows in place;
    ``sparse`` is accepted and changes nothing: gradients are dense. Raises ValueError and
    RuntimeError for what does not fit together, IndexError for rows that do not exist.
    """
    _check(input, weight, offsets, mode, sparse, per_sample_weights, scale_grad_by_freq)
    check_table("embedding_bag", input, weight)
    if per_sample_weights is not None and per_sample_weights.dtype is not weight.dtype:
        raise RuntimeError(
            f"expected weight and per_sample_weights to have same dtype, got {weight.dtype} and "
            f"{per_sample_weights.dtype}"
        )
    padding_idx = check_padding(padding_idx, weight)
    index: Any = row_numbers(input, weight)
    if max_norm is not None:
        shorten(weight, index, max_norm, norm_type)
    if offsets is not None:
        _check_offsets(offsets, int(input.shape[0]), include_last_offset)
    kind = weight.dtype
    wide = dtypes.float32 if kind.itemsize == 2 else kind  # sums are rounded once
    rows: Any = cast(looked_up(weight, index, None, scale_grad_by_freq), wide)
    if per_sample_weights is not None:
        rows = rows * cast(per_sample_weights, wide).unsqueeze(-1)  # type: ignore[attr-defined]
    counts = None if padding_idx is None else index.ne(padding_idx)
    if offsets is None:
        return cast(_of_rows(rows, counts, mode), kind)
    bags = int(offsets.shape[0]) - bool(include_last_offset)
    return cast(_of_ranges(rows, counts, cast(offsets, dtypes.int64), bags, mode), kind)


def _check(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None,
    mode: str,
    sparse: bool,
    per_sample_weights: Tensor | None,
    scale_grad_by_freq: bool,
) -> None:
    if per_sample_weights is not None and tuple(input.shape) != tuple(per_sample_weights.shape):
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then "
            f"it must have the same shape as the input ({input.shape})"
        )
    if weight.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim}")
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch "
                f"of fixed length sequences. However, found offsets of type {type(offsets)}"
            )
    elif input.ndim != 1:
        raise ValueError(
            f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}"
        )
    elif offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    elif offsets.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    if mode not in _MODES:
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported "
            f"for mode='sum' (got mode='{mode}')."
        )


def _check_offsets(offsets: Tensor, size: int, include_last_offset: bool) -> None:
    """What eager tensors tell; a compiled program takes the offsets as they are."""
    if include_last_offset and not offsets.numel():
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    if MODES.trace is not None or not offsets.numel():
        return
    given = offsets._array()
    if given[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from "
            f"position 0. However, got {given[0]}"
        )
    if given[-1] > size:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length({size}) but got offsets[-1] of "
            f"{given[-1]}"
        )


def _of_rows(rows: Any, counts: Any, mode: str) -> Tensor:
    """Bags of one size: (B, N, D) joined over N; ``counts`` (B, N) tells what is no padding."""
    bags, size, width = (int(n) for n in rows.shape)
    if not size:
        return rows.new_zeros(bags, width)  # type: ignore[no-any-return]
    if mode == "max":
        return _largest(rows, counts)
    if counts is not None:
        rows = _row("where", counts.unsqueeze(-1), rows, 0)
    total = rows.sum(1)
    if mode == "sum":
        return total  # type: ignore[no-any-return]
    return total / (size if counts is None else _at_least_one(counts.sum(1), total))  # type: ignore[no-any-return]


def _at_least_one(number: Any, like: Any) -> Any:
    """Counts as a column of divisors."""
    return cast(_row("maximum", number, 1).unsqueeze(-1), like.dtype)


def _largest(rows: Any, counts: Any) -> Tensor:
    """The largest along dim 1, and zeros where nothing counts. The first of equals is chosen."""
    if counts is not None:
        there = counts.unsqueeze(-1)
        rows = _row("where", there, rows, -float("inf"))
    found = rows.gather(1, rows.argmax(1, True)).squeeze(1)
    return found if counts is None else _row("where", there.any(1), found, 0)  # type: ignore[no-any-return]


def _of_ranges(rows: Any, counts: Any, offsets: Any, bags: int, mode: str) -> Tensor:
    """Bags that begin at ``offsets`` in (L, D) rows; what lies behind the last end is in none."""
    size, width = (int(n) for n in rows.shape)
    if not bags or not size:
        return rows.new_zeros(bags, width)  # type: ignore[no-any-return]
    bag: Any = searchsorted(offsets, _iota(size), right=True) - 1  # type: ignore[operator]
    inside = bag.lt(bags)  # not so behind a last offset
    bag = _row("minimum", bag, bags - 1)
    counts = inside if counts is None else inside & counts
    there = counts.unsqueeze(-1)
    if mode == "max":
        lowest = _row("where", there, rows, -float("inf"))
        column = bag.unsqueeze(-1).expand(size, width)
        empty = rows.new_full((bags, width), -float("inf"))
        found = empty.scatter_reduce(0, column, lowest, "amax")
        filled = rows.new_zeros(bags).index_add(0, bag, cast(counts, rows.dtype)).gt(0)
        return _row("where", filled.unsqueeze(-1), found, 0)  # type: ignore[no-any-return]
    total = rows.new_zeros(bags, width).index_add(0, bag, _row("where", there, rows, 0))
    if mode == "sum":
        return total  # type: ignore[no-any-return]
    number = rows.new_zeros(bags, dtype=dtypes.int64).index_add(0, bag, cast(counts, dtypes.int64))
    return total / _at_least_one(number, total)  # type: ignore[no-any-return]
