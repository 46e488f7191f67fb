"""``graphc.compile``: tracing, specialising, and the calls of compiled programs.

A call enters in ``function``; ``specialise`` traces and compiles (``survey``, ``guards``, ``plan``
on what is assumed, ``segments`` on values asked for, ``pullbacks`` on gradients, ``executable`` on
programs); ``dispatch`` writes the Python function of later calls from ``checks`` and ``runs``.
"""

from graphc.compiler.controls import (
    allow_in_graph,
    assume_constant_result,
    compile,
    cudagraph_mark_step_begin,
    disable,
    is_compiling,
    is_dynamo_compiling,
    is_exporting,
    list_backends,
    reset,
)

__all__ = [
    "allow_in_graph",
    "assume_constant_result",
    "compile",
    "cudagraph_mark_step_begin",
    "disable",
    "is_compiling",
    "is_dynamo_compiling",
    "is_exporting",
    "list_backends",
    "reset",
]
