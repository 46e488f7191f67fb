"""Expressions of the loop IR as source text; C and CUDA read the same."""

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from graphc.codegen.dialect import Dialect
from graphc.dtypes import dtype
from graphc.kernel import (
    Call,
    Combine,
    Condition,
    Const,
    Divisible,
    Expr,
    Load,
    Masked,
    Param,
    Position,
    Ref,
    Store,
)
from graphc.sizes import Atom, FloorDiv, Int, IntExpr, Mod, Product, Symbol, bounds

_ARGUMENT = re.compile(r"\{(?P<number>\d+)\}")
_PRIMARY = re.compile(r"[A-Za-z_]\w*|\d[\w.+]*")
_HALVES = ("f16", "bf16", "f32")
_ASSIGNMENTS = {Combine.SUM: "+", Combine.PROD: "*"}


@dataclass(frozen=True)
class Expressions:
    """Renders expressions of one kernel; ``stored`` gives the dtype of each buffer's elements."""

    dialect: Dialect
    stored: Mapping[str, dtype] = field(default_factory=dict)

    @classmethod
    def of(cls, dialect: Dialect, params: tuple[Param, ...]) -> "Expressions":
        """The renderer for the body of a kernel with these params."""
        return cls(dialect, {param.name: param.dtype for param in params})

    def identifier(self, name: str) -> str:
        """``name``, with an underscore behind it where the language keeps the word for itself."""
        if name.rstrip("_") in self.dialect.reserved or name.startswith("gc_"):
            return f"{name}_"
        return name

    # ------------------------------------------------------------------------------- integers

    def integer(self, value: Int) -> str:
        """An index or size; wrap it with :meth:`operand` to use it beside ``*`` or ``/``."""
        if isinstance(value, int):
            return str(value)
        terms = sorted(value.terms, key=_reading_order)
        text = ""
        for atom, coefficient in terms:
            piece = self._term(atom, abs(coefficient))
            if text:
                text += f" + {piece}" if coefficient > 0 else f" - {piece}"
            elif coefficient > 0:
                text = piece
            else:
                text = f"{value.const} - {piece}" if value.const > 0 else f"-{piece}"
        only_negative = terms[0][1] < 0
        if value.const < 0 or (value.const and not only_negative):
            text += f" {'+' if value.const > 0 else '-'} {abs(value.const)}"
        return text

    def operand(self, value: Int) -> str:
        """An index or size, in parentheses unless it is a name or a number."""
        text = self.integer(value)
        return text if _PRIMARY.fullmatch(text) else f"({text})"

    def _term(self, atom: Atom, magnitude: int) -> str:
        text = self._atom(atom)
        if magnitude == 1:
            return text
        if isinstance(atom, (FloorDiv, Mod)) and not text.startswith("gc_"):
            text = f"({text})"
        return f"{text}*{magnitude}"

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, Symbol):
            return self.identifier(atom.name)
        if isinstance(atom, Product):
            return "*".join(
                f"({self._atom(f)})" if isinstance(f, (FloorDiv, Mod)) else self._atom(f)
                for f in atom.factors
            )
        if isinstance(atom, Mod):
            return f"{self.operand(atom.numerator)} % {self.operand(atom.divisor)}"
        low, _ = bounds(atom.numerator)
        if low is not None and low >= 0:  # C divides towards zero: the same thing from 0 on
            return f"{self.operand(atom.numerator)} / {self.operand(atom.divisor)}"
        return f"gc_floordiv_i64({self.integer(atom.numerator)}, {self.integer(atom.divisor)})"

    # ----------------------------------------------------------------------------- conditions

    def condition(self, value: Condition) -> str:
        """One condition; the half that the ranges of the axes already promise is left out."""
        if isinstance(value, Divisible):
            return f"{self.operand(value.index)} % {self.operand(value.by)} == 0"
        index = self.integer(value.index)
        low, high = bounds(value.index)
        tests = []
        if low is None or low < 0:
            if isinstance(value.index, IntExpr) and value.index.const < 0:
                positive = value.index - value.index.const
                tests.append(f"{self.integer(positive)} >= {-value.index.const}")
            else:
                tests.append(f"{index} >= 0")
        if not (isinstance(value.limit, int) and high is not None and high < value.limit):
            shift = value.index.const if isinstance(value.index, IntExpr) else 0
            if shift:
                left, right = value.index - shift, value.limit - shift
                tests.append(f"{self.integer(left)} < {self.integer(right)}")
            else:
                tests.append(f"{index} < {self.integer(value.limit)}")
        return " && ".join(tests) or "true"

    def conditions(self, values: tuple[Condition, ...]) -> str:
        """All of the conditions, in order; ``true`` when nothing is left to test."""
        texts = [self.condition(value) for value in values]
        return " && ".join(text for text in texts if text != "true") or "true"

    # ---------------------------------------------------------------------------- expressions

    def value(self, expr: Expr) -> str:
        """An expression that stands alone (initialiser, argument): no parentheses around it."""
        text = self.expression(expr)
        return text[1:-1] if _wrapped(text) else text

    def expression(self, expr: Expr) -> str:
        """An expression that can stand beside any operator."""
        if isinstance(expr, Const):
            return literal(expr.value, expr.dtype)
        if isinstance(expr, Ref):
            return self.identifier(expr.name)
        if isinstance(expr, Position):
            return self._position(expr)
        if isinstance(expr, Load):
            return self._load(expr)
        if isinstance(expr, Masked):
            return self._choice(expr.conditions, self._arm(expr.value), self._arm(expr.other))
        return self._call(expr)

    def narrowed(self, expr: Expr, kind: dtype) -> str:
        """An expression as an element of a buffer of ``kind``."""
        text, widened = self.value(expr), f"gc_{kind.short}_to_f32"
        if text.startswith(f"{widened}(") and _called(text):
            return text[len(widened) + 1 : -1]  # it is one already
        return self.dialect.narrowed(text, kind)

    def _position(self, expr: Position) -> str:
        if expr.dtype.short == "i64":
            return self.operand(expr.index)
        return f"(({self.dialect.scalar(expr.dtype)}){self.operand(expr.index)})"

    def _load(self, expr: Load) -> str:
        element = self.dialect.loaded(
            f"{self.identifier(expr.buffer)}[{self.integer(expr.index)}]",
            self.stored.get(expr.buffer, expr.dtype),
        )
        if self.conditions(expr.mask) == "true":
            return element
        return self._choice(expr.mask, element, literal(expr.other, expr.dtype))

    def _choice(self, conditions: tuple[Condition, ...], value: str, other: str) -> str:
        test = self.conditions(conditions)
        if test == "true":
            return value if _PRIMARY.fullmatch(value) or _called(value) else f"({value})"
        return f"({test} ? {value} : {other})"

    def _arm(self, expr: Expr) -> str:
        text = self.value(expr)
        return f"({text})" if "?" in text else text

    def _call(self, expr: Call) -> str:
        text = _ARGUMENT.sub(lambda match: self._argument(expr, match), expr.text)
        if _wrapped(text) or _called(text) or _PRIMARY.fullmatch(text):
            return text
        return f"({text})"

    def _argument(self, expr: Call, match: "re.Match[str]") -> str:
        arg = expr.args[int(match["number"])]
        before, after = expr.text[: match.start()].rstrip(), expr.text[match.end() :]
        alone = before[-1:] in ("(", ",") and after[:1] in (")", ",")
        return self.value(arg) if alone else self.expression(arg)

    def store(self, store: Store) -> str:
        """The assignment, semicolon included."""
        kind = self.stored.get(store.buffer, store.expr.dtype)
        target = f"{self.identifier(store.buffer)}[{self.integer(store.index)}]"
        if store.combine is None:
            return f"{target} = {self.narrowed(store.expr, kind)};"
        operator = _ASSIGNMENTS.get(store.combine)
        if operator and self.dialect.scalar(kind) == self.dialect.storage(kind):
            return f"{target} {operator}= {self.value(store.expr)};"
        old, new = self.dialect.loaded(target, kind), self.expression(store.expr)
        if operator:
            joined = f"{old} {operator} {new}"
        else:
            short = "f32" if kind.short in _HALVES else kind.short
            joined = f"gc_{store.combine.value}_{short}({old}, {new})"
        return f"{target} = {self.dialect.narrowed(joined, kind)};"


