"""Random numbers as a function of a counter: Philox 4x32-10.

Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Element ``i`` of
the draw with state ``(seed, stream)`` depends on these three numbers alone. The formulas are those
of ``runtime/portable/gc_philox.h``; uniforms and bits are the same in every bit.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.errors import DtypeError, ShapeError, hinted
from graphc.ir import Decompose, Op, Sample, Scalar, TensorType, register
from graphc.ops.rules import HALVES, Array, broadcast, row
from graphc.sizes import Int, product

KINDS = ("uniform", "normal", "bits")
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
# Bits after the leading one. Uniforms of halves are cut off to multiples of the distance between
# the last numbers below 1; rounding would make the last of them 1.
_FRACTION = {dtypes.float16: 10, dtypes.bfloat16: 7}
_CHUNK = 1 << 14  # blocks at a time, so that the working arrays stay in the cache


def philox_words(seed: Array, stream: Array, block: Array) -> tuple[Array, Array, Array, Array]:
    """The four 32-bit words of each block, as uint64 below 2**32; operands are uint64."""
    c0, c1, c2, c3 = block & _LOW, block >> _HALF, stream & _LOW, stream >> _HALF
    k0, k1 = seed & _LOW, seed >> _HALF
    for turn in range(10):
        first, second = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        key0 = (k0 + np.uint64(turn * _WEYL[0])) & _LOW
        key1 = (k1 + np.uint64(turn * _WEYL[1])) & _LOW
        c0, c1, c2, c3 = (
            (second >> _HALF) ^ c1 ^ key0,
            second & _LOW,
            (first >> _HALF) ^ c3 ^ key1,
            first & _LOW,
        )
    return c0, c1, c2, c3


# ------------------------------------------------------------------- from words to distributions


def _unit32(word: Array) -> Array:
    return np.asarray((word >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24))


def _unit64(wide: Array) -> Array:
    return np.asarray((wide >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _joined(low: Array, high: Array) -> Array:
    return np.asarray(low | high << _HALF)


def _normal32(a: Array, b: Array) -> tuple[Array, Array]:
    """Box and Muller, "A note on the generation of random normal deviates", 1958."""
    one = a.astype(np.float32) * np.float32(2.0**-32) + np.float32(2.0**-33)
    radius = np.sqrt(np.float32(-2) * np.log(one))
    turns = np.float32(4) * _unit32(b)
    quarter = np.rint(turns)
    rest = (turns - quarter) * np.float32(math.pi / 2)
    sine, cosine = np.sin(rest), np.cos(rest)
    which = quarter.astype(np.int32) & 3
    choices = (sine, cosine, -sine, -cosine)  # the sine after each quarter turn
    return (
        radius * np.choose((which + 1) & 3, choices),
        radius * np.choose(which, choices),
    )


def _normal64(a: Array, b: Array) -> tuple[Array, Array]:
    one = ((a >> np.uint64(11)) + np.uint64(1)).astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2 * np.log(one))
    angle = 2 * math.pi * _unit64(b)
    return radius * np.cos(angle), radius * np.sin(angle)


def _elements(words: tuple[Array, Array, Array, Array], kind: str, single: bool) -> list[Array]:
    """All elements of each block in their order: four of float32, two of the wide ones."""
    w0, w1, w2, w3 = words
    if single:
        if kind == "uniform":
            return [_unit32(w) for w in words]
        return [*_normal32(w0, w1), *_normal32(w2, w3)]
    low, high = _joined(w0, w1), _joined(w2, w3)
    if kind == "uniform":
        return [_unit64(low), _unit64(high)]
    if kind == "normal":
        return list(_normal64(low, high))
    return [low.view(np.int64), high.view(np.int64)]


def _draw(state: Array, *, shape: tuple[int, ...], dtype: DType, kind: str) -> Array:
    """Whole blocks at once: no word is computed twice."""
    seed, stream = np.asarray(state, np.int64).view(np.uint64)
    single = dtype.numpy.itemsize < 8
    wide = np.float32 if single else dtype.numpy
    count = math.prod(shape)
    per_block = 4 if single else 2
    blocks = -(-count // per_block)
    values = np.empty((blocks, per_block), wide)
    for start in range(0, blocks, _CHUNK):
        block = np.arange(start, min(start + _CHUNK, blocks), dtype=np.uint64)
        words = philox_words(np.asarray(seed), np.asarray(stream), block)
        words = tuple(np.broadcast_to(w, block.shape) for w in words)  # type: ignore[assignment]
        for place, column in enumerate(_elements(words, kind, single)):
            values[start : start + len(block), place] = column
    flat = values.reshape(-1)[:count].reshape(shape)
    if dtype.numpy not in HALVES:
        return np.array(flat)
    if kind == "uniform":
        grid = np.float32(2 ** (_FRACTION[dtype] + 1))
        flat = np.asarray(np.floor(flat * grid) / grid)
    return flat.astype(dtype.numpy)


# ----------------------------------------------------------------------------------------- rows


def _check(dtype: DType, kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"random draws one of {', '.join(KINDS)}, not {kind!r}")
    if (kind == "bits") != (dtype is dtypes.int64) or not (
        dtype is dtypes.int64 or dtype.is_floating_point
    ):
        raise DtypeError(f"random draws 'bits' as int64 and {kind!r} not as {dtype}")


def check_state(name: str, state: TensorType) -> None:
    """Raises ShapeError unless this is the type of a generator's state."""
    if state.shape != (2,) or state.dtype is not dtypes.int64:
        raise hinted(ShapeError(f"{name} has no state in {state}"), "it is i64[2]: seed and stream")


