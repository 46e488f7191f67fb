"""Every row of the registry, by its own samples: being registered is being tested."""

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import graphc.ops  # noqa: F401 - fills the registry
from graphc.dtypes import bfloat16, float16, float64, from_numpy_dtype
from graphc.ir import (
    INPUT,
    OPS,
    Builder,
    Decompose,
    Graph,
    Leaf,
    Op,
    Repeat,
    Result,
    Sample,
    TensorType,
    infer_type,
)
from graphc.ops.operands import ByRule
from tests.ops.gradients import check_gradient
from tests.ops.references import Reference, plain_reference, torch_reference

NAME = operator.attrgetter("name")
# Loops have a body for an attribute: tests/control tests them.
ROWS = [op for op in OPS.values() if not isinstance(op.lower, (Leaf, Repeat, Result))]
TOLERANCE = {
    np.dtype(np.float64): 1e-12,
    np.dtype(np.float32): 4e-6,
    float16.numpy: 2e-3,
    bfloat16.numpy: 1.6e-2,
}
# Which of two zeros of different sign is the larger depends on the order of instructions.
EITHER_ZERO = ("maximum", "minimum", "fmax", "fmin", "clamp", "clamp_min", "clamp_max")
EITHER_ZERO += ("i1", "i1e")  # PyTorch's vectors lose the sign
# Floating-point inputs that no gradient reaches, by definition.
STOPPED = {"stop_gradient": {0}, "unless_needed": {1}, "undifferentiable": {0}, "zeta": {0, 1}}
STOPPED |= {"gammainc": {0}, "gammaincc": {0}}
STOPPED |= {"ctc_loss": {0}, "ctc_gradient": {0}}  # for log_softmax: see tests/nn/test_ctc.py
# Operands of which one triangle is read: symmetric matrices, and so are their gradients.
SYMMETRIC = {"cholesky": {0}, "eigh": {0}, "eigvalsh": {0}}


def samples_of(op: Op) -> list[Sample]:
    return list(op.samples()) if op.samples is not None else []


@contextmanager
def of_sample(op: Op, number: int, sample: Sample) -> Iterator[None]:
    """What fails inside says which sample of a row it is.

    A row is one test: collecting a test for each sample took longer than most of them run.
    """
    try:
        yield
    except Exception as error:
        operands = ", ".join(f"{np.asarray(a).dtype}{list(np.shape(a))}" for a in sample.arrays)
        told = f"{op.name}, sample {number}: ({operands}) {dict(sample.attrs)}"
        raise AssertionError(f"{told}\n{type(error).__name__}: {error}") from error


def arrays_of(sample: Sample) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(a) for a in sample.arrays]


def graph_of(op: Op, sample: Sample) -> Graph:
    builder = Builder()
    inputs = [
        builder.input(f"x{i}", TensorType(a.shape, from_numpy_dtype(a.dtype)))
        for i, a in enumerate(arrays_of(sample))
    ]
    return Graph(op.name, tuple(inputs), (builder.apply(op, inputs, sample.attrs),))


