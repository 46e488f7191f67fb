"""Building programs: each source to an object, objects to a shared library, all through the cache.

A key holds everything an object depends on, so a program built before is found by hashing its
sources, and loading it starts no process.
"""

import contextlib
import shlex
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graphc import config
from graphc.backends.c.cache import FORMAT, Cache, digest, open_cache, private_cache
from graphc.backends.c.compiler import CompileError, Compiler, find_compiler, first_error
from graphc.backends.c.grouping import SourceFile, grouped
from graphc.backends.c.processes import Job, run_jobs
from graphc.backends.c.program import MAX_THREADS, Library, Pool, Program
from graphc.resources import resources

Progress = Callable[[int, int, str], None]
"""Called with objects done, objects to do, and the name of the one just done."""


@dataclass(frozen=True)
class BuiltProgram:
    """A linked and loaded program, and what it took.

    ``hits`` and ``misses`` count distinct objects; a program found whole counts a hit for each of
    its files. ``sources`` tells, by file, where its text is kept.
    """

    path: Path
    entry: str
    library: Library
    pool: Pool | None
    compiler: Compiler
    compile_seconds: float
    link_seconds: float
    hits: int
    misses: int
    sources: Mapping[str, Path] = field(default_factory=dict)

    def program(
        self,
        *,
        buffers: int,
        sizes: int = 0,
        arena_bytes: int = 0,
        threads: int = MAX_THREADS,
        entries: Sequence[str] | None = None,
        constants: Sequence[int] = (),
        numbers: int = 0,
        clocks: int = 0,
    ) -> Program:
        """The callable program; see :class:`Program`. ``entries`` default to the built one."""
        return Program(
            self.library,
            (self.entry,) if entries is None else entries,
            self.pool,
            buffers=buffers,
            sizes=sizes,
            arena_bytes=arena_bytes,
            threads=threads,
            constants=constants,
            numbers=numbers,
            clocks=clocks,
        )


def build_program(
    files: Sequence[SourceFile],
    *,
    entry: str,
    jobs: int | None = None,
    progress: Progress | None = None,
    pool: bool = True,
    together: bool = False,
) -> BuiltProgram:
    """Compiles, links and loads a program that exports ``entry`` (see gc_program.h).

    ``jobs`` compilers run at once (default: the CPUs available). Without ``pool`` the program is
    given no threads. ``together`` says that no two files define the same static name, so that
    they may share translation units; else each is one.

    Raises CompilerNotFound, CompileError (the source is kept), OSError when it cannot be loaded.
    """
    cache = open_cache()
    try:
        return _build(cache, files, entry, jobs, progress, pool, together)
    except OSError as error:
        # A full disk, a folder that vanished, a file system mounted noexec: try a place of our own.
        spare = private_cache(f"the cache folder {cache.root} failed ({error})")
        if spare.root == cache.root:
            raise
        return _build(spare, files, entry, jobs, progress, pool, together)


def _build(
    cache: Cache,
    files: Sequence[SourceFile],
    entry: str,
    jobs: int | None,
    progress: Progress | None,
    with_pool: bool,
    together: bool,
) -> BuiltProgram:
    sanitize = config.SANITIZE.value
    compiler = find_compiler(cache)
    pool = _pool(cache, compiler, sanitize) if with_pool else None
    work = _Build(cache, compiler, sanitize)
    path = work.build(files, jobs or config.available_cpus(), progress, together)
    return BuiltProgram(
        path=path,
        entry=entry,
        library=Library(path),
        pool=pool,
        compiler=compiler,
        compile_seconds=work.compile_seconds,
        link_seconds=work.link_seconds,
        hits=work.hits,
        misses=work.misses,
        sources=work.sources,
    )


# One pool for a process, or two when sanitized programs come beside plain ones. It stays loaded:
# its sleeping workers need their code.
_pools: dict[bool, Pool] = {}


