"""Which C compiler, what exactly it is, and the flags it is given.

The identity of a compiler (kind, version, and the instruction set that "native" means here) goes
into the key of every object, so that a home folder shared by unlike machines never yields an
illegal instruction. Asking for it runs the compiler once; the answer is kept in the cache under
the compiler's path, time and size and this machine's CPU.
"""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from graphc import config
from graphc.backends.c.cache import FORMAT, Cache, digest

_INSTALL = (
    "graphc found no C compiler. Install gcc or clang, or `pip install ziglang` (which "
    "`pip install graphc[cc]` does), or name one with GRAPHC_CC."
)

# Variables that would change what a compiler reads or writes without our key knowing of it.
_HIDDEN = (
    "CPATH",
    "C_INCLUDE_PATH",
    "LIBRARY_PATH",
    "COMPILER_PATH",
    "GCC_EXEC_PREFIX",
    "CCC_OVERRIDE_OPTIONS",
    "DEPENDENCIES_OUTPUT",
    "SUNPRO_DEPENDENCIES",
)


class CompilerNotFound(RuntimeError):  # noqa: N818 - it says what happened
    """There is no C compiler; the message says what to install."""


class CompileError(RuntimeError):
    """The compiler refused a source; ``source`` is where it was kept, ``output`` all it said."""

    def __init__(self, message: str, source: Path | None, output: str) -> None:
        super().__init__(message)
        self.source = source
        self.output = output


@dataclass(frozen=True)
class Compiler:
    """A compiler and what it builds for.

    ``identity`` covers version, instruction set and everything else its output depends on.
    """

    command: tuple[str, ...]
    kind: str  # gcc, clang or zig
    version: str
    identity: str
    avx512: bool
    vector_bytes: int  # of the widest vectors, and how many registers hold them
    vector_registers: int
    bf16_pairs: bool  # the CPU multiplies bfloat16

    @property
    def title(self) -> str:
        return f"{self.kind} {self.version}"

    @property
    def native(self) -> str:
        return "-mcpu=native" if self.kind == "zig" else _native_flag()

    def compile_flags(self, sanitize: bool) -> tuple[str, ...]:
        """Options for an object. Never -ffast-math: NaN, infinities and -0 must behave."""
        flags = [
            "-std=gnu11",
            "-O2",
            self.native,
            "-fno-math-errno",
            "-fno-trapping-math",
            "-fwrapv",  # integer sums wrap, as in NumPy
            "-ffp-contract=fast",
            "-fopenmp-simd",
            "-fPIC",
            "-fvisibility=hidden",
            "-Werror=implicit-function-declaration",
        ]
        if self.avx512:
            flags.append("-mprefer-vector-width=512")
        if self.kind == "gcc":
            # Both make branches of chained selects, and a loop with branches is not vectorised.
            flags += ["-fno-thread-jumps", "-fno-tree-pre"]
        if self.kind == "zig":
            # It would otherwise trap on undefined behaviour, keep frame pointers, and write
            # debug information.
            flags += ["-fno-sanitize=all", "-fomit-frame-pointer", "-g0"]
        if sanitize:
            flags += [
                "-g",
                "-fno-omit-frame-pointer",
                "-fsanitize=address,undefined",
                "-fno-sanitize-recover=undefined",
            ]
        return tuple(flags)

    def link_flags(self, sanitize: bool) -> tuple[str, ...]:
        """Options that make a shared library of objects, before the objects' names."""
        flags = ["-shared", "-fPIC"]
        if sanitize:
            flags.append("-fsanitize=address,undefined")
            if self.kind == "clang":
                flags.append("-shared-libsan")
        elif sys.platform == "linux":
            flags.append("-Wl,-z,defs")  # a missing function is an error now, not when loading
        return tuple(flags)

    def environment(self, cache: Cache, workspace: Path) -> dict[str, str]:
        """The environment its processes run in: messages in English, files in our folders."""
        kept = {name: value for name, value in os.environ.items() if name not in _HIDDEN}
        kept.update(LC_ALL="C", TMPDIR=str(workspace))
        if self.kind == "zig":
            kept.update(_zig_folders(cache))
        if config.SANITIZE.value:
            kept.pop("LD_PRELOAD", None)  # meant for this process, not for the compiler
        return kept


