"""Rows asked for ahead: where memory is waited for, and nowhere else."""

import numpy as np
import pytest

from graphc.codegen import C
from graphc.codegen.render import render_kernel
from tests.codegen.execution import run_kernel
from tests.codegen.kernels import pointwise, softmax


def asks(kernel) -> str:
    text = render_kernel(kernel, C).text
    return "".join(line.strip() for line in text.splitlines() if "gc_fetch" in line)


@pytest.mark.parametrize(
    ("rows", "columns", "asked"),
    [
        (4096, 1024, "gc_fetch(&x[i*1024 + 1024], 1024*sizeof(*x));"),
        (2048, 128, "gc_fetch(&x[i*128 + 128], 128*sizeof(*x));"),
        (64, 4096, "gc_fetch(&x[i*4096 + 4096], 4096*sizeof(*x));"),
        (4096, 64, ""),  # short rows follow closely
        (64, 1024, ""),  # all is in the cache
        (64, 8192, ""),  # two rows are more than the first cache holds
    ],
)
def test_rows_of_softmax(rows, columns, asked):
    assert asks(softmax(rows, columns)) == asked


def test_one_sweep_asks_for_nothing():
    assert asks(pointwise(4096, 1024)) == ""


def test_asking_changes_no_value():
    x = np.random.default_rng(0).standard_normal((300, 1024)).astype(np.float32)
    y = np.zeros_like(x)
    run_kernel(softmax(300, 1024), {"x": x, "y": y})
    e = np.exp(x - x.max(1, keepdims=True, initial=-np.inf), dtype=np.float64)
    np.testing.assert_allclose(y, e / e.sum(1, keepdims=True), rtol=1e-6)
