"""Runs the kernel of a contraction and compares what it leaves with NumPy in float64."""

import numpy as np

from graphc.dtypes import int32, int64
from graphc.sizes import evaluate as size_value
from tests.codegen.contractions import evaluate
from tests.codegen.execution import run_kernel


def arrays_for(kernel, sizes=None, seed=0):
    draw = np.random.default_rng(seed)
    arrays = {}
    for param in kernel.params:
        shape = [size_value(extent, sizes or {}) for extent in param.shape]
        if param.dtype in (int32, int64):
            content = draw.integers(-9, 10, shape)
        else:
            content = draw.standard_normal(shape)
        arrays[param.name] = np.ascontiguousarray(content.astype(param.dtype.numpy))
    return arrays


def check(kernel, sizes=None, rtol=2e-5):
    """Runs on one and on two threads: the same bits, and NumPy's values."""
    (nest,) = kernel.nests
    arrays = arrays_for(kernel, sizes)
    expected = evaluate(nest, arrays, sizes)
    results = []
    for threads in (1, 2):
        copies = {name: array.copy() for name, array in arrays.items()}
        run_kernel(kernel, copies, sizes, threads)
        results.append(copies)
    for name, array in results[0].items():
        assert array.tobytes() == results[1][name].tobytes(), "results depend on threads"
        if name not in expected:
            assert array.tobytes() == arrays[name].tobytes(), f"{name} was overwritten"
            continue
        if array.dtype.kind in "iu":
            np.testing.assert_array_equal(array, expected[name])
            continue
        scale = max(1.0, float(np.abs(expected[name]).max(initial=0)))
        np.testing.assert_allclose(
            array.astype(np.float64), expected[name], rtol=rtol, atol=rtol * scale
        )
