"""Integer expressions: tensor sizes and the index arithmetic of generated loops.

A size is a plain ``int`` or an :class:`IntExpr`; integers fold, so a program traced on fixed
shapes never holds an expression. The same expressions index buffers inside kernels, where the
symbols are loop axes.

Canonical form: a constant plus a sorted sum of ``coefficient * atom``. An atom is a
:class:`Symbol`, a :class:`FloorDiv`, a :class:`Mod` or a :class:`Product`. Every symbol is a
non-negative integer; ``extent`` says that it stays below that bound.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, reduce
from math import gcd
from typing import Union

Int = Union[int, "IntExpr"]


@dataclass(frozen=True)
class Symbol:
    """A named non-negative integer: a size that varies, or a loop axis with ``extent`` steps."""

    name: str
    extent: "Int | None" = None

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class FloorDiv:
    """``numerator // divisor`` that did not simplify."""

    numerator: "IntExpr"
    divisor: Int

    def __str__(self) -> str:
        return f"{_operand(self.numerator)}/{_operand(self.divisor)}"


@dataclass(frozen=True)
class Mod:
    """``numerator % divisor`` that did not simplify; the numerator is never negative."""

    numerator: "IntExpr"
    divisor: Int

    def __str__(self) -> str:
        return f"{_operand(self.numerator)}%{_operand(self.divisor)}"


@dataclass(frozen=True)
class Product:
    """A product of at least two atoms, sorted by their text."""

    factors: "tuple[Atom, ...]"

    def __str__(self) -> str:
        return "*".join(
            f"({f})" if isinstance(f, (FloorDiv, Mod)) else str(f) for f in self.factors
        )


Atom = Union[Symbol, FloorDiv, Mod, Product]


@dataclass(frozen=True)
class IntExpr:
    """``const + sum(coefficient * atom)``; build it with operators, never by hand."""

    terms: tuple[tuple[Atom, int], ...]
    const: int = 0

    def __add__(self, other: Int) -> Int:
        return _sum((self, other))

    def __mul__(self, other: Int) -> Int:
        return _product(self, other)

    def __sub__(self, other: Int) -> Int:
        return _sum((self, _product(other, -1)))

    def __rsub__(self, other: Int) -> Int:
        return _sum((other, _product(self, -1)))

    def __neg__(self) -> Int:
        return _product(self, -1)

    def __floordiv__(self, other: Int) -> Int:
        return floordiv(self, other)

    def __mod__(self, other: Int) -> Int:
        return mod(self, other)

    def __rfloordiv__(self, other: Int) -> Int:
        return floordiv(other, self)

    def __rmod__(self, other: Int) -> Int:
        return mod(other, self)

    __radd__ = __add__
    __rmul__ = __mul__

    def __bool__(self) -> bool:
        raise TypeError(f"the size {self} is not known while the graph is built")

    @cached_property
    def _hash(self) -> int:
        return hash((self.terms, self.const))

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        text = ""
        for atom, coefficient in self.terms:
            factor = f"({atom})" if isinstance(atom, (FloorDiv, Mod)) else str(atom)
            magnitude = abs(coefficient)
            piece = factor if magnitude == 1 else f"{factor}*{magnitude}"
            if not text:
                text = piece if coefficient > 0 else f"-{piece}"
            else:
                text += f" + {piece}" if coefficient > 0 else f" - {piece}"
        if self.const or not text:
            sign = " + " if self.const > 0 else " - "
            text = f"{text}{sign}{abs(self.const)}" if text else str(self.const)
        return text

    __repr__ = __str__


def _operand(value: Int) -> str:
    if isinstance(value, int) or (
        not value.const
        and len(value.terms) == 1
        and isinstance(value.terms[0][0], Symbol)
        and value.terms[0][1] == 1
    ):
        return str(value)
    return f"({value})"


def symbol(name: str, extent: Int | None = None) -> Int:
    """A named integer as an expression. An axis of extent 1 is the constant 0."""
    if extent == 1 and isinstance(extent, int):
        return 0
    return IntExpr(((Symbol(name, extent), 1),))


def _split(value: Int) -> tuple[tuple[tuple[Atom, int], ...], int]:
    return ((), value) if isinstance(value, int) else (value.terms, value.const)


def _make(terms: Mapping[Atom, int], const: int) -> Int:
    kept = tuple(sorted(((a, c) for a, c in terms.items() if c), key=lambda t: str(t[0])))
    return IntExpr(kept, const) if kept else const


def _sum(values: Iterable[Int]) -> Int:
    terms: dict[Atom, int] = {}
    const = 0
    for value in values:
        more, constant = _split(value)
        const += constant
        for atom, coefficient in more:
            terms[atom] = terms.get(atom, 0) + coefficient
    return _make(terms, const)


