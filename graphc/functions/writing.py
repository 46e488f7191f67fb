"""Writing into a tensor, and giving it other memory."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import layouts
from graphc.errors import TraceError, user_location
from graphc.functions.factory import (
    allocate,
    checked_number,
    checked_size,
    converted,
    filled,
    flat_slope,
    ranked,
)
from graphc.functions.promotion import cast
from graphc.functions.registry import assign, fitted, tensor_function
from graphc.functions.reshaping import become, own
from graphc.functions.strided import as_strided, is_dense
from graphc.modes import MODES
from graphc.ops import OPS
from graphc.storage import TypedStorage, UntypedStorage
from graphc.tensor import Tensor, apply

method = tensor_function(public=False)


@method
def copy_(self: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Writes ``src``, cast and broadcast, into this tensor.

    Raises TypeError unless ``src`` is a tensor or a number, RuntimeError when its shape does not
    fit.
    """
    del non_blocking
    if not isinstance(src, Tensor):
        src = filled((), converted(checked_number("copy_", "other", src), self.dtype), self.dtype)
    return self._write(fitted(cast(src, self.dtype), self, "copy_"))


def _full_of(input: Tensor, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                "fill only supports 0-dimension value tensor but got tensor with "
                f"{value.ndim} dimensions."
            )
        spread = apply(OPS["expand"], (ranked(cast(value, input.dtype), input.ndim),),
                       {"shape": tuple(input.shape)})  # fmt: skip
        return apply(OPS["clone"], (spread,), {})
    number = converted(checked_number("fill", "value", value), input.dtype)
    return filled(tuple(input.shape), number, input.dtype)


