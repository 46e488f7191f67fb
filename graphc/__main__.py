"""The command line: ``python -m graphc doctor``, ``cache``, and ``run program.py``."""

import argparse
import contextlib
import os
import platform
import re
import runpy
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import graphc
from graphc import config
from graphc.as_torch import install_as_torch
from graphc.backends.c import (
    Cache,
    CacheRefused,
    CompileError,
    CompilerNotFound,
    find_compiler,
    open_cache,
)
from graphc.backends.c.cache import default_root
from graphc.compiler.function import compile as graphc_compile
from graphc.resources import ResourceError, resources
from graphc.tensor import Tensor

# What /proc/cpuinfo calls an instruction set, and what people call it.
_ISA = {
    "sse4_2": "SSE4.2",
    "avx": "AVX",
    "avx2": "AVX2",
    "fma": "FMA",
    "f16c": "F16C",
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX-512 BF16",
    "amx_tile": "AMX",
    "asimd": "NEON",
    "sve": "SVE",
}
_CALLS = 2000


class Problem(Exception):  # noqa: N818 - what the doctor found
    """Something without which compiled mode does not work; the text says what to do."""


# -------------------------------------------------------------------------------------- the doctor


def doctor() -> int:
    """Prints what graphc found here; 0 when compiled mode works, else 1."""
    print(f"graphc {graphc.version.graphc} in {Path(graphc.__file__).parent}")
    healthy = True
    for name, examine in EXAMINATIONS.items():
        try:
            for line in examine():
                print(f"  {name:<10} {line}")
                name = ""
        except (Problem, ValueError) as problem:  # ValueError: a GRAPHC_* variable
            healthy = False
            print(f"  {name:<10} PROBLEM: " + str(problem).replace("\n", "\n" + 13 * " "))
    print("compiled mode works" if healthy else "compiled mode does not work here")
    return 0 if healthy else 1


def _python() -> Iterator[str]:
    yield f"{platform.python_version()}, {sys.executable}, {platform.system()} {platform.machine()}"


def _numpy() -> Iterator[str]:
    yield np.__version__


def _cpu() -> Iterator[str]:
    facts: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        text = ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    words = facts.get("flags", facts.get("Features", "")).split()
    sets = [title for flag, title in _ISA.items() if flag in words]
    model = facts.get("model name") or platform.processor() or platform.machine()
    yield ": ".join([model, *([" ".join(sets)] if sets else [])])


def _threads() -> Iterator[str]:
    available = config.available_cpus()
    yield f"{config.get_num_threads()} for a compiled program, of {available} CPUs available"


def _variables() -> Iterator[str]:
    known = {variable.name: variable for variable in config.VARIABLES}
    names = sorted(name for name in os.environ if name.startswith("GRAPHC_"))
    for name in names:
        if name not in known:
            yield f"{name} is set, but graphc has no such variable"
            continue
        known[name].value  # noqa: B018 - reading checks it
        yield f"{name}={os.environ[name]}: {known[name].doc}"
    if not names:
        yield "no GRAPHC_* variable is set"


def _sources() -> Iterator[str]:
    try:
        yield f"templates in {resources('templates')}"
        yield f"runtime in {resources('runtime')}"
    except ResourceError as error:
        raise Problem(str(error)) from None


def _cache() -> Iterator[str]:
    try:
        cache = Cache.at(default_root())
    except CacheRefused as refusal:
        yield f"{refusal}; a temporary folder is used, and forgotten at exit"
        return
    yield f"{cache.root}, {_contents(cache)}, at most {config.CACHE_SIZE.value} MB"


def _compiler() -> Iterator[str]:
    try:
        compiler = find_compiler(open_cache())
    except (CompilerNotFound, CompileError) as error:
        raise Problem(str(error)) from None
    yield f"{compiler.title}, {' '.join(compiler.command)}"
    yield "builds for AVX-512" if compiler.avx512 else "builds for this CPU"


def _check() -> Iterator[str]:
    """Compiles a function anew, so that an object built in better days cannot hide a fault."""
    try:
        with open_cache().workspace() as folder:
            before = os.environ.get("GRAPHC_CACHE_DIR")
            os.environ["GRAPHC_CACHE_DIR"] = str(folder / "cache")
            try:
                yield _compile_and_run()
            finally:
                del os.environ["GRAPHC_CACHE_DIR"]
                if before is not None:
                    os.environ["GRAPHC_CACHE_DIR"] = before
    except (Problem, ValueError):
        raise
    except Exception as error:  # whatever it is, the report says it
        raise Problem(f"{type(error).__name__}: {error}") from error


