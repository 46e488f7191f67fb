"""Builds small shared libraries out of the runtime headers."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from cffi import FFI

from graphc.resources import resources

FLAGS = (
    "-std=c11 -O2 -march=native -mprefer-vector-width=512 -fno-math-errno -fno-trapping-math"
    " -ffp-contract=fast -fopenmp-simd -fPIC -shared"
).split()

Build = Callable[..., Any]


def c_compiler() -> list[str] | None:
    """The argv of a C compiler: CC, gcc, clang, or the one of the ziglang wheel."""
    if os.environ.get("CC"):
        return shlex.split(os.environ["CC"])
    for name in ("gcc", "clang"):
        if shutil.which(name):
            return [name]
    return [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") else None


@pytest.fixture(scope="session")
def compiler() -> list[str]:
    argv = c_compiler()
    if argv is None:
        pytest.skip("no C compiler: neither gcc nor clang nor the ziglang wheel")
    return argv


@pytest.fixture(scope="session")
def build(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build(source, declarations, *flags) -> (FFI, library, what the compiler printed)."""

    def build_library(source: str, declarations: str, *flags: str) -> tuple[FFI, Any, str]:
        folder = tmp_path_factory.mktemp("library")
        (folder / "library.c").write_text(source)
        argv = [*compiler, *FLAGS, *flags, "-I", str(resources("runtime") / "c")]
        argv += ["library.c", "-o", "library.so", "-lm"]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        ffi = FFI()
        ffi.cdef(declarations)
        return ffi, ffi.dlopen(str(folder / "library.so")), done.stderr

    return build_library


@pytest.fixture(scope="session")
def nvcc(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Compiles a CUDA source for sm_90; skips where there is no nvcc."""
    program = shutil.which("nvcc")
    if program is None:
        pytest.skip("no nvcc")

    def compile_cuda(source: str, flags: Sequence[str] = ()) -> None:
        folder: Path = tmp_path_factory.mktemp("cuda")
        (folder / "kernel.cu").write_text(source)
        include = str(resources("runtime") / "cuda")
        argv = [program, "-arch=sm_90", "-std=c++17", "-cubin", "-I", include, *flags]
        argv += ["kernel.cu", "-o", "kernel.cubin"]
        done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]

    return compile_cuda