def _zig_folders(cache: Cache) -> dict[str, str]:
    folder = str(cache.root / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": folder, "ZIG_LOCAL_CACHE_DIR": folder}


def _native_flag() -> str:
    # Apple's and other ARM compilers want -mcpu there.
    return "-march=native" if platform.machine() in ("x86_64", "AMD64", "i686") else "-mcpu=native"


# ---------------------------------------------------------------------------------------- finding


def _command() -> tuple[str, ...]:
    asked = config.CC.value
    if asked:
        words = shlex.split(asked)
        program = shutil.which(words[0]) if words else None
        if program is None:
            raise CompilerNotFound(f"GRAPHC_CC={asked!r} names no program that can be run")
        if len(words) == 1 and Path(program).name.startswith("zig"):
            words.append("cc")
        return (program, *words[1:])
    for name in ("gcc", "clang"):
        program = shutil.which(name)
        if program is not None:
            return (program,)
    wheel = find_spec("ziglang")
    if wheel is not None and wheel.origin is not None:
        # `python -m ziglang` only starts this file; starting it ourselves saves a Python.
        zig = Path(wheel.origin).parent / "zig"
        if os.access(zig, os.X_OK):
            return (str(zig), "cc")
        return (sys.executable, "-m", "ziglang", "cc")
    raise CompilerNotFound(_INSTALL)


def find_compiler(cache: Cache) -> Compiler:
    """The compiler to use: GRAPHC_CC, else gcc, clang, or the ziglang wheel.

    Raises CompilerNotFound with what to install, CompileError when it does not run.
    """
    command = _command()
    stamp = tuple(_stamp(word) for word in command)
    return _identify(command, stamp, cache)


def _stamp(word: str) -> str:
    """Which file a word of the command is now; '' for a plain option."""
    try:
        real = os.path.realpath(word)
        status = os.stat(real)
    except OSError:
        return ""
    return f"{real} {status.st_mtime_ns} {status.st_size}"


@lru_cache(maxsize=16)
def _identify(command: tuple[str, ...], stamp: tuple[str, ...], cache: Cache) -> Compiler:
    key = digest(FORMAT, "compiler, vectors and pairs", *command, *stamp, _cpu())
    known = cache.read(key, ".json")
    if known is None:
        known = _ask(command, cache)
        cache.write(key, ".json", known)
    facts = json.loads(known)
    return Compiler(
        command=command,
        kind=str(facts["kind"]),
        version=str(facts["version"]),
        identity=str(facts["identity"]),
        avx512=bool(facts["avx512"]),
        vector_bytes=int(facts["vector_bytes"]),
        vector_registers=int(facts["vector_registers"]),
        bf16_pairs=bool(facts["bf16_pairs"]),
    )


def _ask(command: tuple[str, ...], cache: Cache) -> bytes:
    """The predefined macros tell kind, version and every instruction set extension."""
    zig = any("zig" in Path(word).name for word in command)
    native = "-mcpu=native" if zig else _native_flag()
    with cache.workspace() as folder:
        empty = folder / "empty.c"
        empty.touch()
        environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder), **_zig_folders(cache)}
        environment.pop("LD_PRELOAD", None)
        argv = [*command, native, "-dM", "-E", str(empty)]
        try:
            asked = subprocess.run(
                argv, capture_output=True, text=True, env=environment, check=False, timeout=120
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise CompileError(f"cannot run the C compiler {argv[0]}: {error}", None, "") from error
    if asked.returncode != 0:
        raise CompileError(
            f"the C compiler does not work: {shlex.join(argv)} said: {first_error(asked.stderr)}",
            None,
            asked.stderr,
        )
    lines = sorted(asked.stdout.splitlines())
    macros = dict([*line.split(" ", 2), ""][1:3] for line in lines)
    kind = "zig" if zig else "clang" if "__clang__" in macros else "gcc"
    facts = {
        "kind": kind,
        "version": macros.get("__VERSION__", "of unknown version").strip('" '),
        "identity": digest(kind, *command, *lines),
        "avx512": "__AVX512F__" in macros,
        "vector_bytes": 64 if "__AVX512F__" in macros else 32 if "__AVX2__" in macros else 16,
        "bf16_pairs": {"__AVX512F__", "__AVX512BF16__"} <= macros.keys(),
        "vector_registers": 32 if {"__AVX512F__", "__aarch64__"} & macros.keys() else 16,
    }
    return json.dumps(facts, sort_keys=True).encode()


@lru_cache(maxsize=1)
def _cpu() -> str:
    """What "native" depends on, cheaply: the CPU's model and its flags."""
    facts = [platform.machine(), sys.platform]
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if not line.strip():
                    break  # the next CPU
                name = line.split(":")[0].strip()
                if name in ("vendor_id", "cpu family", "model", "model name", "flags", "Features"):
                    facts.append(line.strip())
    except OSError:
        facts.append(platform.processor())
    return "\n".join(facts)


def first_error(output: str) -> str:
    """The line of a compiler's output to show."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for mark in ("undefined reference", "undefined symbol", "error:"):
        for line in lines:
            if mark in line:
                return line
    return lines[0] if lines else "(it said nothing)"


def sanitizer_preload(compiler: Compiler) -> Path:
    """The library to name in LD_PRELOAD when Python runs programs built with GRAPHC_SANITIZE=1.

    Python itself is not sanitized, so the runtime must be there before it starts, and its leak
    check (of all of Python) must be off::

        LD_PRELOAD=<this path> ASAN_OPTIONS=detect_leaks=0 GRAPHC_SANITIZE=1 python ...

    Raises CompileError when this compiler has no such library (zig has none).
    """
    names = ["libasan.so"]
    if compiler.kind == "clang":
        names = [f"libclang_rt.asan-{platform.machine()}.so", "libclang_rt.asan.so"]
    if compiler.kind != "zig":
        for name in names:
            asked = subprocess.run(
                [*compiler.command, f"-print-file-name={name}"],
                capture_output=True,
                text=True,
                check=True,
            )
            path = Path(asked.stdout.strip())
            if path.is_absolute() and path.exists():
                return path.resolve()
    raise CompileError(
        f"GRAPHC_SANITIZE needs gcc or clang; {compiler.title} has no ASan", None, ""
    )
