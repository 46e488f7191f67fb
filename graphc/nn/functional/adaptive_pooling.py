"""Pools whose windows are chosen so that a wanted size comes out.

Where the wanted size divides the input's, they are the ordinary pools. Otherwise means are
resampled dim by dim, and maxima are picked from a table of places.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.functions.literals import literal
from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.nn.functional.arguments import Sizes, batched, unbatched
from graphc.nn.functional.pooling import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    check_dtype,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from graphc.ops import OPS
from graphc.ops.taps import windows
from graphc.tensor import Tensor, apply

Counts = tuple[int, ...]


def _output_size(name: str, output_size: Any, input: Tensor, spatial: int) -> Counts:
    """One count for each spatial dim; None is the input's own. Raises ValueError, RuntimeError."""
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * spatial
    if isinstance(output_size, (tuple, list)) and input.ndim <= len(given):
        raise ValueError(f"Input dimension should be at least {len(given) + 1}")
    if len(given) != spatial:
        raise RuntimeError(f"{name}: output_size must be {spatial}")
    lead = input.ndim - spatial
    sizes = [int(input.shape[lead + d]) if s is None else s for d, s in enumerate(given)]
    for size in sizes:
        if isinstance(size, bool) or not hasattr(size, "__index__"):
            raise TypeError(
                f"{name}(): argument 'output_size' must be tuple of ints, but found element of "
                f"type {type(size).__name__}"
            )
        if size < 0:
            raise RuntimeError(
                f"{name}: elements of output_size must be greater than or equal to 0, but got "
                f"{list(sizes)}"
            )
    return tuple(size.__index__() for size in sizes)


def _images(name: str, input: Tensor, spatial: int) -> tuple[Tensor, bool]:
    x, added = batched(name, input, spatial)
    if not all(x.shape[1:]):
        raise ShapeError(
            f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input "
            f"has sizes {list(input.shape)}"
        )
    return x, added


