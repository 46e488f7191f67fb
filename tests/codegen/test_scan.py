"""The kernels of scans and searches: generated C on one thread and two, generated CUDA on the host.

Each is compared with a plain loop.
"""

import math
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from graphc.codegen import CUDA, render_kernel
from graphc.dtypes import bfloat16, dtype, float32, float64, int8, int64, uint8
from graphc.kernel import Kernel
from graphc.resources import resources
from graphc.sizes import symbol
from tests.codegen.execution import run_kernel
from tests.codegen.kernels import LITTLE, MUCH, scan, search

Array = np.ndarray[Any, Any]
THREADS = pytest.mark.parametrize("threads", [1, 2])
COMBINES = ("sum", "product", "log", "max", "min", "recurrence")
KINDS = {"f32": float32, "f64": float64, "bf16": bfloat16, "i64": int64, "i8": int8, "u8": uint8}
COMPILER = shutil.which("g++") or shutil.which("clang++")


def values(kind: dtype, shape: tuple[int, ...], special: bool = False) -> Array:
    """Random numbers, many of them equal; ``special``: infinities, zeros, NaN late in a row."""
    random = np.random.default_rng(sum(shape))
    x = random.integers(-9, 9, shape)
    if not kind.is_floating_point:
        return x.astype(kind.numpy)
    real = x / 8
    if special:
        real = np.where(random.random(shape) < 0.1, random.choice([np.inf, -np.inf], shape), real)
        real = np.where(random.random(shape) < 0.02, np.nan, real)
    return real.astype(kind.numpy)


def logarithm(a: float, b: float) -> float:
    if math.isnan(a) or math.isnan(b):
        return math.nan
    high, low = max(a, b), min(a, b)
    return high if math.isinf(high) or low == -math.inf else high + math.log1p(math.exp(low - high))


def expected(combine: str, x: Array, z: Array, dim: int, reverse: bool) -> Array:
    """The scan as a loop over Python's numbers."""
    result = np.zeros(x.shape, np.int64 if combine in ("max", "min") else x.dtype)
    wide = np.float64 if x.dtype.kind not in "iu" else np.int64
    lines = (np.moveaxis(a, dim, -1).astype(wide) for a in (x, z, result))
    xs, zs, out = (line.reshape(-1, x.shape[dim]) for line in lines)
    for line, terms, found in zip(xs.tolist(), zs.tolist(), out, strict=True):
        state: Any = {"sum": 0, "product": 1, "log": -math.inf}.get(combine)
        for step in range(len(line)):
            at = len(line) - 1 - step if reverse else step
            item = line[at]
            if combine == "sum":
                state = state + item
            elif combine == "product":
                state = state * item
            elif combine == "log":
                state = logarithm(state, item)
            elif combine == "recurrence":
                state = terms[at] + (item * state if step else 0)
            else:
                best = line[state] if step else item
                beats = item >= best if combine == "max" else item <= best
                state = at if step == 0 or item != item or (best == best and beats) else state
            found[at] = wrapped(state, x.dtype) if wide is np.int64 else state
    shape = np.moveaxis(x, dim, -1).shape
    return np.moveaxis(out.reshape(shape), -1, dim).astype(result.dtype)


def wrapped(value: int, kind: Any) -> int:
    bits = 8 * kind.itemsize
    value %= 2**bits
    return value - 2**bits if kind.kind == "i" and value >= 2 ** (bits - 1) else value


def check(kernel: Kernel, combine: str, x: Array, dim: int, **options: Any) -> None:
    reverse = options.pop("reverse", False)
    z = np.roll(x, 1)
    want = expected(combine, x, z, dim, reverse)
    y = np.zeros(want.shape, want.dtype)
    arrays = {"x": x, "y": y, **({"z": z} if combine == "recurrence" else {})}
    run_kernel(kernel, arrays, **options)
    close(y, want)


def close(found: Array, want: Array) -> None:
    assert found.dtype == want.dtype
    if want.dtype.kind in "iu":
        np.testing.assert_array_equal(found, want)
        return
    tolerance = {8: 1e-12, 4: 2e-6, 2: 1e-2}[want.dtype.itemsize]
    np.testing.assert_allclose(
        found.astype(np.float64), want.astype(np.float64), rtol=tolerance, atol=tolerance
    )


@THREADS
@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("length", [1, 2, 3, 64, 65, 333])
def test_rows_of_any_length(combine: str, length: int, threads: int, full: bool) -> None:
    for reverse in (False, True) if full else (length % 2 == 0,):
        x = values(float32, (7, length))
        kernel = scan(combine, x.shape, 1, reverse=reverse)
        check(kernel, combine, x, 1, reverse=reverse, threads=threads)


@THREADS
@pytest.mark.parametrize("combine", COMBINES)
@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("work", [LITTLE, MUCH])
def test_any_dimension(combine: str, dim: int, work: int, threads: int, full: bool) -> None:
    x = values(float32, (9, 5, 131))
    for reverse in (False, True) if full else (work == LITTLE,):
        kernel = scan(combine, x.shape, dim, work=work, reverse=reverse)
        check(kernel, combine, x, dim, reverse=reverse, threads=threads)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("combine", COMBINES)
def test_any_dtype(name: str, combine: str) -> None:
    kind = KINDS[name]
    if combine in ("log", "recurrence") and not kind.is_floating_point:
        return
    for special in (False, True):
        for dim in (0, 1):
            x = values(kind, (40, 30), special and kind.is_floating_point)
            check(scan(combine, x.shape, dim, kind), combine, x, dim)


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("dim", [1, 2])
def test_the_number_of_rows_may_be_a_name(rows: int, dim: int) -> None:
    x = values(float32, (rows, 20, 3))
    kernel = scan("sum", (symbol("n"), 20, 3), dim, sizes=("n",))
    check(kernel, "sum", x, dim, sizes={"n": rows}, threads=2)


