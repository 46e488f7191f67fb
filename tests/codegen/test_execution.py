"""Generated C against NumPy, on one thread and on two."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from graphc.backends.c import IndexReport
from graphc.codegen import C, render_kernel
from graphc.dtypes import bfloat16, bool_, float32, float64, int32, int64
from graphc.kernel import (
    Axis,
    Combine,
    Kernel,
    Let,
    Load,
    Nest,
    Param,
    Phase,
    Reduction,
    Ref,
    Schedule,
    Skeleton,
    Store,
)
from graphc.sizes import evaluate, symbol
from tests.codegen.execution import built, program_of, run_kernel, run_program
from tests.codegen.kernels import (
    LITTLE,
    MUCH,
    call,
    gather,
    halves,
    max_pool,
    padded,
    pointwise,
    positions,
    reduced,
    scatter_add,
    softmax,
    updates,
)

THREADS = pytest.mark.parametrize("threads", [1, 2])
rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def numpy_softmax(x, axis):
    e = np.exp(x.astype(np.float64) - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@THREADS
@pytest.mark.parametrize(
    "shape",
    [(1000,), (300, 77), (64, 6, 28, 28), (3, 50000), (2, 3, 1000), (5000, 3), (70, 5, 2, 3), (1,)],
)
@pytest.mark.parametrize("work", [LITTLE, MUCH])
def test_pointwise(shape, work, threads):
    x, y = normal(*shape), np.zeros(shape, np.float32)
    run_kernel(pointwise(*shape, work=work), {"x": x, "y": y}, threads=threads)
    np.testing.assert_allclose(y, 2 * np.tanh(x), rtol=1e-6)


@pytest.mark.parametrize("shape", [(0,), (0, 5), (5, 0), (3, 0, 4)])
@pytest.mark.parametrize("work", [LITTLE, MUCH])
def test_no_points(shape, work):
    x = np.zeros(shape, np.float32)
    run_kernel(pointwise(*shape, work=work), {"x": x, "y": x.copy()}, threads=2)


@pytest.mark.parametrize("work", [LITTLE, MUCH])
def test_zero_dimensions(work):
    x, y = np.float32([0.5]).reshape(()), np.zeros((), np.float32)
    run_kernel(pointwise(work=work), {"x": x, "y": y}, threads=2)
    assert y == pytest.approx(2 * np.tanh(0.5))


@THREADS
@pytest.mark.parametrize("rows, columns", [(64, 10), (1000, 257), (3, 5000), (1, 1), (7, 1)])
@pytest.mark.parametrize("skeleton", [Skeleton.ROWS, Skeleton.TOTAL])
def test_softmax(rows, columns, skeleton, threads):
    x, y = normal(rows, columns) * 5, np.zeros((rows, columns), np.float32)
    run_kernel(softmax(rows, columns, skeleton=skeleton), {"x": x, "y": y}, threads=threads)
    np.testing.assert_allclose(y, numpy_softmax(x, 1), rtol=5e-6)


@THREADS
@pytest.mark.parametrize(
    "rows, columns", [(64, 40), (1000, 50), (3, 500), (5000, 100), (1, 50), (700, 3), (300, 20)]
)
@pytest.mark.parametrize("work", [LITTLE, MUCH])
def test_softmax_across(rows, columns, work, threads):
    x, y = normal(columns, rows) * 5, np.zeros((columns, rows), np.float32)
    kernel = softmax(rows, columns, work, Skeleton.COLUMNS, across=True)
    run_kernel(kernel, {"x": x, "y": y}, threads=threads)
    np.testing.assert_allclose(y, numpy_softmax(x, 0), rtol=5e-6)


@THREADS
def test_one_kernel_for_all_sizes(threads):
    kernel = softmax(symbol("n"), 10, sizes=("n",))
    for rows in (64, 5, 0, 1000):
        x, y = normal(rows, 10), np.zeros((rows, 10), np.float32)
        run_kernel(kernel, {"x": x, "y": y}, {"n": rows}, threads)
        if rows:
            np.testing.assert_allclose(y, numpy_softmax(x, 1), rtol=5e-6)


@THREADS
@pytest.mark.parametrize("skeleton", [Skeleton.MAP, Skeleton.COLUMNS, Skeleton.TOTAL])
def test_named_inner_size(skeleton, threads):
    n = symbol("n")
    for size in (1000, 3, 0, 1):
        if skeleton is Skeleton.MAP:
            x, y = normal(7, size), np.zeros((7, size), np.float32)
            kernel = pointwise(7, n, sizes=("n",))
            expected = 2 * np.tanh(x)
        elif skeleton is Skeleton.COLUMNS:
            x, y = normal(70, size), np.zeros(size, np.float32)
            kernel = reduced(Combine.SUM, (70, n), (1,), skeleton, sizes=("n",))
            expected = x.sum(0)
        else:
            x, y = normal(size), np.zeros((), np.float32)
            kernel = reduced(Combine.SUM, (n,), (), skeleton, sizes=("n",))
            expected = x.sum()
        run_kernel(kernel, {"x": x, "y": y}, {"n": size}, threads)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


REDUCTIONS = [
    ((5000, 33), (0,), Skeleton.ROWS),
    ((33, 5000), (0,), Skeleton.ROWS),
    ((40, 300), (1,), Skeleton.COLUMNS),
    ((300, 1000), (1,), Skeleton.COLUMNS),
    ((20, 6, 50), (0, 2), Skeleton.COLUMNS),
    ((20, 40, 50), (0, 2), Skeleton.COLUMNS),
    ((20, 40, 3), (0, 2), Skeleton.COLUMNS),
    ((100000,), (), Skeleton.TOTAL),
    ((70, 6, 300), (1,), Skeleton.TOTAL),
    ((70, 600), (), Skeleton.TOTAL),
    ((3, 9000), (), Skeleton.TOTAL),
    ((10,), (), Skeleton.TOTAL),
    ((30, 5, 7), (), Skeleton.ROWS),
]
NUMPY = {
    Combine.SUM: np.sum,
    Combine.PROD: np.prod,
    Combine.MAX: np.max,
    Combine.MIN: np.min,
    Combine.ANY: np.any,
    Combine.ALL: np.all,
}


@THREADS
@pytest.mark.parametrize("shape, kept, skeleton", REDUCTIONS)
@pytest.mark.parametrize("combine", [Combine.SUM, Combine.PROD, Combine.MAX, Combine.MIN])
def test_reductions(shape, kept, skeleton, combine, threads):
    x = normal(*shape)
    if combine is Combine.PROD:
        x = np.exp(x / x.size).astype(np.float32)
    swept = tuple(k for k in range(len(shape)) if k not in kept)
    expected = NUMPY[combine](x.astype(np.float64), axis=swept)
    y = np.zeros(np.shape(expected), np.float32)
    run_kernel(reduced(combine, shape, kept, skeleton), {"x": x, "y": y}, threads=threads)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape, kept, skeleton", REDUCTIONS)
@pytest.mark.parametrize("combine", [Combine.ANY, Combine.ALL])
def test_logical(shape, kept, skeleton, combine):
    x = rng.random(shape) < (0.01 if combine is Combine.ANY else 0.99)
    swept = tuple(k for k in range(len(shape)) if k not in kept)
    expected = NUMPY[combine](x, axis=swept)
    y = np.zeros(np.shape(expected), bool)
    run_kernel(reduced(combine, shape, kept, skeleton, bool_), {"x": x, "y": y}, threads=2)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("shape, kept, skeleton", REDUCTIONS)
@pytest.mark.parametrize("kind", [int32, pytest.param(int64, marks=pytest.mark.full), float64])
def test_other_types(shape, kept, skeleton, kind):
    x = rng.integers(-1000, 1000, shape).astype(kind.numpy)
    swept = tuple(k for k in range(len(shape)) if k not in kept)
    total = int64 if kind is int32 else kind
    for combine, accumulator in ((Combine.SUM, total), (Combine.MAX, kind), (Combine.MIN, kind)):
        expected = NUMPY[combine](x, axis=swept)
        y = np.zeros(np.shape(expected), accumulator.numpy)
        kernel = reduced(combine, shape, kept, skeleton, kind, accumulator)
        run_kernel(kernel, {"x": x, "y": y})
        np.testing.assert_array_equal(y, expected)


def first_extreme(x, largest):
    """The position of the first NaN, else of the first extreme, along the last axis."""
    nan = np.isnan(x)
    found = (np.argmax if largest else np.argmin)(np.where(nan, 0, x), axis=-1)
    return np.where(nan.any(-1), nan.argmax(-1), found)


@pytest.mark.parametrize("shape, kept, skeleton", REDUCTIONS)
@pytest.mark.parametrize("combine", [Combine.ARGMAX, Combine.ARGMIN])
@pytest.mark.parametrize("content", ["ties", "nan", "infinite"])
def test_arguments(shape, kept, skeleton, combine, content):
    x = rng.integers(-50, 50, shape).astype(np.float32)
    if content == "nan":
        x[rng.random(shape) < 0.05] = np.nan
    if content == "infinite":
        x[...] = -np.inf if combine is Combine.ARGMAX else np.inf
    swept = tuple(k for k in range(len(shape)) if k not in kept)
    rows = np.transpose(x, (*kept, *swept)).reshape(*(shape[k] for k in kept), -1)
    expected = first_extreme(rows, combine is Combine.ARGMAX)
    y = np.full(np.shape(expected), -1, np.int64)
    run_kernel(reduced(combine, shape, kept, skeleton), {"x": x, "y": y}, threads=2)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("shape, kept, skeleton", REDUCTIONS)
@pytest.mark.parametrize("combine", [Combine.MAX, Combine.MIN])
def test_nan_wins(shape, kept, skeleton, combine):
    x = normal(*shape)
    x[rng.random(shape) < 3 / x.size] = np.nan
    x[rng.random(shape) < 3 / x.size] = -np.nan  # what 0 / 0 is
    swept = tuple(k for k in range(len(shape)) if k not in kept)
    expected = NUMPY[combine](x, axis=swept)
    y = np.zeros(np.shape(expected), np.float32)
    run_kernel(reduced(combine, shape, kept, skeleton), {"x": x, "y": y}, threads=2)
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("combine", [Combine.ARGMAX, Combine.ARGMIN])
@pytest.mark.parametrize("kind", [float32, float64, int64])
def test_zeros_of_both_signs_are_equal(combine, kind):
    x = np.zeros((3, 200), kind.numpy)
    x[1, ::2] *= -1
    y = np.full(3, -1, np.int64)
    run_kernel(reduced(combine, x.shape, (0,), Skeleton.ROWS, kind), {"x": x, "y": y})
    np.testing.assert_array_equal(y, 0)


@pytest.mark.parametrize("position", [199 - Axis("j", 200).index, Axis("j", 200).index // 2])
def test_positions_that_do_not_grow(position):
    """The position at the first extreme, not the smallest one."""
    kernel = reduced(Combine.ARGMAX, (3, 200), (0,), Skeleton.ROWS)
    (nest,) = kernel.nests
    (phase,) = nest.phases
    found = replace(phase.reductions[0], position=position)
    nest = replace(nest, phases=(replace(phase, reductions=(found,)),))
    x = rng.integers(0, 5, (3, 200)).astype(np.float32)
    y = np.zeros(3, np.int64)
    run_kernel(replace(kernel, nests=(nest,)), {"x": x, "y": y})
    values = [evaluate(position, {"j": j}) for j in range(200)]
    np.testing.assert_array_equal(y, np.array(values)[x.argmax(1)])


def test_a_value_of_two_sweeps_is_computed_once():
    text = render_kernel(softmax(10, 1000), C).text
    assert text.count("gc_exp_f32") == 1
    assert render_kernel(softmax(10, 100_000), C).text.count("gc_exp_f32") == 2


@pytest.mark.parametrize("skeleton", [Skeleton.ROWS, Skeleton.COLUMNS, Skeleton.TOTAL])
def test_empty_reduction(skeleton):
    kept = () if skeleton is Skeleton.TOTAL else (1,)
    for combine, expected in ((Combine.SUM, 0), (Combine.PROD, 1), (Combine.MAX, -np.inf)):
        y = np.full((8,) if kept else (), 7, np.float32)
        kernel = reduced(combine, (0, 8), kept, skeleton)
        run_kernel(kernel, {"x": np.zeros((0, 8), np.float32), "y": y}, threads=2)
        assert (y == expected).all()


@pytest.mark.parametrize("skeleton", [Skeleton.ROWS, Skeleton.COLUMNS, Skeleton.TOTAL])
def test_sums_are_accurate(skeleton):
    size = 1_000_000
    x = np.full((size, 4), 0.1, np.float32) + normal(size, 4) * 1e-3
    x = np.ascontiguousarray(x if skeleton is Skeleton.COLUMNS else x.T)
    kept, axis = ((1,), 0) if skeleton is Skeleton.COLUMNS else ((0,), 1)
    y = np.zeros(4, np.float32)
    run_kernel(reduced(Combine.SUM, x.shape, kept, skeleton), {"x": x, "y": y})
    np.testing.assert_allclose(y, x.sum(axis, dtype=np.float64), rtol=1.2e-7)


@pytest.mark.parametrize("combine", [Combine.SUM, Combine.PROD])
def test_totals_do_not_depend_on_threads(combine):
    x = np.exp(normal(123457) / 1000).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 5):
        y = np.zeros((), np.float32)
        kernel = reduced(combine, x.shape, (), Skeleton.TOTAL)
        run_kernel(kernel, {"x": x, "y": y}, threads=threads)
        results.append(float(y))
    assert len(set(results)) == 1


@THREADS
@pytest.mark.parametrize("rows, columns", [(64, 10), (300, 5), (1000, 32), (65, 40)])
@pytest.mark.parametrize("work", [MUCH, LITTLE])
def test_short_rows_are_turned(rows, columns, work, threads):
    kernel = softmax(rows, columns, work)
    assert "x_rows" in render_kernel(kernel, C).text
    x = normal(rows, columns)
    y = np.zeros_like(x)
    run_kernel(kernel, {"x": x, "y": y}, threads=threads)
    np.testing.assert_allclose(y, numpy_softmax(x, 1), rtol=1e-5)


@pytest.mark.parametrize("combine", [Combine.MAX, Combine.ARGMIN, Combine.PROD])
@pytest.mark.parametrize("shape, kept", [((5, 70, 6), (0, 1)), ((99, 2, 3), (0,))])
def test_short_rows_of_several_dims(combine, shape, kept):
    kernel = reduced(combine, shape, kept, Skeleton.ROWS)
    assert "x_rows" in render_kernel(kernel, C).text
    x = rng.integers(-2, 3, shape).astype(np.float32)
    rows = x.reshape(*(shape[k] for k in kept), -1)
    if combine is Combine.ARGMIN:
        expected = rows.argmin(-1)
    else:
        expected = rows.max(-1) if combine is Combine.MAX else rows.prod(-1)
    y = np.zeros(expected.shape, np.int64 if combine is Combine.ARGMIN else np.float32)
    run_kernel(kernel, {"x": x, "y": y}, threads=2)
    np.testing.assert_array_equal(y, expected)


def transposed(batch: int, rows: int, columns: int, work: int, kind=float32) -> Kernel:
    """y[b, i, j] = x[b, j, i] - z[i, j], with a value of the row in between."""
    b, i, j = Axis("b", batch), Axis("i", rows), Axis("j", columns)
    x = Load("x", (b.index * columns + j.index) * rows + i.index, kind)
    row = Let("row", Load("z", i.index * columns, kind))
    z = Load("z", i.index * columns + j.index, kind)
    value = call("(({0} - {1}) * {2})", x, z, Ref("row", kind), kind=kind)
    store = Store("y", (b.index * rows + i.index) * columns + j.index, value)
    params = (
        Param("x", kind, (batch, columns, rows)),
        Param("z", kind, (rows, columns)),
        Param("y", kind, (batch, rows, columns), written=True),
    )
    nest = Nest((b, i, j), (Phase(body=(row,), stores=(store,)),), Schedule(Skeleton.MAP, work))
    return Kernel("turned", params, (nest,))


@THREADS
@pytest.mark.parametrize("shape", [(1, 150, 130), (3, 32, 333), (2, 31, 400)])
@pytest.mark.parametrize("work", [MUCH, LITTLE])
@pytest.mark.parametrize("kind", [float32, bfloat16])
def test_reading_across_memory(shape, threads, work, kind):
    batch, rows, columns = shape
    x = normal(batch, columns, rows).astype(kind.numpy)
    z = normal(rows, columns).astype(kind.numpy)
    y = np.zeros(shape, kind.numpy)
    kernel = transposed(*shape, work, kind)
    assert ("x_tile" in render_kernel(kernel, C).text) == (rows >= 32)
    run_kernel(kernel, {"x": x, "z": z, "y": y}, threads=threads)
    wide = z.astype(np.float32)
    expected = (x.astype(np.float32).transpose(0, 2, 1) - wide) * wide[:, :1]
    np.testing.assert_array_equal(y, expected.astype(kind.numpy))


@THREADS
@pytest.mark.parametrize("batch, height, width", [(5, 28, 28), (100, 10, 64), (1, 2, 2)])
def test_max_pool(batch, height, width, threads):
    x = normal(batch, height, width)
    x[rng.random(x.shape) < 0.01] = np.nan
    shape = (batch, height // 2, width // 2)
    y, at = np.zeros(shape, np.float32), np.zeros(shape, np.int64)
    run_kernel(max_pool(batch, height, width), {"x": x, "y": y, "at": at}, threads=threads)
    windows = x.reshape(batch, height // 2, 2, width // 2, 2).transpose(0, 1, 3, 2, 4)
    windows = windows.reshape(*shape, 4)
    np.testing.assert_array_equal(y, windows.max(-1))
    k = first_extreme(windows, True)
    i, j = np.indices(shape)[1:]
    np.testing.assert_array_equal(at, (i * 2 + k // 2) * width + j * 2 + k % 2)


@THREADS
@pytest.mark.parametrize("rows, columns, border", [(5, 7, 1), (100, 200, 2), (3, 3, 8)])
def test_padded(rows, columns, border, threads):
    x = normal(rows, columns)
    shape = (rows + 2 * border, columns + 2 * border)
    y, z = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    run_kernel(padded(rows, columns, border), {"x": x, "y": y, "z": z}, threads=threads)
    np.testing.assert_array_equal(y, np.pad(2 * x, border, constant_values=-1))
    np.testing.assert_array_equal(z, np.pad(x, border, constant_values=0.5))


@THREADS
def test_gather(threads):
    labels, table = rng.integers(-50, 50, 1000), normal(50, 64)
    y = np.zeros((1000, 64), np.float32)
    run_kernel(gather(1000, 64, 50), {"labels": labels, "table": table, "y": y}, threads=threads)
    np.testing.assert_array_equal(y, table[labels])


@pytest.mark.parametrize("wrong", [50, -51, 2**40, -(2**63)])
@pytest.mark.parametrize("wrap", [False, True])
def test_gather_out_of_range(wrong, wrap):
    labels, table = rng.integers(0, 50, 1000), normal(50, 64)
    labels[700] = wrong
    arrays = {"labels": labels, "table": table, "y": np.zeros((1000, 64), np.float32)}
    with pytest.raises(IndexReport) as caught:
        run_kernel(gather(1000, 64, 50, wrap=wrap), arrays, threads=2)
    assert (caught.value.site, caught.value.value, caught.value.limit) == (3, wrong, 50)
    np.testing.assert_array_equal(arrays["y"][700], table[0])
    np.testing.assert_array_equal(np.delete(arrays["y"], 700, 0), table[np.delete(labels, 700)])


def test_negative_index_without_wrap():
    labels = np.array([1, -1])
    arrays = {"labels": labels, "table": normal(5, 4), "y": np.zeros((2, 4), np.float32)}
    with pytest.raises(IndexReport):
        run_kernel(gather(2, 4, 5, wrap=False), arrays)


def test_gather_from_an_empty_table():
    arrays = {"labels": np.array([0, 0]), "table": normal(0, 4), "y": np.ones((2, 4), np.float32)}
    with pytest.raises(IndexReport):
        run_kernel(gather(2, 4, 0), arrays)
    assert (arrays["y"] == 1).all()


@THREADS
def test_scatter_add(threads):
    labels, x, y = rng.integers(0, 10, 1000), normal(1000), normal(10)
    expected = y.astype(np.float64)
    np.add.at(expected, labels, x)
    run_kernel(scatter_add(1000, 10), {"labels": labels, "x": x, "y": y}, threads=threads)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@THREADS
def test_updates_side_by_side(threads):
    counts = (48000, 120, 10080)
    arrays = {"lr": np.full((), 0.1, np.float32)}
    for k, count in enumerate(counts):
        arrays |= {f"{name}{k}": normal(count) for name in "wvg"}
    before = {name: array.copy() for name, array in arrays.items()}
    run_kernel(updates(*counts), arrays, threads=threads)
    for k in range(len(counts)):
        velocity = before[f"v{k}"] * np.float32(0.9) + before[f"g{k}"]
        np.testing.assert_allclose(arrays[f"v{k}"], velocity, rtol=1e-5, atol=1e-6)
        expected = before[f"w{k}"] - np.float32(0.1) * velocity
        np.testing.assert_allclose(arrays[f"w{k}"], expected, rtol=1e-5, atol=1e-6)


@THREADS
def test_halves(threads):
    x = normal(10000).astype(ml_dtypes.bfloat16)
    y, positive = np.zeros_like(x), np.zeros(10000, bool)
    run_kernel(halves(10000), {"x": x, "y": y, "positive": positive}, threads=threads)
    expected = (x.astype(np.float32) * np.float32(1.5)).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(y.view(np.uint16), expected.view(np.uint16))
    np.testing.assert_array_equal(positive, x.astype(np.float32) > 0)


def test_half_maximum():
    x = normal(64, 100).astype(ml_dtypes.bfloat16)
    y = np.zeros(64, ml_dtypes.bfloat16)
    run_kernel(reduced(Combine.MAX, (64, 100), (0,), Skeleton.ROWS, bfloat16), {"x": x, "y": y})
    np.testing.assert_array_equal(y.astype(np.float32), x.astype(np.float32).max(1))


@pytest.mark.parametrize("skeleton", [Skeleton.ROWS, Skeleton.COLUMNS, Skeleton.TOTAL])
def test_names_repeated_from_phase_to_phase(skeleton):
    """Each phase has a ``w`` of its own; the first and the last mean the same."""
    rows, columns = 300, 500
    i, j = Axis("i", rows), Axis("j", columns)
    across = skeleton is Skeleton.COLUMNS
    at = j.index * rows + i.index if across else i.index * columns + j.index
    product = call("({0} * {1})", Load("x", at, float32), Ref("w", float32))
    w = {name: Let("w", Load(name, i.index, float32)) for name in "bc"}
    added = call("({0} + {1})", product, Ref("total", float32))
    phases = (
        Phase((j,), (w["b"],), (Reduction("total", Combine.SUM, product, float32),)),
        Phase((j,), (w["c"],), stores=(Store("y", at, added),)),
        Phase((j,), (w["b"],), stores=(Store("z", at, product),)),
    )
    shape = (columns, rows) if across else (rows, columns)
    params = [
        Param("x", float32, shape),
        Param("b", float32, (rows,)),
        Param("c", float32, (rows,)),
    ]
    params += [Param(name, float32, shape, written=True) for name in "yz"]
    kernel = Kernel("named", tuple(params), (Nest((i,), phases, Schedule(skeleton, MUCH)),))
    x, b, c = normal(*shape), normal(rows), normal(rows)
    arrays = {"x": x, "b": b, "c": c, "y": np.zeros_like(x), "z": np.zeros_like(x)}
    run_kernel(kernel, arrays, threads=2)
    if not across:
        b, c = b[:, None], c[:, None]
    total = (x * b).sum(0 if across else 1, keepdims=not across)
    np.testing.assert_allclose(arrays["y"], x * c + total, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(arrays["z"], x * b, rtol=1e-6)


def test_positions_and_reserved_names():
    y = np.zeros(100, np.float32)
    run_kernel(positions(100), {"t": y})
    np.testing.assert_array_equal(y, np.arange(100, dtype=np.float32) * 3 + 1)


@THREADS
def test_program_of_stages(threads):
    """Each stage sees what all threads wrote in the one before."""
    first = pointwise(500, 1000)
    second = reduced(Combine.SUM, (500, 1000), (1,), Skeleton.COLUMNS)
    renamed = tuple(replace(p, name={"x": "y", "y": "z"}[p.name]) for p in second.params)
    program = program_of(first, second)
    last = program.stages[1][0]
    program = replace(
        program,
        buffers=(
            *program.buffers,
            replace(program.buffers[1], name="z", shape=(1000,), position=2),
        ),
        stages=(program.stages[0], (replace(last, buffers=tuple(p.name for p in renamed)),)),
    )
    x = normal(500, 1000)
    arrays = {"x": x, "y": np.zeros_like(x), "z": np.zeros(1000, np.float32)}
    for _ in range(50):
        arrays["y"][...] = np.nan
        run_program(program, arrays, threads=threads)
        np.testing.assert_allclose(arrays["z"], (2 * np.tanh(x)).sum(0), rtol=1e-4, atol=1e-4)
    assert "gc_barrier(t);" in built(program)[0].units[-1].text
