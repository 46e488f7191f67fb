"""Loop IR to source text: C programs and CUDA kernels from the same templates.

render_kernel(kernel, C)      one kernel as a translation unit
render_program(program, C)    its distinct kernels and the driver that calls them

Programs that were rendered before need little of this, so names are loaded when asked for.
"""

from typing import TYPE_CHECKING

from graphc.later import loading

if TYPE_CHECKING:
    from graphc.codegen.dialect import CUDA, C, Dialect
    from graphc.codegen.grid import Grid, launch_grid
    from graphc.codegen.program import pointer_slots, render_program
    from graphc.codegen.render import Rendered, render_kernel
    from graphc.codegen.source import ProgramSource, Unit

__all__ = [
    "CUDA",
    "C",
    "Dialect",
    "Grid",
    "ProgramSource",
    "Rendered",
    "Unit",
    "launch_grid",
    "pointer_slots",
    "render_kernel",
    "render_program",
]

_NAMES = {
    name: module
    for module, names in {
        "dialect": "CUDA C Dialect",
        "grid": "Grid launch_grid",
        "program": "pointer_slots render_program",
        "render": "Rendered render_kernel",
        "source": "ProgramSource Unit",
    }.items()
    for name in names.split()
}
__getattr__ = loading(__name__, (), _NAMES, __all__)
