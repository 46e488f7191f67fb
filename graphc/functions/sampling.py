"""Draws from given probabilities."""

import numpy as np

from graphc import dtypes
from graphc.functions.counting import searchsorted
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function, write_out
from graphc.generator import Generator, draw
from graphc.modes import MODES
from graphc.tensor import Tensor


@tensor_function
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """``num_samples`` indices, each drawn with the probability that ``input`` gives in its row.

    ``input`` is a vector or a matrix of non-negative weights, which need not sum to one. Without
    ``replacement`` no index is drawn twice; those of weight zero come last. int64. Raises
    RuntimeError for other shapes and dtypes, for more samples than there are, and (eagerly, where
    values are known) for weights that are negative, not finite, or all zero.
    """
    _check(input, num_samples, replacement)
    if out is not None and out.dtype is not dtypes.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {out.dtype.type_name}")
    weights = cast(input.detach(), _wide(input.dtype))
    shape = tuple(input.shape)
    if MODES.trace is None:
        _check_values(weights)
    if replacement and num_samples > 1:
        ends = weights.cumsum(-1)
        drawn = draw("uniform", (*shape[:-1], num_samples), weights.dtype, generator)
        chosen = searchsorted(ends, drawn * ends.narrow(-1, shape[-1] - 1, 1), right=True)
    else:
        # The least of exponential waiting times is that of an event with a probability
        # proportional to its rate, and so is the next one among the others.
        waiting = weights.new_empty(shape).exponential_(generator=generator)
        chosen = (weights / waiting).topk(num_samples, -1).indices
    return chosen if out is None else write_out(out, chosen, "multinomial")


def _wide(dtype: dtypes.dtype) -> dtypes.dtype:
    return dtypes.float64 if dtype is dtypes.float64 else dtypes.float32


def _check(input: Tensor, num_samples: int, replacement: bool) -> None:
    if input.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not input.dtype.is_floating_point:
        raise RuntimeError(
            f"multinomial only supports floating-point dtypes for input, got: {input.dtype}"
        )
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if input.shape[-1] == 0 and input.numel() == 0 and replacement:
        raise RuntimeError("multinomial cannot sample from no categories")
    if not replacement and num_samples > input.shape[-1]:
        raise RuntimeError(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
        )


def _check_values(weights: Tensor) -> None:
    values = weights._array()
    if not bool(np.all((values >= 0) & (values < np.inf))):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not bool(np.all(values.sum(-1) > 0)):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
