"""Masks removed: a copy of an operand with zeros around it (the padding of a convolution)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from graphc.codegen.contraction.operands import Operand, fixed
from graphc.kernel import Axis, InRange, Load
from graphc.sizes import Int, bounds, coefficient, substitute, symbols

MOST_BYTES = 64 * 1024 * 1024  # of the copy


@dataclass(frozen=True)
class Padded:
    """A dimension of the copy: ``size`` places, of which ``limit`` from ``-low`` on exist."""

    index: Int  # what the condition bounds
    low: int
    size: int
    limit: int
    stride: int  # in the original
    pitch: int  # in the copy


@dataclass(frozen=True)
class Halo:
    """The copy of an operand: planes (one for each point of ``axes``) of padded dimensions."""

    source: Load
    axes: tuple[tuple[Axis, int, int], ...]  # axis, stride in the original, pitch in the copy
    dims: tuple[Padded, ...]
    base: Int  # of the original where every axis and every padded index is 0
    elements: int
    operand: Operand  # what reads the copy


def halo(of: Operand) -> Halo | None:
    """The copy that makes an operand's conditions unnecessary; None when there is none.

    Each condition must bound a sum of axes, ``0 <= sum < limit``, that steps through memory with
    one stride, in axes of its own. The other axes number the planes.
    """
    load = of.load
    if load is None or of.strides is None or not load.mask:
        return None
    taken: set[str] = set()
    found: list[tuple[Int, int, int, int, int]] = []
    for condition in load.mask:
        if not isinstance(condition, InRange) or not isinstance(condition.limit, int):
            return None
        names = {s.name for s in symbols(condition.index)}
        strides = {_stride(of, condition.index, name) for name in names}
        low, high = bounds(condition.index)
        if not names or names & taken or len(strides) != 1 or low is None or high is None:
            return None
        stride = strides.pop()
        if stride is None or stride <= 0:
            return None
        taken |= names
        low, high = min(low, 0), max(high, condition.limit - 1)
        found.append((condition.index, low, high - low + 1, condition.limit, stride))
    found.sort(key=lambda dim: -dim[4])
    return _copy(of, load, taken, found)


def _stride(of: Operand, index: Int, name: str) -> int | None:
    """Elements of memory for one step of a bounded index, seen along one axis."""
    step, stride = coefficient(index, name), of.stride(name)
    if not isinstance(step, int) or not isinstance(stride, int) or stride % step:
        return None
    return stride // step


def _copy(
    of: Operand, load: Load, taken: set[str], found: list[tuple[Int, int, int, int, int]]
) -> Halo | None:
    if not found or found[-1][4] != 1:
        return None  # its rows do not run through memory
    pitch = 1
    dims: list[Padded] = []
    for index, low, size, limit, stride in reversed(found):
        dims.insert(0, Padded(index, low, size, limit, stride, pitch))
        pitch *= size
    moving = [a for a in of.axes if a.name not in taken and of.stride(a.name) != 0]
    axes: list[tuple[Axis, int, int]] = []
    for axis in sorted(moving, key=lambda a: _number(of.stride(a.name)) or 0):
        stride_, extent = _number(of.stride(axis.name)), fixed(axis)
        if stride_ is None or extent is None:
            return None
        axes.insert(0, (axis, stride_, pitch))
        pitch *= extent
    if pitch * 4 > MOST_BYTES:
        return None
    inner = {dim.index: dim for dim in dims}
    pitches: dict[str, Int] = dict.fromkeys(of.strides or {}, 0)
    pitches.update({axis.name: new for axis, _, new in axes})
    for index, dim in inner.items():
        for name in {s.name for s in symbols(index)}:
            pitches[name] = (coefficient(index, name) or 0) * dim.pitch
    nothing = dict.fromkeys(pitches, 0)
    start = sum(((_at(dim.index, nothing) - dim.low) * dim.pitch for dim in dims), start=0)
    moved: Int = start
    for name, step in pitches.items():
        moved = moved + step * _symbol(of, name)
    copied = replace(load, buffer=f"{load.buffer}_padded", index=moved, mask=())
    base = of.base - sum((_at(dim.index, nothing) * dim.stride for dim in dims), start=0)
    operand = replace(of, expr=copied, load=copied, strides=pitches, base=start)
    return Halo(load, tuple(axes), tuple(dims), base, pitch, operand)


def _at(index: Int, places: Mapping[str, Int]) -> int:
    value = substitute(index, places)
    assert isinstance(value, int)
    return value


def _number(value: Int | None) -> int | None:
    return value if isinstance(value, int) else None


def _symbol(of: Operand, name: str) -> Int:
    return next(axis.index for axis in of.axes if axis.name == name)


def copied_elements(of: Halo) -> int:
    """How many elements are written."""
    planes = prod(fixed(axis) or 1 for axis, _, _ in of.axes)
    return planes * prod(dim.size for dim in of.dims)
