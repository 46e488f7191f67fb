"""Connectionist temporal classification."""

from typing import Any

from graphc import dtypes
from graphc.functions.creation import tensor as make
from graphc.functions.promotion import cast
from graphc.nn.functional.loss import chosen, reduced
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _lengths(given: Any, name: str) -> Tensor:
    """(N,) int64 of a tensor, a number or a sequence of numbers."""
    if not isinstance(given, Tensor):
        given = make(given, dtype=dtypes.int64)
    if given.dtype.is_floating_point or given.dtype is dtypes.bool:
        raise RuntimeError(f"{name} must be integral")
    if given.ndim == 0:
        given = apply(OPS["reshape"], (given,), {"shape": (1,)})
    return cast(given, dtypes.int64)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log-likelihood of labels without a known alignment (Graves et al., 2006).

    ``log_probs`` (T, N, C) or (T, C), float32 or float64, come from :func:`log_softmax`: only for
    those is the gradient exact, as in PyTorch. ``targets`` are integers (N, S), padded, or the
    labels of all examples one after the other; the lengths are tensors (N,) or sequences of
    integers. ``reduction='mean'`` divides each loss by its number of labels first.
    ``zero_infinity`` puts 0 for losses of targets too long for their input, and for their
    gradients. Raises RuntimeError for lengths that do not fit.
    """
    reduction = chosen(None, None, reduction)
    steps = _lengths(input_lengths, "input_lengths")
    counts = _lengths(target_lengths, "target_lengths")
    single = log_probs.ndim == 2
    logs: Any = log_probs.unsqueeze(1) if single else log_probs  # type: ignore[attr-defined]
    if targets.dtype.is_floating_point:
        targets = cast(targets, dtypes.int64)
    attrs = {"blank": int(blank), "zero_infinity": bool(zero_infinity)}
    losses: Any = apply(OPS["ctc_loss"], (logs, targets, steps, counts), attrs)
    if reduction == "mean":
        losses = losses / cast(apply(OPS["maximum"], (counts, 1), {}), losses.dtype)
    elif single and reduction == "none":
        losses = losses.squeeze(0)
    return reduced(losses, reduction)