def _factors(atom: Atom) -> tuple[Atom, ...]:
    return atom.factors if isinstance(atom, Product) else (atom,)


def _times(a: Atom, b: Atom) -> Atom:
    return Product(tuple(sorted(_factors(a) + _factors(b), key=str)))


def _product(a: Int, b: Int) -> Int:
    terms_a, const_a = _split(a)
    terms_b, const_b = _split(b)
    terms: dict[Atom, int] = {}
    for atom, c in terms_a:
        terms[atom] = terms.get(atom, 0) + c * const_b
    for atom, c in terms_b:
        terms[atom] = terms.get(atom, 0) + c * const_a
    for atom, c in terms_a:
        for other, d in terms_b:
            joint = _times(atom, other)
            terms[joint] = terms.get(joint, 0) + c * d
    return _make(terms, const_a * const_b)


def product(values: Iterable[Int]) -> Int:
    """The product of sizes; 1 when there are none."""
    result: Int = 1
    for value in values:
        result = result * value
    return result


def count(shape: Iterable[Int]) -> int:
    """About how many elements a shape has; a named size counts as 64."""
    return math.prod(value if isinstance(value, int) else 64 for value in shape)


def bounds(value: Int) -> tuple[int | None, int | None]:
    """The least and greatest value that is known to be possible; None where unbounded."""
    if isinstance(value, int):
        return value, value
    low: int | None = value.const
    high: int | None = value.const
    for atom, coefficient in value.terms:
        least, most = _atom_bounds(atom)
        if coefficient < 0:
            least, most = most, least
        low = None if low is None or least is None else low + coefficient * least
        high = None if high is None or most is None else high + coefficient * most
    return low, high


def _atom_bounds(atom: Atom) -> tuple[int | None, int | None]:
    if isinstance(atom, Symbol):
        if atom.extent is None:
            return 0, None
        most = bounds(atom.extent)[1]
        return 0, None if most is None else most - 1
    if isinstance(atom, FloorDiv):
        low, high = bounds(atom.numerator)
        if not isinstance(atom.divisor, int):
            return (0, high) if low is not None and low >= 0 else (None, None)
        d = atom.divisor
        return None if low is None else low // d, None if high is None else high // d
    if isinstance(atom, Mod):
        most = bounds(atom.divisor)[1]
        return 0, None if most is None else most - 1
    most_all: int | None = 1
    for factor in atom.factors:
        least, most = _atom_bounds(factor)
        if least is None or least < 0:
            return None, None
        most_all = None if most_all is None or most is None else most_all * most
    return 0, most_all


def _below(value: Int, limit: Int) -> bool:
    """Whether ``0 <= value < limit`` holds for certain."""
    low, high = bounds(value)
    if low is None or low < 0:
        return False
    if isinstance(limit, int):
        return high is not None and high < limit
    if isinstance(value, int):
        return value == 0  # a named size may be as small as one
    one = len(value.terms) == 1 and value.const == 0 and value.terms[0][1] == 1
    atom = value.terms[0][0]
    return one and (
        (isinstance(atom, Symbol) and atom.extent == limit)
        or (isinstance(atom, Mod) and atom.divisor == limit)
    )


def _divided(value: Int, divisor: Int) -> tuple[Int, Int]:
    """``(quotient, rest)`` with ``value == quotient * divisor + rest``, terms taken whole."""
    terms, const = _split(value)
    if isinstance(divisor, int):
        quotient: dict[Atom, int] = {}
        rest: dict[Atom, int] = {}
        for atom, c in terms:
            if c % divisor == 0:
                quotient[atom] = c // divisor
            else:
                rest[atom] = c
        whole, left = const // divisor, _make(rest, const % divisor)
        low = bounds(left)[0]
        if low is not None and low < 0:  # 11 - i = 9 + (2 - i): the rest must not be negative
            whole, left = whole + low // divisor, left - low // divisor * divisor
        return _make(quotient, whole), left
    if len(divisor.terms) != 1 or divisor.const:
        return (1, 0) if value == divisor else (0, value)
    wanted, scale = divisor.terms[0]
    quotients: list[Int] = []
    rests: list[Int] = [const]
    for atom, c in terms:
        factors = list(_factors(atom))
        need = list(_factors(wanted))
        if c % scale == 0 and all(f in factors for f in need):
            for f in need:
                factors.remove(f)
            rebuilt: Int = c // scale
            for f in factors:
                rebuilt = rebuilt * IntExpr(((f, 1),))
            quotients.append(rebuilt)
        else:
            rests.append(IntExpr(((atom, c),)))
    return _sum(quotients), _sum(rests)


