"""Finding compilers, their errors, flags and sanitizers; resources and configuration."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from graphc import config, resources
from graphc.backends.c import (
    BuiltProgram,
    CompileError,
    CompilerNotFound,
    SourceFile,
    address_of,
    build_program,
    expect_pool,
    find_compiler,
    open_cache,
    sanitizer_preload,
)
from graphc.backends.c import build as build_module
from graphc.backends.c import compiler as compiler_module
from graphc.backends.c.compiler import first_error
from graphc.backends.c.grouping import cost, grouped

MAIN = """#include "gc_program.h"
#include <math.h>
double scale(double);
static void body(gc_thread *t) {
    double *x = (double *)t->call->buffers[0];
    int64_t begin, end;
    gc_share(t, t->call->sizes[0], 4, &begin, &end);
    for (int64_t i = begin; i < end; i++) x[i] = scale(lgamma(x[i]));
    gc_barrier(t);
}
GC_EXPORT int64_t entry(gc_call *call) { return gc_run(call, body, 2); }
"""
SCALE = "double scale(double x) { return 3 * x; }\n"
UNITS = [SourceFile("main", MAIN), SourceFile("scale", SCALE)]


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder))
    monkeypatch.delenv("GRAPHC_SANITIZE", raising=False)
    return folder


@pytest.fixture
def zig(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ziglang")
    monkeypatch.delenv("GRAPHC_CC", raising=False)
    monkeypatch.setenv("PATH", "")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def check(built: BuiltProgram) -> None:
    x = np.arange(1.0, 12.0)
    expected = 3 * np.log([1.0, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800])
    built.program(buffers=1, sizes=1).run([address_of(x)], [len(x)])
    np.testing.assert_allclose(x, expected, atol=1e-12)


def test_units_are_compiled_linked_and_called() -> None:
    seen: list[tuple[int, int, str]] = []
    built = build_program(UNITS, entry="entry", progress=lambda *step: seen.append(step))
    check(built)
    assert [(done, total) for done, total, _ in seen] == [(1, 2), (2, 2)]
    assert {name for _, _, name in seen} == {"main", "scale"}
    assert built.compile_seconds > 0 and built.link_seconds > 0
    assert {name: path.read_text() for name, path in built.sources.items()} == {
        "main": MAIN,
        "scale": SCALE,
    }


def test_equal_texts_are_built_once() -> None:
    built = build_program([*UNITS, SourceFile("again", SCALE)], entry="entry")
    assert built.misses == 2
    assert built.sources["again"] == built.sources["scale"]
    check(built)


def test_units_need_names_of_their_own() -> None:
    with pytest.raises(ValueError, match="share a name"):
        build_program([SourceFile("a", MAIN), SourceFile("a", SCALE)], entry="entry")


def test_entry_must_exist() -> None:
    with pytest.raises(OSError, match="exports no nowhere"):
        build_program(UNITS, entry="nowhere").program(buffers=0)


def test_key_holds_flags_headers_and_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build_program(UNITS, entry="entry")
    with monkeypatch.context() as patch:
        patch.setattr("graphc.backends.c.build.runtime_headers", lambda: "other headers")
        assert build_program(UNITS, entry="entry").misses == 2
    command = " ".join(built.compiler.command)
    with monkeypatch.context() as patch:
        patch.setenv("GRAPHC_CC", f"{command} -DANYTHING")
        assert build_program(UNITS, entry="entry").misses == 2
    # The same program reached by another path and time is asked again who it is.
    wrapped = script(tmp_path / "wrapped", f'exec {command} "$@"')
    monkeypatch.setenv("GRAPHC_CC", str(wrapped))
    assert build_program(UNITS, entry="entry").misses == 2


def test_another_instruction_set_is_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = " ".join(find_compiler(open_cache()).command)
    monkeypatch.setenv("GRAPHC_CC", str(script(tmp_path / "cc", f'exec {command} "$@"')))
    here = find_compiler(open_cache())
    # The home folder is mounted on a machine with another CPU; "native" means less there.
    script(tmp_path / "cc", f'exec {command} "$@" -mno-avx512f -mno-avx2 -mno-avx -mno-sse4.2')
    if subprocess.run([tmp_path / "cc", "-dM", "-E", os.devnull], check=False).returncode:
        pytest.skip("these options are for x86")
    os.utime(tmp_path / "cc", (1, 1))
    there = find_compiler(open_cache())
    assert here.identity != there.identity
    assert not there.avx512
    assert there.vector_bytes <= 32  # zig takes the instructions away, not the registers
    assert there.vector_registers == 16


def test_identity_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = " ".join(find_compiler(open_cache()).command)
    log = tmp_path / "log"
    logging = script(tmp_path / "logging", f'echo "$@" >> {log}\nexec {command} "$@"')
    monkeypatch.setenv("GRAPHC_CC", str(logging))
    for _ in range(3):
        compiler_module._identify.cache_clear()  # as a new process would
        build_program(UNITS, entry="entry")
    # Its macros, two objects and a link; then nothing.
    assert len(log.read_text().splitlines()) == 4 + _pool_was_built(log)


def _pool_was_built(log: Path) -> int:
    """The pool is built once a process, by whichever test comes first: an object and a link."""
    text = log.read_text()
    return 2 if text.count("-shared") == 2 else 0


def test_an_expected_pool_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = " ".join(find_compiler(open_cache()).command)
    log = tmp_path / "log"
    logging = script(tmp_path / "logging", f'echo "$@" >> {log}\nsleep 0.1; exec {command} "$@"')
    monkeypatch.setenv("GRAPHC_CC", str(logging))
    monkeypatch.setattr(build_module, "_pools", {})
    expect_pool()
    check(build_program(UNITS, entry="entry"))
    expect_pool()  # it is there
    for thread in threading.enumerate():
        if thread.name == "graphc-pool":
            thread.join()
    # Its own object and link, and those of the program.
    assert log.read_text().count("-shared") == 2
    assert log.read_text().count(" -c ") == 3


def test_a_program_without_a_pool_builds_none(monkeypatch: pytest.MonkeyPatch) -> None:
    pools: dict[bool, object] = {}
    monkeypatch.setattr(build_module, "_pools", pools)
    check(build_program(UNITS, entry="entry", pool=False))
    assert not pools


# -------------------------------------------------------------------------------------- together


def test_small_files_share_a_unit(root: Path) -> None:
    built = build_program(UNITS, entry="entry", jobs=2, together=True)
    check(built)
    assert built.misses == 1
    assert built.sources["scale"].read_text() == SCALE
    # However the files are grouped, the program is the same one.
    apart = build_program(UNITS, entry="entry")
    assert (apart.path, apart.misses) == (built.path, 0)


def test_units_do_not_depend_on_where_the_cache_is(root: Path) -> None:
    built = build_program(UNITS, entry="entry", together=True)
    moved = root.with_name("moved")
    root.rename(moved)
    built.path.relative_to(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRAPHC_CACHE_DIR", str(moved))
        (moved / built.path.relative_to(root)).unlink()
        again = build_program(UNITS, entry="entry", together=True)
    check(again)
    assert (again.hits, again.misses) == (1, 0)


def test_an_error_names_the_file_among_many() -> None:
    broken = SourceFile("broken_kernel", "int x;\nint f(void) { return undeclared; }\n")
    with pytest.raises(CompileError, match="could not compile broken_kernel:") as caught:
        build_program([*UNITS, broken], entry="entry", together=True)
    assert caught.value.source is not None and caught.value.source.read_text() == broken.text


def test_groups_are_balanced() -> None:
    loop = "for (int i = 0; i < 9; i++) x[i] = 0;\n"
    files = [SourceFile(f"file {n}", f"/* {n} */" + loop * (1 + n % 7)) for n in range(40)]
    (one,) = grouped(files[:3], 8)
    assert sorted(f.name for f in one) == ["file 0", "file 1", "file 2"]
    for jobs in (1, 2, 3):
        groups = grouped(files, jobs)
        assert len(groups) == jobs
        assert sorted(f.name for g in groups for f in g) == sorted(f.name for f in files)
        costs = [sum(map(cost, group)) for group in groups]
        assert costs == sorted(costs, reverse=True) and costs[0] - costs[-1] < 20
    large = [SourceFile(f"{n}", f"/* {n} */" + loop * 90) for n in range(8)]
    assert len(grouped(large, 2)) == 4  # rather two rounds than one unit that others wait for


# ------------------------------------------------------------------------------------- compilers


def test_compile_error_names_source_and_line(root: Path) -> None:
    broken = SourceFile("broken_kernel", "int x;\nint f(void) { return undeclared; }\n")
    with pytest.raises(CompileError, match="broken_kernel") as caught:
        build_program([*UNITS, broken], entry="entry")
    message = str(caught.value)
    kept = caught.value.source
    assert kept is not None and kept.read_text() == broken.text
    assert root in kept.parents and str(kept) in message
    assert ":2:" in message.splitlines()[0] and "undeclared" in message.splitlines()[0]
    check(build_program(UNITS, entry="entry"))


def test_missing_function_is_an_error_at_once() -> None:
    with pytest.raises((CompileError, OSError), match="scale"):
        build_program([UNITS[0]], entry="entry")


def test_no_compiler_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAPHC_CC", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(compiler_module, "find_spec", lambda _name: None)
    with pytest.raises(CompilerNotFound, match="Install gcc or clang, or `pip install ziglang`"):
        build_program(UNITS, entry="entry")


def test_named_compiler_is_used_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CC", "no-such-compiler -O1")
    with pytest.raises(CompilerNotFound, match="no-such-compiler"):
        build_program(UNITS, entry="entry")
    monkeypatch.setenv("GRAPHC_CC", str(script(tmp_path / "bad", "echo not today >&2; exit 3")))
    with pytest.raises(CompileError, match=r"does not work.*not today"):
        build_program(UNITS, entry="entry")


def test_compiler_that_dies_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = " ".join(find_compiler(open_cache()).command)
    dying = script(
        tmp_path / "dying", f'case "$*" in *" -c "*) kill -9 $$;; esac\nexec {command} "$@"'
    )
    build_program(UNITS, entry="entry")  # the pool is there already
    monkeypatch.setenv("GRAPHC_CC", str(dying))
    with pytest.raises(CompileError, match="killed by signal 9"):
        build_program(UNITS, entry="entry")


def test_sources_are_never_seen_by_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a b; touch planted $(touch planted)"
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    check(build_program([*UNITS, SourceFile("x; touch planted", "int y;")], entry="entry"))
    assert not (tmp_path / "planted").exists()


def test_interrupt_while_compiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(build_program(UNITS, entry="entry"))
    command = " ".join(find_compiler(open_cache()).command)
    began, survived = tmp_path / "began", tmp_path / "survived"
    hanging = script(
        tmp_path / "hanging",
        f'case "$*" in *" -c "*) echo x >> {began}; (sleep 0.5; touch {survived}); sleep 60;; esac'
        f'\nexec {command} "$@"',
    )
    monkeypatch.setenv("GRAPHC_CC", str(hanging))

    def interrupt() -> None:
        while not began.exists() or len(began.read_text().split()) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        build_program(UNITS, entry="entry", jobs=2)
    thread.join()
    time.sleep(0.7)
    assert not survived.exists()  # neither a compiler nor what it started goes on
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []
    monkeypatch.delenv("GRAPHC_CC")
    check(build_program(UNITS, entry="entry"))


@pytest.mark.usefixtures("zig")
def test_zig_builds_too() -> None:
    built = build_program(UNITS, entry="entry")
    assert built.compiler.kind == "zig"
    check(built)
    assert built.link_seconds < 5  # it built no C library on the way


@pytest.mark.usefixtures("zig")
def test_zig_builds_the_pool(root: Path) -> None:
    lines = (
        "from graphc.backends.c import *; from graphc import config; config.set_num_threads(2)",
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_build",
        "built = build_program(test_build.UNITS, entry='entry'); test_build.check(built)",
        "import os; pid = os.fork()",
        "test_build.check(built)",
        "sys.exit(os.waitpid(pid, 0)[1] if pid else 0)",
    )
    ended = python("\n".join(lines))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_first_error() -> None:
    assert first_error("") == "(it said nothing)"
    assert first_error("In file x\nx.c:1: error: bad\nmore") == "x.c:1: error: bad"
    assert first_error("ld: undefined reference to `f'\n") == "ld: undefined reference to `f'"


# ------------------------------------------------------------------------------------ sanitizers


def python(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs code in a new Python that sees the same modules and cache."""
    search = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env={**os.environ, "PYTHONPATH": search, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


OVERRUN = """
import numpy as np
from graphc import config
from graphc.backends.c import *
config.set_num_threads(2)
source = '''#include "gc_program.h"
static void body(gc_thread *t) {
    int64_t *x = (int64_t *)t->call->buffers[0];
    for (int64_t i = t->tid; i < t->call->sizes[0]; i += t->nthreads) %s
    gc_barrier(t);
}
GC_EXPORT int64_t entry(gc_call *call) { return gc_run(call, body, 2); }
'''
x = np.ones(100, dtype="int64")
built = build_program([SourceFile("main", source)], entry="entry")
program = built.program(buffers=1, sizes=1, arena_bytes=800)
program.run([address_of(x)], [100])
print("clean", flush=True)
program.run([address_of(x)], [101])
"""


@pytest.fixture
def sanitizer(root: Path) -> dict[str, str]:
    compiler = find_compiler(open_cache())
    try:
        preload = sanitizer_preload(compiler)
    except CompileError as missing:
        pytest.skip(str(missing))
    return {
        "GRAPHC_SANITIZE": "1",
        "LD_PRELOAD": str(preload),
        "ASAN_OPTIONS": "detect_leaks=0",
    }


@pytest.mark.parametrize(
    ("statement", "report"),
    [
        ("x[i] = i;", "heap-buffer-overflow"),
        ("((int64_t *)t->call->arena)[i] = i;", "heap-buffer-overflow"),
        ("x[i] = (int64_t)(i < 100 ? 1 : 9) << (i < 100 ? 1 : 99);", "shift exponent"),
    ],
)
def test_sanitizers_report(sanitizer: dict[str, str], statement: str, report: str) -> None:
    ended = python(OVERRUN % statement, **sanitizer)
    assert ended.stdout == "clean\n", ended.stderr
    assert ended.returncode != 0
    assert report in ended.stderr
    # Without it, the same program passes unnoticed: the objects are kept apart.
    assert "clean" in python(OVERRUN % statement).stdout


@pytest.mark.usefixtures("zig")
def test_zig_has_no_sanitizers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_SANITIZE", "1")
    with pytest.raises(CompileError, match="needs gcc or clang"):
        build_program(UNITS, entry="entry")
    with pytest.raises(CompileError, match="needs gcc or clang"):
        sanitizer_preload(find_compiler(open_cache()))


# ---------------------------------------------------------------------- resources, configuration


def test_resources_in_checkout_and_wheel(tmp_path: Path) -> None:
    assert (resources.resources("runtime") / "c" / "gc_program.h").is_file()
    package = tmp_path / "site" / "graphc"
    source = Path(resources.__file__).read_text()

    def installed() -> Path:
        spec = importlib.util.spec_from_file_location("copy", package / "resources.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = module.resources("runtime")
        assert isinstance(found, Path)
        return found

    package.mkdir(parents=True)
    (package / "resources.py").write_text(source)
    with pytest.raises(FileNotFoundError, match="reinstall graphc"):
        installed()
    (tmp_path / "site" / "runtime" / "c").mkdir(parents=True)
    assert installed() == tmp_path / "site" / "runtime"
    (package / "_runtime" / "c").mkdir(parents=True)
    assert installed() == package / "_runtime"


def test_variables_are_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAPHC_DEBUG", raising=False)
    assert config.DEBUG.value == 0
    monkeypatch.setenv("GRAPHC_DEBUG", "3")
    assert config.DEBUG.value == 3
    monkeypatch.setenv("GRAPHC_VERIFY", "yes")
    assert config.VERIFY.value is True
    monkeypatch.setenv("GRAPHC_VERIFY", "")
    assert config.VERIFY.value is False
    monkeypatch.setenv("GRAPHC_DUMP", "~/dump")
    assert config.DUMP.value == Path.home() / "dump"
    assert all(
        variable.doc and variable.name.startswith("GRAPHC_") for variable in config.VARIABLES
    )


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        (config.DEBUG, "5", "from 0 to 4"),
        (config.DEBUG, "much", "from 0 to 4"),
        (config.NUM_THREADS, "0", "from 1"),
        (config.SANITIZE, "maybe", "0 or 1"),
    ],
)
def test_bad_values_are_named(
    monkeypatch: pytest.MonkeyPatch, variable: "config.Variable[int]", text: str, expected: str
) -> None:
    monkeypatch.setenv(variable.name, text)
    with pytest.raises(ValueError, match=f"{variable.name}='{text}': expected .*{expected}"):
        _ = variable.value


def test_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config._Threads, "chosen", None)
    monkeypatch.delenv("GRAPHC_NUM_THREADS", raising=False)
    assert config.get_num_threads() == config.available_cpus() >= 1
    monkeypatch.setenv("GRAPHC_NUM_THREADS", "3")
    assert config.get_num_threads() == 3
    config.set_num_threads(5)
    assert config.get_num_threads() == 5
    for wrong in (0, -1, 2.0, True, "4"):
        with pytest.raises(ValueError, match="positive integer"):
            config.set_num_threads(wrong)  # type: ignore[arg-type]
