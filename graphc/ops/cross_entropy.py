"""Losses of class labels: ``nll_loss`` of log-probabilities, ``cross_entropy`` of scores.

Scores are (C,), or (N, C) and (N, C, *S); labels int64 or uint8 without the dim of the classes.
A label equal to ``ignore_index`` counts nothing. The optional third operand weighs each class;
``reduction='mean'`` divides by the sum of the weights that counted. Where a label is out of range,
eager raises IndexError, and a graph reports it through the checked index of ``gather``.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.ir import Sample, TensorType
from graphc.ops.reduce import accurate_sum
from graphc.ops.rules import (
    HALVES,
    Array,
    Kind,
    check_kind,
    composite,
    row,
    same_device,
    spread,
    zeros_like,
)

REDUCTIONS = ("none", "mean", "sum")


def check_reduction(reduction: str) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction} is not a valid value for reduction")


def _class_dim(x: Any) -> int:
    return 0 if len(x.shape) == 1 else 1


def _type(name: str) -> Any:
    def infer(
        x: TensorType,
        target: TensorType,
        *weight: TensorType,
        ignore_index: int,
        reduction: str,
    ) -> TensorType:
        del ignore_index
        check_reduction(reduction)
        same_device(x, target, *weight)
        check_kind(name, x, Kind.FLOAT)
        if target.dtype not in (dtypes.int64, dtypes.uint8):
            raise DtypeError(
                f"expected target dtype to be Long or Byte, but got {target.dtype.type_name}"
            )
        if not x.ndim:
            raise ShapeError(f"{name}: input tensor should be 1D or 2D")
        dim = _class_dim(x)
        expected = (*x.shape[:dim], *x.shape[dim + 1 :])
        if target.shape != expected:
            if dim and target.ndim and target.shape[0] != x.shape[0]:
                raise ValueError(
                    f"Expected input batch_size ({x.shape[0]}) to match target batch_size "
                    f"({target.shape[0]})."
                )
            raise ShapeError(f"Expected target size {list(expected)}, got {list(target.shape)}")
        for vector in weight:
            if vector.shape != (x.shape[dim],):
                raise ShapeError(
                    f"weight tensor should be defined either for all {x.shape[dim]} classes or no "
                    f"classes but got weight tensor of shape: {list(vector.shape)}"
                )
            if vector.dtype is not x.dtype:
                raise DtypeError(
                    f"expected scalar type {x.dtype.type_name} but found {vector.dtype.type_name}"
                )
        return x.with_shape(expected if reduction == "none" else ())

    return infer


def _labels(target: Any, ignore_index: int) -> tuple[Any, Any]:
    """Labels with 0 where they are ignored, and where they count."""
    if target.dtype is not dtypes.int64:
        target = row.cast(target, dtype=dtypes.int64)
    counts = row.ne(target, ignore_index)
    return row.where(counts, target, 0), counts


def _shares(
    x: Any, label: Any, counts: Any, weight: tuple[Any, ...], reduction: str
) -> tuple[Any, Any]:
    """What each example weighs, and what a mean divides by (None for other reductions)."""
    if weight:
        each = row.where(counts, row.take(weight[0], label, dim=0), 0)
    else:
        each = row.cast(counts, dtype=x.dtype)
    dims = tuple(range(len(label.shape)))
    return each, row.sum(each, dims=dims, keepdim=False) if reduction == "mean" else None


def _with_class(x: Any, dim: int) -> Any:
    """A dim of size 1 where the classes were."""
    shape = tuple(x.shape)
    return row.reshape(x, shape=(*shape[:dim], 1, *shape[dim:]))


def _at_labels(x: Any, label: Any) -> Any:
    dim = _class_dim(x)
    picked = row.gather(x, _with_class(label, dim), dim=dim)
    return row.reshape(picked, shape=tuple(label.shape))


def _nll(x: Any, target: Any, *weight: Any, ignore_index: int, reduction: str) -> Any:
    label, counts = _labels(target, ignore_index)
    picked = _at_labels(x, label)
    each, total = _shares(x, label, counts, weight, reduction)
    # Chosen, not only multiplied: an ignored score may be infinite.
    losses = row.where(counts, -(picked * each), 0)
    if reduction == "none":
        return losses
    whole = row.sum(losses, dims=tuple(range(len(label.shape))), keepdim=False)
    return whole if total is None else whole / total


def _arriving(
    g: Any, x: Any, target: Any, weight: tuple[Any, ...], ignore_index: int, reduction: str
) -> tuple[Any, Any]:
    """What arrives at each example, and its label, with a dim for the classes."""
    label, counts = _labels(target, ignore_index)
    each, total = _shares(x, label, counts, weight, reduction)
    # Chosen, not only multiplied: where nothing counts, the total is zero.
    share = g * each if total is None else row.where(counts, (g / total) * each, 0)
    dim = _class_dim(x)
    return _with_class(share, dim), _with_class(label, dim)


def _is_label(x: Any, label: Any) -> Any:
    """Whether an element of ``x`` belongs to the class of its example."""
    dim = _class_dim(x)
    shape = tuple(size if d == dim else 1 for d, size in enumerate(x.shape))
    attrs = {"shape": shape, "dim": dim, "dtype": dtypes.int64, "start": 0, "step": 1}
    classes = x.__apply__(row.iota, (), {**attrs, "device": x.device})
    return row.eq(classes, label)


def _to_weight(
    g: Any, y: Any, logs: Any, target: Any, weight: Any, ignore_index: int, reduction: str
) -> Any:
    """Each example's loss at the weight of its class; a mean also divides by the weights."""
    label, counts = _labels(target, ignore_index)
    _, total = _shares(logs, label, counts, (weight,), reduction)
    losses = -_at_labels(logs, label)
    arriving = g * losses if total is None else (g / total) * (losses - y)
    return row.put_index(zeros_like(weight), label, row.where(counts, arriving, 0), dim=0, add=True)


