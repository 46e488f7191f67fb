"""Counter-based random numbers: known answers, and the header's formulas restated in NumPy."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]

# Counter, key and result of Philox 4x32-10: the vectors published with Random123.
KNOWN = (
    ("00000000 " * 4, "00000000 " * 2, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff " * 4, "ffffffff " * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
)
SEED, STREAM = 0x0123456789ABCDEF, 0xFEDCBA9876543210
DRAWS = {
    "random_u32": "uint32_t",
    "random_u64": "uint64_t",
    "uniform_f32": "float",
    "uniform_f64": "double",
    "normal_f32": "float",
    "normal_f64": "double",
    "exponential_f32": "float",
    "exponential_f64": "double",
}
NUMPY: dict[str, Any] = {
    "uint32_t": np.uint32,
    "uint64_t": np.uint64,
    "float": np.float32,
    "double": np.float64,
}


def philox(counter: Array, key: Array) -> Array:
    """Philox 4x32-10 of counters (4, n) and keys (2, n), held in uint64."""
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (second >> shift) ^ c1 ^ k0,
            second & low,
            (first >> shift) ^ c3 ^ k1,
            first & low,
        )
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & low, (k1 + np.uint64(0xBB67AE85)) & low
    return np.stack([c0, c1, c2, c3])


def words(first: int, count: int) -> Array:
    """The four words of `count` blocks of the test's draw, in order: (4 count,) in uint64."""
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    block = np.arange(count, dtype=np.uint64) + np.uint64(first)
    stream, seed = np.full(count, STREAM, np.uint64), np.full(count, SEED, np.uint64)
    counter = np.stack([block & low, block >> shift, stream & low, stream >> shift])
    rows = philox(counter, np.stack([seed & low, seed >> shift])).T
    return np.asarray(rows.reshape(-1))


def pairs(w: Array) -> Array:
    return np.asarray(w[0::2] | (w[1::2] << np.uint64(32)))


class Draws:
    def __init__(self, ffi: Any, library: Any) -> None:
        self.ffi, self.library = ffi, library

    def __call__(self, name: str, first: int, count: int) -> Array:
        out = np.empty(count, NUMPY[DRAWS[name]])
        pointer = self.ffi.cast("void *", out.ctypes.data)
        getattr(self.library, name)(SEED, STREAM, first, count, pointer)
        return out


@pytest.fixture(scope="module")
def draws(build: Callable[..., Any]) -> Draws:
    source, declarations = '#include "gc_random.h"\n', ""
    for name, ctype in DRAWS.items():
        head = f"void {name}(uint64_t seed, uint64_t stream, uint64_t first, long n, void *out)"
        source += f"""{head} {{
    {ctype} *y = out;
    #pragma omp simd
    for (long i = 0; i < n; ++i) y[i] = gc_{name}(seed, stream, first + (uint64_t)i);
}}
"""
        declarations += head + ";\n"
    source += """void philox(const uint32_t *counter, const uint32_t *key, uint32_t *out) {
    gc_words w = gc_philox4x32_10(counter, key);
    for (int i = 0; i < 4; ++i) out[i] = w.word[i];
}
void fours(uint64_t seed, uint64_t stream, uint64_t block, float *uniform, float *normal) {
    gc_uniform4_f32(seed, stream, block, uniform);
    gc_normal4_f32(seed, stream, block, normal);
}
int64_t randint(uint64_t seed, uint64_t stream, uint64_t i, int64_t low, int64_t high) {
    return gc_randint_i64(seed, stream, i, low, high);
}
"""
    declarations += """void philox(const uint32_t *, const uint32_t *, uint32_t *);
void fours(uint64_t, uint64_t, uint64_t, float *, float *);
int64_t randint(uint64_t, uint64_t, uint64_t, int64_t, int64_t);
"""
    ffi, library, _ = build(source, declarations)
    return Draws(ffi, library)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter: str, key: str, answer: str, draws: Draws) -> None:
    ffi = draws.ffi
    c, k, a = ([int(w, 16) for w in text.split()] for text in (counter, key, answer))
    out = ffi.new("uint32_t[4]")
    draws.library.philox(ffi.new("uint32_t[4]", c), ffi.new("uint32_t[2]", k), out)
    assert list(out) == a
    column = philox(np.array(c, np.uint64)[:, None], np.array(k, np.uint64)[:, None])
    assert column[:, 0].tolist() == a