def assert_close(actual: Any, expected: Any, loose: float = 1.0) -> None:
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if actual.dtype.kind in "biu":
        np.testing.assert_array_equal(actual, expected)
        return
    tolerance = TOLERANCE[actual.dtype] * loose
    wide = np.float64
    np.testing.assert_allclose(
        actual.astype(wide), expected.astype(wide), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("op", ROWS, ids=NAME)
def test_row_has_samples_and_a_reference(op: Op) -> None:
    assert samples_of(op), f"{op.name} has no samples, so nothing tests it"
    assert op.reference is not None, f"{op.name} has no reference"


@pytest.mark.parametrize("op", ROWS, ids=NAME)
def test_type_rule_says_what_evaluation_gives(op: Op) -> None:
    for number, sample in enumerate(samples_of(op)):
        with of_sample(op, number, sample):
            arrays = arrays_of(sample)
            types = [TensorType(a.shape, from_numpy_dtype(a.dtype)) for a in arrays]
            before = [a.copy() for a in arrays]
            expected = infer_type(op, types, sample.attrs)
            value = op.evaluate(*arrays, **sample.attrs)
            assert isinstance(value, np.ndarray)
            assert value.shape == expected.shape
            assert value.dtype == expected.dtype.numpy
            if not op.is_view:
                assert not any(np.shares_memory(value, a) for a in arrays)
            for array, copy in zip(arrays, before, strict=True):
                np.testing.assert_array_equal(array, copy)


def compare(op: Op, sample: Sample, reference: Reference) -> tuple[Any, Any]:
    arrays = arrays_of(sample)
    actual = op.evaluate(*arrays, **sample.attrs)
    with np.errstate(all="ignore"):
        expected = reference(*arrays, **sample.attrs)
    assert_close(actual, expected)
    return actual, np.asarray(expected)


@pytest.mark.parametrize("op", [op for op in ROWS if plain_reference(op) is not None], ids=NAME)
def test_evaluation_agrees_with_the_reference(op: Op) -> None:
    reference = plain_reference(op)
    assert reference is not None
    for number, sample in enumerate(samples_of(op)):
        with of_sample(op, number, sample):
            compare(op, sample, reference)


@pytest.mark.differential
@pytest.mark.parametrize("op", [op for op in ROWS if isinstance(op.reference, str)], ids=NAME)
def test_evaluation_agrees_with_pytorch(op: Op) -> None:
    pytest.importorskip("torch")
    reference = torch_reference(op)
    for number, sample in enumerate(samples_of(op)):
        with of_sample(op, number, sample):
            actual, expected = compare(op, sample, reference)
            if actual.dtype.kind not in "biu" and op.name not in EITHER_ZERO:
                zeros = (actual == 0) & (expected == 0)
                np.testing.assert_array_equal(
                    np.signbit(actual)[zeros], np.signbit(expected)[zeros]
                )


@pytest.mark.parametrize("op", [op for op in ROWS if isinstance(op.lower, Decompose)], ids=NAME)
def test_decomposition_has_the_same_value(op: Op) -> None:
    assert isinstance(op.lower, Decompose)
    for number, sample in enumerate(samples_of(op)):
        with of_sample(op, number, sample):
            arrays = arrays_of(sample)
            parts = ByRule(op.lower.rule)(*arrays, **sample.attrs)
            assert_close(parts, op.evaluate(*arrays, **sample.attrs), loose=4)
            node = graph_of(op, sample).outputs[0]
            built = op.lower.rule(*node.inputs, **node.attrs)
            assert built.type == node.type
            assert built.op is not op


def smooth(sample: Sample) -> bool:
    arrays = arrays_of(sample)
    kinds = {a.dtype for a in arrays if a.dtype.kind not in "biu"}
    return sample.differentiable and kinds == {np.dtype(np.float64)}


@pytest.mark.parametrize("op", [op for op in ROWS if op.vjp is not None], ids=NAME)
def test_gradients_agree_with_finite_differences_twice(op: Op) -> None:
    symmetric = SYMMETRIC.get(op.name, ())
    tried = 0
    for number, sample in enumerate(samples_of(op)):
        if not smooth(sample):
            continue
        tried += 1
        with of_sample(op, number, sample):
            graph = graph_of(op, sample)
            if graph.outputs[0].dtype is not float64:
                continue
            arrays = arrays_of(sample)
            stopped = STOPPED.get(op.name, ())
            first, arguments = check_gradient(graph, arrays, op.name, stopped, symmetric)
            assert all(n.op is not INPUT or n in first.inputs for n in first.nodes)
            check_gradient(first, arguments, f"gradient of {op.name}", (), symmetric)
    # A rule that no sample differentiates would be wrong unnoticed.
    assert tried or op.name in STOPPED, f"{op.name} has a rule and no float64 sample for it"
