"""C source to a loaded program: find a compiler, build through the cache, load, call."""

from graphc.backends.c.build import BuiltProgram, build_program, expect_pool
from graphc.backends.c.cache import Cache, CacheRefused, open_cache
from graphc.backends.c.compiler import (
    CompileError,
    Compiler,
    CompilerNotFound,
    find_compiler,
    sanitizer_preload,
)
from graphc.backends.c.grouping import SourceFile
from graphc.backends.c.memory import Arena, address_of, array_at
from graphc.backends.c.program import DivisionReport, IndexReport, Program
from graphc.backends.c.target import target_dialect

__all__ = [
    "Arena",
    "BuiltProgram",
    "Cache",
    "CacheRefused",
    "CompileError",
    "Compiler",
    "CompilerNotFound",
    "DivisionReport",
    "IndexReport",
    "Program",
    "SourceFile",
    "address_of",
    "array_at",
    "build_program",
    "expect_pool",
    "find_compiler",
    "open_cache",
    "sanitizer_preload",
    "target_dialect",
]
