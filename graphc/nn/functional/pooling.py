"""Pools: the largest or the mean of every window."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.errors import ShapeError
from graphc.functions.joining import stack as _stack
from graphc.functions.registry import tensor_function
from graphc.functions.shape import narrow
from graphc.nn.functional.arguments import Sizes, batched, ntuple, unbatched
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _settings(
    name: str, spatial: int, kernel_size: Sizes, stride: Any, padding: Sizes, ceil_mode: bool
) -> dict[str, Any]:
    """The attributes that all pools share; a missing stride is the kernel's size."""
    kernel = ntuple(kernel_size, spatial, name, "kernel_size")
    missing = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    return {
        "kernel": kernel,
        "stride": kernel if missing else ntuple(stride, spatial, name, "stride"),
        "padding": ntuple(padding, spatial, name, "padding"),
        "ceil_mode": bool(ceil_mode),
    }


def _max_pool(spatial: int) -> Callable[..., Any]:
    name = f"max_pool{spatial}d"

    def pool(
        input: Tensor,
        kernel_size: Sizes,
        stride: Any = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        x, added = batched(name, input, spatial)
        attrs = _settings(name, spatial, kernel_size, stride, padding, ceil_mode)
        attrs["dilation"] = ntuple(dilation, spatial, name, "dilation")
        values = unbatched(apply(OPS["max_pool"], (x,), attrs), added)
        if not return_indices:
            return values
        return values, unbatched(apply(OPS["max_pool_index"], (x,), attrs), added)

    pool.__name__ = name
    pool.__doc__ = f"""The largest element of each window over {spatial} spatial dimensions.

    ``input`` is (N, C, ...) or (C, ...); ``stride`` defaults to ``kernel_size``. With
    ``return_indices`` also its position in the flattened spatial dimensions, int64.
    """
    tensor_function(pool, method=False)
    return pool


max_pool1d = _max_pool(1)
max_pool2d = _max_pool(2)
max_pool3d = _max_pool(3)


def _avg_pool(spatial: int) -> Callable[..., Tensor]:
    name = f"avg_pool{spatial}d"

    def pool(
        input: Tensor,
        kernel_size: Sizes,
        stride: Any = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        x, added = batched(name, input, spatial)
        attrs = _settings(name, spatial, kernel_size, stride, padding, ceil_mode)
        attrs["count_include_pad"] = bool(count_include_pad)
        result = apply(OPS["avg_pool"], (x,), {**attrs, "divisor_override": divisor_override})
        return unbatched(result, added)

    pool.__name__ = name
    pool.__doc__ = f"""The mean of each window over {spatial} spatial dimensions.

    ``input`` is (N, C, ...) or (C, ...); ``count_include_pad`` counts the zeros of the padding,
    ``divisor_override`` divides the sum by that number instead.
    """
    tensor_function(pool, method=False)
    return pool


avg_pool1d = _avg_pool(1)
avg_pool2d = _avg_pool(2)
avg_pool3d = _avg_pool(3)


def _lp_pool(spatial: int) -> Callable[..., Tensor]:
    average = (avg_pool1d, avg_pool2d, avg_pool3d)[spatial - 1]

    def pool(
        input: Tensor,
        norm_type: float,
        kernel_size: Sizes,
        stride: Any = None,
        ceil_mode: bool = False,
    ) -> Tensor:
        kernel = ntuple(kernel_size, spatial, f"lp_pool{spatial}d", "kernel_size")
        powers = apply(OPS["pow"], (input, float(norm_type)), {})
        mean = average(powers, kernel, stride, 0, ceil_mode)
        whole = apply(OPS["mul"], (mean, float(np.prod(kernel))), {})
        positive = apply(OPS["relu"], (whole.abs(),), {})  # type: ignore[attr-defined]
        signed = apply(OPS["mul"], (whole.sign(), positive), {})  # type: ignore[attr-defined]
        return apply(OPS["pow"], (signed, 1.0 / norm_type), {})

    pool.__name__ = f"lp_pool{spatial}d"
    pool.__doc__ = "The ``norm_type``-norm of each window (of positive numbers)."
    return pool


lp_pool1d = _lp_pool(1)
lp_pool2d = _lp_pool(2)
lp_pool3d = _lp_pool(3)

# --------------------------------------------------------------------------------------- adaptive


def _parts(size: int, count: int) -> list[tuple[int, int]]:
    """The windows that divide ``size`` elements into ``count``, overlapping where they must."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _output_sizes(output_size: Any, x: Tensor, name: str) -> tuple[int, ...]:
    n = x.ndim - 2
    given = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,) * n
    sizes = [int(x.shape[2 + d]) if s is None else s for d, s in enumerate(given)]
    result = ntuple(sizes, n, name, "output_size")
    if any(s < 0 for s in result):
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0")
    return result


def _by_parts(x: Tensor, dim: int, count: int, row: str) -> Tensor:
    """One dim reduced in parts, each by the row ``row``."""
    size = int(x.shape[dim])
    if count == size:
        return x
    attrs = {"dims": (dim,), "keepdim": False}
    parts = [apply(OPS[row], (narrow(x, dim, a, b - a),), attrs) for a, b in _parts(size, count)]
    if not parts:
        return narrow(x, dim, 0, 0)  # type: ignore[no-any-return]
    return _stack(parts, dim)  # type: ignore[no-any-return]


def _adaptive(kind: str, spatial: int) -> Callable[..., Tensor]:
    name = f"adaptive_{kind}_pool{spatial}d"
    row = {"avg": "mean", "max": "amax"}[kind]
    divided = {"avg": _avg_even, "max": _max_even}[kind]

    def pool(input: Tensor, output_size: Sizes | Sequence[int | None]) -> Tensor:
        x, added = batched(name, input, spatial)
        counts = _output_sizes(output_size, x, name)
        sizes = tuple(int(s) for s in x.shape[2:])
        if any(s == 0 for s in sizes):
            raise ShapeError(
                f"{name}(): Expected input to have non-zero size for non-batch dimensions, but "
                f"input has sizes {list(input.shape)}"
            )
        if all(c and s % c == 0 for s, c in zip(sizes, counts, strict=True)):
            return unbatched(divided(x, sizes, counts), added)
        for d, count in enumerate(counts):
            x = _by_parts(x, 2 + d, count, row)
        return unbatched(x, added)

    pool.__name__ = name
    what = {"avg": "mean", "max": "largest element"}[kind]
    pool.__doc__ = f"""The {what} of windows chosen so that ``output_size`` comes out.

    ``input`` is (N, C, ...) or (C, ...); None in ``output_size`` keeps that dimension.
    """
    return pool


def _avg_even(x: Tensor, sizes: tuple[int, ...], counts: tuple[int, ...]) -> Tensor:
    kernel = tuple(s // c for s, c in zip(sizes, counts, strict=True))
    return (avg_pool1d, avg_pool2d, avg_pool3d)[len(sizes) - 1](x, kernel)


def _max_even(x: Tensor, sizes: tuple[int, ...], counts: tuple[int, ...]) -> Tensor:
    kernel = tuple(s // c for s, c in zip(sizes, counts, strict=True))
    return (max_pool1d, max_pool2d, max_pool3d)[len(sizes) - 1](x, kernel)  # type: ignore[no-any-return]


adaptive_avg_pool1d = _adaptive("avg", 1)
adaptive_avg_pool2d = _adaptive("avg", 2)
adaptive_avg_pool3d = _adaptive("avg", 3)
adaptive_max_pool1d = _adaptive("max", 1)
adaptive_max_pool2d = _adaptive("max", 2)
adaptive_max_pool3d = _adaptive("max", 3)
tensor_function(adaptive_avg_pool1d, method=False)
tensor_function(adaptive_max_pool1d, method=False)
