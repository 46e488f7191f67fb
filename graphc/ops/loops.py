"""``scan``: a body computed once for each step, handing values from one step to the next.

The operands are the initial *carries*, the *sequences*, of which each step sees one slice along
the first dimension, and *constants*, which every step sees whole; the body's inputs are in the same
order. It gives the next carries, then what is stacked, a slice from each step.

A ``scan`` has several results. The node itself is their event, a ``bool[]`` that nobody computes;
``scan_result(scan, index)`` are its values: the carries after the last step, then the stacks. The
gradient is another scan, in the opposite direction: :mod:`graphc.control` builds it.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.device import device as Device
from graphc.dtypes import dtype as DType
from graphc.errors import GraphError
from graphc.ir import Body, Op, Repeat, Result, TensorType, register
from graphc.ops.evaluation import ERRORS, SILENT, Program
from graphc.ops.rules import Array


def result_types(body: Body, carries: int, steps: int) -> tuple[TensorType, ...]:
    """The types of a scan's results."""
    outputs = body.graph.outputs
    return tuple(
        n.type if i < carries else n.type.with_shape((steps, *n.shape))
        for i, n in enumerate(outputs)
    )


def _scan_type(
    *operands: TensorType, body: Body, carries: int, sequences: int, steps: int, reverse: bool
) -> TensorType:
    del reverse
    graph = body.graph
    if len(operands) != len(graph.inputs) or len(graph.outputs) < carries:
        raise GraphError(f"scan: {len(operands)} operands do not fit the body {graph.name}")
    for i, (given, node) in enumerate(zip(operands, graph.inputs, strict=True)):
        sliced = carries <= i < carries + sequences
        wanted = node.type.with_shape((steps, *node.shape)) if sliced else node.type
        if given != wanted:
            raise GraphError(f"scan: operand {i} is {given}, the body {graph.name} needs {wanted}")
    for i in range(carries):
        if graph.outputs[i].type != graph.inputs[i].type:
            raise GraphError(
                f"scan: carry {i} is {graph.inputs[i].type} before a step of {graph.name} and "
                f"{graph.outputs[i].type} after it"
            )
    device = operands[0].device if operands else Device("cpu")
    return TensorType((), dtypes.bool, device)


def _run(
    *operands: Array, body: Body, carries: int, sequences: int, steps: int, reverse: bool
) -> Array:
    state = list(operands[:carries])
    sliced = operands[carries : carries + sequences]
    constants = operands[carries + sequences :]
    types = result_types(body, carries, steps)[carries:]
    stacks = [np.empty(_sizes(t), t.dtype.numpy) for t in types]
    program = _program(body)
    token = ERRORS.set(SILENT)
    try:
        for step in reversed(range(steps)) if reverse else range(steps):
            values = program.run([*state, *[x[step] for x in sliced], *constants])
            state = values[:carries]
            for stack, value in zip(stacks, values[carries:], strict=True):
                stack[step] = value
    finally:
        ERRORS.reset(token)
    event = np.empty((), object)
    event[()] = [*state, *stacks]
    return event


@lru_cache(maxsize=256)
def _program(body: Body) -> Program:
    return Program(body.graph.inputs, body.graph.outputs)


def _sizes(type: TensorType) -> tuple[int, ...]:
    return tuple(n for n in type.shape if isinstance(n, int))


def _result_type(
    event: TensorType, *, index: int, shape: tuple[int, ...], dtype: DType
) -> TensorType:
    del index
    return TensorType(shape, dtype, event.device)


def _result(event: Array, *, index: int, shape: tuple[int, ...], dtype: DType) -> Array:
    del shape, dtype
    return event.item()[index]  # type: ignore[no-any-return]


SCAN = register(Op("scan", _scan_type, _run, Repeat()))
SCAN_RESULT = register(Op("scan_result", _result_type, _result, Result()))


def results(event: Any, body: Body, carries: int, steps: int) -> list[Any]:
    """The values of a scan, as operands of the same kind as ``event``."""
    return [
        SCAN_RESULT(event, index=i, shape=t.shape, dtype=t.dtype)
        for i, t in enumerate(result_types(body, carries, steps))
    ]