def _nll_vjp(
    g: Any, y: Any, x: Any, target: Any, *weight: Any, ignore_index: int, reduction: str
) -> tuple[Any, ...]:
    """A comparison with the label, not a scatter: it fuses with what comes before the loss."""

    def to_x() -> Any:
        share, label = _arriving(g, x, target, weight, ignore_index, reduction)
        return row.where(_is_label(x, label), -share, 0)

    def to_weight() -> Any:
        return _to_weight(g, y, x, target, weight[0], ignore_index, reduction)

    return (to_x, None, *(to_weight for _ in weight))


def _cross_entropy(x: Any, target: Any, *weight: Any, ignore_index: int, reduction: str) -> Any:
    logs = row.log_softmax(x, dim=_class_dim(x))
    return row.nll_loss(logs, target, *weight, ignore_index=ignore_index, reduction=reduction)


def _cross_entropy_vjp(
    g: Any, y: Any, x: Any, target: Any, *weight: Any, ignore_index: int, reduction: str
) -> tuple[Any, ...]:
    """The probabilities, less one at the label."""

    def to_x() -> Any:
        share, label = _arriving(g, x, target, weight, ignore_index, reduction)
        p = row.softmax(x, dim=_class_dim(x))
        return (p - row.cast(_is_label(x, label), dtype=x.dtype)) * share

    def to_weight() -> Any:
        logs = row.log_softmax(x, dim=_class_dim(x))
        return _to_weight(g, y, logs, target, weight[0], ignore_index, reduction)

    return (to_x, None, *(to_weight for _ in weight))


# ------------------------------------------------------------------------------------- evaluation


def _picked(x: Array, target: Array, ignore_index: int) -> tuple[Array, Array, Array]:
    """The scores of the labels, the labels, and where they count."""
    counts = target != ignore_index
    label = np.where(counts, target, 0).astype(np.int64, copy=False)
    dim = 0 if x.ndim == 1 else 1
    classes = x.shape[dim]
    if label.size and (label.min() < 0 or label.max() >= classes):
        wrong = label[(label < 0) | (label >= classes)].flat[0]
        raise IndexError(f"Target {wrong} is out of bounds.")
    if not label.size:
        return np.zeros(label.shape, x.dtype), label, counts
    return np.take_along_axis(x, np.expand_dims(label, dim), dim).squeeze(dim), label, counts


def _joined(
    losses: Array, label: Array, counts: Array, weight: tuple[Array, ...], reduction: str
) -> Array:
    each = losses.dtype.type(1)
    if weight:
        each = weight[0][label] if label.size else np.zeros(label.shape, losses.dtype)
        losses = losses * each
    losses = np.where(counts, losses, losses.dtype.type(0))
    if reduction == "none":
        return losses
    dims = tuple(range(losses.ndim))
    total = accurate_sum(losses, dims)
    if reduction == "sum":
        return total
    weights = np.where(counts, each, each.dtype.type(0)).astype(losses.dtype, copy=False)
    return np.asarray(total / accurate_sum(weights, dims))


