"""Operands of mixed dtypes, numbers included, brought to one dtype by PyTorch's rules.

Three kinds of operand weigh differently: tensors with dimensions before zero-dim tensors before
Python numbers; a lighter kind changes the result only when its category (bool < int < float) is
higher. Casts are ordinary operations, so they are differentiated and traced like any other.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.ir import OPS
from graphc.tensor import Tensor, apply

Number = (bool, int, float)


def supported(device: Device) -> Device:
    """The device, if tensors can live there. Raises RuntimeError for a GPU."""
    if device.type != "cpu":
        raise RuntimeError(
            f"no backend for device {device}: graphc has no running CUDA backend yet; keep tensors "
            "on 'cpu' (graphc.cuda.is_available() tells)"
        )
    return device


def operand(value: Any, name: str) -> Any:
    """A tensor, or a plain Python number; NumPy scalars count as numbers."""
    if isinstance(value, np.generic):  # np.float64 is a float too, but not one that repr can tell
        return value.item()
    if isinstance(value, (Tensor, *Number)):
        return value
    raise TypeError(
        f"{name}(): expected a Tensor or a number, got {type(value).__name__}; "
        "graphc.as_tensor(x) makes a tensor of an array or a list"
    )


def cast(value: Tensor, dtype: DType) -> Tensor:
    """The tensor in another dtype; itself when it has that one already."""
    if value.dtype is dtype:
        return value
    result = apply(OPS["cast"], (value,), {"dtype": dtype})
    result._weak = value._weak
    return result


def common_dtype(operands: Sequence[Any]) -> DType:
    """The dtype PyTorch computes in for these operands."""
    return dtypes.promote_operands(map(_weight, operands))


def _weight(x: Any) -> tuple[DType, dtypes.Category]:
    if not isinstance(x, Tensor):
        return dtypes.of_python(x), dtypes.Category.NUMBER
    if x._weak:  # a run-time number: a Python float that a trace reads at every call
        kind = dtypes.bool_ if x.dtype is dtypes.bool_ else dtypes.get_default_dtype()
        return kind, dtypes.Category.NUMBER
    category = dtypes.Category.DIMENSIONED if x._type.shape else dtypes.Category.ZERO_DIM
    return x._type.dtype, category


def promoted(name: str, *values: Any, floating: bool = False) -> list[Any]:
    """The operands in their common dtype (a float one if ``floating``); numbers stay numbers.

    At least one operand has to be a tensor.
    """
    operands = [operand(v, name) for v in values]
    tensors = [x for x in operands if isinstance(x, Tensor)]
    if not tensors:
        raise TypeError(f"{name}(): at least one argument must be a Tensor")
    if all(x._weak for x in tensors):
        return operands  # run-time numbers among themselves are computed as Python computes floats
    dtype = common_dtype(operands)
    if floating and not dtype.is_floating_point:
        dtype = dtypes.get_default_dtype()
    return [cast(x, dtype) if isinstance(x, Tensor) else x for x in operands]


def _agreed(values: Sequence[Any]) -> DType | None:
    """The dtype of operands that need no promotion; None where that takes a closer look."""
    dtype: DType | None = None
    for x in values:
        if isinstance(x, Tensor):
            if x._weak or (dtype is not None and x._type.dtype is not dtype):
                return None
            dtype = x._type.dtype
    if dtype is not None:
        for x in values:
            if not isinstance(x, Tensor) and _RANKS.get(type(x), 3) > dtype.kind:
                return None
    return dtype


_RANKS = {bool: dtypes.Kind.BOOL, int: dtypes.Kind.INTEGER, float: dtypes.Kind.FLOAT}


def pointwise(name: str, *values: Any, floating: bool = False, **attrs: Any) -> Tensor:
    """Applies the row ``name`` to promoted operands.

    Arithmetic among run-time numbers only gives a run-time number again.
    """
    agreed = _agreed(values)
    if agreed is not None and (not floating or agreed.is_floating_point):
        return apply(OPS[name], values, attrs)
    operands = promoted(name, *values, floating=floating)
    result = apply(OPS[name], operands, attrs)
    result._weak = all(x._weak for x in operands if isinstance(x, Tensor))
    return result
