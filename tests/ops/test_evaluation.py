"""Evaluation in eager mode: programs of NumPy calls, choices by bits, sums, silence."""

import warnings

import numpy as np
import pytest

from graphc import dtypes
from graphc.ir import CPU, OPS, Builder, Decompose, Scalar, TensorType
from graphc.ops.evaluation import ERRORS, SILENT, Program, kernel
from graphc.ops.operands import ByRule
from graphc.ops.reduce import accurate_sum
from graphc.ops.rules import row
from graphc.ops.selection import kept, select

RULES = [op for op in OPS.values() if isinstance(op.evaluate, ByRule) and op.samples]
SCALARS = [op for op in OPS.values() if isinstance(op.lower, Scalar) and not op.put and op.samples]


def typed(array):
    return TensorType(array.shape, dtypes.from_numpy_dtype(array.dtype))


def program(rule, *arrays):
    builder = Builder()
    inputs = [builder.input(f"x{i}", typed(a)) for i, a in enumerate(arrays)]
    results = rule(*inputs)
    return Program(inputs, results if isinstance(results, tuple) else (results,))


def run(made, *arrays):
    token = ERRORS.set(SILENT)
    try:
        return made.run(arrays)
    finally:
        ERRORS.reset(token)


@pytest.mark.parametrize("op", RULES, ids=lambda op: op.name)
def test_decompositions_as_programs(op):
    """The same values as row by row; operands stay as they are, and may be given again."""
    assert isinstance(op.lower, Decompose)
    for sample in op.samples():
        before = [a.copy() for a in sample.arrays]
        wanted = op.evaluate(*sample.arrays, **sample.attrs)
        token = ERRORS.set(SILENT)
        try:
            made = kernel(op, [typed(a) for a in sample.arrays], sample.attrs)
            found = [made(*sample.arrays, **sample.attrs) for _ in range(2)]
        finally:
            ERRORS.reset(token)
        for each in found:
            np.testing.assert_array_equal(each, wanted)
            assert each.dtype == wanted.dtype
        for a, b in zip(sample.arrays, before, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("op", SCALARS, ids=lambda op: op.name)
def test_results_of_one_expression_are_new_memory(op):
    """Programs write into what such rows have made."""
    for sample in op.samples():
        result = op.evaluate(*sample.arrays, **sample.attrs)
        assert not any(np.shares_memory(result, a) for a in sample.arrays)


def test_memory_is_taken_over_only_after_its_last_use():
    x, y = np.arange(6.0), np.arange(6.0)[::-1].copy()

    def rule(a, b):
        total = a + b
        scaled = total * 2
        return total * scaled, row.reshape(scaled, shape=(2, 3)), -(scaled + total)

    found = run(program(rule, x, y), x, y)
    np.testing.assert_array_equal(found[0], 2 * (x + y) ** 2)
    np.testing.assert_array_equal(found[1], (2 * (x + y)).reshape(2, 3))
    np.testing.assert_array_equal(found[2], -3 * (x + y))
    np.testing.assert_array_equal(x, np.arange(6.0))


def test_parts_are_added_where_they_lie():
    x, y, z = np.full((2, 5), 10.0), np.arange(4.0).reshape(2, 2), np.ones((2, 1))

    def padded(part, before):
        after = (0, 5 - before - part.shape[1])
        return row.pad(part, before=(0, before), after=after, value=0)

    def rule(a, b, c):
        return padded(b, 1) + a, padded(b, 0) + padded(c, 3) + padded(c, 1)

    first, second = run(program(rule, x, y, z), x, y, z)
    np.testing.assert_array_equal(first, [[10, 10, 11, 10, 10], [10, 12, 13, 10, 10]])
    np.testing.assert_array_equal(second, [[0, 2, 0, 1, 0], [2, 4, 0, 1, 0]])
    assert (x == 10).all()


def test_constants_are_not_handed_out():
    """What a program has computed once must not be written by those who get it."""
    x = np.ones(3)
    number = {"value": 3.0, "shape": (), "dtype": dtypes.float64, "device": CPU}

    def rule(a):
        constant = a.builder.apply(OPS["full"], (), number)
        return row.reshape(constant, shape=(1,)), a * constant

    made = program(rule, x)
    run(made, x)[0][:] = 7
    np.testing.assert_array_equal(run(made, x)[1], [3, 3, 3])


def test_numpy_speaks_again_after_an_operation():
    x = np.array([1.0, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OPS["div"].evaluate(x, np.zeros(2))
        with pytest.raises(RuntimeError):
            OPS["remainder"].evaluate(np.arange(3), np.zeros(3, int))
        with pytest.raises(RuntimeWarning, match="divide by zero"):
            np.divide(x, 0.0)


@pytest.mark.parametrize("size", [3, 5000])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", "i1", "u1", "i8", "?"])
def test_choices_keep_every_bit(kind, size):
    random = np.random.default_rng(0)
    a = random.normal(0, 9, (3, size)).astype(kind)
    b = random.normal(0, 9, (size,)).astype(kind)
    if kind[0] == "f":
        a[0, :3], b[:3] = [np.nan, np.inf, -0.0], [-0.0, np.nan, -np.inf]
    zero = np.zeros((), kind)
    for condition in (random.random((3, size)) < 0.5, random.random((1, size)) < 0.5):
        for x, y in ((a, b), (zero, b), (a, zero), (a, np.ones((), kind)), (a[:, ::-1], b[::-1])):
            found, wanted = select(condition, x, y), np.where(condition, x, y)
            assert found.dtype == wanted.dtype
            assert found.tobytes() == wanted.tobytes()
    mask = random.random((3, size)) < 0.5
    assert kept(a, mask).tobytes() == np.where(mask, a, zero).tobytes()


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize(
    ("shape", "dims"),
    [((513, 127), (0,)), ((9, 67, 31), (0, 1)), ((20, 7, 9, 9), (0, 2, 3)), ((1, 5000), (0,)),
     ((70, 80, 3), (1,)), ((6, 5), (0, 1)), ((0, 3), (0,)), ((3, 0), (0,)), ((3, 4), ())],
)  # fmt: skip
def test_sums_of_any_dims(shape, dims, keepdim):
    x = np.random.default_rng(1).normal(3, 1, shape).astype(np.float32)
    found = accurate_sum(x, dims, keepdim)
    wanted = x.astype(np.float64).sum(dims, keepdims=keepdim)
    assert (found.shape, found.dtype) == (wanted.shape, np.float32)
    np.testing.assert_allclose(found, wanted, rtol=3e-7)
    turned = accurate_sum(x.T.copy().T, dims, keepdim)
    np.testing.assert_allclose(turned, wanted, rtol=3e-7)


def test_types_are_one_object():
    one = TensorType((np.int64(2), 3), dtypes.float32)
    assert one is TensorType((2, 3), dtypes.float32)
    assert [type(n) for n in one.shape] == [int, int]
    assert one is not TensorType((2, 3), dtypes.float64)
    with pytest.raises(AttributeError, match="not writable"):
        one.shape = (1,)


def test_an_input_may_be_the_result():
    x = np.ones(3)
    builder = Builder()
    node = builder.input("x", typed(x))
    found = run(Program([node], [node, None]), x)
    assert found[0] is x
    assert found[1] is None
