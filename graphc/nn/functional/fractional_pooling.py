"""Maxima of windows at random distances (Graham, "Fractional max-pooling", arXiv:1412.6071)."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.functions.promotion import cast
from graphc.functions.registry import FUNCTIONS
from graphc.nn.functional.adaptive_pooling import largest_of
from graphc.nn.functional.arguments import Sizes, ntuple, unbatched
from graphc.nn.functional.pooling import pooled_images
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _reshaped(x: Tensor, *shape: int) -> Tensor:
    return apply(OPS["reshape"], (x,), {"shape": shape})


def _begins(draw: Tensor, size: int, count: int, kernel: int) -> Tensor:
    """Where the windows of one dim begin, int64 (N, C, count), from a draw of each channel.

    The distance is ``(size - kernel) / (count - 1)``, shifted by the draw and rounded down; the
    last window ends where the dim ends.
    """
    n, channels = (int(s) for s in draw.shape)
    last = size - kernel
    numbers: Any = FUNCTIONS["arange"](count)
    step = last / max(count - 1, 1)
    half = draw.dtype in (dtypes.float16, dtypes.bfloat16)
    column: Any = _reshaped(cast(draw, dtypes.float32) if half else draw, n, channels, 1)
    shifted = (column + cast(numbers, column.dtype)) * step
    at = cast(shifted, dtypes.int64) - cast(column * step, dtypes.int64)
    return apply(OPS["where"], (numbers == count - 1, last, at), {})


def _places(
    draws: Tensor, sizes: Sequence[int], counts: Sequence[int], kernel: Sequence[int]
) -> Tensor:
    """Which places of the flattened image each window shows: int64 (N, C, *counts, *kernel)."""
    spatial = len(sizes)
    n, channels = (int(s) for s in draws.shape[:2])
    # PyTorch draws for the last dim of an image first, but for the first dim of a volume.
    order = (1, 0) if spatial == 2 else range(spatial)
    total: Any = 0
    for d, which in enumerate(order):
        draw = draws.narrow(2, which, 1).squeeze(2)  # type: ignore[attr-defined]
        begin = _begins(draw, sizes[d], counts[d], kernel[d])
        shape = [1] * (2 * spatial)
        shape[d] = counts[d]
        within = [1] * (2 * spatial)
        within[spatial + d] = kernel[d]
        steps = _reshaped(FUNCTIONS["arange"](kernel[d]), 1, 1, *within)
        total = total * sizes[d] + (_reshaped(begin, n, channels, *shape) + steps)
    return total  # type: ignore[no-any-return]


def _output_size(
    name: str, x: Tensor, spatial: int, output_size: Any, output_ratio: Any
) -> tuple[int, ...]:
    if output_size is not None:
        return ntuple(output_size, spatial, name, "output_size")
    if output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if len(output_ratio) > spatial:
        raise ValueError(
            f"{name} requires output_ratio to either be a single Int or tuple of Ints."
        )
    ratios = tuple(output_ratio) * (spatial if len(output_ratio) == 1 else 1)
    return tuple(int(int(n) * r) for n, r in zip(x.shape[2:], ratios, strict=True))


def _draws(x: Tensor, spatial: int, given: Tensor | None) -> Tensor:
    """Uniform numbers, ``spatial`` for each channel: (N, C, spatial). Raises RuntimeError."""
    n, channels = (int(s) for s in x.shape[:2])
    if given is None:
        return FUNCTIONS["rand"](n, channels, spatial, dtype=x.dtype)  # type: ignore[no-any-return]
    if given.dtype is not x.dtype:
        raise DtypeError("Expect _random_samples to have the same dtype as input")
    if given.ndim != 3:
        raise ShapeError(f"Expect _random_samples to have 3 dimensions, got {given.ndim}")
    if given.shape[0] < n:
        raise ShapeError("Expect _random_samples.size(0) no less then input batch size.")
    for dim, size, what in ((1, channels, "input channel size"), (2, spatial, f"{spatial}")):
        if given.shape[dim] != size:
            raise ShapeError(
                f"Expect _random_samples.size({dim}) equals to {what}; got {given.shape[dim]}."
            )
    return given.narrow(0, 0, n)  # type: ignore[no-any-return, attr-defined]


def _check_fit(
    name: str, sizes: Sequence[int], counts: Sequence[int], kernel: Sequence[int]
) -> None:
    words = ("time", "height", "width")[-len(sizes) :]
    for what, size, count, k in zip(words, sizes, counts, kernel, strict=True):
        # As in PyTorch, a volume needs room for one window more.
        if count + k - 1 > size - (len(sizes) == 3):
            raise ShapeError(f"{name}(): pool {what} {k} too large relative to input {what} {size}")
        if k < 1 or count < 0:
            raise ShapeError(f"{name}(): kernel sizes must be positive, output sizes not negative")


def _fractional(
    spatial: int,
) -> tuple[Callable[..., Any], Callable[..., tuple[Tensor, Tensor]]]:
    name = f"fractional_max_pool{spatial}d"

    def with_indices(
        input: Tensor,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: Sequence[float] | None = None,
        return_indices: bool = False,  # noqa: ARG001 - PyTorch's signature
        _random_samples: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        x, added = pooled_images(name, input, spatial)
        counts = _output_size(name, x, spatial, output_size, output_ratio)
        kernel = ntuple(kernel_size, spatial, name, "kernel_size")
        draws = _draws(x, spatial, _random_samples)
        n, channels, *sizes = (int(s) for s in x.shape)
        _check_fit(name, sizes, counts, kernel)
        whole, inner = math.prod(counts), math.prod(kernel)
        flat = _reshaped(x, n, channels, math.prod(sizes))
        places = _reshaped(_places(draws, sizes, counts, kernel), n, channels, whole * inner)
        shown = apply(OPS["gather"], (flat.detach(), places), {"dim": 2})
        within = largest_of(_reshaped(shown, n, channels, whole, inner))
        columns = _reshaped(places, n, channels, whole, inner)
        chosen = apply(
            OPS["gather"], (columns, _reshaped(within, n, channels, whole, 1)), {"dim": 3}
        )
        index = _reshaped(chosen, n, channels, whole)
        values = apply(OPS["gather"], (flat, index), {"dim": 2})
        shape = (n, channels, *counts)
        return unbatched(_reshaped(values, *shape), added), unbatched(
            _reshaped(index, *shape), added
        )

    def pool(
        input: Tensor,
        kernel_size: Sizes,
        output_size: Sizes | None = None,
        output_ratio: Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> Any:
        both = with_indices(input, kernel_size, output_size, output_ratio, True, _random_samples)
        return both if return_indices else both[0]

    pool.__name__ = name
    pool.__doc__ = f"""The largest element of windows at random distances.

    ``input`` is (N, C, ...) or (C, ...) with {spatial} spatial dimensions. ``output_size``, or
    ``output_ratio`` of the input's size (a tuple), says how many windows there are; they begin at
    random places, the same for all rows of a channel. ``_random_samples`` (N, C, {spatial}),
    uniform in [0, 1), takes the place of the default generator. With ``return_indices`` also the
    positions in the flattened spatial dimensions, int64.

    Raises ValueError without a size, RuntimeError where windows do not fit.
    """
    with_indices.__name__ = f"{name}_with_indices"
    with_indices.__doc__ = f":func:`{name}`, and where in the flattened spatial dimensions (int64)."
    return pool, with_indices


fractional_max_pool2d, fractional_max_pool2d_with_indices = _fractional(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _fractional(3)
