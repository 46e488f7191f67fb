"""Losses: how far a prediction is from its target."""

import math
import warnings
from typing import Any

from graphc import dtypes
from graphc.functions.joining import broadcast_tensors
from graphc.functions.promotion import cast, promoted
from graphc.modes import MODES
from graphc.nn.functional.activation import log_softmax
from graphc.nn.functional.linear import linear
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _row(name: str, *operands: Any, **attrs: Any) -> Any:
    return apply(OPS[name], operands, attrs)


def chosen(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """The reduction that PyTorch's two deprecated switches and the new name ask for."""
    if size_average is not None or reduce is not None:
        old = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{old}' "
            "instead.",
            stacklevel=3,
        )
        return old
    if reduction == "elementwise_mean":
        warnings.warn(
            "reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.",
            stacklevel=3,
        )
        return "mean"
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def reduced(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return loss
    return _row(reduction, loss, dims=tuple(range(loss.ndim)), keepdim=False)


def _pair(name: str, input: Tensor, target: Tensor) -> tuple[Any, Any]:
    """Both broadcast, then promoted; unequal sizes are most often a mistake, so they are told."""
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            stacklevel=3,
        )
    return tuple(promoted(name, *broadcast_tensors(input, target)))  # type: ignore[return-value]


def _weighted(loss: Any, weight: Tensor, reduction: str) -> Tensor:
    """Losses times their weights; the mean divides by the sum of the weights."""
    total = loss * weight
    if reduction == "mean":
        return total.sum() / weight.sum()  # type: ignore[attr-defined, no-any-return]
    return reduced(total, reduction)


