"""Numbers that differ from step to step: floats in eager code, inputs of a compiled program.

What a step computes from its count, its learning rate or a norm is a Python float in eager code, as
in PyTorch. In a trace it is a symbol that promotes like one (float64, of no weight), so the same
expression gives the same number, and no value is asked for. Only tests differ: they are
:func:`choose`, :func:`larger` and :func:`smaller` here.
"""

from typing import Any

from graphc import dtypes
from graphc.functions.pointwise import where
from graphc.functions.promotion import cast
from graphc.modes import is_compiling
from graphc.tensor import Tensor


def value_of(number: Any) -> Any:
    """A tensor of one element as a number; other numbers as they are."""
    if not isinstance(number, Tensor) or number._weak:
        return number
    if not is_compiling():
        return number.item()  # type: ignore[attr-defined]
    flat = number.reshape(()) if number.shape else number  # type: ignore[attr-defined]
    symbol = cast(flat.detach(), dtypes.float64)
    if symbol is flat:
        symbol = symbol.clone()
    symbol._weak = True
    return symbol


def rate(value: Any) -> Any:
    """A hyperparameter to compute with; a tensor that wants a gradient stays one."""
    if isinstance(value, Tensor) and value.requires_grad:
        return value.squeeze()  # type: ignore[attr-defined]
    return value_of(value)


def is_set(group: dict[str, Any], name: str) -> Any:
    """Whether a hyperparameter is not zero, which compiled programs take for granted."""
    return dict.__getitem__(group, name) != 0


def first_rate(group: dict[str, Any]) -> float:
    """The learning rate as it is at the first step, to be kept in the state."""
    lr = dict.__getitem__(group, "lr")
    return float(lr.item() if isinstance(lr, Tensor) else lr)  # type: ignore[attr-defined]


def choose(condition: Any, a: Any, b: Any) -> Any:
    """``a if condition else b``, of numbers or tensors, where the condition is a number."""
    if not isinstance(condition, Tensor):
        return a if condition else b
    result = where(condition, a, b)
    result._weak = all(not isinstance(x, Tensor) or x._weak for x in (a, b))
    return result


def larger(a: Any, b: Any) -> Any:
    """The maximum of two numbers."""
    return choose(a > b, a, b)


def smaller(a: Any, b: Any) -> Any:
    """The minimum of two numbers."""
    return choose(a < b, a, b)
