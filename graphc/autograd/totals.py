"""Cotangents on their way through the eager tape: added up in place, parts in their places.

Outside of traces, where nothing is recorded, a cotangent that reaches a node from several sides
is summed in memory of its own. What comes through a slice is not filled up with zeros before: it
is added where the slice lies, so a loop over the slices of a tensor costs one pass over it.
"""

from typing import Any

import numpy as np

from graphc.ir import OPS, Attrs, Op, TensorType
from graphc.ops.evaluation import ERRORS, SILENT
from graphc.tensor import Array, Tensor


class Part:
    """The cotangent of a view, which is that of its source where the view lies."""

    __slots__ = ("array", "attrs", "op", "type")

    def __init__(self, array: Array, op: Op, attrs: Attrs, type: TensorType) -> None:
        self.array, self.op, self.attrs, self.type = array, op, attrs, type

    def place(self, whole: Array) -> Array:
        """The view of a cotangent of the source."""
        shown: Array = self.op.evaluate(whole, **self.attrs)
        return shown


class Total:
    """A sum in memory of its own."""

    __slots__ = ("array", "type")

    def __init__(self, first: "Tensor | Part", second: "Tensor | Part") -> None:
        if isinstance(first, Tensor) and isinstance(second, Tensor):
            self.type = first._type
            self.array = np.asarray(np.add(first._current(), second._current()))
            return
        self.type = first._type if isinstance(first, Tensor) else first.type
        self.array = _zeros(self.type)
        self.add(first)
        self.add(second)

    def add(self, g: "Tensor | Part") -> None:
        """Adds one more."""
        if isinstance(g, Tensor):
            np.add(self.array, g._current(), out=self.array)
        else:
            place = g.place(self.array)
            np.add(place, g.array, out=place)


def _zeros(type: TensorType) -> Array:
    made: Array = np.zeros(type.shape, type.dtype.numpy)
    return made


def joined(before: Any, g: Any) -> Any:
    """The sum of what a node has and what arrives."""
    if not isinstance(g, (Tensor, Part)):  # several at once, for the results of a function
        return before + g
    token = ERRORS.set(SILENT)
    try:
        if isinstance(before, Total):
            before.add(g)
            return before
        return Total(before, g)
    finally:
        ERRORS.reset(token)


def whole(g: Any) -> Any:
    """A cotangent as the tensor it is."""
    if isinstance(g, Total):
        return Tensor._make(g.array, g.type)
    if isinstance(g, Part):
        array = _zeros(g.type)
        g.place(array)[...] = g.array
        return Tensor._make(array, g.type)
    return g


def as_tensor(array: Array | None, type: TensorType | None) -> Tensor | None:
    """A cotangent that was computed as an array; one that repeats its elements is an expansion."""
    if array is None or type is None:
        return None
    made: Tensor = Tensor._make(array, type)
    if not array.flags.writeable:
        once = tuple(slice(1) if step == 0 else slice(None) for step in array.strides)
        made._base = Tensor._make(array[once])
        made._storage = made._base._storage
        made._view = ((OPS["expand"], {"shape": type.shape}),)
    return made