@pytest.mark.parametrize("block", (0, (1 << 32) - 100))
def test_words_and_uniforms_are_the_documented_bits(block: int, draws: Draws) -> None:
    w = words(block, 1000)
    assert np.array_equal(draws("random_u32", 4 * block, 4000), w.astype(np.uint32))
    assert np.array_equal(draws("random_u64", 2 * block, 2000), pairs(w))
    single = (w >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
    assert np.array_equal(draws("uniform_f32", 4 * block, 4000), single)
    double = (pairs(w) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    assert np.array_equal(draws("uniform_f64", 2 * block, 2000), double)


def test_an_element_does_not_depend_on_where_the_loop_starts(draws: Draws) -> None:
    whole = draws("normal_f32", 0, 1000)
    assert np.array_equal(draws("normal_f32", 333, 100), whole[333:433])


def test_normals_follow_the_formula(draws: Draws) -> None:
    w = words(0, 5000)
    a, b = w[0::2], w[1::2]
    u = a.astype(np.float32) * np.float32(2.0**-32) + np.float32(2.0**-33)
    radius = np.sqrt(-2.0 * np.log(u.astype(np.float64)))
    angle = 2 * math.pi * (b >> np.uint64(8)).astype(np.float64) * 2.0**-24
    exact = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)
    assert np.allclose(draws("normal_f32", 0, exact.size), exact, rtol=5e-7, atol=1e-7)
    a, b = pairs(w)[0::2], pairs(w)[1::2]
    radius = np.sqrt(-2.0 * np.log(((a >> np.uint64(11)) + np.uint64(1)) * 2.0**-53))
    angle = 2 * math.pi * (b >> np.uint64(11)) * 2.0**-53
    exact = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)
    assert np.allclose(draws("normal_f64", 0, exact.size), exact, rtol=1e-14, atol=1e-14)


def test_exponentials_follow_the_formula(draws: Draws) -> None:
    u = draws("uniform_f32", 0, 4000) + np.float32(2.0**-25)
    assert np.allclose(draws("exponential_f32", 0, 4000), -np.log(u), rtol=3e-7, atol=1e-7)
    u64 = draws("uniform_f64", 0, 4000) + 2.0**-54
    assert np.allclose(draws("exponential_f64", 0, 4000), -np.log(u64), rtol=1e-14, atol=1e-15)


def test_blocks_of_four_are_the_same_elements(draws: Draws) -> None:
    ffi = draws.ffi
    uniform, normal = ffi.new("float[4]"), ffi.new("float[4]")
    for block in (0, 7, 1 << 33):
        draws.library.fours(SEED, STREAM, block, uniform, normal)
        assert list(uniform) == draws("uniform_f32", 4 * block, 4).tolist()
        assert np.allclose(list(normal), draws("normal_f32", 4 * block, 4), rtol=3e-7)


@pytest.mark.parametrize("bounds", ((0, 10), (-5, 5), (-(2**63), 2**63 - 1), (3, 4)))
def test_randint_covers_its_range(bounds: tuple[int, int], draws: Draws) -> None:
    low, high = bounds
    bits = draws("random_u64", 0, 300)
    got = [draws.library.randint(SEED, STREAM, i, low, high) for i in range(300)]
    assert got == [low + int(b) % (high - low) for b in bits]


def test_moments(draws: Draws) -> None:
    count = 1 << 20
    error = 5 / math.sqrt(count)  # five standard errors
    for kind in ("f32", "f64"):
        u = draws(f"uniform_{kind}", 0, count).astype(np.float64)
        assert abs(u.mean() - 0.5) < error * math.sqrt(1 / 12)
        assert u.min() >= 0 and u.max() < 1
        z = draws(f"normal_{kind}", 0, count).astype(np.float64)
        assert abs(z.mean()) < error
        assert abs(z.var() - 1) < error * math.sqrt(2)
        assert abs((z[0::2] * z[1::2]).mean()) < error * math.sqrt(2)
        tail = (np.abs(z) > 3).mean()
        assert abs(tail - 0.0026998) < error * math.sqrt(0.0027)


def test_compiles_as_cuda(nvcc: Callable[[str], None]) -> None:
    source = '#include "gc_random.h"\n'
    for name, ctype in DRAWS.items():
        source += f"""extern "C" __global__ void k_{name}({ctype} *out, uint64_t seed) {{
    uint64_t i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = gc_{name}(seed, 1, i);
}}
"""
    source += """extern "C" __global__ void fours(float *out, int64_t *whole, uint64_t seed) {
    gc_uniform4_f32(seed, 1, threadIdx.x, out + 8 * threadIdx.x);
    gc_normal4_f32(seed, 1, threadIdx.x, out + 8 * threadIdx.x + 4);
    whole[threadIdx.x] = gc_randint_i64(seed, 1, threadIdx.x, -3, 3);
}
"""
    nvcc(source)
