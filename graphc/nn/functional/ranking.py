"""Distances between vectors, and losses that compare or rank."""

from typing import Any

from graphc.functions.promotion import promoted
from graphc.functions.registry import tensor_function
from graphc.nn.functional.loss import chosen, reduced
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


@tensor_function(method=False)
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-08) -> Tensor:
    """The cosine of the angle between vectors along ``dim``; norms count at least ``eps``."""
    a, b = promoted("cosine_similarity", x1, x2, floating=True)
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
    return apply(OPS["relu"], (x,), {})


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
    rows = input.reshape(-1, input.shape[-1])
    classes = int(rows.shape[1])
    index = target.reshape(-1, 1)
    own = rows.gather(1, index)
    loss = _hinge(margin - own + rows)
    if p == 2:
        loss = loss * loss
    if weight is not None:
        loss = loss * apply(OPS["take"], (weight, index), {"dim": 0})
    loss = loss.scatter(1, index, 0.0).sum(1) / classes
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