# ---------------------------------------------------------------------------------------- searches


def places(x: Array, z: Array, right: bool) -> Array:
    found = [
        np.searchsorted(z[i % len(z)], x[i], "right" if right else "left") for i in range(len(x))
    ]
    return np.array(found, np.int64).reshape(x.shape)


@THREADS
@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("name", ["f32", "f64", "i64", "u8"])
@pytest.mark.parametrize("length", [1, 2, 63, 64, 1000])
def test_search(name: str, length: int, right: bool, threads: int) -> None:
    kind = KINDS[name]
    for rows, each, common in ((50, 1, True), (7, 30, False)):
        z = np.sort(values(kind, (1 if common else rows, length)), 1)
        x = values(kind, (rows, each))
        y = np.full(x.shape, -1)
        kernel = search(rows, each, length, common, right, kind)
        run_kernel(kernel, {"x": x, "z": z, "y": y}, threads=threads)
        np.testing.assert_array_equal(y, places(x, z, right))


# -------------------------------------------------------------------------------------------- CUDA

_HOST = """
#include <barrier>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <thread>
#define __device__
#define __global__
#define __forceinline__
#define __noinline__
#define __shared__ static
#define THREADS 4
static std::barrier<> everybody(THREADS);
#define __syncthreads() everybody.arrive_and_wait()
struct Index { int64_t x; };
static const Index blockIdx = {0}, blockDim = {THREADS}, gridDim = {1};
static thread_local Index threadIdx;
static inline float __uint_as_float(uint32_t b) { float x; memcpy(&x, &b, 4); return x; }
static inline uint32_t __float_as_uint(float x) { uint32_t b; memcpy(&b, &x, 4); return b; }
#include "gc_types.h"
#define GC_MATH_H
#define GC_REDUCE_H
struct gc_error;
static double gc_add_f64(double a, double b) { return a + b; }
static double gc_mul_f64(double a, double b) { return a * b; }
static double gc_exp_f64(double a) { return exp(a); }
static double gc_log_f64(double a) { return log(a); }
static int64_t gc_add_i64(int64_t a, int64_t b) { return a + b; }
static int64_t gc_mul_i64(int64_t a, int64_t b) { return a * b; }
"""
_MAIN = """
#include <stdio.h>
int main(int, char **paths) {
    static T x[COUNT], z[TERMS];
    static R y[COUNT];
    FILE *in = fopen(paths[1], "rb"), *out = fopen(paths[2], "wb");
    if (fread(x, sizeof *x, COUNT, in) != COUNT) return 1;
    if (fread(z, sizeof *z, TERMS, in) != TERMS) return 1;
    std::thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) threads[i] = std::thread([i] { threadIdx.x = i; CALL; });
    for (std::thread &thread : threads) thread.join();
    if (fwrite(y, sizeof *y, COUNT, out) != COUNT) return 1;
    return fclose(out);
}
"""


def on_host(kernel: Kernel, call: str, x: Array, z: Array, want: Array, folder: Any) -> Array:
    """What a kernel for CUDA computes as one block of four threads, which runs anywhere."""
    kinds = {param.name: CUDA.storage(param.dtype) for param in kernel.params}
    numbers = f"#define T {kinds['x']}\n#define R {kinds['y']}\n#define COUNT {x.size}\n"
    numbers += f"#define TERMS {z.size}\n#define CALL {call}\n"
    source = _HOST + render_kernel(kernel, CUDA).text + numbers + _MAIN
    (folder / "kernel.cpp").write_text(source)
    (folder / "in").write_bytes(x.tobytes() + z.tobytes())
    include = f"-I{resources('runtime') / 'cuda'}"
    command = [COMPILER, "-std=c++20", "-pthread", include, "kernel.cpp", "-o", "kernel"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    subprocess.run(["./kernel", "in", "out"], cwd=folder, check=True)
    return np.frombuffer((folder / "out").read_bytes(), want.dtype).reshape(want.shape)


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    ("combine", "name", "reverse"),
    [
        ("sum", "f32", False),
        ("log", "f32", False),
        ("max", "f32", True),
        ("product", "i64", False),
        ("recurrence", "bf16", False),
        pytest.param("product", "f32", False, marks=pytest.mark.full),
        pytest.param("min", "f32", False, marks=pytest.mark.full),
        pytest.param("recurrence", "f32", True, marks=pytest.mark.full),
        pytest.param("sum", "i64", True, marks=pytest.mark.full),
        pytest.param("max", "i64", False, marks=pytest.mark.full),
    ],
)
def test_cuda_scans_do_the_same(tmp_path, combine: str, name: str, reverse: bool) -> None:
    kind = KINDS[name]
    x = values(kind, (4, 25, 3), special=combine in ("max", "min"))
    z = np.roll(x, 1)
    want = expected(combine, x, z, 1, reverse)
    kernel = scan(combine, x.shape, 1, kind, reverse)
    call = "scan(0, x, z, y)" if combine == "recurrence" else "scan(0, x, y)"
    close(on_host(kernel, call, x, z, want, tmp_path), want)


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.parametrize("common", [False, True])
def test_cuda_searches_do_the_same(tmp_path, common: bool) -> None:
    z = np.sort(values(float32, (1 if common else 20, 33)), 1)
    x = values(float32, (20, 6))
    want = places(x, z, right=True)
    kernel = search(20, 6, 33, common, right=True)
    found = on_host(kernel, "search(0, x, z, y)", x, z, want, tmp_path)
    np.testing.assert_array_equal(found, want)
