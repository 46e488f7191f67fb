"""Loop IR to source text: C programs and CUDA kernels from the same templates.

render_kernel(kernel, C)      one kernel as a translation unit
render_program(program, C)    its distinct kernels and the driver that calls them
"""

from graphc.codegen.dialect import CUDA, C, Dialect
from graphc.codegen.grid import Grid, launch_grid
from graphc.codegen.program import ProgramSource, Unit, pointer_slots, render_program
from graphc.codegen.render import Rendered, render_kernel

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
