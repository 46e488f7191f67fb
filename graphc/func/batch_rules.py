"""How each kind of operation is applied to a batch: its operands have the batch in front, or not.

The kind is that of the row's lowering: pointwise rows broadcast, reductions and rearrangements
count their dimensions from one further, a contraction gets one more letter. Composite rows that
can take one more dimension do (so they keep their own gradients); others are decomposed. Any other
row is applied to one example after the other, and the results are stacked.
"""

import math
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from graphc import dtypes
from graphc.ir import (
    CPU,
    OPS,
    Attrs,
    Contract,
    Decompose,
    Op,
    Reduce,
    Scalar,
    infer_type,
)
from graphc.ops.contract import letters
from graphc.tensor import Tensor, apply


@dataclass(frozen=True)
class Operand:
    """A physical tensor, and whether its first dimension is the batch."""

    tensor: Tensor
    batched: bool

    @property
    def rank(self) -> int:
        """The number of dimensions of one example."""
        return self.tensor.ndim - self.batched

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example."""
        return tuple(self.tensor.shape)[int(self.batched) :]


Operands = Sequence[Operand]
Rule = Callable[[Op, Operands, Attrs, int], Tensor]


def batched_apply(
    op: Op, xs: Operands, attrs: Attrs, size: int, expanded: Callable[[Attrs], Operand]
) -> Operand:
    """The operation on a batch of ``size`` examples; ``expanded`` carries out a decomposition."""
    rule = _rule_for(op, xs)
    if rule is None and isinstance(op.lower, Decompose):
        return expanded(attrs)
    return Operand((rule or one_by_one)(op, xs, attrs, size), True)


def _rule_for(op: Op, xs: Operands) -> "Rule | None":
    """The rule that fits the row and the operands that are batched."""
    if op.name in RULES:
        return RULES[op.name]
    merged = MERGED.get(op.name)
    if merged is not None and all(x.batched is (i in merged) for i, x in enumerate(xs)):
        return _merge
    if op.name in FIRST_ONLY and not any(x.batched for x in xs[1:]):
        return _first
    if op.name == "matmul" and all(x.rank > 1 for x in xs):
        return _broadcast
    if isinstance(op.lower, Scalar):
        return _broadcast
    if isinstance(op.lower, Reduce):
        return _dims
    return _contract if isinstance(op.lower, Contract) else None


# -------------------------------------------------------------------------------------- the pieces


def _reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    return apply(OPS["reshape"], (x,), {"shape": tuple(shape)})


def full_batch(x: Operand, size: int) -> Tensor:
    """The tensor with the batch in front; what all examples share is repeated."""
    if x.batched:
        return x.tensor
    lifted = _reshape(x.tensor, (1, *x.shape))
    return apply(OPS["expand"], (lifted,), {"shape": (size, *x.shape)})


def _counting(size: int) -> Tensor:
    attrs = {"shape": (size,), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1}
    return apply(OPS["iota"], (), {**attrs, "device": CPU})


def one_by_one(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """The operation on each example, and the results stacked."""
    if size == 0:
        types = [x.tensor._type.with_shape(x.shape) for x in xs]
        made = infer_type(op, types, attrs)
        empty = {"value": 0, "shape": (0, *made.shape), "dtype": made.dtype, "device": made.device}
        return apply(OPS["full"], (), empty)
    results = []
    for i in range(size):
        result = apply(op, [_example(x, i) for x in xs], attrs)
        results.append(_reshape(result, (1, *result.shape)))
    return apply(OPS["cat"], results, {"dim": 0})


def _example(x: Operand, i: int) -> Tensor:
    if not x.batched:
        return x.tensor
    rank = x.rank
    attrs = {"starts": (i, *(0,) * rank), "stops": (i + 1, *x.shape), "steps": (1,) * (rank + 1)}
    return _reshape(apply(OPS["slice"], (x.tensor,), attrs), x.shape)


# --------------------------------------------------------------------------------- kinds of rows


def _broadcast(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """Examples of lower rank get dimensions of size 1 between the batch and their own."""
    rank = max(x.rank for x in xs)
    aligned = [
        _reshape(x.tensor, (size, *(1,) * (rank - x.rank), *x.shape))
        if x.batched and x.rank < rank
        else x.tensor
        for x in xs
    ]
    return apply(op, aligned, attrs)


def _attention(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """The query has the batch in any case: everything else broadcasts to it.

    With dropout each example is a call: all of them start at the state that they are given.
    """
    if xs[-1].tensor.dtype is dtypes.int64:
        return one_by_one(op, xs, attrs, size)
    place = 3 if op.name == "attention_backward" else 0
    query = Operand(full_batch(xs[place], size), True)
    return _broadcast(op, [*xs[:place], query, *xs[place + 1 :]], attrs, size)


def _dims(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """One operand, and attributes ``dims`` or ``dim`` that count its dimensions."""
    moved = dict(attrs)
    if "dims" in attrs:
        moved["dims"] = tuple(d + 1 for d in attrs["dims"])
    if "dim" in attrs:
        moved["dim"] = attrs["dim"] + 1
    if "shape" in attrs:
        moved["shape"] = (size, *attrs["shape"])
    return apply(op, [full_batch(x, size) for x in xs], moved)


def _contract(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    del size
    a, b, out = letters(attrs["spec"])
    free = next(x for x in string.ascii_letters if x not in a + b + out)
    parts = [free * x.batched + named for x, named in zip(xs, (a, b), strict=True)]
    spec = f"{parts[0]},{parts[1]}->{free}{out}"
    return apply(op, [x.tensor for x in xs], {"spec": spec})


def _first(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """Only the first operand has the batch, and more dimensions in front of those that count."""
    moved = dict(attrs)
    if "dims" in attrs:
        moved["dims"] = tuple(d + 1 for d in attrs["dims"])
    return apply(op, [full_batch(xs[0], size), *(x.tensor for x in xs[1:])], moved)


def _loss(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """A loss for each element, and of those the sum or the mean."""
    losses = _together(op, xs, {**attrs, "reduction": "none"}, size)
    if attrs["reduction"] == "none":
        return losses
    dims = tuple(range(1, losses.ndim))
    return apply(OPS[attrs["reduction"]], (losses,), {"dims": dims, "keepdim": False})


def _pinv(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """Matrices, and tolerances that have the shape of the dimensions in front."""
    ranks = (xs[0].rank - 2, *(x.rank for x in xs[1:]))
    lead = max(ranks)
    aligned = [
        _reshape(x.tensor, (size, *(1,) * (lead - rank), *x.shape)) if x.batched else x.tensor
        for x, rank in zip(xs, ranks, strict=True)
    ]
    return apply(op, aligned, attrs)


def _merge(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """The batch joins the first dimension of an example, which is a batch already."""
    merged = MERGED[op.name]
    given = []
    count = xs[merged[0]].shape[0]
    for i, x in enumerate(xs):
        joined = i in merged
        given.append(_reshape(x.tensor, (size * count, *x.shape[1:])) if joined else x.tensor)
    moved = dict(attrs)
    if "input_shape" in attrs:
        moved["input_shape"] = (size * count, *attrs["input_shape"][1:])
    result = apply(op, given, moved)
    return _reshape(result, (size, count, *tuple(result.shape)[1:]))


# Rows whose first dimension is a batch of its own, and the operands that have it.
MERGED: dict[str, tuple[int, ...]] = {
    "avg_pool": (0,),
    "batch_norm_inference": (0,),
    "conv_input_grad": (0,),
    "convolution": (0,),
    "group_norm": (0,),
    "max_pool": (0,),
    "max_pool_backward": (0, 1),
    "max_pool_index": (0,),
}


# ------------------------------------------------------------------------------- rearrangements


def _per_dim(**first: Any) -> Rule:
    """Attributes with one entry per dimension: what stands there for the batch."""

    def rule(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
        moved = {
            name: (size if first[name] is None else first[name], *value) if name in first else value
            for name, value in attrs.items()
        }
        return apply(op, [full_batch(x, size) for x in xs], moved)

    return rule


def _permute(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    del size
    return apply(op, [xs[0].tensor], {"dims": (0, *(d + 1 for d in attrs["dims"]))})


def _expand(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    return apply(op, [xs[0].tensor], {"shape": (size, *attrs["shape"])})


def _diagonal(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    moved = {**attrs, "dim1": attrs["dim1"] + 1, "dim2": attrs["dim2"] + 1}
    return apply(op, [full_batch(x, size) for x in xs], moved)


def _as_strided(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """The examples stand one after the other in memory."""
    count = math.prod(xs[0].shape)
    moved = {
        **attrs,
        "size": (size, *attrs["size"]),
        "stride": (count, *attrs["stride"]),
    }
    return apply(op, [_reshape(xs[0].tensor, (size * count,))], moved)


def _searchsorted(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """Rows of values, each with a sorted sequence of its own, or all with the same one."""
    values, sequences = xs
    rows, count = values.shape
    flat = _reshape(full_batch(values, size), (size * rows, count))
    line = sequences.tensor
    if sequences.batched or sequences.shape[0] != 1:
        shape = (size, rows, sequences.shape[1])
        line = apply(OPS["expand"], (full_batch(sequences, size),), {"shape": shape})
        line = _reshape(line, (size * rows, sequences.shape[1]))
    return _reshape(apply(op, (flat, line), attrs), (size, rows, count))


def _together(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    """Rows that take dimensions in front of those they work on, the same for all operands."""
    return apply(op, [full_batch(x, size) for x in xs], attrs)


# ------------------------------------------------------------------------------ gather and scatter


def _moved(x: Tensor, order: Sequence[int]) -> Tensor:
    if tuple(order) == tuple(range(len(order))):
        return x
    return apply(OPS["permute"], (x,), {"dims": tuple(order)})


@dataclass(frozen=True)
class _Joined:
    """The batch and the indexed dimension as one: how to get there."""

    order: tuple[int, ...]  # batch, indexed dimension, the rest
    places: Tensor
    rest: tuple[int, ...]


def _joined(x: Operand, index: Operand, dim: int, size: int) -> _Joined:
    count = x.shape[dim]
    # Taking from a counted line wraps negative entries and refuses those out of range.
    checked = apply(OPS["take"], (_counting(count), full_batch(index, size)), {"dim": 0})
    offsets = apply(OPS["mul"], (_counting(size), count), {})
    linear = apply(OPS["add"], (checked, _reshape(offsets, (size, *(1,) * index.rank))), {})
    others = [d for d in range(x.rank) if d != dim]
    order = (0, dim + 1, *(d + 1 for d in others))
    return _Joined(order, linear, tuple(x.shape[d] for d in others))


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(order)), key=lambda i: order[i]))


def _picked_order(index_rank: int, x_rank: int, dim: int) -> tuple[int, ...]:
    """From (batch, index, rest) to (batch, rest before ``dim``, index, rest after it)."""
    first = 1 + index_rank
    before = range(first, first + dim)
    after = range(first + dim, first + x_rank - 1)
    return (0, *before, *range(1, first), *after)


def _take(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    x, index = xs
    dim = attrs["dim"]
    if not index.batched:
        return apply(op, (x.tensor, index.tensor), {"dim": dim + 1})
    if not x.batched:
        made = apply(op, (x.tensor, index.tensor), {"dim": dim})
        order = (dim, *(d for d in range(made.ndim) if d != dim))
        return _moved(made, order)
    way = _joined(x, index, dim, size)
    flat = _reshape(_moved(x.tensor, way.order), (size * x.shape[dim], *way.rest))
    made = apply(op, (flat, way.places), {"dim": 0})
    return _moved(made, _picked_order(index.rank, x.rank, dim))


def _put_index(op: Op, xs: Operands, attrs: Attrs, size: int) -> Tensor:
    x, index, values = xs
    dim = attrs["dim"]
    base, written = full_batch(x, size), full_batch(values, size)
    if not index.batched:
        return apply(op, (base, index.tensor, written), {**attrs, "dim": dim + 1})
    way = _joined(x, index, dim, size)
    flat = _reshape(_moved(base, way.order), (size * x.shape[dim], *way.rest))
    written = _moved(written, _inverse(_picked_order(index.rank, x.rank, dim)))
    made = apply(op, (flat, way.places, written), {**attrs, "dim": 0})
    return _moved(_reshape(made, (size, x.shape[dim], *way.rest)), _inverse(way.order))


# Rows that draw from a generator: the first operand is its state.
RANDOM = frozenset({"binomial", "poisson", "random"})

_BY_ATTRIBUTE = (
    "argsort cat cummax_index cummin_index cumprod cumsum flip fold gather gather_windows "
    "log_softmax logcumsumexp logsumexp mean median_place recurrence scatter scatter_fold softmax "
    "spread_windows var vector_norm window"
)
# Composite rows that broadcast their operands, element by element.
_ELEMENTWISE = (
    "addcdiv addcmul deg2rad elu entr gelu leaky_relu lerp log_sigmoid logaddexp logaddexp2 logit "
    "mish nan_to_num ndtr rad2deg round_decimals silu sinc softplus xlog1py xlogy"
)
_LOSSES = (
    "binary_cross_entropy binary_cross_entropy_with_logits huber_loss kl_div l1_loss mse_loss "
    "smooth_l1_loss"
)
FIRST_ONLY = frozenset({"layer_norm", "linear", "rms_norm"})
_MATRICES = (
    "cholesky cofactors det eigh eigvalsh geqrf inv lu matrix_exp pivot_order qr slogdet solve "
    "solve_triangular svd svdvals"
)

RULES: dict[str, Rule] = {
    "independent": _first,
    **dict.fromkeys(_BY_ATTRIBUTE.split(), _dims),
    **dict.fromkeys(_MATRICES.split(), _broadcast),
    **dict.fromkeys(_ELEMENTWISE.split(), _broadcast),
    **dict.fromkeys(_LOSSES.split(), _loss),
    **dict.fromkeys(("attention", "attention_lse", "attention_backward"), _attention),
    "as_strided": _as_strided,
    "diagonal": _diagonal,
    "dilate": _per_dim(steps=1),
    "expand": _expand,
    "euclidean_distances": _together,
    "lstsq": _together,
    "pad": _per_dim(before=0, after=0),
    "permute": _permute,
    "pinv": _pinv,
    "put_diagonal": _diagonal,
    "put_index": _put_index,
    "put_slice": _per_dim(starts=0, stops=None, steps=1),
    "reshape": _per_dim(shape=None),
    "searchsorted": _searchsorted,
    "slice": _per_dim(starts=0, stops=None, steps=1),
    "take": _take,
    "unless_needed": _together,
}
