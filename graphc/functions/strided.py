"""``as_strided``: a tensor's memory walked in any regular way, as a view of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.functions.promotion import cast
from graphc.functions.registry import tensor_function
from graphc.functions.shape import permuted, reshaped, sizes_of
from graphc.ops import OPS
from graphc.tensor import Tensor, apply


def _memory(tensor: Tensor) -> Tensor:
    """The elements as they lie in memory, one after the other: a view of the tensor.

    Raises RuntimeError for memory with gaps or repetitions.
    """
    strides = tensor.stride()
    order = sorted(range(tensor.ndim), key=lambda d: (-strides[d], tensor.shape[d] == 1, d))
    flat = reshaped(permuted(tensor, tuple(order)), (tensor.numel(),))
    if flat._base is None and tensor.numel():
        raise RuntimeError(
            f"as_strided walks through memory without gaps, not through that of a tensor of shape "
            f"{list(tensor.shape)} with strides {strides}; take .contiguous() of it"
        )
    return flat


def is_dense(tensor: Tensor) -> bool:
    """Whether the elements fill their part of the memory, each place once."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def _ground(input: Tensor, size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Any:
    """The memory to walk through and where it begins: the input's own part where that is enough.

    Then gradients reach a tensor that is itself a view; else it is the memory of the whole base.
    """
    me = input._here()
    if me._base is None:
        origin = me._origin
        if origin is None or origin._base is None:
            return _memory(me), 0
        from graphc.tracing import NeedsBases

        raise NeedsBases  # a view of memory that the trace has not seen yet
    first = me.storage_offset()
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    inside = first <= offset and last < first + me.numel()
    if me.numel() and 0 not in size and inside and is_dense(me):
        return _memory(me), first
    return _memory(me._base), 0


def _walk(
    input: Tensor, size: Any, stride: Any, storage_offset: int | None
) -> tuple[Tensor, dict[str, Any]]:
    sizes, strides = sizes_of((size,)), sizes_of((stride,))
    if len(sizes) != len(strides):
        raise RuntimeError(
            f"mismatch in length of strides and shape: {len(strides)} strides, {len(sizes)} sizes"
        )
    offset = input._here().storage_offset() if storage_offset is None else storage_offset
    memory, first = _ground(input, sizes, strides, offset)
    return memory, {"size": sizes, "stride": strides, "offset": offset - first}


@tensor_function
def as_strided(
    input: Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Tensor:
    """A view of the memory: element ``i`` lies ``storage_offset + sum(i * stride)`` elements in.

    The memory is that of the tensor ``input`` is a view of; without ``storage_offset`` the view
    begins where ``input`` begins. Raises RuntimeError outside of the memory.
    """
    memory, attrs = _walk(input, size, stride, storage_offset)
    return apply(OPS["as_strided"], (memory,), attrs)


@tensor_function
def as_strided_scatter(
    input: Tensor,
    src: Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Tensor:
    """A copy of ``input`` with ``src`` in the places that ``as_strided`` shows."""
    own = apply(OPS["clone"], (input,), {})
    sizes, strides = sizes_of((size,)), sizes_of((stride,))
    if tuple(src.shape) != sizes:
        raise RuntimeError(
            f"expected src to have a size equal to the slice of self. src size = "
            f"{list(src.shape)}, slice size = {list(sizes)}"
        )
    attrs = {"size": sizes, "stride": strides, "offset": storage_offset or 0}
    memory = _memory(own)
    put = OPS["as_strided"].put
    assert put is not None
    apply(OPS["as_strided"], (memory,), attrs)  # checks the places
    written = put(memory, cast(src, input.dtype), **attrs)
    layout = own.stride()
    order = sorted(range(own.ndim), key=lambda d: (-layout[d], own.shape[d] == 1, d))
    shown = reshaped(written, tuple(own.shape[d] for d in order))
    return permuted(shown, tuple(int(i) for i in np.argsort(order)))
