"""How many blocks of how many threads a CUDA kernel is launched with."""

from dataclasses import dataclass
from typing import Any

from graphc.codegen.loops import real, steps
from graphc.kernel import AnyNest, Contraction, Kernel, Nest, Skeleton, Template
from graphc.sizes import Int, product

POINT_THREADS = 256  # of a block whose threads take a point each
MOST_THREADS = 1024
MOST_BLOCKS = 1 << 16  # loops stride over the grid, so that no more are needed
POINTS_PER_THREAD = 4  # of a row, before another warp pays


@dataclass(frozen=True)
class Grid:
    """``blocks`` may depend on named sizes; any number at least one gives the same result."""

    blocks: Int
    threads: int


def launch_grid(kernel: Kernel) -> Grid:
    """The grid for all nests of a kernel."""
    grids = [_nest_grid(nest) for nest in kernel.nests]
    threads = max((grid.threads for grid in grids), default=POINT_THREADS)
    fixed = [grid.blocks for grid in grids if isinstance(grid.blocks, int)]
    named = [grid.blocks for grid in grids if not isinstance(grid.blocks, int)]
    if named:  # the first is as good as another: the loops stride
        return Grid(named[0], threads)
    return Grid(min(max(fixed, default=1), MOST_BLOCKS), threads)


def _nest_grid(nest: AnyNest) -> Grid:
    if isinstance(nest, Contraction):
        axes = (*nest.batch, *nest.rows, *nest.cols)
        return _point_grid(product(axis.extent for axis in axes))
    if isinstance(nest, Template):
        return _template_grid(nest)
    if not isinstance(nest, Nest) or nest.schedule.serial:
        return Grid(1, 32)
    points = product(axis.extent for axis in nest.axes)
    sweeps = [phase.axes for phase in nest.phases if real(phase.axes)]
    if nest.schedule.skeleton in (Skeleton.ROWS, Skeleton.TOTAL) and sweeps:
        known = [steps(axes) for axes in sweeps]
        longest = max((k for k in known if k is not None), default=MOST_THREADS)
        if None in known:
            longest = MOST_THREADS
        warps = -(-longest // (32 * POINTS_PER_THREAD))
        threads = 32 * min(1 << (max(warps, 1) - 1).bit_length(), MOST_THREADS // 32)
        return Grid(max(points, 1) if isinstance(points, int) else points, threads)
    return _point_grid(points)


def _template_grid(nest: Template) -> Grid:
    """A block for each row."""
    fields: Any = dict(nest.fields)
    rows, length = product((fields["lead"], fields["inner"])), fields["length"]
    threads = MOST_THREADS
    if isinstance(length, int):
        warps = -(-length // (32 * POINTS_PER_THREAD))
        threads = 32 * min(1 << (max(warps, 1) - 1).bit_length(), MOST_THREADS // 32)
    return Grid(max(rows, 1) if isinstance(rows, int) else rows, threads)


def _point_grid(points: Int) -> Grid:
    blocks = (points + (POINT_THREADS - 1)) // POINT_THREADS
    return Grid(max(blocks, 1) if isinstance(blocks, int) else blocks, POINT_THREADS)
