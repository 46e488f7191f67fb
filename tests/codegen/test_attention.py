"""The kernels of attention over long sequences: generated CUDA, run thread by thread on the host.

The generated C is tested with the rows (tests/ops) and through the public function (tests/nn).
"""

import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from graphc.codegen import CUDA, render_kernel
from graphc.ir import OPS, Sample
from graphc.resources import resources
from tests.codegen.kernels import row_kernel

COMPILER = shutil.which("g++") or shutil.which("clang++")
NAMES = ("tiled_attention", "tiled_attention_backward")

_HOST = """
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#define __device__
#define __global__
#define __forceinline__
#define __noinline__
struct Index { int64_t x; };
static const Index blockDim = {3}, gridDim = {2};
static Index blockIdx, threadIdx;
static inline float __uint_as_float(uint32_t b) { float x; memcpy(&x, &b, 4); return x; }
static inline uint32_t __float_as_uint(float x) { uint32_t b; memcpy(&b, &x, 4); return b; }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
#include "gc_types.h"
#define GC_REDUCE_H
struct gc_error;
"""


def on_host(kernel: Any, arrays: list[np.ndarray[Any, Any]], folder: Any) -> np.ndarray[Any, Any]:
    """What a kernel for CUDA computes in two blocks of three threads that never meet."""
    params = [(CUDA.storage(p.dtype), f"given{i}") for i, p in enumerate(kernel.params)]
    text = render_kernel(kernel, CUDA).text
    assert "__syncthreads" not in text
    memory = "\n".join(
        f"static {kind} {name}[{max(int(np.prod(p.shape)), 1)}];"
        for (kind, name), p in zip(params, kernel.params, strict=True)
    )
    reads = "\n".join(
        f"if (!fread({name}, sizeof {name}, 1, in)) return 1;" for _, name in params[:-1]
    )
    result = params[-1][1]
    source = f"""{_HOST}{text}{memory}
int main(int, char **paths) {{
    FILE *in = fopen(paths[1], "rb"), *out = fopen(paths[2], "wb");
    {reads}
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
        for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++)
            {kernel.name}(0, {", ".join(name for _, name in params)});
    if (!fwrite({result}, sizeof {result}, 1, out)) return 1;
    return fclose(out);
}}
"""
    (folder / "kernel.cpp").write_text(source)
    (folder / "in").write_bytes(b"".join(a.tobytes() for a in arrays))
    include = f"-I{resources('runtime') / 'cuda'}"
    command = [str(COMPILER), "-O1", "-std=c++17", include, "kernel.cpp", "-o", "kernel"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    subprocess.run(["./kernel", "in", "out"], cwd=folder, check=True)
    kind = kernel.params[-1].dtype.numpy
    return np.frombuffer((folder / "out").read_bytes(), kind)


def samples() -> list[Any]:
    return [
        pytest.param(name, sample, id=f"{name}-{i}")
        for name in NAMES
        for i, sample in enumerate(OPS[name].samples())
    ]


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.parametrize(("name", "sample"), samples())
def test_cuda_does_the_same(tmp_path: Any, name: str, sample: Sample) -> None:
    arrays = [np.ascontiguousarray(a) for a in sample.arrays]
    kernel = row_kernel(name, arrays, **sample.attrs)
    want = OPS[name].evaluate(*arrays, **sample.attrs)
    found = on_host(kernel, arrays, tmp_path).reshape(want.shape)
    tolerance = 1e-11 if want.dtype == np.float64 else 2e-5
    np.testing.assert_allclose(found, want, rtol=tolerance, atol=tolerance)