def _random_type(
    state: TensorType, *, shape: tuple[Int, ...], dtype: DType, kind: str
) -> TensorType:
    _check(dtype, kind)
    check_state("random", state)
    return TensorType(tuple(shape), dtype, state.device)


def _random(state: Any, *, shape: tuple[Int, ...], dtype: DType, kind: str) -> Any:
    """Seed, stream and each element's position, through the scalar row."""
    seed = row.reshape(row.slice(state, starts=(0,), stops=(1,), steps=(1,)), shape=())
    stream = row.reshape(row.slice(state, starts=(1,), stops=(2,), steps=(1,)), shape=())
    counting = {"shape": (product(shape),), "dim": 0, "dtype": dtypes.int64, "start": 0, "step": 1}
    index = state.__apply__(row.iota, (), {**counting, "device": state.device})
    index = row.reshape(index, shape=tuple(shape))
    if kind == "bits":
        return row.philox_bits(seed, stream, index)
    if kind == "uniform" and dtype in _FRACTION:
        grid = 2.0 ** (_FRACTION[dtype] + 1)
        fine = row.philox(seed, stream, index, kind=kind, dtype=dtypes.float32)
        return row.cast(row.floor(fine * grid) * (1 / grid), dtype=dtype)
    return row.philox(seed, stream, index, kind=kind, dtype=dtype)


def _samples() -> list[Sample]:
    states = ((0, 0), (67280421310721, 5), (-1, 2**40 + 3), (-(2**63), 2**63 - 1))
    kinds = (
        ("uniform", dtypes.float32),
        ("uniform", dtypes.float64),
        ("normal", dtypes.float32),
        ("normal", dtypes.float64),
        ("normal", dtypes.bfloat16),
        ("uniform", dtypes.bfloat16),
        ("uniform", dtypes.float16),
        ("bits", dtypes.int64),
    )
    shapes: tuple[tuple[int, ...], ...] = ((3, 7), (), (0, 4), (5,))
    return [
        Sample((np.array(state, np.int64),), {"shape": shape, "dtype": dtype, "kind": kind})
        for state, shape in zip(states, shapes, strict=True)
        for kind, dtype in kinds
    ]


@functools.lru_cache(maxsize=1)  # neighbours are of one block
def block_by_integers(seed: int, stream: int, block: int) -> list[int]:
    """The definition, in Python's integers."""
    c = [block % 2**32, block >> 32, stream % 2**32, stream >> 32]
    k = [seed % 2**32, seed >> 32]
    for _ in range(10):
        first, second = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [
            (second >> 32) ^ c[1] ^ k[0],
            second % 2**32,
            (first >> 32) ^ c[3] ^ k[1],
            first % 2**32,
        ]
        k = [(k[0] + _WEYL[0]) % 2**32, (k[1] + _WEYL[1]) % 2**32]
    return c


