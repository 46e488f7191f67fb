"""The C runtime's structures, and the functions of the C library that programs are handled with.

cffi reads declarations with a parser written in Python, which takes longer to load than the rest
of this package. What it made of them is kept in the cache, and runs without it.
"""

import re
import sys
from contextlib import suppress
from functools import cache
from typing import Any

import _cffi_backend

from graphc.backends.c.cache import FORMAT, digest, open_cache
from graphc.resources import resources

_RTLD_NOW, _RTLD_GLOBAL = 2, 256
_SUFFIX = ".py"
_LIBRARY = """
    void *dlopen(const char *path, int mode);
    void *dlsym(void *library, const char *name);
    int dlclose(void *library);
    char *dlerror(void);
    int posix_memalign(void **memory, size_t alignment, size_t size);
    void free(void *);
    int madvise(void *, size_t, int);
"""


@cache
def interface() -> Any:
    """The cffi view of the C runtime, whose structures are declared once, in gc_program.h."""
    header = (resources("runtime") / "c" / "gc_program.h").read_text()
    shared = header.split("/* host begins */")[1].split("/* host ends */")[0]
    declarations = re.sub(r"/\*.*?\*/", "", shared, flags=re.DOTALL) + _LIBRARY
    kept = open_cache()
    key = digest(FORMAT, "interface", sys.version, _cffi_backend.__version__, declarations)
    content = kept.read(key, _SUFFIX)
    if content is None:
        content = _parsed(declarations)
        with suppress(OSError):  # a full disk: the next process parses again
            kept.write(key, _SUFFIX, content)
    made: dict[str, Any] = {}
    exec(compile(content, str(kept.path(key, _SUFFIX)), "exec"), made)
    return made["ffi"]


def _parsed(declarations: str) -> bytes:
    """The Python source of an ``ffi`` that knows these declarations."""
    import cffi  # here: see the module's text
    from cffi.recompiler import make_py_source  # what emit_python_code prints about

    ffi = cffi.FFI()
    ffi.cdef(declarations)
    ffi.set_source("graphc_interface", None)
    with open_cache().workspace() as folder:
        path = folder / "interface.py"
        make_py_source(ffi, "graphc_interface", str(path))
        return path.read_bytes()


@cache
def libc() -> Any:
    """The process's own C library; under a sanitizer its malloc is the checked one."""
    library = interface().dlopen(None)
    # Programs linked without a C library (see build.link) take the math functions from here.
    library.dlopen(b"libm.so.6", _RTLD_NOW | _RTLD_GLOBAL)
    return library
