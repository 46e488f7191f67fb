"""The expressions of the loop IR: what a kernel computes at one point, and how points join.

They are the part of :mod:`graphc.kernel` that rows of operations are written with.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Union

from graphc.dtypes import dtype
from graphc.sizes import Int


@dataclass(frozen=True)
class InRange:
    """``0 <= index < limit``."""

    index: Int
    limit: Int


@dataclass(frozen=True)
class Divisible:
    """``index % by == 0``; evaluated only where the ``InRange`` conditions before it hold."""

    index: Int
    by: Int


Condition = Union[InRange, Divisible]


@dataclass(frozen=True)
class Const:
    """A literal: ``bool``, ``int`` or ``float`` (inf and nan included)."""

    value: bool | int | float
    dtype: dtype


@dataclass(frozen=True)
class Ref:
    """The value of a ``Let`` or of a ``Reduction``, or the accumulator of a contraction."""

    name: str
    dtype: dtype


@dataclass(frozen=True)
class Load:
    """``buffer[index]``, or ``other`` where a condition fails (then memory is not touched).

    float16 and bfloat16 buffers are loaded into float32: ``dtype`` is that of the *value*.
    """

    buffer: str
    index: Int
    dtype: dtype
    mask: tuple[Condition, ...] = ()
    other: bool | int | float = 0


@dataclass(frozen=True)
class Position:
    """An index as a value (``arange``, one-hot comparisons)."""

    index: Int
    dtype: dtype


@dataclass(frozen=True)
class Call:
    """Scalar code both targets accept: ``gc_exp_f32({0})``, ``({0} + {1})``."""

    text: str
    args: "tuple[Expr, ...]"
    dtype: dtype


@dataclass(frozen=True)
class Masked:
    """``value`` where every condition holds, else ``other``; ``value`` is not evaluated there.

    Pads, dilations and concatenations of computed (not only loaded) values.
    """

    conditions: tuple[Condition, ...]
    value: "Expr"
    other: "Expr"

    @property
    def dtype(self) -> dtype:
        return self.value.dtype


Expr = Union[Const, Ref, Load, Position, Call, Masked]


def rounding(kind: dtype) -> str:
    """The text of a ``Call`` that rounds float32 to what a 16-bit dtype can hold."""
    return f"gc_{kind.short}_to_f32(gc_f32_to_{kind.short}({{0}}))"


def parts(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside an expression."""
    if isinstance(expr, Call):
        return expr.args
    return (expr.value, expr.other) if isinstance(expr, Masked) else ()


def within(expr: Expr) -> Iterator[Expr]:
    """An expression and all that are inside of it, each as often as it is met."""
    yield expr
    for part in parts(expr):
        yield from within(part)


def distinct(roots: Iterable[Expr]) -> Iterator[Expr]:
    """The same of several expressions, each object once however many paths lead to it."""
    seen: set[int] = set()
    pending = list(roots)
    while pending:
        expr = pending.pop()
        if id(expr) not in seen:
            seen.add(id(expr))
            yield expr
            pending += parts(expr)


class Combine(Enum):
    """How a reduction joins values. ARG* keep the position of the first extreme (NaN wins)."""

    SUM = "sum"
    PROD = "prod"
    MAX = "max"
    MIN = "min"
    ANY = "any"
    ALL = "all"
    ARGMAX = "argmax"
    ARGMIN = "argmin"
