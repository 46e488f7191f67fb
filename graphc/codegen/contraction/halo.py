"""Masks removed: a copy of an operand with zeros around it (the padding of a convolution).

Rows of which every few elements are read (a class of the windows of a strided convolution) are
gathered on the way.

Where a convolution had strides, its gradient reads every few places and zeros between them
(``Divisible``): the copy holds those zeros too.
"""

from dataclasses import dataclass, replace
from math import prod

from graphc.codegen.contraction.operands import Operand, fixed
from graphc.kernel import Axis, Divisible, InRange, Load
from graphc.sizes import FloorDiv, Int, IntExpr, bounds, coefficient, substitute, symbol, symbols

MOST_STRIDE = 4  # between the elements of a row
MOST_BYTES = 64 * 1024 * 1024  # of the copy


@dataclass(frozen=True)
class Padded:
    """A dimension of the copy: places from ``low`` on, ``size`` of them.

    Those in ``[0, limit)`` that ``step`` divides exist; the rest are zeros.
    """

    index: Int  # what the conditions bound
    low: int
    size: int
    limit: int
    step: int
    stride: int  # in the original, for one step
    pitch: int = 1  # in the copy, for one place


@dataclass(frozen=True)
class Halo:
    """The copy of an operand: planes (one for each point of ``axes``) of padded dimensions.

    It holds the planes of one point of the axes ``of_each``: a thread copies them when it comes to
    another point. Without such axes all threads make one copy together.
    """

    source: Load
    axes: tuple[tuple[Axis, int, int], ...]  # axis, stride in the original, pitch in the copy
    dims: tuple[Padded, ...]
    base: Int  # of the original where every axis and every place is 0
    elements: int
    operand: Operand  # what reads the copy
    of_each: tuple[Axis, ...] = ()


def halo(of: Operand, of_each: frozenset[str] = frozenset()) -> Halo | None:
    """The copy that makes an operand's conditions unnecessary; None when there is none.

    Each range must bound a sum of axes that steps through memory with one stride, in axes of its
    own. The other axes number the planes, but for those in ``of_each``.
    """
    load = of.load
    if load is None:
        return None
    index, steps = _without_division(load)
    dims: list[Padded] = []
    taken: set[str] = set()
    for condition in load.mask:
        if isinstance(condition, Divisible):
            continue
        names = {s.name for s in symbols(condition.index)}
        dim = _padded(index, condition, *steps.pop(condition.index, (1, "")))
        if dim is None or names & taken:
            return None
        taken |= names
        dims.append(dim)
    dims += _gathered(of, index, taken)
    dims.sort(key=lambda dim: -dim.stride)
    if steps or not dims or dims[-1].stride > MOST_STRIDE:
        return None  # its rows do not run through memory
    return _copy(of, load, index, taken, dims, of_each)


def _gathered(of: Operand, index: Int, taken: set[str]) -> list[Padded]:
    """Rows that nothing bounds, where every few elements are read: side by side in the copy."""
    strides = {axis.name: coefficient(index, axis.name) for axis in of.axes}
    moving = {name: s for name, s in strides.items() if s != 0}
    if not all(isinstance(s, int) and s > 0 for s in moving.values()):
        return []
    least = min((s for s in moving.values() if isinstance(s, int)), default=1)
    along = [axis for axis in of.axes if moving.get(axis.name) == least]
    if not 1 < least <= MOST_STRIDE or taken & {axis.name for axis in along}:
        return []
    if any(fixed(axis) is None for axis in along):
        return []
    taken |= {axis.name for axis in along}
    size = sum((fixed(axis) or 0) - 1 for axis in along) + 1
    place: Int = 0
    for axis in along:
        place = place + axis.index
    return [Padded(place, 0, size, size, 1, least)]