def _fast_nll(x: Array, target: Array, *weight: Array, ignore_index: int, reduction: str) -> Array:
    picked, label, counts = _picked(x, target, ignore_index)
    return _joined(-picked, label, counts, weight, reduction)


def _fast_cross_entropy(
    x: Array, target: Array, *weight: Array, ignore_index: int, reduction: str
) -> Array:
    dim = 0 if x.ndim == 1 else 1
    if x.shape[dim] == 0:
        return _fast_nll(x, target, *weight, ignore_index=ignore_index, reduction=reduction)
    z = x - np.maximum.reduce(x, axis=dim, keepdims=True)
    picked, label, counts = _picked(z, target, ignore_index)
    total = accurate_sum(np.exp(z), (dim,))
    return _joined(np.log(total) - picked, label, counts, weight, reduction)


# ---------------------------------------------------------------------------------------- samples


def _samples(logs: bool) -> Iterable[Sample]:
    for shape in ((4,), (3, 4), (2, 4, 3), (2, 4, 2, 3)):
        dim = 0 if len(shape) == 1 else 1
        outer: tuple[int, ...] = (*shape[:dim], *shape[dim + 1 :])
        labels = (np.arange(int(np.prod(outer))) * 3 + 1).reshape(outer) % 4
        ignored = np.where(labels == 1, -100, labels) if len(shape) > 1 else labels
        for dtype in (np.float64, np.float32):
            x = spread(shape, -3, -0.1 if logs else 3, dtype)
            weight = spread((4,), 0.5, 2, dtype, 2)
            for i, reduction in enumerate(REDUCTIONS):
                attrs = {"ignore_index": -100 if i else 3, "reduction": reduction}
                yield Sample((x, labels), attrs)
                yield Sample((x, ignored if i else labels, weight), attrs)
    x = spread((5, 3), -3, -0.1, np.float32)
    attrs = {"ignore_index": 2, "reduction": "mean"}
    yield Sample((x, np.array([0, 1, 2, 2, 0], np.uint8)), attrs)
    yield Sample((x, np.array([2, 2, 2, 2, 2])), attrs, differentiable=False)  # 0 / 0
    yield Sample((x[:0], np.array([], np.int64)), attrs)
    for half in sorted(HALVES, key=str):
        yield Sample((x.astype(half), np.array([0, 1, 2, 2, 0])), attrs)
    infinite = np.where(np.arange(15).reshape(5, 3) % 4 == 0, -np.inf, x).astype(np.float32)
    attrs = {"ignore_index": 0, "reduction": "none"}
    yield Sample((infinite, np.array([0, 1, 2, 2, 0])), attrs, differentiable=False)


def _reference(x: Array, target: Array, *weight: Array, ignore_index: int, reduction: str) -> Array:
    dim = 0 if x.ndim == 1 else 1
    losses: Array = np.zeros(target.shape, np.float64)
    total = 0.0
    for at in np.ndindex(*target.shape):
        label = int(target[at])
        if label == ignore_index:
            continue
        each = float(weight[0][label]) if weight else 1.0
        place = (*at[:dim], label, *at[dim:])
        losses[at] = -float(x[place]) * each
        total += each
    if reduction == "none":
        return losses.astype(x.dtype)
    whole = np.float64(losses.sum())
    return np.asarray(whole / np.float64(total) if reduction == "mean" else whole).astype(x.dtype)


def _wide_reference(x: Array, target: Array, *weight: Array, **attrs: Any) -> Array:
    dim, wide = 0 if x.ndim == 1 else 1, x.astype(np.float64)
    logs = wide - np.logaddexp.reduce(wide, axis=dim, keepdims=True)
    return np.asarray(_reference(logs, target, *weight, **attrs)).astype(x.dtype)


NLL_LOSS = composite(
    "nll_loss",
    _nll,
    _nll_vjp,
    infer=_type("nll_loss"),
    numpy=_fast_nll,
    wide=True,
    samples=lambda: _samples(True),
    reference=_reference,
)
CROSS_ENTROPY = composite(
    "cross_entropy",
    _cross_entropy,
    _cross_entropy_vjp,
    infer=_type("cross_entropy"),
    numpy=_fast_cross_entropy,
    wide=True,
    samples=lambda: _samples(False),
    reference=_wide_reference,
)
