"""Blocks and threads of CUDA launches."""

import pytest

from graphc.codegen import Grid, launch_grid
from graphc.kernel import Combine, Skeleton
from graphc.sizes import symbol
from tests.codegen.kernels import pointwise, reduced, scatter_add, softmax, updates

N = symbol("n")


@pytest.mark.parametrize(
    "kernel, grid",
    [
        (pointwise(1000), Grid(4, 256)),
        (pointwise(0), Grid(1, 256)),
        (pointwise(2**30), Grid(2**16, 256)),
        (pointwise(N, sizes=("n",)), Grid((N + 255) // 256, 256)),
        (softmax(4096, 10), Grid(4096, 32)),
        (softmax(4096, 1024), Grid(4096, 256)),
        (softmax(N, 10, sizes=("n",)), Grid(N, 32)),
        (reduced(Combine.SUM, (10**6,), (), Skeleton.TOTAL), Grid(1, 1024)),
        (reduced(Combine.SUM, (100, 1000), (1,), Skeleton.COLUMNS), Grid(4, 256)),
        (scatter_add(1000, 10), Grid(1, 32)),
        (updates(100, 5000, 10), Grid(20, 256)),
    ],
)
def test_launch_grid(kernel, grid):
    assert launch_grid(kernel) == grid
