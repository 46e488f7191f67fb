"""The C that suits this machine: the language, and the vectors that kernels are planned for."""

from dataclasses import replace

from graphc.backends.c.cache import open_cache
from graphc.backends.c.compiler import find_compiler
from graphc.codegen.dialect import C, Dialect


def target_dialect() -> Dialect:
    """The dialect to render for the compiler that will be used.

    Raises CompilerNotFound with what to install.
    """
    compiler = find_compiler(open_cache())
    return replace(
        C,
        vector_bytes=compiler.vector_bytes,
        vector_registers=compiler.vector_registers,
        bf16_pairs=compiler.bf16_pairs,
    )
