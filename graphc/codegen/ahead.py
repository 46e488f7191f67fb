"""Rows that are asked for while the row before them is computed.

A nest that sweeps over a row several times waits for memory in the first sweep and computes in the
others. The CPU fetches the next row meanwhile if it is told to.
"""

from graphc.codegen.expressions import Expressions
from graphc.codegen.loops import real
from graphc.expressions import Load, within
from graphc.kernel import Nest
from graphc.sizes import Int, coefficient, product, substitute

SHORTEST = 512  # bytes of a row; the CPU finds the next short one by itself
MOST = 16 << 10  # bytes of all rows of a point, which share the first cache with those in use
LARGE = 1 << 20  # bytes of a buffer; smaller ones are in the cache already


def asked_ahead(nest: Nest, render: Expressions) -> tuple[str, ...]:
    """Lines for the start of the second sweep: they ask for the rows of the next point."""
    sweeps = [phase for phase in nest.phases if real(phase.axes)]
    if len(sweeps) < 2 or not real(nest.axes) or len(real(sweeps[0].axes)) != 1:
        return ()
    (along,), row = real(sweeps[0].axes), real(nest.axes)[-1]
    points = product(axis.extent for axis in nest.axes)
    if not isinstance(along.extent, int) or not isinstance(points, int):
        return ()
    found: dict[tuple[str, Int], int] = {}
    exprs = [s.expr for s in sweeps[0].body] + [r.expr for r in sweeps[0].reductions]
    for load in (e for expr in exprs for e in within(expr) if isinstance(e, Load)):
        size = render.stored.get(load.buffer, load.dtype).itemsize
        if (
            not load.mask
            and coefficient(load.index, along.name) == 1
            and coefficient(load.index, row.name) == along.extent
            and along.extent * size >= SHORTEST
            and along.extent * size * points >= LARGE
        ):
            found[load.buffer, load.index] = size
    if not found or sum(found.values()) * along.extent > MOST:
        return ()
    beginning = {row.name: row.index + 1, along.name: 0}
    return (
        "/* the next row comes while this one is computed */",
        *(
            f"gc_fetch(&{name}[{render.integer(substitute(index, beginning))}], "
            f"{along.extent}*sizeof(*{name}));"
            for name, index in ((render.identifier(buffer), index) for buffer, index in found)
        ),
    )