def _check_weight(weight: Tensor, input: Tensor) -> Tensor:
    if tuple(weight.shape) != tuple(input.shape):
        raise ValueError("Weights and input must have the same size.")
    return weight


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The mean (or sum, or each) of ``(input - target) ** 2``."""
    reduction = chosen(size_average, reduce, reduction)
    x, t = _pair("mse_loss", input, target)
    if weight is None:
        return _row("mse_loss", x, t, reduction=reduction)  # type: ignore[no-any-return]
    return _weighted(_row("square", x - t), _check_weight(weight, input), reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The mean (or sum, or each) of ``|input - target|``."""
    reduction = chosen(size_average, reduce, reduction)
    x, t = _pair("l1_loss", input, target)
    if weight is None:
        return _row("l1_loss", x, t, reduction=reduction)  # type: ignore[no-any-return]
    return _weighted(_row("abs", x - t), _check_weight(weight, input), reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """``0.5 * d**2 / beta`` where ``d = |input - target| < beta``, else ``d - 0.5 * beta``."""
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return l1_loss(input, target, size_average, reduce, reduction)
    reduction = chosen(size_average, reduce, reduction)
    x, t = _pair("smooth_l1_loss", input, target)
    return _row("smooth_l1_loss", x, t, reduction=reduction, beta=float(beta))  # type: ignore[no-any-return]


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """``0.5 * d**2`` where ``d = |input - target| < delta``, else ``delta * (d - delta / 2)``."""
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    reduction = chosen(None, None, reduction)
    x, t = _pair("huber_loss", input, target)
    each = reduction if weight is None else "none"
    loss = _row("huber_loss", x, t, reduction=each, delta=float(delta))
    if weight is None:
        return loss  # type: ignore[no-any-return]
    return reduced(loss * _check_weight(weight, input), reduction)  # the plain mean, as in PyTorch


# -------------------------------------------------------------------------------- classification


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-input[target]`` of log-probabilities (N, C, ...) or (C,) and int64 classes (N, ...).

    Classes equal to ``ignore_index`` count nothing; ``weight`` (C,) weighs each class. Raises
    IndexError for a class outside the range.
    """
    reduction = chosen(size_average, reduce, reduction)
    _check_scores("nll_loss_out_frame", input)
    operands = (input, target) if weight is None else (input, target, weight)
    attrs = {"ignore_index": int(ignore_index), "reduction": reduction}
    return apply(OPS["nll_loss"], operands, attrs)


def _check_scores(kernel: str, input: Tensor) -> None:
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input.dtype.type_name}'")


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of logits (N, C, ...) or (C,) against classes or class probabilities.

    ``target`` holds int64 classes (N, ...) or floats of the shape of ``input``.
    ``label_smoothing`` mixes the target with the uniform distribution.
    """
    reduction = chosen(size_average, reduce, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    _check_scores("log_softmax_lastdim_kernel_impl", input)
    axis = 0 if input.ndim == 1 else 1
    floating = target.dtype.is_floating_point
    if tuple(target.shape) == tuple(input.shape):
        if not floating:
            raise RuntimeError(
                "Expected floating point type for target with class probabilities, got "
                f"{target.dtype.type_name}"
            )
        if ignore_index >= 0:
            raise RuntimeError("ignore_index is not supported for floating point target")
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing, axis)
    if floating and (not axis or target.shape[:1] == input.shape[:1]):
        raise RuntimeError(
            f"expected target dtype to be Long or Byte, but got {target.dtype.type_name} of shape "
            f"{list(target.shape)}; class probabilities would have that of the input, "
            f"{list(input.shape)}"
        )
    if floating:
        raise ValueError(
            f"Expected input batch_size ({input.shape[0]}) to match target batch_size "
            f"({target.shape[0] if target.ndim else 0})."
        )
    if label_smoothing:
        return _smoothed(input, target, weight, ignore_index, reduction, label_smoothing, axis)
    operands = (input, target) if weight is None else (input, target, weight)
    attrs = {"ignore_index": int(ignore_index), "reduction": reduction}
    return apply(OPS["cross_entropy"], operands, attrs)


def _column(weight: Tensor, input: Tensor, axis: int) -> Any:
    """Class weights in the shape of the input, to broadcast."""
    shape = (*(1,) * axis, int(weight.shape[0]), *(1,) * (input.ndim - axis - 1))
    return _row("reshape", weight, shape=shape)


def _soft_cross_entropy(
    input: Tensor, target: Any, weight: Tensor | None, reduction: str, smoothing: float, axis: int
) -> Tensor:
    if smoothing:
        target = target * (1 - smoothing) + smoothing / int(input.shape[axis])
    products: Any = log_softmax(input, axis) * target  # type: ignore[operator]
    if weight is not None:
        products = products * _column(weight, input, axis)
    if reduction == "mean":
        examples = input.numel() // max(int(input.shape[axis]), 1)
        return -products.sum() / max(examples, 1)  # type: ignore[no-any-return]
    losses = _row("neg", _row("sum", products, dims=(axis,), keepdim=False))
    return reduced(losses, reduction)


def _smoothed(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    smoothing: float,
    axis: int,
) -> Tensor:
    """``(1 - s) * nll + s / C *`` the sum over all classes, both weighted by class."""
    logs: Any = log_softmax(input, axis)
    hard: Any = nll_loss(logs, target, weight, None, ignore_index, None, reduction)
    each = logs if weight is None else logs * _column(weight, input, axis)
    smooth = _row("neg", _row("sum", each, dims=(axis,), keepdim=False))
    ignored = _row("eq", target, ignore_index)
    smooth = _row("where", ignored, 0, smooth)
    if reduction == "mean":
        counted = cast(_row("logical_not", ignored), input.dtype)
        if weight is not None:
            safe = _row("where", ignored, 0, target)
            counted = counted * _row("take", weight, safe, dim=0)
        smooth = smooth.sum() / counted.sum()
    else:
        smooth = reduced(smooth, reduction)
    return hard * (1 - smoothing) + smooth * (smoothing / int(input.shape[axis]))  # type: ignore[no-any-return]


def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: Any = None,
) -> Tensor:
    """:func:`cross_entropy` of ``linear(input, linear_weight, linear_bias)``.

    ``input`` is (N, in) or (in,), ``linear_weight`` (C, in) or (C, *S, in) for losses of (N, C, *S)
    logits. ``options`` say how PyTorch saves memory, and change nothing here.
    """
    del options
    if input.ndim not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise RuntimeError(
            f"expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}"
        )
    features = int(input.shape[-1])
    if features != linear_weight.shape[-1]:
        raise RuntimeError(
            "expected equal input and linear_weight last dimensions (in_features), got "
            f"{features} and {linear_weight.shape[-1]}, respectively"
        )
    outer = tuple(int(n) for n in linear_weight.shape[:-1])
    if linear_bias is not None and tuple(linear_bias.shape) != outer:
        raise RuntimeError(f"expected linear_bias shape {outer}, got {tuple(linear_bias.shape)}")
    batch = tuple(input.shape[:-1])
    if len(outer) > 1 and not batch:
        raise RuntimeError(
            f"K-dimensional loss defined by linear_weight shape {tuple(linear_weight.shape)} "
            f"requires batched input, (N, {features}), got unbatched input with shape "
            f"{tuple(input.shape)}"
        )
    logits_shape = (*batch, *outer)
    if tuple(target.shape) == logits_shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    rows = math.prod(outer)
    flat = _row("reshape", linear_weight, shape=(rows, features))
    shift = None if linear_bias is None else _row("reshape", linear_bias, shape=(rows,))
    logits = _row("reshape", linear(input, flat, shift), shape=logits_shape)
    return cross_entropy(
        logits, target, weight, ignore_index=-100 if ignore_index is None else ignore_index,
        reduction=reduction, label_smoothing=label_smoothing,
    )  # fmt: skip


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """``-(t * log(p) + (1 - t) * log(1 - p))`` of probabilities; each log is at least -100."""
    reduction = chosen(size_average, reduce, reduction)
    if tuple(target.shape) != tuple(input.shape):
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}) is deprecated. Please ensure they have the same size."
        )
    p, t = promoted("binary_cross_entropy", input, target)
    if weight is None:
        return _row("binary_cross_entropy", p, t, reduction=reduction)  # type: ignore[no-any-return]
    return reduced(_row("binary_cross_entropy", p, t, reduction="none") * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """:func:`binary_cross_entropy` of ``sigmoid(input)``, computed without overflow."""
    reduction = chosen(size_average, reduce, reduction)
    if tuple(target.shape) != tuple(input.shape):
        raise ValueError(
            f"Target size ({target.shape}) must be the same as input size ({input.shape})"
        )
    x, t = promoted("binary_cross_entropy_with_logits", input, target)
    if weight is None and pos_weight is None:
        return _row("binary_cross_entropy_with_logits", x, t, reduction=reduction)  # type: ignore[no-any-return]
    kind = x.dtype
    x, t, weight, pos_weight = (_wide(v) for v in (x, t, weight, pos_weight))
    logs = _row("log_sigmoid", x)
    if pos_weight is not None:
        logs = ((pos_weight - 1) * t + 1) * logs
    loss = (1 - t) * x - logs
    result = reduced(loss if weight is None else loss * weight, reduction)
    return cast(result, kind) if kind.itemsize == 2 else result


def _wide(x: Any) -> Any:
    """Halves as float32: what is computed of several parts is rounded once."""
    return cast(x, dtypes.float32) if x is not None and x.dtype.itemsize == 2 else x


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """``target * (log(target) - input)``; ``input`` holds log-probabilities.

    ``reduction='batchmean'`` divides the sum by the size of the first dimension.
    """
    modern = size_average is None and reduce is None
    by_batch = reduction == "batchmean" and modern
    reduction = "sum" if by_batch else chosen(size_average, reduce, reduction)
    if reduction == "mean" and modern:
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math "
            "definition.'mean' will be changed to behave the same as 'batchmean' in the next major "
            "release.",
            stacklevel=2,
        )
    x, t = promoted("kl_div", input, target)
    x, t = broadcast_tensors(x, t)
    result: Any = _row("kl_div", x, t, reduction=reduction, log_target=bool(log_target))
    return result / int(input.shape[0]) if by_batch and input.ndim else result


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-08,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of counts; ``full`` adds Stirling's approximation."""
    reduction = chosen(size_average, reduce, reduction)
    x, t = promoted("poisson_nll_loss", input, target, floating=True)
    loss = _row("exp", x) - t * x if log_input else x - t * _row("log", x + eps)
    if full:
        stirling = t * _row("log", t) - t + 0.5 * _row("log", t * (2 * math.pi))
        loss = loss + _row("where", t > 1, stirling, 0)
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-06,
    reduction: str = "mean",
) -> Tensor:
    """The negative log-likelihood of normal numbers with variance ``var``, at least ``eps``.

    ``var`` is a number or a tensor: of the input's shape, without its last dimension, or with one
    dimension of size 1. Raises ValueError for other shapes, and for negative entries (which
    compiled programs do not look for).
    """
    if not isinstance(var, Tensor):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = input._full_like(float(var))
    elif MODES.trace is None and bool((var < 0).any()):  # type: ignore[operator]
        raise ValueError("var has negative entry/entries")
    if tuple(var.shape) != tuple(input.shape):
        sizes = zip(input.shape, var.shape, strict=False)
        if tuple(var.shape) == tuple(input.shape)[:-1]:
            var = var.unsqueeze(-1)  # type: ignore[attr-defined]
        elif input.ndim != var.ndim or sum(int(v) for n, v in sizes if n != v) != 1:
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    frozen = var.detach()
    limited = var + (_row("maximum", frozen, eps) - frozen)
    x, t, v = promoted("gaussian_nll_loss", input, target, limited)
    loss = (_row("log", v) + _row("square", x - t) / v) * 0.5
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)