def _compile_and_run() -> str:
    def double_plus_one(x: Tensor) -> Any:
        return x * 2 + 1

    compiled = graphc_compile(double_plus_one)
    x = graphc.from_numpy(np.arange(10, dtype=np.float32))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        start = time.perf_counter()
        result = compiled(x)
        seconds = time.perf_counter() - start
    if not compiled.receipts:
        raise Problem("; ".join(str(w.message) for w in said) or "graphc did not compile")
    if not np.array_equal(result.numpy(), np.arange(10) * 2 + 1):
        raise Problem(f"x * 2 + 1 of 0 to 9 gave {result.tolist()}")
    start = time.perf_counter()
    for _ in range(_CALLS):
        compiled(x)
    call = (time.perf_counter() - start) / _CALLS
    return f"x * 2 + 1 compiled in {seconds:.2f} s, right, {call * 1e6:.1f} µs a call"


def _cuda() -> Iterator[str]:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        yield "no nvcc"
    else:
        asked = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=False)
        release = re.search(r"release [\d.]+", asked.stdout)
        yield f"nvcc {release.group() if release else 'of unknown release'}, {nvcc}"
    yield f"pycuda {version('pycuda')}" if find_spec("pycuda") else "no pycuda (graphc[cuda])"


EXAMINATIONS: dict[str, Callable[[], Iterator[str]]] = {
    "Python": _python,
    "NumPy": _numpy,
    "CPU": _cpu,
    "threads": _threads,
    "variables": _variables,
    "sources": _sources,
    "cache": _cache,
    "compiler": _compiler,
    "check": _check,
    "CUDA": _cuda,
}


# --------------------------------------------------------------------------------------- the cache


def _contents(cache: Cache) -> str:
    sizes = []
    for path in cache.root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # another process's, removed meanwhile
            if path.is_file() and not path.is_symlink():
                sizes.append(path.stat().st_size)
    return f"{len(sizes)} files, {sum(sizes) / 2**20:.1f} MB"


def show_cache(clear: bool) -> int:
    """Prints where the cache is and what it holds, or empties it; 1 when it is refused."""
    try:
        cache, limit = Cache.at(default_root()), config.CACHE_SIZE.value
    except (CacheRefused, ValueError) as refusal:
        print(refusal, file=sys.stderr)
        return 1
    held = _contents(cache)
    if clear:
        cache.evict(0)
        shutil.rmtree(cache.root / "zig", ignore_errors=True)  # the compiler's own
        print(f"{cache.root}: held {held}, holds {_contents(cache)}")
    else:
        print(f"{cache.root}: {held}, at most {limit} MB")
    return 0


# ------------------------------------------------------------------------------- running a program


def run_as_torch(program: str, arguments: Sequence[str], is_module: bool) -> int:
    """Runs a program whose ``import torch`` means graphc, as ``python program.py`` would run it."""
    if not is_module and not Path(program).exists():
        print(f"python -m graphc run: there is no file {program!r}", file=sys.stderr)
        return 2
    install_as_torch()
    sys.argv = [program, *arguments]
    if is_module:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(program).resolve().parent)
        runpy.run_path(program, run_name="__main__")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m graphc", description="graphc's own tools")
    parser.add_argument("--version", action="version", version=f"graphc {graphc.version.graphc}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="what graphc finds here, and whether compiled mode works")
    of_cache = commands.add_parser("cache", help="where compiled objects are, and how many")
    of_cache.add_argument("--clear", action="store_true", help="delete them")
    of_run = commands.add_parser("run", help="run a program in which 'import torch' means graphc")
    of_run.add_argument("-m", dest="is_module", action="store_true", help="it is a module's name")
    of_run.add_argument("program")
    of_run.add_argument("arguments", nargs=argparse.REMAINDER, help="the program's own")
    options = parser.parse_args(arguments)
    if options.command == "run":
        return run_as_torch(options.program, options.arguments, options.is_module)
    if options.command == "doctor":
        return doctor()
    return show_cache(options.clear)


if __name__ == "__main__":
    sys.exit(main())