def floordiv(value: Int, divisor: Int) -> Int:
    """``value // divisor``, simplified with the ranges of the symbols."""
    if isinstance(value, int) and isinstance(divisor, int):
        return value // divisor
    if divisor == 1:
        return value
    quotient, rest = _divided(value, divisor)
    if _below(rest, divisor):
        return quotient
    if isinstance(rest, int):
        return quotient + IntExpr(((FloorDiv(IntExpr((), rest), divisor), 1),))
    inner = _single(rest)
    if isinstance(inner, FloorDiv) and isinstance(divisor, int) and isinstance(inner.divisor, int):
        return quotient + floordiv(inner.numerator, inner.divisor * divisor)
    if isinstance(divisor, int):
        shared = reduce(gcd, (c for _, c in rest.terms), divisor)
        if shared > 1:  # (4a + r) // 6 -> (2a + r // 2) // 3
            return quotient + floordiv(floordiv(rest, shared), divisor // shared)
    return quotient + IntExpr(((FloorDiv(rest, divisor), 1),))


def mod(value: Int, divisor: Int) -> Int:
    """``value % divisor``, simplified with the ranges of the symbols."""
    if isinstance(value, int) and isinstance(divisor, int):
        return value % divisor
    if divisor == 1:
        return 0
    _, rest = _divided(value, divisor)
    if _below(rest, divisor):
        return rest
    if isinstance(rest, int):
        return IntExpr(((Mod(IntExpr((), rest), divisor), 1),))
    inner = _single(rest)
    whole = isinstance(divisor, int) and isinstance(inner, Mod) and isinstance(inner.divisor, int)
    if whole and inner.divisor % divisor == 0:  # type: ignore[union-attr]
        return mod(inner.numerator, divisor)  # type: ignore[union-attr]
    if isinstance(divisor, int) and bounds(rest)[0] is not None:
        shared = reduce(gcd, (c for _, c in rest.terms), divisor)
        if shared > 1 and rest.const % shared == 0:  # (4a) % 6 -> 2 * (2a % 3)
            return mod(floordiv(rest, shared), divisor // shared) * shared
    return IntExpr(((Mod(rest, divisor), 1),))


def _single(value: IntExpr) -> Atom | None:
    if value.const == 0 and len(value.terms) == 1 and value.terms[0][1] == 1:
        return value.terms[0][0]
    return None


def symbols(value: Int) -> Iterator[Symbol]:
    """Every symbol inside an expression, repeats included."""
    for atom, _ in _split(value)[0]:
        yield from _atom_symbols(atom)


def _atom_symbols(atom: Atom) -> Iterator[Symbol]:
    if isinstance(atom, Symbol):
        yield atom
    elif isinstance(atom, Product):
        for factor in atom.factors:
            yield from _atom_symbols(factor)
    else:
        yield from symbols(atom.numerator)
        yield from symbols(atom.divisor)


def substitute(value: Int, replacements: Mapping[str, Int]) -> Int:
    """The expression with symbols replaced by name, simplified again."""
    terms, const = _split(value)
    return _sum([const, *(_replaced(atom, replacements) * c for atom, c in terms)])


def _replaced(atom: Atom, replacements: Mapping[str, Int]) -> Int:
    if isinstance(atom, Symbol):
        return replacements.get(atom.name, IntExpr(((atom, 1),)))
    if isinstance(atom, Product):
        return product(_replaced(factor, replacements) for factor in atom.factors)
    numerator = substitute(atom.numerator, replacements)
    divisor = substitute(atom.divisor, replacements)
    return floordiv(numerator, divisor) if isinstance(atom, FloorDiv) else mod(numerator, divisor)


def coefficient(value: Int, name: str) -> Int | None:
    """How much the value grows when symbol ``name`` grows by one; None when not linear in it."""
    terms, _ = _split(value)
    total: Int = 0
    for atom, c in terms:
        if isinstance(atom, Symbol):
            total = total + c if atom.name == name else total
            continue
        factors = _factors(atom)
        here = [f for f in factors if isinstance(f, Symbol) and f.name == name]
        if len(here) > 1:
            return None
        rest = [f for f in factors if not (isinstance(f, Symbol) and f.name == name)]
        if any(s.name == name for f in rest for s in _atom_symbols(f)):
            return None
        if here:
            total = total + product(IntExpr(((f, 1),)) for f in rest) * c
    return total


def evaluate(value: Int, values: Mapping[str, int]) -> int:
    """The number an expression stands for when every symbol has a value."""
    result = substitute(value, values)
    if not isinstance(result, int):
        raise KeyError(f"no value for {', '.join(sorted({s.name for s in symbols(result)}))}")
    return result
