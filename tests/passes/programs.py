"""Small graphs to put through passes, and arrays that find what a pass got wrong."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import graphc.ops  # noqa: F401 - fills the registry
from graphc import dtypes
from graphc.dtypes import dtype as DType
from graphc.interpret import Array, evaluate
from graphc.ir import CPU, OPS, Builder, Graph, Node, TensorType

SPECIAL = np.array([0.0, -0.0, 1.0, -1.5, 2.5, -7.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, 0.3])
WHOLE = np.array([0, 1, 2, 3, -1, -2, 100, -100, 127, -128, 5, 64])


def op(name: str, *operands: Any, **attrs: Any) -> Node:
    result: Node = OPS[name](*operands, **attrs)
    return result


def full(like: Node, value: Any, shape: tuple[Any, ...] = (), dtype: DType | None = None) -> Node:
    attrs = {"value": value, "shape": shape, "dtype": dtype or like.dtype, "device": CPU}
    return like.__apply__(OPS["full"], (), attrs)


def program(
    function: Callable[..., Any],
    *shapes: tuple[Any, ...],
    dtype: DType = dtypes.float32,
) -> Graph:
    """The graph of a function of inputs ``x0``, ``x1``, ... of these shapes and this dtype.

    A shape may begin with a dtype of its own.
    """
    builder = Builder()
    inputs = []
    for i, shape in enumerate(shapes):
        own, sizes = (
            (shape[0], shape[1:])
            if shape[:1] and isinstance(shape[0], DType)
            else (
                dtype,
                shape,
            )
        )
        inputs.append(builder.input(f"x{i}", TensorType(tuple(sizes), own)))
    result = function(*inputs)
    outputs = result if isinstance(result, tuple) else (result,)
    return Graph("program", tuple(inputs), outputs, (), builder.names, builder.locations)


def arguments(graph: Graph, salt: int = 0) -> list[Array]:
    """Arrays for the inputs: special values, in an order of their own for each input."""
    random = np.random.default_rng(salt)
    arrays = []
    for node in graph.inputs:
        pool = SPECIAL if node.dtype.is_floating_point else WHOLE
        if node.dtype is dtypes.bool_:
            pool = np.array([True, False])
        with np.errstate(all="ignore"):
            arrays.append(random.choice(pool, size=node.shape).astype(node.dtype.numpy))
    return arrays


def assert_same_values(before: Graph, after: Graph, exact: bool = True) -> None:
    """Both graphs give the same bits (NaN is NaN), or values within a few roundings."""
    for salt in range(4):
        arrays = arguments(before, salt)
        pairs: Sequence[tuple[Array, Array]] = list(
            zip(evaluate(before, arrays), evaluate(after, arrays), strict=True)
        )
        for old, new in pairs:
            assert old.dtype == new.dtype
            assert old.shape == new.shape
            if old.dtype.kind in "biu":
                np.testing.assert_array_equal(old, new)
                continue
            wide = old.astype(np.float64), new.astype(np.float64)
            if exact:
                np.testing.assert_array_equal(*wide)
                zero = (wide[0] == 0) & ~np.isnan(wide[0])
                np.testing.assert_array_equal(np.signbit(old)[zero], np.signbit(new)[zero])
            else:
                np.testing.assert_allclose(*wide, rtol=1e-5, atol=1e-5)
