"""Normalisations: by batch, by example, by vector; and dropout."""

import functools
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.functions.promotion import cast
from graphc.functions.registry import assign, tensor_function
from graphc.generator import draw
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _row(name: str, *operands: Any, **attrs: Any) -> Tensor:
    return apply(OPS[name], operands, attrs)


def _shaped(vector: Tensor, shape: Sequence[int]) -> Tensor:
    return _row("reshape", vector, shape=tuple(shape))


def _mixed(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Half-precision input and float32 parameters: computed in float32, given back in half."""

    @functools.wraps(function)
    def in_float32(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if input.dtype in (dtypes.bfloat16, dtypes.float16):
            given = (*args, *kwargs.values())
            if any(isinstance(x, Tensor) and x.dtype is dtypes.float32 for x in given):
                whole = function(input.to(dtypes.float32), *args, **kwargs)  # type: ignore[attr-defined]
                return whole.to(input.dtype)  # type: ignore[attr-defined, no-any-return]
        return function(input, *args, **kwargs)

    return in_float32


@_mixed
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """Each channel (dim 1) with mean 0 and variance 1, then times ``weight`` plus ``bias``.

    In training by the batch's own statistics, which move the running ones in place by
    ``momentum`` (with the unbiased variance); else by the running ones. Raises ValueError in
    training when a channel has one value only.
    """
    if training:
        _several(input.shape)
        if eps <= 0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    elif eps < 0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    if not input.numel() and input.ndim == 1:
        return _row("clone", input)
    channels = int(input.shape[1])
    for vector, what in (
        (running_mean, "running_mean"), (running_var, "running_var"), (weight, "weight"),
        (bias, "bias"),
    ):  # fmt: skip
        if vector is not None and vector.numel() != channels:
            raise RuntimeError(f"{what} should contain {channels} elements not {vector.numel()}")
    scale, shift = _filled(weight, 1.0, input), _filled(bias, 0.0, input)
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                "Expected running_mean and running_var to be defined when training=False"
            )
        return _row(
            "batch_norm_inference", input, running_mean, running_var, scale, shift, eps=float(eps)
        )
    if input.numel() and (running_mean is not None or running_var is not None):
        along = {"dims": tuple(d for d in range(input.ndim) if d != 1), "keepdim": False}
        seen = input.detach()
        _move(running_mean, _row("mean", seen, **along), momentum)
        _move(running_var, _row("var", seen, correction=1.0, **along), momentum)
    return _row("batch_norm", input, scale, shift, eps=float(eps))


def _several(shape: Sequence[Any]) -> None:
    """Statistics of one value say nothing."""
    if math.prod((*shape[:1], *shape[2:])) == 1:
        raise ValueError(
            f"Expected more than 1 value per channel when training, got input size {shape}"
        )


def _filled(vector: Tensor | None, value: float, like: Tensor) -> Tensor:
    """A missing scale or shift as a number."""
    if vector is not None:
        return vector
    return _row("full", value=value, shape=(), dtype=like.dtype, device=like.device)


def _move(running: Tensor | None, now: Tensor, momentum: Any) -> None:
    """A running statistic goes ``momentum`` of the way to the new one, in place."""
    if running is None:
        return
    recorded, MODES.grad = MODES.grad, False
    try:
        flat = _shaped(now.detach(), tuple(running.shape)).to(running.dtype)  # type: ignore[attr-defined]
        assign(running, running * (1 - momentum) + flat * momentum, "batch_norm")  # type: ignore[operator]
    finally:
        MODES.grad = recorded


@_mixed
def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """:func:`batch_norm` with each example by itself."""
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    kind = input.dtype
    if kind.itemsize == 2:  # computed in several steps, rounded once
        input = cast(input, dtypes.float32)
        weight, bias = (v if v is None else cast(v, dtypes.float32) for v in (weight, bias))
    dims = tuple(range(2, input.ndim))
    count = input.numel() // max(int(input.shape[0] * input.shape[1]), 1)
    if count <= 1:
        raise ValueError(
            f"Expected more than 1 spatial element when training, got input size {input.shape}"
        )
    mean = _row("mean", input, dims=dims, keepdim=True)
    centred = _row("sub", input, mean)
    var = _row("mean", _row("square", centred), dims=dims, keepdim=True)
    over_batch = {"dims": (0,), "keepdim": True}
    _move(running_mean, _row("mean", mean, **over_batch), momentum)
    unbiased = _row("mul", var, count / (count - 1))
    _move(running_var, _row("mean", unbiased, **over_batch), momentum)
    result = _row("mul", centred, _row("rsqrt", _row("add", var, eps)))
    shape = (1, int(input.shape[1]), *(1,) * (input.ndim - 2))
    if weight is not None:
        result = _row("mul", result, _shaped(weight, shape))
    if bias is not None:
        result = _row("add", result, _shaped(bias, shape))
    return cast(result, kind)


@_mixed
def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """The last dimensions, of shape ``normalized_shape``, with mean 0 and variance 1."""
    shape = tuple(normalized_shape)
    dims = _last(input, shape)
    for vector, what in ((weight, "weight"), (bias, "bias")):
        if vector is not None and tuple(vector.shape) != shape:
            raise RuntimeError(
                f"Expected {what} to be of same shape as normalized_shape, but got {what} of "
                f"shape {list(vector.shape)} and normalized_shape = {list(shape)}"
            )
    scale, shift = _filled(weight, 1.0, input), _filled(bias, 0.0, input)
    return _row("layer_norm", input, scale, shift, dims=dims, eps=float(eps))


def _last(input: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape:
        raise RuntimeError(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least "
            f"one element, but got normalized_shape = {list(shape)}"
        )
    if tuple(input.shape)[-len(shape) :] != shape:
        raise ShapeError(
            f"Given normalized_shape={list(shape)}, expected input with shape "
            f"[*, {', '.join(map(str, shape))}], but got input of size{list(input.shape)}"
        )
    return tuple(range(input.ndim - len(shape), input.ndim))


@_mixed
def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """The last dimensions divided by their root mean square."""
    dims = _last(input, tuple(normalized_shape))
    computed = dtypes.float32 if input.dtype.itemsize == 2 else input.dtype
    least = dtypes.finfo(computed).eps if eps is None else eps
    return _row("rms_norm", input, _filled(weight, 1.0, input), dims=dims, eps=float(least))


@_mixed
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
) -> Tensor:
    """Groups of channels (dim 1) with mean 0 and variance 1 in each example."""
    if input.ndim < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.ndim}"
        )
    if int(input.shape[1]) % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of "
            f"shape {list(input.shape)} and num_groups={num_groups}"
        )
    examples = int(input.shape[0] * input.shape[1]) // num_groups
    _several([examples, num_groups, *input.shape[2:]])
    scale, shift = _filled(weight, 1.0, input), _filled(bias, 0.0, input)
    return _row("group_norm", input, scale, shift, groups=int(num_groups), eps=float(eps))


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Each element divided by a power of the mean square of ``size`` neighbouring channels."""
    if input.ndim < 3:
        raise ValueError(
            f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)"
        )
    if not input.numel():
        return input
    rank = input.ndim
    before = tuple(size // 2 if d == 1 else 0 for d in range(rank))
    after = tuple((size - 1) // 2 if d == 1 else 0 for d in range(rank))
    padded = _row("pad", _row("square", input), before=before, after=after, value=0)
    shown = _row("window", padded, dims=(1,), sizes=(size,), strides=(1,), dilations=(1,))
    along = {"dims": (rank,), "keepdim": False}
    if input.dtype.is_floating_point:
        mean = _row("mean", shown, **along)
    else:
        mean = _row("floor_divide", _row("sum", shown, **along), int(size))
    return input / _row("pow", mean * alpha + k, beta)  # type: ignore[operator, no-any-return]


def normalize(
    input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """``input / max(norm(input, p, dim), eps)``."""
    from graphc.functions.registry import write_out

    size = input.norm(p, dim, True)  # type: ignore[attr-defined]
    result = _row("div", input, _row("maximum", size, eps))
    return result if out is None else write_out(out, result, "normalize")


# ---------------------------------------------------------------------------------------- dropout


def _checked(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


def _drop(input: Tensor, p: float, shape: Sequence[int], name: str, inplace: bool) -> Tensor:
    if p == 0:
        return input
    if p == 1:
        result = _row("mul", input, 0)
    else:
        kept = _row("ge", draw("uniform", shape, input.dtype, None), p)
        # A selected multiple, not a product with the mask: infinities that are dropped are zeros.
        result = _row("where", kept, _row("mul", input, 1 / (1 - p)), 0)
    return assign(input, result, name) if inplace else result


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """In training zeros with probability ``p``; what stays is divided by ``1 - p``."""
    _checked(p)
    return _drop(input, p, tuple(input.shape), "dropout", inplace) if training else input


def _by_channel(input: Tensor, name: str) -> tuple[int, ...]:
    """The shape of one number for each channel of each example."""
    if input.ndim < 2:
        raise RuntimeError(f"{name}: Feature dropout requires at least 2 dimensions in the input")
    return (*input.shape[:2], *(1,) * (input.ndim - 2))


def _channels(spatial: int) -> Any:
    name = f"dropout{spatial}d"

    def function(
        input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        _checked(p)
        if input.ndim not in (spatial + 1, spatial + 2):
            _other_rank(name, input.ndim, spatial)
        if spatial == 2 and input.ndim == 3:
            warnings.warn(
                "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D "
                "dropout behavior is desired - input is interpreted as shape (N, C, L), where C "
                "is the channel dim. To maintain the 1D channel-wise dropout behavior, please "
                "switch to using dropout1d instead.",
                stacklevel=2,
            )
        if not training:
            return input
        single = spatial != 2 and input.ndim != spatial + 2
        shape = (*input.shape[:1], *(1,) * (input.ndim - 1))
        return _drop(input, p, shape if single else _by_channel(input, name), name, inplace)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Dropout of whole channels of (N, C, ...)" + (
        "." if spatial == 2 else " or (C, ...)."
    )
    return function


def _other_rank(name: str, rank: int, spatial: int) -> None:
    """An error where one spatial dimension is meant, a warning elsewhere, as in PyTorch."""
    exists = (
        f"Note that {name} exists to provide channel-wise dropout on inputs with {spatial} spatial "
        f"dimension{'s' * (spatial > 1)}, a channel dimension, and an optional batch dimension "
        f"(i.e. {spatial + 1}D or {spatial + 2}D inputs)."
    )
    if spatial == 1:
        raise RuntimeError(
            f"{name}: Expected 2D or 3D input, but received a {rank}D input. {exists}"
        )
    warnings.warn(
        f"{name}: Received a {rank}-D input to {name}, which is deprecated and will result in an "
        "error in a future release. To retain the behavior and silence this warning, please use "
        f"dropout instead. {exists}",
        stacklevel=3,
    )


dropout1d, dropout2d, dropout3d = (_channels(n) for n in (1, 2, 3))

_ALPHA = 1.7580993408473766  # -selu(-inf): what alpha dropout puts in place of an element


def _alpha(input: Tensor, p: float, shape: Sequence[int], name: str, inplace: bool) -> Tensor:
    if p == 1:
        return _drop(input, 1, (), name, inplace)
    a = ((_ALPHA**2 * p + 1) * (1 - p)) ** -0.5
    kept = _row("ge", draw("uniform", shape, input.dtype, None), p)
    moved = _row("mul", _row("where", kept, input, -_ALPHA), a)
    result = _row("add", moved, a * p * _ALPHA)
    return assign(input, result, name) if inplace else result


def alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """Dropout that keeps mean 0 and variance 1 (for :func:`selu`)."""
    _checked(p)
    if not training or p == 0:
        return input
    return _alpha(input, p, tuple(input.shape), "alpha_dropout", inplace)


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """:func:`alpha_dropout` of whole channels of (N, C, ...)."""
    _checked(p)
    if not training or p == 0:
        return input
    shape = _by_channel(input, "feature_alpha_dropout")
    return _alpha(input, p, shape, "feature_alpha_dropout", inplace)


for _function in (layer_norm, batch_norm, group_norm, instance_norm, dropout, rms_norm):
    tensor_function(_function, method=False)
