"""Channels exchanged with places (sub-pixel convolution) and among each other."""

from typing import Any

from graphc.errors import ShapeError
from graphc.functions.registry import tensor_function
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _reshaped(x: Tensor, *shape: int) -> Tensor:
    return apply(OPS["reshape"], (x,), {"shape": shape})


def _permuted(x: Tensor, *dims: int) -> Tensor:
    return apply(OPS["permute"], (x,), {"dims": dims})


def _of_its_own(result: Tensor, factor: int, places: int) -> Tensor:
    """Memory of its own also where nothing changed places."""
    return result.clone() if factor == 1 or places <= 1 else result  # type: ignore[attr-defined, no-any-return]


def _positive(name: str, what: str, value: Any) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name}(): argument '{what}' must be int, not {type(value).__name__}")
    if value.__index__() <= 0:
        raise RuntimeError(f"{name} expects a positive {what}, but got {value}")
    return int(value.__index__())


def _images(name: str, x: Tensor) -> tuple[int, ...]:
    """The sizes (..., C, H, W) with all leading dims as one. Raises RuntimeError."""
    if x.ndim < 3:
        raise ShapeError(
            f"{name} expects input to have at least 3 dimensions, but got input with {x.ndim} "
            "dimension(s)"
        )
    *lead, channels, rows, columns = (int(n) for n in x.shape)
    count = 1
    for n in lead:
        count *= n
    return count, channels, rows, columns


@tensor_function(method=False)
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C * r * r, H, W) as (..., C, H * r, W * r): Shi et al., arXiv:1609.05158.

    Raises RuntimeError for fewer than three dims, a factor below one, or channels that do not
    divide.
    """
    count, channels, rows, columns = _images("pixel_shuffle", input)
    r = _positive("pixel_shuffle", "upscale_factor", upscale_factor)
    if channels % (r * r):
        raise ShapeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square "
            f"of upscale_factor, but input.size(-3)={channels} is not divisible by {r * r}"
        )
    kept = channels // (r * r)
    apart = _permuted(_reshaped(input, count, kept, r, r, rows, columns), 0, 1, 4, 2, 5, 3)
    result = _reshaped(apart, *input.shape[:-3], kept, rows * r, columns * r)
    return _of_its_own(result, r, rows * columns)


@tensor_function(method=False)
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, H * r, W * r) as (..., C * r * r, H, W): undoes :func:`pixel_shuffle`.

    Raises RuntimeError for fewer than three dims, a factor below one, or sizes that do not divide.
    """
    count, channels, rows, columns = _images("pixel_unshuffle", input)
    r = _positive("pixel_unshuffle", "downscale_factor", downscale_factor)
    for what, size, at in (("height", rows, -2), ("width", columns, -1)):
        if size % r:
            raise ShapeError(
                f"pixel_unshuffle expects {what} to be divisible by downscale_factor, but "
                f"input.size({at})={size} is not divisible by {r}"
            )
    rows, columns = rows // r, columns // r
    apart = _permuted(_reshaped(input, count, channels, rows, r, columns, r), 0, 1, 3, 5, 2, 4)
    result = _reshaped(apart, *input.shape[:-3], channels * r * r, rows, columns)
    return _of_its_own(result, r, rows * columns)


def _channel_shuffle(name: str, x: Tensor, groups: int) -> Tensor:
    if x.ndim <= 2:
        raise ShapeError(
            f"{name} expects input with > 2 dims, but got input with sizes {list(x.shape)}"
        )
    count = _positive(name, "groups", groups)
    batch, channels = int(x.shape[0]), int(x.shape[1])
    if channels % count:
        raise ShapeError(
            f"Number of channels must be divisible by groups. Got {channels} channels and {count} "
            "groups."
        )
    rest = tuple(int(n) for n in x.shape[2:])
    apart = _reshaped(x, batch, count, channels // count, *rest)
    mixed = _permuted(apart, 0, 2, 1, *range(3, 3 + len(rest)))
    return _reshaped(mixed, batch, channels, *rest)


@tensor_function(method=False)
def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels (N, C, ...) dealt out to ``groups`` in turn: Zhang et al., arXiv:1707.01083.

    Raises RuntimeError for fewer than three dims, or channels that ``groups`` does not divide.
    """
    return _channel_shuffle("channel_shuffle", input, groups)


@tensor_function(method=False)
def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """PyTorch's second name of :func:`channel_shuffle`."""
    return _channel_shuffle("native_channel_shuffle", input, groups)
