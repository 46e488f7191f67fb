"""Expressions that graphc and PyTorch both evaluate: the same value, or the same kind of error.

An expression is a line of text in which ``t`` is the module, ``np`` NumPy, and a few helpers are
known. The tables of the tests next to this file are blocks of such lines.
"""

import copy
import math
import operator
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import graphc

torch = pytest.importorskip("torch")

_ERRORS = (
    NotImplementedError,
    OverflowError,
    IndexError,
    KeyError,
    AttributeError,
    AssertionError,
    BufferError,
    TypeError,
    ValueError,
    RuntimeError,
)


def lines(block: str) -> list[Any]:
    """The expressions of a block, as parameters of a test."""
    found = [line.strip() for line in block.strip().splitlines()]
    return [pytest.param(line, id=line) for line in found if line and not line.startswith("#")]


def plain(value: Any) -> Any:
    """A result in terms that do not tell whose it is."""
    for module in (graphc, torch):
        if isinstance(value, module.Tensor):
            return tensor_facts(value, module)
        if isinstance(value, (module.dtype, module.device, module.layout, module.memory_format)):
            return str(value).replace("torch.", "graphc.")
    if isinstance(value, np.ndarray):
        return ("array", str(value.dtype), value.shape, value.tolist())
    if isinstance(value, np.generic):
        return ("scalar", str(value.dtype), value.item())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return value.replace("torch.", "graphc.")
    if isinstance(value, float):
        return ("nan",) if math.isnan(value) else (value, math.copysign(1, value))
    return value


def tensor_facts(tensor: Any, module: Any) -> Any:
    values = tensor.detach()
    if values.dtype in (module.bfloat16, module.float16):
        values = values.float()
    return (
        str(tensor.dtype).rpartition(".")[2],
        tuple(tensor.shape),
        tuple(tensor.stride()),
        tensor.requires_grad,
        values.contiguous().numpy().tolist().__repr__(),
    )


def outcome(line: str, module: Any) -> Any:
    """What a line gives, or the type of what it raises, and the categories of its warnings."""
    known = {
        "t": module,
        "np": np,
        "copy": copy,
        "pickle": pickle,
        "operator": operator,
        "math": math,
        "inf": math.inf,
        "nan": math.nan,
    }
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            result = plain(eval(line, known))
        except _ERRORS as error:
            result = next(kind.__name__ for kind in _ERRORS if isinstance(error, kind))
    kinds = {w.category.__name__ for w in warned if w.category is not DeprecationWarning}
    return result, sorted(kinds)


def check(line: str) -> None:
    """Both modules give the same."""
    ours, theirs = outcome(line, graphc), outcome(line, torch)
    assert ours == theirs
