"""Memory read as another dtype: ``view_dtype``, and the bits of floats that it is lowered to.

Where element sizes differ, the last dim grows or shrinks so that the bytes stay the same; memory
is little-endian. No gradient passes.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import DtypeError, ShapeError
from graphc.ir import OPS, Decompose, Op, Sample, Scalar, TensorType, register
from graphc.ops.rules import Array, full_like, row, spread
from graphc.sizes import floordiv, mod

_INTEGERS = {1: dtypes.int8, 2: dtypes.int16, 4: dtypes.int32, 8: dtypes.int64}

# ------------------------------------------------------------------------------- bits of a float


def _typed(name: str, source: DType, target: DType) -> Callable[[TensorType], TensorType]:
    def infer(x: TensorType) -> TensorType:
        if x.dtype is not source:
            raise DtypeError(f"{name} takes {source}, not {x.dtype}")
        return x.with_dtype(target)

    return infer


def _viewed(target: DType) -> Callable[[Array], Array]:
    return lambda x: np.ascontiguousarray(x).view(target.numpy).reshape(x.shape).copy()


def _copied_bytes(target: DType) -> Callable[[Array], Array]:
    return lambda x: np.frombuffer(x.tobytes(), target.numpy).reshape(x.shape)


def _both_ways(kind: DType) -> None:
    """The rows ``bits_of_f32`` and ``f32_of_bits``, and so for the other floats."""
    bits = _INTEGERS[kind.itemsize]
    values = spread((3, 4), -9, 9, np.float64)

    def samples_of(target: DType) -> Callable[[], Iterable[Sample]]:
        odd = np.array([0.0, -0.0, np.inf, -np.inf, 1e-5]).astype(kind.numpy)
        arrays = [values.astype(kind.numpy), odd, odd[:0], values[0, 0].astype(kind.numpy)]
        read = arrays if target is bits else [np.asarray(_viewed(bits)(a)) for a in arrays]
        return lambda: [Sample((np.asarray(a),), differentiable=False) for a in read]

    for name, source, target in (
        (f"bits_of_{kind.short}", kind, bits),
        (f"{kind.short}_of_bits", bits, kind),
    ):
        register(
            Op(
                name,
                _typed(name, source, target),
                _viewed(target),
                Scalar(f"gc_{name}({{0}})"),
                samples=samples_of(target),
                reference=_copied_bytes(target),
            )
        )


for _kind in (dtypes.float32, dtypes.float64, dtypes.float16, dtypes.bfloat16):
    _both_ways(_kind)

# ------------------------------------------------------------------------------------ view_dtype


def _view_type(x: TensorType, *, dtype: DType) -> TensorType:
    have, want = x.dtype.itemsize, dtype.itemsize
    if have == want:
        return x.with_dtype(dtype)
    if not x.ndim:
        raise ShapeError(
            f"self.dim() cannot be 0 to view {x.dtype} as {dtype} (different element sizes)"
        )
    last = x.shape[-1]
    if want > have and mod(last, want // have) != 0:
        raise ShapeError(
            f"self.size(-1) must be divisible by {want // have} to view {x.dtype} as {dtype} "
            f"(different element sizes), but got {last}"
        )
    count = last * (have // want) if want < have else floordiv(last, want // have)
    return x.with_dtype(dtype).with_shape((*x.shape[:-1], count))


def _as_integers(x: Any) -> Any:
    if x.dtype.is_floating_point:
        return OPS[f"bits_of_{x.dtype.short}"](x)
    bits = _INTEGERS[x.dtype.itemsize]
    return x if x.dtype is bits else row.cast(x, dtype=bits)


def _from_integers(x: Any, dtype: DType) -> Any:
    if dtype.is_floating_point:
        return OPS[f"{dtype.short}_of_bits"](x)
    return x if x.dtype is dtype else row.cast(x, dtype=dtype)


def _shifts(like: Any, count: int, width: int) -> Any:
    """How far each of the parts of an integer lies from its lowest bit."""
    attrs = {"dtype": like.dtype, "device": like.device, "dim": 0, "start": 0, "step": width}
    return like.__apply__(OPS["iota"], (), {"shape": (count,), **attrs})


def _decomposed(x: Any, *, dtype: DType) -> Any:
    bits, have, want = _as_integers(x), x.dtype.itemsize, dtype.itemsize
    shape = tuple(x.shape)
    if want < have:
        parts = have // want
        apart = row.reshape(bits, shape=(*shape, 1))
        low = row.bitwise_right_shift(apart, _shifts(bits, parts, 8 * want))
        joined = row.cast(low, dtype=_INTEGERS[want])
        bits = row.reshape(joined, shape=(*shape[:-1], shape[-1] * parts))
    elif want > have:
        parts = want // have
        wide = row.cast(bits, dtype=_INTEGERS[want])
        alone = row.bitwise_and(wide, full_like(wide, 2 ** (8 * have) - 1))
        apart = row.reshape(alone, shape=(*shape[:-1], floordiv(shape[-1], parts), parts))
        placed = row.bitwise_left_shift(apart, _shifts(apart, parts, 8 * have))
        last = len(shape)
        taken = (
            row.slice(
                placed,
                starts=(0,) * last + (part,),
                stops=(*placed.shape[:-1], part + 1),
                steps=(1,) * (last + 1),
            )
            for part in range(parts)
        )
        bits = functools.reduce(row.bitwise_or, taken)
        bits = row.reshape(bits, shape=tuple(placed.shape[:-1]))
    return _from_integers(bits, dtype)


def _view(x: Array, *, dtype: DType) -> Array:
    return np.asarray(x.view(dtype.numpy))


def _view_samples() -> Iterable[Sample]:
    names = ("float64", "float32", "int64", "int32", "int16", "int8", "uint8")
    kinds = [np.dtype(n) for n in names] + [dtypes.float16.numpy, dtypes.bfloat16.numpy]
    for source in kinds:
        x = spread((3, 8), -9, 9, np.float64).astype(source)
        for target in kinds:
            yield Sample((x,), {"dtype": dtypes.from_numpy_dtype(target)}, differentiable=False)
    yield Sample((np.array([0, 1, 1], np.uint8),), {"dtype": dtypes.bool}, differentiable=False)
    yield Sample((np.array([True, False]),), {"dtype": dtypes.int8}, differentiable=False)
    yield Sample((np.float32(1.5),), {"dtype": dtypes.int32}, differentiable=False)


def _view_reference(x: Array, *, dtype: DType) -> Array:
    read = np.frombuffer(x.tobytes(), dtype.numpy)
    return read.reshape((*x.shape[:-1], -1) if x.ndim else ())


VIEW_DTYPE = register(
    Op(
        "view_dtype",
        _view_type,
        _view,
        Decompose(_decomposed),
        None,
        lambda base, value, *, dtype: row.view_dtype(value, dtype=base.dtype),  # noqa: ARG005
        _view_samples,
        _view_reference,
    )
)