@tensor_function
def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like ``input`` with one number everywhere.

    ``value`` is a number or a zero-dim tensor, through which gradients flow. Raises RuntimeError
    when the dtype cannot hold the number.
    """
    return flat_slope(_full_of(input, value), input)


@tensor_function
def fill_(input: Tensor, value: Any) -> Tensor:
    """Writes one number everywhere: see :func:`fill`."""
    return input._write(_full_of(input, value))


@tensor_function
def zero_(input: Tensor) -> Tensor:
    """Writes zeros everywhere."""
    return fill_(input, 0)  # type: ignore[no-any-return]


tensor_function(Tensor.detach, method=False)
tensor_function(Tensor.detach_, method=False)


def _elementwise(name: str, self: Tensor, tensors: tuple[Tensor, ...], call: Any) -> Tensor:
    if MODES.trace is not None:
        raise TraceError(
            f"{name} at {user_location()} calls Python for every element, so it cannot be part of "
            "a graph; use operations on whole tensors"
        )
    if self._tracked():
        raise RuntimeError(
            f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() "
            "instead."
        )
    for other in tensors:
        if not isinstance(other, Tensor):
            raise TypeError(f"{name}(): expected a Tensor, not {type(other).__name__}")
        if other.dtype is not self.dtype:
            raise TypeError(f"{name}(): expected {self.dtype.name}, got {other.dtype.name}")
    arrays = np.broadcast_arrays(self._array(), *(t._array() for t in tensors))
    if arrays[0].shape != tuple(self.shape):
        raise RuntimeError(f"{name}(): {list(arrays[0].shape)} does not fit {list(self.shape)}")
    flat = [x.reshape(-1).tolist() for x in arrays]
    made = np.array([call(*each) for each in zip(*flat, strict=True)], self.dtype.numpy)
    return self._write(Tensor._make(made.reshape(self.shape)))


@method
def apply_(self: Tensor, callable: Callable[[Any], Any]) -> Tensor:
    """Replaces each element by what a Python function makes of it; slow."""
    return _elementwise("apply_", self, (), callable)


@method
def map_(self: Tensor, tensor: Tensor, callable: Callable[[Any, Any], Any]) -> Tensor:
    """Replaces each element by a Python function of it and of one of ``tensor``; slow."""
    return _elementwise("map_", self, (tensor,), callable)


@method
def map2_(self: Tensor, x: Tensor, y: Tensor, callable: Callable[[Any, Any, Any], Any]) -> Tensor:
    """Replaces each element by a Python function of it and of one of ``x`` and ``y``; slow."""
    return _elementwise("map2_", self, (x, y), callable)


# ------------------------------------------------------------------------------------- other memory


def _adopt(self: Tensor, other: Tensor) -> None:
    self._value, self._type = other._current(), other._type
    self._storage, self._base, self._view = other._storage, other._base, other._view
    self._seen, self._leaf, self._shadow_array = other._seen, None, None


def _refuse_tracked(self: Tensor, name: str) -> None:
    if MODES.trace is not None:
        raise TraceError(
            f"{name} at {user_location()} changes memory that the graph has planned; create a "
            "tensor of the new shape instead"
        )
    if self._tracked():
        raise RuntimeError(f"cannot {name.rstrip('_')} variables that require grad")


@method
def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Gives the tensor another shape over its memory; its elements are kept as far as they go.

    Where the memory does not suffice the tensor gets another one, so views of it stay behind.
    Raises RuntimeError while gradients are required.
    """
    shape = checked_size("resize_", sizes, required=False)
    format = layouts.checked_format("resize_", memory_format, layouts.DEFINITE)
    if shape == tuple(self.shape) and memory_format is None:
        return self
    me = own(self, "resize_")
    if me._tracked():
        raise RuntimeError("cannot resize variables that require grad")
    order = layouts.physical_order(len(shape), format)
    strides = layouts.dense_strides(shape, order)
    root = me._root()
    root, first = (me, 0) if root is None else (root, me.storage_offset())
    if is_dense(root) and first + math.prod(shape) <= root.numel():
        become(me, as_strided(me, shape, strides, first))
        return self
    if MODES.trace is not None:
        flat = apply(OPS["reshape"], (me,), {"shape": (me.numel(),)})
        more = {"before": (0,), "after": (math.prod(shape) - me.numel(),), "value": 0}
        larger = apply(OPS["pad"], (flat,), more)
        _adopt(me, as_strided(larger, shape, strides, 0))
        return self
    made = allocate(shape, self.dtype, strides)
    flat = self._value.reshape(-1)
    kept = np.zeros(made.size, made.dtype)
    kept[: flat.size] = flat[: made.size]
    made.transpose(order).reshape(-1)[...] = kept
    _adopt(self, Tensor._make(made))
    return self


@tensor_function
def resize_as_(input: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """:func:`Tensor.resize_` to the shape of another tensor."""
    return resize_(input, *the_template.shape, memory_format=memory_format)  # type: ignore[no-any-return]


@method
def set_(
    self: Tensor,
    source: Any = None,
    storage_offset: int = 0,
    size: Any = None,
    stride: Any = None,
) -> Tensor:
    """Takes over the memory, shape and strides of another tensor, or memory of a storage.

    Without arguments the tensor becomes empty. Raises RuntimeError for another dtype.
    """
    _refuse_tracked(self, "set_")
    if source is None:
        source = Tensor._make(np.empty(0, self.dtype.numpy))
    elif isinstance(source, (TypedStorage, UntypedStorage)):
        source = source._tensor(self.dtype, storage_offset, size, stride)
    if source.dtype is not self.dtype:
        raise RuntimeError(
            f"Could not set tensor of type {source.dtype.name} to a tensor of type "
            f"{self.dtype.name}"
        )
    _adopt(self, source)
    return self


def _get_data(self: Tensor) -> Tensor:
    return self.detach()


def _set_data(self: Tensor, value: Tensor) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
    if MODES.trace is not None:
        with_grad = MODES.grad
        MODES.grad = False
        try:
            assign(self, value, "data")
        finally:
            MODES.grad = with_grad
        return
    _adopt(self, value.detach())
    self._base, self._view = None, ()


Tensor.data = property(_get_data, _set_data)  # type: ignore[attr-defined]