def _without_division(load: Load) -> tuple[Int, dict[Int, tuple[int, str]]]:
    """The index with quotients under a ``Divisible`` as symbols: {dividend: (divisor, symbol)}."""
    index = load.index
    steps: dict[Int, tuple[int, str]] = {}
    for condition in load.mask:
        if not isinstance(condition, Divisible) or not isinstance(condition.by, int):
            continue
        quotient = f"quotient {len(steps)}"  # no name of a program holds a space
        steps[condition.index] = (condition.by, quotient)
        for atom, factor in index.terms if isinstance(index, IntExpr) else ():
            if not isinstance(atom, FloorDiv) or atom.divisor != condition.by:
                continue
            more = atom.numerator - condition.index
            if isinstance(more, int) and more % condition.by == 0:
                whole = symbol(quotient) + more // condition.by
                index = index - IntExpr(((atom, factor),)) + whole * factor
    return index, steps


def _padded(index: Int, bound: InRange, step: int, quotient: str) -> Padded | None:
    """The dimension that one range bounds."""
    names = {s.name for s in symbols(bound.index)}
    low, high = bounds(bound.index)
    if not names or low is None or high is None or not isinstance(bound.limit, int):
        return None
    if quotient:
        strides = {coefficient(index, quotient)}
        if any(coefficient(index, name) != 0 for name in names):
            return None
    else:
        strides = {_stride(index, bound.index, name) for name in names}
    stride = strides.pop()
    if strides or not isinstance(stride, int) or stride <= 0:
        return None
    low, high = min(low, 0), max(high, bound.limit - 1)
    return Padded(bound.index, low, high - low + 1, bound.limit, step, stride)


def _stride(index: Int, bounded: Int, name: str) -> int | None:
    """Elements of memory for one step of a bounded sum, seen along one axis."""
    step, stride = coefficient(bounded, name), coefficient(index, name)
    if not isinstance(step, int) or not isinstance(stride, int) or stride % step:
        return None
    return stride // step


def _copy(
    of: Operand,
    load: Load,
    index: Int,
    taken: set[str],
    found: list[Padded],
    of_each: frozenset[str],
) -> Halo | None:
    pitch = 1
    dims: list[Padded] = []
    for dim in reversed(found):
        dims.insert(0, replace(dim, pitch=pitch))
        pitch *= dim.size
    others: list[tuple[int, Axis]] = []
    each: list[Axis] = []
    for axis in of.axes:
        stride = coefficient(index, axis.name)
        if axis.name in taken or stride == 0:
            continue
        if not isinstance(stride, int) or fixed(axis) is None:
            return None
        if axis.name in of_each:
            each.append(axis)
        else:
            others.append((stride, axis))
    axes: list[tuple[Axis, int, int]] = []
    for stride, axis in sorted(others, key=lambda other: other[0]):
        axes.insert(0, (axis, stride, pitch))
        pitch *= fixed(axis) or 1
    if pitch * 8 > MOST_BYTES:
        return None
    pitches: dict[str, Int] = {axis.name: 0 for axis in of.axes}
    pitches.update({axis.name: new for axis, _, new in axes})
    for dim in dims:
        for name in {s.name for s in symbols(dim.index)}:
            pitches[name] = (coefficient(dim.index, name) or 0) * dim.pitch
    nothing: dict[str, Int] = {axis.name: 0 for axis in of.axes}
    at_zero = [substitute(dim.index, nothing) for dim in dims]
    start: Int = 0
    base = substitute(index, nothing)
    for dim, at in zip(dims, at_zero, strict=True):
        start = start + (at - dim.low) * dim.pitch
        if dim.step == 1:
            base = base - at * dim.stride
    # A quotient is that of its dividend: 0 where the dividend is.
    base = substitute(base, {s.name: 0 for s in symbols(base) if " " in s.name})
    for axis in each:
        base = base + (coefficient(index, axis.name) or 0) * axis.index
    moved = start
    for axis in of.axes:
        moved = moved + pitches[axis.name] * axis.index
    copied = replace(load, buffer=f"{load.buffer}_padded", index=moved, mask=())
    operand = replace(of, expr=copied, load=copied, strides=pitches, base=start)
    return Halo(load, tuple(axes), tuple(dims), base, pitch, operand, tuple(each))


def copied_rows(of: Halo) -> tuple[int, int]:
    """How many rows are written, and the elements of one."""
    planes = prod(fixed(axis) or 1 for axis in (*(a for a, _, _ in of.axes), *of.of_each))
    return planes * prod(dim.size for dim in of.dims[:-1]), of.dims[-1].size
