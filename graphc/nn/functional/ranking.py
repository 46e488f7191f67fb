"""Distances between vectors, and losses that compare or rank."""

from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.functions.joining import broadcast_tensors
from graphc.functions.promotion import promoted
from graphc.functions.registry import tensor_function
from graphc.nn.functional.loss import chosen, reduced
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


@tensor_function(method=False)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-08) -> Tensor:
    """The cosine of the angle between vectors along ``dim``; norms count at least ``eps``.

    Vectors are those of the common shape, also where ``dim`` itself is broadcast.
    """
    a, b = broadcast_tensors(*promoted("cosine_similarity", x1, x2, floating=True))
    sizes = [apply(OPS["maximum"], (x.norm(2, dim, True), eps), {}) for x in (a, b)]
    return (a / sizes[0] * (b / sizes[1])).sum(dim)  # type: ignore[no-any-return]


@tensor_function(method=False)
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-06, keepdim: bool = False
) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` over the last dimension."""
    a, b = promoted("pairwise_distance", x1, x2)
    return (a - b + eps).norm(p, -1, keepdim)  # type: ignore[no-any-return]


def _hinge(x: Any) -> Any:
    """``max(0, x)``, whose slope at 0 is 1, as that of PyTorch's losses."""
    return apply(OPS["clamp_min"], (x, 0), {})


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Any,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos`` where ``target`` is 1, ``max(0, cos - margin)`` where it is -1."""
    reduction = chosen(size_average, reduce, reduction)
    cosine: Any = cosine_similarity(input1, input2, input1.ndim - 1, 1e-12)
    zero = cosine._zeros()
    near = apply(OPS["where"], (target.eq(1), 1 - cosine, zero), {})
    far = apply(OPS["where"], (target.eq(-1), _hinge(cosine - margin), zero), {})
    return reduced(near + far, reduction)  # type: ignore[operator]


def hinge_embedding_loss(
    input: Any,
    target: Any,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``input`` where ``target`` is 1, ``max(0, margin - input)`` where it is -1."""
    reduction = chosen(size_average, reduce, reduction)
    zero = input._zeros()
    near = apply(OPS["where"], (target.ne(-1), input, zero), {})
    far = apply(OPS["where"], (target.ne(1), _hinge(margin - input), zero), {})
    return reduced(near + far, reduction)  # type: ignore[operator]


def margin_ranking_loss(
    input1: Any,
    input2: Any,
    target: Any,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -target * (input1 - input2) + margin)``."""
    reduction = chosen(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    return reduced(_hinge(-target * (input1 - input2) + margin), reduction)


def soft_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``log(1 + exp(-target * input))``."""
    reduction = chosen(size_average, reduce, reduction)
    x, t = promoted("soft_margin_loss", input, target)
    return reduced(apply(OPS["neg"], (apply(OPS["log_sigmoid"], (t * x,), {}),), {}), reduction)


def multilabel_soft_margin_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross-entropy of logits, averaged over the classes of each example."""
    reduction = chosen(size_average, reduce, reduction)
    x, t = promoted("multilabel_soft_margin_loss", input, target)
    loss: Any = -(
        t * apply(OPS["log_sigmoid"], (x,), {}) + (1 - t) * apply(OPS["log_sigmoid"], (-x,), {})
    )
    if weight is not None:
        loss = loss * weight
    return reduced(loss.mean(-1), reduction)


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, margin - input[target] + input[i]) ** p`` over the other classes ``i``."""
    reduction = chosen(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    _check_examples("multi_margin_loss", input, target, target.ndim in (0, 1))
    rows = input.reshape(-1, input.shape[-1] if input.ndim else 1)
    if target.numel() != rows.shape[0]:
        raise RuntimeError(f"inconsistent target size, got: {list(target.shape)}")
    classes = int(rows.shape[1])
    index = target.reshape(-1, 1)
    own = rows.gather(1, index)
    loss = apply(OPS["relu"], (margin - own + rows,), {})
    if p == 2:
        loss = loss * loss
    if weight is not None:
        loss = loss * apply(OPS["take"], (weight, index), {"dim": 0})
    loss = loss.scatter(1, index, 0.0).sum(1) / classes
    return reduced(loss if input.ndim > 1 else loss.squeeze(0), reduction)


def _check_examples(name: str, input: Tensor, target: Tensor, fitting: bool) -> None:
    """Scores of one example, or of a batch of at least one class; targets in int64."""
    if input.ndim > 2 or (input.ndim == 2 and not int(input.shape[1])) or not input.numel():
        empty_batch = input.ndim == 2 and int(input.shape[1]) and not int(input.shape[0])
        if not empty_batch:
            raise RuntimeError(
                "Expected non-empty vector or matrix with optional 0-dim batch size, but got: "
                f"{list(input.shape)}"
            )
    if not fitting:
        raise RuntimeError(f"inconsistent target size: {list(target.shape)} for {name}")
    if target.dtype is not dtypes.int64:
        raise RuntimeError(f"{name}: expected scalar type Long but found {target.dtype.type_name}")


def multilabel_margin_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The sum of ``max(0, 1 - input[y] + input[i]) / C`` over labels y and classes i without one.

    ``input`` is (N, C) or (C,); ``target``, of the same shape, begins with the labels of an example
    and goes on with -1 (and anything). Raises RuntimeError for other shapes.
    """
    reduction = chosen(size_average, reduce, reduction)
    same = tuple(target.shape) == tuple(input.shape) or (input.numel() == target.numel() == 1)
    _check_examples("multilabel_margin_loss", input, target, same)
    classes = int(input.shape[-1]) if input.ndim else 1
    scores, labels = input.reshape(-1, classes), target.reshape(-1, classes)
    counts = labels.ge(0).cumprod(1)  # 1 before the first -1
    label = apply(OPS["where"], (counts.ne(0), labels, 0), {})
    labelled = counts._zeros().scatter_add(1, label, counts).ne(0)
    gaps = 1 - scores.gather(1, label).unsqueeze(2) + scores.unsqueeze(1)
    pairs = counts.ne(0).unsqueeze(2) & labelled.logical_not().unsqueeze(1)
    loss = (
        apply(OPS["where"], (pairs, apply(OPS["relu"], (gaps,), {}), 0), {}).sum((1, 2)) / classes
    )  # type: ignore[attr-defined]
    return reduced(loss if input.ndim > 1 else loss.squeeze(0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``."""
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    reduction = chosen(size_average, reduce, reduction)
    near: Any = pairwise_distance(anchor, positive, p, eps)
    far: Any = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = apply(OPS["minimum"], (far, pairwise_distance(positive, negative, p, eps)), {})
    return reduced(_hinge(near - far + margin), reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of one's own (default: pairwise_distance)."""
    reduction = chosen(None, None, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.ndim}D, positive {positive.ndim}D, and negative "
            f"{negative.ndim}D inputs"
        )
    distance: Callable[..., Any] = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = apply(OPS["minimum"], (far, distance(positive, negative)), {})
    return reduced(_hinge(margin + near - far), reduction)
