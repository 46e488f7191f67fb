"""Index arithmetic of whole tensors: linear positions, simplified conditions, splitting of axes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import gcd

from graphc.kernel import Condition, Divisible, InRange
from graphc.sizes import (
    Atom,
    FloorDiv,
    Int,
    IntExpr,
    Mod,
    Product,
    Symbol,
    bounds,
    floordiv,
    mod,
    product,
    substitute,
    symbol,
)

Index = tuple[Int, ...]


def strides(shape: Sequence[Int]) -> tuple[Int, ...]:
    """Row-major strides in elements."""
    return tuple(product(shape[d + 1 :]) for d in range(len(shape)))


def linear(index: Sequence[Int], shape: Sequence[Int]) -> Int:
    """The row-major position of an index, with quotients and rests put together again."""
    total: Int = 0
    for at, stride in zip(index, strides(shape), strict=True):
        total = total + at * stride
    return rejoined(total)


def unflattened(position: Int, shape: Sequence[Int]) -> Index:
    """The index of a row-major position: the inverse of :func:`linear`."""
    result: list[Int] = []
    rest = position
    for d, stride in enumerate(strides(shape)):
        if shape[d] == 1:
            result.append(0)
            continue
        whole = floordiv(rest, stride)
        result.append(whole if d == 0 else mod(whole, shape[d]))
    return tuple(result)


def rejoined(value: Int) -> Int:
    """``n/d*d + n%d`` becomes ``n``, wherever a sum holds both parts at one scale."""
    value = _lightened(value)
    while True:
        better = _rejoin_once(value)
        if better is None:
            return value
        value = better


def _rejoin_once(value: Int) -> Int | None:
    if isinstance(value, int):
        return None
    terms = dict(value.terms)
    for atom, scale in value.terms:
        if not isinstance(atom, Mod) or not isinstance(atom.divisor, int):
            continue
        if all(terms.get(part) == -scale * c for part, c in atom.numerator.terms):
            whole_steps = floordiv(atom.numerator, atom.divisor) * atom.divisor  # n - n%d -> n/d*d
            return value - _term(atom, scale) + atom.numerator * scale - whole_steps * scale
        whole = _only(floordiv(atom.numerator, atom.divisor))
        if whole is None:
            continue
        wanted = scale * atom.divisor
        if terms.get(whole) == wanted:  # n/d*d + n%d -> n
            return value - _term(atom, scale) - _term(whole, wanted) + atom.numerator * scale
        for other, found in value.terms:  # n%d + (n/d)%b*d -> n%(d*b)
            if found != wanted or not isinstance(other, Mod) or not isinstance(other.divisor, int):
                continue
            if _only(other.numerator) == whole:
                joined = mod(atom.numerator, atom.divisor * other.divisor) * scale
                return value - _term(atom, scale) - _term(other, found) + joined
    return None


def _lightened(value: Int) -> Int:
    """``(g*a + b)/(g*d)`` becomes ``a/d``, and ``%`` likewise, where ``0 <= b < g``."""
    if isinstance(value, int):
        return value
    for atom, scale in value.terms:
        if not isinstance(atom, (FloorDiv, Mod)) or not isinstance(atom.divisor, int):
            continue
        for g in sorted({abs(c) for _, c in atom.numerator.terms}, reverse=True):
            if g < 2 or atom.divisor % g:
                continue
            big: Int = 0
            small: Int = atom.numerator.const % g
            for part, c in atom.numerator.terms:
                if c % g == 0:
                    big = big + _term(part, c // g)
                else:
                    small = small + _term(part, c)
            big = big + atom.numerator.const // g
            low, high = bounds(small)
            if big == 0 or low is None or low < 0 or high is None or high >= g:
                continue
            d = atom.divisor // g
            lighter = floordiv(big, d) if isinstance(atom, FloorDiv) else mod(big, d) * g + small
            return _lightened(value - _term(atom, scale) + lighter * scale)
    return value


def _only(value: Int) -> Atom | None:
    if isinstance(value, int) or value.const or len(value.terms) != 1 or value.terms[0][1] != 1:
        return None
    return value.terms[0][0]


def _term(atom: Atom, scale: int) -> Int:
    return IntExpr(((atom, scale),))


# ------------------------------------------------------------------------------------- conditions


def simplified(conditions: Iterable[Condition]) -> tuple[Condition, ...] | None:
    """The conditions that are still open, each once; None when one can never hold."""
    kept: list[Condition] = []
    for condition in map(_lightest, conditions):
        holds = known(condition)
        if holds is False:
            return None
        if holds is None and condition not in kept:
            kept.append(condition)
    return tuple(kept)


def _lightest(condition: Condition) -> Condition:
    """``0 <= 2*i + 1 < 8`` is ``0 <= i < 4``."""
    index, limit = condition.index, condition.limit if isinstance(condition, InRange) else None
    if isinstance(index, int) or not isinstance(limit, int):
        return condition
    shared = gcd(*(factor for _, factor in index.terms))  # never negative
    if shared == 1:
        return condition
    rest = index.const % shared
    return InRange(floordiv(index - rest, shared), -((rest - limit) // shared))


def known(condition: Condition) -> bool | None:
    """Whether a condition always (True) or never (False) holds; None when it depends."""
    if isinstance(condition, Divisible):
        rest = mod(condition.index, condition.by)
        return rest == 0 if isinstance(rest, int) else None
    low, high = bounds(condition.index)
    limit = condition.limit
    if (high is not None and high < 0) or (
        low is not None and isinstance(limit, int) and low >= limit
    ):
        return False
    if low is None or low < 0:
        return None
    if isinstance(limit, int):
        return True if high is not None and high < limit else None
    return True if _is_axis_of(condition.index, limit) else None


def _is_axis_of(index: Int, limit: Int) -> bool:
    atom = _only(index)
    return isinstance(atom, Symbol) and atom.extent == limit


def substituted(condition: Condition, replacements: Mapping[str, Int]) -> Condition:
    if isinstance(condition, Divisible):
        return Divisible(
            substitute(condition.index, replacements), substitute(condition.by, replacements)
        )
    return InRange(
        substitute(condition.index, replacements), substitute(condition.limit, replacements)
    )


# -------------------------------------------------------------------------------------- splitting


def divisions(value: Int) -> Iterator[tuple[Symbol, int]]:
    """Every ``axis / d`` or ``axis % d`` inside, for a whole axis that ``d`` divides evenly."""
    if isinstance(value, int):
        return
    for atom, _ in value.terms:
        yield from _atom_divisions(atom)


def _atom_divisions(atom: Atom) -> Iterator[tuple[Symbol, int]]:
    if isinstance(atom, Product):
        for factor in atom.factors:
            yield from _atom_divisions(factor)
    elif isinstance(atom, (FloorDiv, Mod)):
        d = atom.divisor
        inner = _only(atom.numerator)
        if (
            isinstance(inner, Symbol)
            and isinstance(d, int)
            and isinstance(inner.extent, int)
            and inner.extent % d == 0
            and 1 < d < inner.extent
        ):
            yield inner, d
        yield from divisions(atom.numerator)


def halves(axis: Symbol, divisor: int) -> tuple[Int, Int, Int]:
    """An axis in two: outer symbol, inner symbol, and the axis expressed in them."""
    assert isinstance(axis.extent, int)
    outer = symbol(f"{axis.name}o", axis.extent // divisor)
    inner = symbol(f"{axis.name}i", divisor)
    return outer, inner, outer * divisor + inner
