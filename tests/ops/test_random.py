"""Philox: published test vectors, moments, and independence of how a draw is cut up."""

import numpy as np
import pytest

from graphc import dtypes
from graphc.errors import DtypeError, ShapeError
from graphc.ir import OPS, TensorType, infer_type
from graphc.ops.random import philox_words

# Counter, key and result of the authors' own test vectors (Random123, kat_vectors).
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def draw(kind: str, dtype: dtypes.dtype, shape: tuple[int, ...], state: tuple[int, int] = (1, 2)):
    return OPS["random"].evaluate(np.array(state, np.int64), shape=shape, dtype=dtype, kind=kind)


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_published_vectors(counter, key, expected) -> None:
    block = np.array([counter[0] | counter[1] << 32], np.uint64)
    stream = np.array([counter[2] | counter[3] << 32], np.uint64)
    seed = np.array([key[0] | key[1] << 32], np.uint64)
    assert tuple(int(w[0]) for w in philox_words(seed, stream, block)) == expected


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64])
def test_moments(dtype: dtypes.dtype) -> None:
    u, z = draw("uniform", dtype, (100_000,)), draw("normal", dtype, (100_000,))
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(u.var() - 1 / 12) < 0.002
    assert abs(z.mean()) < 0.015
    assert abs(z.std() - 1) < 0.01
    assert abs((z**4).mean() - 3) < 0.15
    assert abs(np.corrcoef(z[::2], z[1::2])[0, 1]) < 0.02


def test_a_longer_draw_begins_with_the_shorter() -> None:
    long = draw("normal", dtypes.float32, (200_003,))
    for count in (1, 5, 70_000, 200_002):
        np.testing.assert_array_equal(draw("normal", dtypes.float32, (count,)), long[:count])


def test_seeds_and_streams_differ() -> None:
    draws = [
        draw("bits", dtypes.int64, (64,), state).tobytes()
        for state in ((1, 2), (1, 3), (2, 2), (1 + 2**32, 2), (1, 2 + 2**32), (-1, 2))
    ]
    assert len(set(draws)) == len(draws)


def test_bad_arguments() -> None:
    state = TensorType((2,), dtypes.int64)
    attrs = {"shape": (3,), "dtype": dtypes.float32, "kind": "uniform"}
    with pytest.raises(ShapeError, match="seed and stream"):
        infer_type(OPS["random"], [TensorType((3,), dtypes.int64)], attrs)
    with pytest.raises(DtypeError, match="'bits' as int64"):
        infer_type(OPS["random"], [state], {**attrs, "kind": "bits"})
    with pytest.raises(ValueError, match="uniform, normal, bits"):
        infer_type(OPS["random"], [state], {**attrs, "kind": "gamma"})
