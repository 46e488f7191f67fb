"""Pools of windows at equal distances: the largest, the mean, the norm of each."""

import math
from collections.abc import Callable
from typing import Any

from graphc import dtypes
from graphc.errors import ShapeError
from graphc.functions.registry import tensor_function
from graphc.nn.functional.arguments import Sizes, batched, ntuple, unbatched
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def pool_settings(
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


def pooled_images(name: str, input: Tensor, spatial: int) -> tuple[Tensor, bool]:
    """:func:`batched`, where only the batch may be empty. Raises RuntimeError."""
    x, added = batched(name, input, spatial)
    if not all(x.shape[1:]):
        raise ShapeError(
            f"{name}: Expected {spatial + 1}D or {spatial + 2}D (batch mode) tensor with optional "
            f"0 dim batch size for input, but got: {list(input.shape)}"
        )
    return x, added


def check_dtype(name: str, x: Tensor, accepted: Callable[[dtypes.dtype], bool]) -> None:
    """Raises NotImplementedError for the dtypes that PyTorch's kernels lack."""
    if not accepted(x.dtype):
        raise NotImplementedError(f"\"{name}\" not implemented for '{x.dtype.type_name}'")


def _max_pool(spatial: int) -> tuple[Callable[..., Any], Callable[..., tuple[Tensor, Tensor]]]:
    name = f"max_pool{spatial}d"

    def prepared(
        input: Tensor,
        kernel_size: Sizes,
        stride: Any,
        padding: Sizes,
        dilation: Sizes,
        ceil_mode: bool,
    ) -> tuple[Tensor, bool, dict[str, Any]]:
        x, added = pooled_images(name, input, spatial)
        attrs = pool_settings(name, spatial, kernel_size, stride, padding, ceil_mode)
        attrs["dilation"] = ntuple(dilation, spatial, name, "dilation")
        check_dtype(
            name, x, lambda d: d.is_floating_point or (spatial > 1 and d is not dtypes.bool_)
        )
        return x, added, attrs

    def with_indices(
        input: Tensor,
        kernel_size: Sizes,
        stride: Any = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,  # noqa: ARG001 - PyTorch's signature
    ) -> tuple[Tensor, Tensor]:
        x, added, attrs = prepared(input, kernel_size, stride, padding, dilation, ceil_mode)
        values = apply(OPS["max_pool"], (x,), attrs)
        places = apply(OPS["max_pool_index"], (x,), attrs)
        return unbatched(values, added), unbatched(places, added)

    def pool(
        input: Tensor,
        kernel_size: Sizes,
        stride: Any = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        if return_indices:
            return with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
        x, added, attrs = prepared(input, kernel_size, stride, padding, dilation, ceil_mode)
        return unbatched(apply(OPS["max_pool"], (x,), attrs), added)

    pool.__name__ = name
    pool.__doc__ = f"""The largest element of each window over {spatial} spatial dimensions.

    ``input`` is (N, C, ...) or (C, ...); ``stride`` defaults to ``kernel_size``. With
    ``return_indices`` also its position in the flattened spatial dimensions, int64.
    """
    with_indices.__name__ = f"{name}_with_indices"
    with_indices.__doc__ = f":func:`{name}`, and where in the flattened spatial dimensions (int64)."
    public = spatial == 1  # graphc.max_pool1d_with_indices, but none of more dimensions
    return (
        tensor_function(pool, method=False),
        tensor_function(with_indices, method=False, public=public),
    )


max_pool1d, max_pool1d_with_indices = _max_pool(1)
max_pool2d, max_pool2d_with_indices = _max_pool(2)
max_pool3d, max_pool3d_with_indices = _max_pool(3)


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
        x, added = pooled_images(name, input, spatial)
        attrs = pool_settings(name, spatial, kernel_size, stride, padding, ceil_mode)
        attrs["count_include_pad"] = bool(count_include_pad)
        check_dtype(name, x, lambda d: d.is_floating_point or d is dtypes.int64)
        result = apply(OPS["avg_pool"], (x,), {**attrs, "divisor_override": divisor_override})
        return unbatched(result, added)

    def pool_of_lines(
        input: Tensor,
        kernel_size: Sizes,
        stride: Any = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> Tensor:
        return pool(input, kernel_size, stride, padding, ceil_mode, count_include_pad)

    made = pool_of_lines if spatial == 1 else pool
    made.__name__ = name
    made.__doc__ = f"""The mean of each window over {spatial} spatial dimensions.

    ``input`` is (N, C, ...) or (C, ...); ``count_include_pad`` counts the zeros of the padding,
    ``divisor_override`` (of images and volumes) divides the sum by that number instead.
    """
    return tensor_function(  # type: ignore[no-any-return]
        made, method=False, out=spatial > 1, public=spatial == 1
    )


avg_pool1d = _avg_pool(1)
avg_pool2d = _avg_pool(2)
avg_pool3d = _avg_pool(3)


def _lp_pool(spatial: int) -> Callable[..., Tensor]:
    average = (avg_pool1d, avg_pool2d, avg_pool3d)[spatial - 1]
    largest = (max_pool1d, max_pool2d, max_pool3d)[spatial - 1]
    name = f"lp_pool{spatial}d"

    def pool(
        input: Tensor,
        norm_type: float,
        kernel_size: Sizes,
        stride: Any = None,
        ceil_mode: bool = False,
    ) -> Tensor:
        if math.isinf(norm_type):
            sign = 1.0 if norm_type > 0 else -1.0
            extreme = largest(input.abs() * sign, kernel_size, stride, 0, 1, ceil_mode)
            return extreme * sign  # type: ignore[no-any-return]
        kernel = ntuple(kernel_size, spatial, name, "kernel_size")
        mean: Any = average(input.pow(norm_type), kernel, stride, 0, ceil_mode)
        # The sign times relu of the absolute value: PyTorch's gradient at 0 is 0.
        signed = mean.sign() * apply(OPS["relu"], (mean.abs(),), {})
        return (signed * math.prod(kernel)).pow(1.0 / norm_type)  # type: ignore[no-any-return]

    pool.__name__ = name
    pool.__doc__ = """The ``norm_type``-norm of each window: the root of the sum of powers.

    ``input`` is (N, C, ...) or (C, ...); an infinite norm is the largest absolute value.
    """
    return pool


lp_pool1d = _lp_pool(1)
lp_pool2d = _lp_pool(2)
lp_pool3d = _lp_pool(3)