def _element(seed: int, stream: int, index: int, kind: str, single: bool) -> float | int:
    per_block = 4 if single else 2
    words = block_by_integers(seed, stream, index // per_block)
    units = words if single else [words[0] + (words[1] << 32), words[2] + (words[3] << 32)]
    place = index % per_block
    if kind == "bits":
        return units[place] - (2**64 if units[place] >= 2**63 else 0)
    if kind == "uniform":
        return (units[place] >> 8) * 2.0**-24 if single else (units[place] >> 11) * 2.0**-53
    a, b = units[place // 2 * 2], units[place // 2 * 2 + 1]
    if single:
        u, t = float(np.float32(a)) * 2.0**-32 + 2.0**-33, (b >> 8) * 2.0**-24
    else:
        u, t = ((a >> 11) + 1) * 2.0**-53, (b >> 11) * 2.0**-53
    turn = math.sin if index % 2 else math.cos
    return math.sqrt(-2 * math.log(u)) * turn(2 * math.pi * t)


def _reference(state: Array, *, shape: tuple[int, ...], dtype: DType, kind: str) -> Array:
    seed, stream = (int(v) % 2**64 for v in state)
    single = dtype.numpy.itemsize < 8
    values = [_element(seed, stream, i, kind, single) for i in range(math.prod(shape))]
    if kind == "uniform" and dtype in _FRACTION:
        grid = 2 ** (_FRACTION[dtype] + 1)
        values = [math.floor(value * grid) / grid for value in values]
    plain = np.array(values, np.int64 if kind == "bits" else np.float64)
    return plain.astype(dtype.numpy).reshape(shape)


RANDOM = register(
    Op(
        "random",
        _random_type,
        _draw,
        Decompose(_random),
        samples=_samples,
        reference=_reference,
    )
)


def _philox_type(name: str) -> Callable[..., TensorType]:
    def infer(
        seed: TensorType,
        stream: TensorType,
        index: TensorType,
        *,
        kind: str = "bits",
        dtype: DType = dtypes.int64,
    ) -> TensorType:
        _check(dtype, kind)
        for operand in (seed, stream, index):
            if operand.dtype is not dtypes.int64:
                raise DtypeError(f"{name} needs operands of dtype int64, not {operand.dtype}")
        return TensorType(broadcast(seed.shape, stream.shape, index.shape), dtype, index.device)

    return infer


def _philox(
    seed: Array, stream: Array, index: Array, *, kind: str = "bits", dtype: DType = dtypes.int64
) -> Array:
    """One element for each index: the words of its block, and its place among them."""
    single = dtype.numpy.itemsize < 8
    bits = np.uint64(2 if single else 1)
    seed, stream, index = (
        np.array(x, np.int64).view(np.uint64) for x in np.broadcast_arrays(seed, stream, index)
    )
    elements = _elements(philox_words(seed, stream, index >> bits), kind, single)
    place = (index & np.uint64(3 if single else 1)).astype(np.intp)
    return np.asarray(np.choose(place, elements), dtype.numpy)


def _philox_samples(attrs: tuple[dict[str, Any], ...]) -> Callable[[], list[Sample]]:
    seeds = np.array([[5], [-1]], np.int64)
    return lambda: [
        Sample((seeds, np.array(stream, np.int64), np.arange(first, first + 5)), each)
        for each in attrs
        for stream, first in ((0, 0), (2**40 + 1, 2**33 - 2))
    ]


def _philox_reference(
    seed: Array, stream: Array, index: Array, *, kind: str = "bits", dtype: DType = dtypes.int64
) -> Array:
    single = dtype.numpy.itemsize < 8
    together = np.broadcast(seed, stream, index)
    values = [
        _element(int(s) % 2**64, int(t) % 2**64, int(i), kind, single) for s, t, i in together
    ]
    return np.array(values).astype(dtype.numpy).reshape(together.shape)


PHILOX = register(
    Op(
        "philox",
        _philox_type("philox"),
        _philox,
        Scalar("gc_{kind}_{t}((gc_u64){0}, (gc_u64){1}, (gc_u64){2})", cost=80),
        samples=_philox_samples(
            tuple(
                {"kind": kind, "dtype": dtype}
                for kind in ("uniform", "normal")
                for dtype in (dtypes.float32, dtypes.float64, dtypes.bfloat16)
            )
        ),
        reference=_philox_reference,
    )
)
PHILOX_BITS = register(
    Op(
        "philox_bits",
        _philox_type("philox_bits"),
        _philox,
        Scalar("((int64_t)gc_random_u64((gc_u64){0}, (gc_u64){1}, (gc_u64){2}))", cost=80),
        samples=_philox_samples(({},)),
        reference=_philox_reference,
    )
)
