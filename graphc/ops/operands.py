"""Two operands that stop at a row: one evaluates with NumPy, one only infers types.

Composite rows are written once, as a decomposition; running it on :class:`Evaluated` operands is
their evaluation, on :class:`Typed` operands their type rule.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.dtypes import from_numpy_dtype
from graphc.ir import CPU, Arithmetic, Attrs, Op, TensorType, infer_type

Array = np.ndarray[Any, Any]


class Evaluated(Arithmetic):
    """An array whose operations are evaluated at once."""

    __slots__ = ("array",)

    def __init__(self, array: Array) -> None:
        self.array = array

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def dtype(self) -> DType:
        return from_numpy_dtype(self.array.dtype)

    @property
    def device(self) -> Device:
        return CPU

    @property
    def type(self) -> TensorType:
        return TensorType(self.shape, self.dtype)

    def __apply__(self, op: Op, operands: Sequence[Any], attrs: Attrs) -> "Evaluated":
        tensors = [x.array for x in operands if isinstance(x, Evaluated)]
        like = next((a.dtype for a in tensors if a.dtype != np.bool_), np.dtype(np.bool_))
        arrays = [x.array if isinstance(x, Evaluated) else np.asarray(x, like) for x in operands]
        return Evaluated(op.evaluate(*arrays, **attrs))


class Typed(Arithmetic):
    """A type whose operations only infer."""

    __slots__ = ("type",)

    def __init__(self, type: TensorType) -> None:
        self.type = type

    @property
    def shape(self) -> tuple[Any, ...]:
        return self.type.shape

    @property
    def ndim(self) -> int:
        return len(self.type.shape)

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def device(self) -> Device:
        return self.type.device

    def __apply__(self, op: Op, operands: Sequence[Any], attrs: Attrs) -> "Typed":
        types = [x.type for x in operands if isinstance(x, Typed)]
        if not types:
            return Typed(infer_type(op, (), attrs))
        like = next((t for t in types if t.dtype.numpy != np.bool_), types[0])
        number = like.with_shape(())
        given = [x.type if isinstance(x, Typed) else number for x in operands]
        return Typed(infer_type(op, given, attrs))


class ByRule:
    """A decomposition as a row's ``evaluate``."""

    __slots__ = ("rule",)

    def __init__(self, rule: Callable[..., Any]) -> None:
        self.rule = rule

    def __call__(self, *arrays: Array, **attrs: Any) -> Array:
        result: Evaluated = self.rule(*(Evaluated(a) for a in arrays), **attrs)
        return result.array


def infer_rule(rule: Callable[..., Any]) -> Callable[..., TensorType]:
    """A decomposition as a type rule."""

    def infer(*types: TensorType, **attrs: Any) -> TensorType:
        result: Typed = rule(*(Typed(t) for t in types), **attrs)
        return result.type

    return infer
