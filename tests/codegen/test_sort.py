"""The kernels of sorts: generated C on one thread and on two, generated CUDA as one host thread."""

import shutil
import subprocess
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from graphc.codegen import CUDA, render_kernel
from graphc.dtypes import bfloat16, bool_, dtype, float32, float64, int8, int64
from graphc.resources import resources
from graphc.sizes import symbol
from tests.codegen.execution import run_kernel
from tests.codegen.kernels import LITTLE, MUCH, sort

Array = np.ndarray[Any, Any]
THREADS = pytest.mark.parametrize("threads", [1, 2])
KINDS = {"f32": float32, "f64": float64, "bf16": bfloat16, "i64": int64, "i8": int8, "b1": bool_}
COMPILER = shutil.which("g++") or shutil.which("clang++")


def values(kind: dtype, shape: tuple[int, ...]) -> Array:
    """Random numbers, many of them equal; floats with NaN, infinities and both zeros."""
    random = np.random.default_rng(sum(shape))
    x = random.integers(-40, 40, shape)
    if not kind.is_floating_point:
        return (x * (2**50 if kind is int64 else 1)).astype(kind.numpy)
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0])
    chosen = random.choice(special, shape)
    return np.where(random.random(shape) < 0.2, chosen, x * 0.37).astype(kind.numpy)


def order(x: Array, dim: int, descending: bool, first: int | None = None) -> Array:
    """The stable order by Python's sort, NaN the largest and zeros equal."""

    def of_row(row: Array) -> list[int]:
        keys = [(bool(v != v), 0 if v != v else v) for v in row.tolist()]
        return sorted(range(len(keys)), key=keys.__getitem__, reverse=descending)[:first]

    plain = x.astype(np.float64) if x.dtype == ml_dtypes.bfloat16 else x
    return np.apply_along_axis(of_row, dim, plain).astype(np.int64)


@THREADS
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("length", [1, 2, 3, 64, 65, 333, 2048])
def test_a_row_is_sorted_stably(name: str, length: int, descending: bool, threads: int) -> None:
    kind = KINDS[name]
    x = values(kind, (7, length))
    y = np.full(x.shape, -1)
    kernel = sort(x.shape, 1, kind=kind, descending=descending)
    run_kernel(kernel, {"x": x, "y": y}, threads=threads)
    np.testing.assert_array_equal(y, order(x, 1, descending))


@THREADS
@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("work", [LITTLE, MUCH])
def test_any_dimension(dim: int, work: int, threads: int) -> None:
    x = values(float32, (70, 5, 66))
    y = np.full(x.shape, -1)
    run_kernel(sort(x.shape, dim, work=work), {"x": x, "y": y}, threads=threads)
    np.testing.assert_array_equal(y, order(x, dim, descending=False))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("first", [1, 2, 70, 125, 500, 1000])
def test_the_first_few(name: str, first: int) -> None:
    kind = KINDS[name]
    for descending in (False, True):
        x = values(kind, (3, 1000))
        y = np.full((3, first), -1)
        kernel = sort(x.shape, 1, first, kind, descending)
        run_kernel(kernel, {"x": x, "y": y}, threads=2)
        np.testing.assert_array_equal(y, order(x, 1, descending, first))


@pytest.mark.parametrize("rows", [1, 9])
def test_the_number_of_rows_may_be_a_name(rows: int) -> None:
    x = values(float32, (rows, 100, 3))
    y = np.full(x.shape, -1)
    kernel = sort((symbol("n"), 100, 3), 1, sizes=("n",))
    run_kernel(kernel, {"x": x, "y": y}, {"n": rows}, threads=2)
    np.testing.assert_array_equal(y, order(x, 1, descending=False))


_HOST = """
#include <stdint.h>
#include <string.h>
#define __device__
#define __global__
#define __forceinline__
#define __noinline__
#define __shared__ static
#define __syncthreads()
struct Index { int64_t x; };
static const Index blockIdx = {0}, threadIdx = {0}, blockDim = {1}, gridDim = {1};
static inline float __uint_as_float(uint32_t b) { float x; memcpy(&x, &b, 4); return x; }
static inline uint32_t __float_as_uint(float x) { uint32_t b; memcpy(&b, &x, 4); return b; }
#include "gc_types.h"
#define GC_MATH_H
#define GC_REDUCE_H
struct gc_error;
#define sort SORT
"""
_MAIN = """
#include <stdio.h>
int main(int, char **paths) {
    static T x[COUNT];
    static int64_t y[KEPT];
    FILE *in = fopen(paths[1], "rb"), *out = fopen(paths[2], "wb");
    if (fread(x, sizeof *x, COUNT, in) != COUNT) return 1;
    SORT(0, x, y);
    if (fwrite(y, sizeof *y, KEPT, out) != KEPT) return 1;
    return fclose(out);
}
"""


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    ("name", "length", "first"),
    [("f32", 100, None), ("f64", 33, None), ("bf16", 64, None), ("i64", 1, None), ("f32", 77, 5)],
)
def test_cuda_kernels_do_the_same(tmp_path, name: str, length: int, first: int | None) -> None:
    """A grid of one block of one thread is right too, and runs anywhere."""
    kind = KINDS[name]
    x = values(kind, (4, length, 3))
    kernel = sort(x.shape, 1, first, kind, descending=True)
    text = render_kernel(kernel, CUDA).text
    expected = order(x, 1, True, first)
    numbers = f"#define T {CUDA.storage(kind)}\n#define COUNT {x.size}\n"
    numbers += f"#define KEPT {expected.size}\n"
    (tmp_path / "sort.cpp").write_text(_HOST + text + numbers + _MAIN)
    (tmp_path / "x").write_bytes(x.tobytes())
    include = f"-I{resources('runtime') / 'cuda'}"
    command = [COMPILER, include, str(tmp_path / "sort.cpp"), "-o", str(tmp_path / "sort")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    subprocess.run([tmp_path / "sort", tmp_path / "x", tmp_path / "y"], check=True)
    found = np.frombuffer((tmp_path / "y").read_bytes(), np.int64).reshape(expected.shape)
    np.testing.assert_array_equal(found, expected)