def _pool(cache: Cache, compiler: Compiler, sanitize: bool) -> Pool:
    pool = _pools.get(sanitize)
    if pool is None:
        path = _build_pool(cache, compiler, sanitize)
        pool = _pools.setdefault(sanitize, Pool(Library(path, keep=True)))
    pool.resize(config.get_num_threads())
    return pool


def _build_pool(cache: Cache, compiler: Compiler, sanitize: bool) -> Path:
    text = (resources("runtime") / "c" / "gc_pool.c").read_text()
    return _Build(cache, compiler, sanitize).build([SourceFile("gc_pool", text)], 1, None)


def expect_pool() -> None:
    """Begins to build the thread pool, while a program that will need it is still being written.

    The program's build waits for it at the lock that keeps others from building the same.
    """
    cache, sanitize = open_cache(), config.SANITIZE.value
    if sanitize in _pools:
        return
    compiler = find_compiler(cache)

    def build() -> None:
        # What fails here fails again, and is reported, when the program is built.
        with contextlib.suppress(OSError, CompileError):
            _build_pool(cache, compiler, sanitize)

    threading.Thread(target=build, name="graphc-pool").start()


def runtime_headers() -> str:
    """The text of every header that generated C may include; part of each object's key."""
    headers = [
        path
        for folder in ("c", "portable")
        for path in sorted((resources("runtime") / folder).glob("*.h"))
    ]
    return "".join(f"{path.name}\n{path.read_text()}" for path in headers)