def _kernel(x: Tensor, counts: Counts) -> Counts | None:
    """The size of windows that divide the input evenly, where there are such."""
    sizes = [int(n) for n in x.shape[2:]]
    if any(c == 0 or n % c for n, c in zip(sizes, counts, strict=True)):
        return None
    return tuple(n // c for n, c in zip(sizes, counts, strict=True))


def _empty(x: Tensor, counts: Counts, dtype: dtypes.dtype) -> Tensor:
    """A result without elements, still on the tape of ``x``."""
    n = len(counts)
    attrs = {
        "starts": (0,) * x.ndim,
        "stops": (*x.shape[:2], *(0,) * n),
        "steps": (1,) * x.ndim,
    }
    nothing = apply(OPS["slice"], (x,), attrs)
    return cast(apply(OPS["reshape"], (nothing,), {"shape": (*x.shape[:2], *counts)}), dtype)


# ------------------------------------------------------------------------------------------ means


def _means(x: Tensor, counts: Counts) -> Tensor:
    half = x.dtype if x.dtype in (dtypes.float16, dtypes.bfloat16) else None
    y = x if half is None else cast(x, dtypes.float32)
    for d in reversed(range(len(counts))):
        attrs = {"dim": 2 + d, "size": counts[d], "method": "area", "scale": None}
        y = apply(OPS["resample"], (y,), {**attrs, "align_corners": False})
    return y if half is None else cast(y, half)


def _adaptive_avg(spatial: int) -> Callable[..., Tensor]:
    name = f"adaptive_avg_pool{spatial}d"
    even = (avg_pool1d, avg_pool2d, avg_pool3d)[spatial - 1]

    def pool(input: Tensor, output_size: Sizes | Sequence[int | None]) -> Tensor:
        counts = _output_size(name, output_size, input, spatial)
        x, added = _images(name, input, spatial)
        check_dtype(name, x, lambda d: d.is_floating_point)
        kernel = _kernel(x, counts)
        if kernel is not None:
            result = even(x, kernel)
        elif not all(counts):
            result = _empty(x, counts, x.dtype)
        else:
            result = _means(x, counts)
        return unbatched(result, added)

    pool.__name__ = name
    pool.__doc__ = """The mean of windows chosen so that ``output_size`` comes out.

    ``input`` is (N, C, ...) or (C, ...); None in ``output_size`` keeps that dimension.
    """
    return tensor_function(  # type: ignore[no-any-return]
        pool, method=False, public=spatial == 1, out=spatial > 1
    )


adaptive_avg_pool1d = _adaptive_avg(1)
adaptive_avg_pool2d = _adaptive_avg(2)
adaptive_avg_pool3d = _adaptive_avg(3)

# ----------------------------------------------------------------------------------------- maxima


def _places(sizes: Counts, counts: Counts) -> "np.ndarray[Any, Any]":
    """Which places of the flattened image each window shows: int64 [windows, elements].

    Windows have the size of the largest; a smaller one shows its last element of a dim again,
    which changes neither the first maximum nor the last NaN.
    """
    flat: Any = np.zeros((1, 1), np.int64)
    for size, count in zip(sizes, counts, strict=True):
        begin, end = windows(size, count)
        steps = np.arange(int((end - begin).max()))
        at = np.minimum(begin[:, None] + steps, end[:, None] - 1)
        flat = flat[:, None, :, None] * size + at[None, :, None, :]
        flat = flat.reshape(flat.shape[0] * flat.shape[1], -1)
    return np.asarray(flat)


def largest_of(values: Tensor) -> Tensor:
    """Where along the last dim the largest element is: the first of equals, the last NaN."""
    last = values.ndim - 1
    place = apply(OPS["argmax"], (values,), {"dims": (last,), "keepdim": False})
    shape = (1,) * last + (int(values.shape[last]),)
    attrs = {"shape": shape, "dim": last, "start": 0, "step": 1, "device": values.device}
    counted = apply(OPS["iota"], (), {**attrs, "dtype": dtypes.int64})
    nan = apply(OPS["isnan"], (values,), {})
    marked = apply(OPS["where"], (nan, counted, -1), {})
    last_nan = apply(OPS["amax"], (marked,), {"dims": (last,), "keepdim": False})
    there = apply(OPS["ge"], (last_nan, 0), {})
    return apply(OPS["where"], (there, last_nan, place), {})


def _picked(x: Tensor, counts: Counts) -> tuple[Tensor, Tensor]:
    """The maxima and their places, whatever the sizes of the windows."""
    n, channels, *sizes = (int(s) for s in x.shape)
    places = _places(tuple(sizes), counts)
    width = places.shape[1]
    flat = apply(OPS["reshape"], (x,), {"shape": (n, channels, int(np.prod(sizes)))})
    shown = apply(OPS["take"], (flat.detach(), literal(places)), {"dim": 2})
    within: Any = largest_of(shown)
    first = literal(np.arange(len(places), dtype=np.int64) * width)
    index = apply(OPS["take"], (literal(places.reshape(-1)), within + first), {"dim": 0})
    values = apply(OPS["gather"], (flat, index), {"dim": 2})
    shape = {"shape": (n, channels, *counts)}
    return apply(OPS["reshape"], (values,), shape), apply(OPS["reshape"], (index,), shape)


def _adaptive_max(
    spatial: int,
) -> tuple[Callable[..., Any], Callable[..., tuple[Tensor, Tensor]]]:
    name = f"adaptive_max_pool{spatial}d"
    even = (max_pool1d, max_pool2d, max_pool3d)[spatial - 1]

    def pooled(input: Tensor, output_size: Any, places: bool) -> Any:
        counts = _output_size(name, output_size, input, spatial)
        x, added = _images(name, input, spatial)
        check_dtype(name, x, lambda d: d.is_floating_point)
        kernel = _kernel(x, counts)
        if kernel is not None:
            result = even(x, kernel, return_indices=places)
        elif not all(counts):
            result = _empty(x, counts, x.dtype), _empty(x, counts, dtypes.int64)
        else:
            result = _picked(x, counts)
        if isinstance(result, tuple) and not places:
            result = result[0]
        if not places:
            return unbatched(result, added)
        return unbatched(result[0], added), unbatched(result[1], added)

    def with_indices(
        input: Tensor,
        output_size: Sizes | Sequence[int | None],
        return_indices: bool = False,  # noqa: ARG001 - PyTorch's signature
    ) -> tuple[Tensor, Tensor]:
        return pooled(input, output_size, True)  # type: ignore[no-any-return]

    def pool(
        input: Tensor, output_size: Sizes | Sequence[int | None], return_indices: bool = False
    ) -> Any:
        return pooled(input, output_size, return_indices)

    pool.__name__ = name
    pool.__doc__ = """The largest element of windows chosen so that ``output_size`` comes out.

    ``input`` is (N, C, ...) or (C, ...); None in ``output_size`` keeps that dimension. With
    ``return_indices`` also its position in the flattened spatial dimensions, int64.
    """
    with_indices.__name__ = f"{name}_with_indices"
    with_indices.__doc__ = f":func:`{name}`, and where in the flattened spatial dimensions (int64)."
    return (
        tensor_function(pool, method=False, public=False),
        tensor_function(with_indices, method=False, public=False),
    )


adaptive_max_pool1d, adaptive_max_pool1d_with_indices = _adaptive_max(1)
adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _adaptive_max(2)
adaptive_max_pool3d, adaptive_max_pool3d_with_indices = _adaptive_max(3)


@tensor_function(name="adaptive_max_pool1d", method=False)
def _graphc_adaptive_max_pool1d(input: Tensor, output_size: Sizes) -> tuple[Tensor, Tensor]:
    """The largest element of ``output_size`` windows of (N, C, L) or (C, L), and its position."""
    return adaptive_max_pool1d_with_indices(input, output_size)
