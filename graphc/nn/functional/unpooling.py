"""Maxima put back where a pool found them, zeros elsewhere."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.nn.functional.arguments import Sizes, batched, ntuple
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _output_size(
    input: Tensor,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    output_size: Any,
) -> tuple[int, ...]:
    """The size that the pool had before it, or one near to it. Raises ValueError."""
    spatial = len(kernel)
    lead = input.ndim - spatial
    usual = tuple(
        (int(input.shape[lead + d]) - 1) * stride[d] + kernel[d] - 2 * padding[d]
        for d in range(spatial)
    )
    if output_size is None:
        return usual
    wanted = [int(n) for n in output_size]
    if len(wanted) == spatial + 2:
        wanted = wanted[2:]
    if len(wanted) != spatial:
        raise ValueError(
            f"output_size should be a sequence containing {spatial} or {spatial + 2} elements, but "
            f"it has a length of '{len(wanted)}'"
        )
    for d, (size, middle, step) in enumerate(zip(wanted, usual, stride, strict=True)):
        if not middle - step < size < middle + step:
            raise ValueError(
                f'invalid output_size "{wanted}" (dim {d} must be between {middle - step} and '
                f"{middle + step})"
            )
    return tuple(wanted)


def _check(name: str, input: Tensor, indices: Tensor, size: tuple[int, ...]) -> None:
    if indices.dtype is not dtypes.int64:
        raise DtypeError(
            f"elements in indices should be type int64 but got: {indices.dtype.type_name}"
        )
    if tuple(indices.shape) != tuple(input.shape):
        raise ShapeError(
            f"Expected shape of indices to be same as that of the input tensor "
            f"({list(input.shape)}) but got indices tensor with shape: {list(indices.shape)}"
        )
    if not all(input.shape[1:]) or (input.ndim == len(size) + 1 and not input.shape[0]):
        raise ShapeError(
            f"{name}(): Expected input to have non-zero size for non-batch dimensions, but got "
            f"{list(input.shape)}"
        )
    if any(n < 0 for n in size):
        raise ValueError(
            "max_unpooling: output_size must contain non-negative spatial dimensions, but got "
            f"{list(size)}"
        )
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f"\"{name}\" not implemented for '{input.dtype.type_name}'")


def _max_unpool(spatial: int) -> Callable[..., Tensor]:
    name = f"max_unpool{spatial}d"

    def unpool(
        input: Tensor,
        indices: Tensor,
        kernel_size: Sizes,
        stride: Any = None,
        padding: Sizes = 0,
        output_size: Sequence[int] | None = None,
    ) -> Tensor:
        kernel = ntuple(kernel_size, spatial, name, "kernel_size")
        strides = kernel if stride is None else ntuple(stride, spatial, name, "stride")
        pads = ntuple(padding, spatial, name, "padding")
        batched(name, input, spatial)  # refuses other ranks
        size = _output_size(input, kernel, strides, pads, output_size)
        _check(name, input, indices, size)
        lead = tuple(int(n) for n in input.shape[: input.ndim - spatial])
        places, whole = math.prod(input.shape[len(lead) :]), math.prod(size)
        rows = {"shape": (*lead, int(places))}
        values = apply(OPS["reshape"], (input,), rows)
        index = apply(OPS["reshape"], (indices,), rows)
        zeros = apply(
            OPS["full"],
            (),
            {"value": 0, "shape": (*lead, whole), "dtype": input.dtype, "device": input.device},
        )
        try:
            filled = apply(OPS["scatter"], (zeros, index, values), {"dim": len(lead), "add": False})
        except IndexError as error:
            by = "x".join(map(str, size))
            raise RuntimeError(
                f"Found an invalid max index: {error} (output volumes are of size {by})"
            ) from None
        return apply(OPS["reshape"], (filled,), {"shape": (*lead, *size)})

    unpool.__name__ = name
    unpool.__doc__ = f"""What :func:`max_pool{spatial}d` was given, as far as its result tells.

    ``input`` (N, C, ...) or (C, ...) and ``indices`` (int64, of the same shape) are the values and
    positions that the pool returned; ``output_size`` says what it was given where several sizes
    have the same result. Everything else is 0. Where positions are equal, the last value stays.

    Raises RuntimeError for shapes and positions that do not fit, ValueError for ``output_size``.
    """
    return unpool


max_unpool1d = _max_unpool(1)
max_unpool2d = _max_unpool(2)
max_unpool3d = _max_unpool(3)