@dataclass
class _Build:
    """One walk through the cache for one program."""

    cache: Cache
    compiler: Compiler
    sanitize: bool
    compile_seconds: float = 0.0
    link_seconds: float = 0.0
    hits: int = 0
    misses: int = 0
    sources: dict[str, Path] = field(default_factory=dict)

    def build(
        self,
        files: Sequence[SourceFile],
        jobs: int,
        progress: Progress | None,
        together: bool = False,
    ) -> Path:
        """The path of the checked shared library made of these files."""
        if self.sanitize and self.compiler.kind == "zig":
            raise CompileError(
                f"GRAPHC_SANITIZE needs gcc or clang; {self.compiler.title} has no sanitizers",
                None,
                "",
            )
        flags = self.compiler.compile_flags(self.sanitize)
        basis = digest(FORMAT, self.compiler.identity, *flags, runtime_headers())
        keyed = {file.name: digest(basis, "object", file.text) for file in files}
        if len(keyed) != len(files):
            raise ValueError(f"two files share a name: {[file.name for file in files]}")
        distinct = {keyed[file.name]: file for file in reversed(files)}
        order = list(dict.fromkeys(keyed.values()))
        self.sources = {name: self.cache.path(key, ".c") for name, key in keyed.items()}
        # How the files were grouped is not part of it: with more CPUs the program is the same.
        whole = digest(basis, "program", *self.compiler.link_flags(self.sanitize), *order)

        if self.cache.has(whole, ".so"):
            self.hits = len(order)
            return self.cache.path(whole, ".so")
        with self.cache.lock(whole):
            if self.cache.has(whole, ".so"):  # another process built it while we waited
                self.hits = len(order)
                return self.cache.path(whole, ".so")
            with self.cache.workspace() as workspace:
                started = time.perf_counter()
                kept = {distinct[key]: key for key in order}
                groups = grouped(list(kept), jobs) if together else [[file] for file in kept]
                units = dict(self._unit(basis, {file: kept[file] for file in g}) for g in groups)
                self._compile(units, workspace, jobs, progress)
                compiled = time.perf_counter()
                library = self._link(list(units), workspace)
                path = self.cache.write(whole, ".so", library.read_bytes())
                self.compile_seconds = compiled - started
                self.link_seconds = time.perf_counter() - compiled
        self.cache.evict_sometimes()
        return path

    def _unit(self, basis: str, keyed: Mapping[SourceFile, str]) -> tuple[str, SourceFile]:
        """The key of an object, and the file that is compiled to it: several include the others."""
        if len(keyed) == 1:
            ((file, key),) = keyed.items()
            return key, file
        # Relative, so that the text and its key do not depend on where the cache is.
        lines = [f'#include "../{key[:2]}/{key}.c" /* {f.name} */\n' for f, key in keyed.items()]
        unit = SourceFile(", ".join(file.name for file in keyed), "".join(lines))
        key = digest(basis, "object", unit.text)
        if not self.cache.has(key, ".o"):
            for file, own in keyed.items():
                self.cache.write_plain(own, ".c", file.text.encode())
        return key, unit

    def _compile(
        self,
        units: Mapping[str, SourceFile],
        workspace: Path,
        jobs: int,
        progress: Progress | None,
    ) -> None:
        missing = {key: unit for key, unit in units.items() if not self.cache.has(key, ".o")}
        self.hits, self.misses = len(units) - len(missing), len(missing)
        flags = self.compiler.compile_flags(self.sanitize)
        include = f"-I{resources('runtime') / 'c'}"
        work = []
        for key, unit in missing.items():
            # Compiled where it is kept, so that messages and debuggers name a file that stays.
            source = self.cache.write_plain(key, ".c", unit.text.encode())
            target = str(workspace / f"{key}.o")
            argv = [*self.compiler.command, *flags, include, "-c", str(source), "-o", target]
            work.append(Job(key, argv))
        finished = 0

        def done(job: Job, status: int, output: str) -> None:
            nonlocal finished
            unit = missing[job.name]
            if status != 0:
                fault = self._fault(output) or unit.name
                raise self._refusal(f"could not compile {fault}", job, status, output)
            finished += 1
            self.cache.write(job.name, ".o", (workspace / f"{job.name}.o").read_bytes())
            if progress is not None:
                progress(finished, len(missing), unit.name)

        run_jobs(work, jobs, self.compiler.environment(self.cache, workspace), done)

    def _link(self, order: Sequence[str], workspace: Path) -> Path:
        """The linked library, in the workspace; the objects come from the cache, checked again."""
        objects = []
        for key in order:
            content = self.cache.read(key, ".o")
            if content is None:
                raise OSError(f"object {key} vanished from {self.cache.root}")
            path = workspace / f"{key}.o"
            path.write_bytes(content)
            objects.append(str(path))
        target = workspace / "program.so"
        if self.compiler.kind == "zig" and sys.platform == "linux":
            # Through its driver, zig first builds a C library, for many seconds. The process that
            # loads the program has one already, so link against nothing, and see if it loads.
            argv = [*self.compiler.command[:-1], "ld.lld", "-shared", *objects, "-o", str(target)]
            if self._run_link(argv, workspace) is None and _loads(target):
                return target
        flags = self.compiler.link_flags(self.sanitize)
        argv = [*self.compiler.command, *flags, *objects, "-o", str(target), "-lm", "-pthread"]
        refusal = self._run_link(argv, workspace)
        if refusal is not None:
            raise refusal
        return target

    def _run_link(self, argv: Sequence[str], workspace: Path) -> CompileError | None:
        refusals: list[CompileError] = []

        def done(job: Job, status: int, output: str) -> None:
            if status != 0:
                refusals.append(self._refusal("could not link", job, status, output))

        run_jobs([Job("link", argv)], 1, self.compiler.environment(self.cache, workspace), done)
        return refusals[0] if refusals else None

    def _fault(self, output: str) -> str | None:
        """The name of the file that the first error in a compiler's output is about."""
        said = first_error(output)
        return next((name for name, path in self.sources.items() if path.name in said), None)

    def _refusal(self, what: str, job: Job, status: int, output: str) -> CompileError:
        source = self.sources.get(self._fault(output) or "", self.cache.path(job.name, ".c"))
        kept = source if source.exists() else next(iter(self.sources.values()), None)
        said = first_error(output) if status > 0 else f"it was killed by signal {-status}"
        return CompileError(
            f"{self.compiler.title} {what}: {said}\n"
            f"  source kept at {kept}\n"
            f"  command: {shlex.join(job.argv)}",
            kept,
            output,
        )


def _loads(library: Path) -> bool:
    try:
        Library(library)
    except OSError:
        return False
    return True