def _reading_order(term: tuple[Atom, int]) -> tuple[bool, int, int]:
    """Sums start with the widest stride, and with something positive."""
    atom, coefficient = term
    factors = len(atom.factors) if isinstance(atom, Product) else 1
    return coefficient < 0, -factors, -abs(coefficient)


def _closing(text: str, start: int) -> int:
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"unbalanced parentheses in {text!r}")


def _wrapped(text: str) -> bool:
    """Whether one pair of parentheses encloses everything (and is not a cast)."""
    return text.startswith("(") and _closing(text, 0) == len(text) - 1


def _called(text: str) -> bool:
    """Whether the text is a single call ``f(...)``."""
    name = re.match(r"[A-Za-z_]\w*(?=\()", text)
    return name is not None and _closing(text, name.end()) == len(text) - 1


def literal(value: bool | int | float, kind: dtype) -> str:
    """A constant of a dtype: ``1.5f``, ``-GC_INFINITY``, ``7LL``, ``true``."""
    short = kind.short
    if short == "b1":
        return "true" if value else "false"
    if short in _HALVES or short == "f64":
        return _floating(float(value), single=short != "f64")
    number = int(value)
    suffix = "LL" if short == "i64" else ""
    if number == (-(2**63) if suffix else -(2**31)):
        return f"({number + 1}{suffix} - 1)"  # C has no negative literals
    return f"({number}{suffix})" if number < 0 else f"{number}{suffix}"


def _floating(value: float, single: bool) -> str:
    if math.isnan(value):
        return "GC_NAN" if single else "((double)GC_NAN)"
    if math.isinf(value):
        return "GC_INFINITY" if value > 0 else "(-GC_INFINITY)"
    text = _shortest(value) if single else repr(value)
    if not math.isfinite(float(text)):
        return "GC_INFINITY" if value > 0 else "(-GC_INFINITY)"
    if "." not in text and "e" not in text:
        text += ".0"
    text = f"{text}f" if single else text
    return f"({text})" if text.startswith("-") else text


def _shortest(value: float) -> str:
    """The shortest decimal that reads back as the float32 nearest to ``value``."""
    try:
        rounded = struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return "inf" if value > 0 else "-inf"
    for digits in range(1, 10):
        text = f"{rounded:.{digits}g}"
        try:
            if struct.unpack("<f", struct.pack("<f", float(text)))[0] == rounded:
                return text
        except OverflowError:
            continue
    return f"{rounded:.9g}"
