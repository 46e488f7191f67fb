"""Values that come from nothing but attributes: constants and counting."""

from typing import Any

import numpy as np

from graphc import dtypes
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.expressions import Call, Const, Expr, Position
from graphc.ir import CPU, Generate, Number, Op, Sample, TensorType, register
from graphc.ops.rules import Array, normalise_dim
from graphc.sizes import Int


def _full_type(
    *, value: Number, shape: tuple[Int, ...], dtype: DType, device: Device
) -> TensorType:
    del value
    return TensorType(tuple(shape), dtype, device)


def _full(*, value: Number, shape: tuple[int, ...], dtype: DType, device: Device) -> Array:
    del device
    with np.errstate(all="ignore"):  # 1e30 in a float16 is inf, as in a kernel
        return np.full(shape, np.asarray(value).astype(dtype.numpy), dtype.numpy)


def _full_value(_index: Any, type: TensorType, *, value: Number, **_attrs: Any) -> Expr:
    return Const(value, type.dtype)


FULL = register(
    Op(
        "full",
        _full_type,
        _full,
        Generate(_full_value),
        samples=lambda: [
            Sample((), {"value": v, "shape": s, "dtype": d, "device": CPU})
            for v, s, d in (
                (1.5, (2, 3), dtypes.float32),
                (-0.0, (), dtypes.float64),
                (float("nan"), (2,), dtypes.float32),
                (float("inf"), (2,), dtypes.bfloat16),
                (1e30, (2,), dtypes.float16),
                (7, (0, 2), dtypes.int64),
                (True, (2,), dtypes.bool),
                (255, (2,), dtypes.uint8),
            )
        ],
        reference=lambda *, value, shape, dtype, **_device: (
            np.array([value] * int(np.prod(shape)), np.float64).astype(dtype.numpy).reshape(shape)
        ),
    )
)


def _iota_type(
    *,
    shape: tuple[Int, ...],
    dim: int,
    dtype: DType,
    start: Number,
    step: Number,
    device: Device,
) -> TensorType:
    del start, step
    normalise_dim(dim, len(shape))
    return TensorType(tuple(shape), dtype, device)


def _iota(
    *,
    shape: tuple[int, ...],
    dim: int,
    dtype: DType,
    start: Number,
    step: Number,
    device: Device,
) -> Array:
    del device
    wide = np.float64 if dtype.is_floating_point else np.int64
    line = np.arange(shape[dim], dtype=wide) * wide(step) + wide(start)
    view = line.astype(dtype.numpy).reshape([-1 if i == dim else 1 for i in range(len(shape))])
    return np.array(np.broadcast_to(view, shape), order="C")  # NumPy makes the latter read-only


def _iota_value(
    index: tuple[Int, ...],
    type: TensorType,
    *,
    dim: int,
    start: Number,
    step: Number,
    **_attrs: Any,
) -> Expr:
    """Integers by index arithmetic; floats as ``start + step * index`` in float64, rounded once."""
    if not type.dtype.is_floating_point:
        return Position(index[dim] * int(step) + int(start), type.dtype)
    if start == 0 and step == 1:
        return Position(index[dim], type.dtype)
    wide = dtypes.float64
    value = Call(
        "({0} * {1} + {2})",
        (Position(index[dim], wide), Const(float(step), wide), Const(float(start), wide)),
        wide,
    )
    return value if type.dtype is wide else Call("(float){0}", (value,), type.dtype)


IOTA = register(
    Op(
        "iota",
        _iota_type,
        _iota,
        Generate(_iota_value),
        samples=lambda: [
            Sample(
                (),
                {"shape": s, "dim": d, "dtype": t, "start": a, "step": b, "device": CPU},
            )
            for s, d, t, a, b in (
                ((5,), 0, dtypes.int64, 0, 1),
                ((2, 3), 1, dtypes.int32, -2, 3),
                ((3, 2), 0, dtypes.float32, 0.1, 0.3),
                ((4,), 0, dtypes.float64, 1.0, -0.25),
                ((0,), 0, dtypes.float32, 0, 1),
                ((3,), 0, dtypes.bfloat16, 0.0, 1.0),
            )
        ],
        reference=lambda *, shape, dim, dtype, start, step, **_device: (
            np.array([start + step * at[dim] for at in np.ndindex(*shape)], np.float64)
            .astype(dtype.numpy)
            .reshape(shape)
        ),
    )
)
