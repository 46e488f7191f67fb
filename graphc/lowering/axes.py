"""The axes of a nest made as few and as long as its accesses allow.

First axes are split where an index divides them (``i/4`` and ``i%4`` become two axes), then
neighbours that every access walks through as one are merged.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from graphc.kernel import Axis, Contraction, Nest, Phase
from graphc.lowering.indexing import divisions, halves, rejoined
from graphc.lowering.rewriting import (
    Change,
    contraction_indices,
    in_contraction,
    in_nest,
    in_phase,
    names_in,
    phase_indices,
)
from graphc.lowering.strides import small_inside, straightened, with_strided_sweeps
from graphc.sizes import Int, Symbol, substitute, symbol, symbols

N = TypeVar("N")
Axes = tuple[Axis, ...]
MOST_SPLITS = 8


def replacing(name: str, value: Int) -> Change:
    """Index expressions with one symbol replaced, quotients and rests joined again."""

    def change(index: Int) -> Int:
        if isinstance(index, int) or all(s.name != name for s in symbols(index)):
            return index
        return rejoined(substitute(index, {name: value}))

    return change


def tidy(nest: Nest) -> Nest:
    """Splits, then merges, the parallel axes and those of each phase."""
    nest, small = with_strided_sweeps(nest)
    nest = straightened(_split(nest), small)
    nest = small_inside(replace(nest, axes=_real(nest.axes)), small)
    nest = _merged_outer(nest)
    return _relabelled(replace(nest, phases=tuple(_merged_phase(p) for p in nest.phases)))


def _real(axes: Sequence[Axis]) -> Axes:
    return tuple(axis for axis in axes if axis.extent != 1)


def _indices(nest: Nest) -> list[Int]:
    return [index for phase in nest.phases for index in phase_indices(phase)]


def _split(nest: Nest) -> Nest:
    for _ in range(MOST_SPLITS):
        found = _division(_indices(nest), nest.axes)
        if found is not None:
            outer, inner, whole = halves(*found)
            nest = in_nest(nest, replacing(found[0].name, whole))
            nest = replace(nest, axes=_with_halves(nest.axes, found[0], outer, inner))
            continue
        for at, phase in enumerate(nest.phases):
            found = _division(list(phase_indices(phase)), phase.axes)
            if found is None:
                continue
            outer, inner, whole = halves(*found)
            phase = in_phase(phase, replacing(found[0].name, whole))
            phase = replace(phase, axes=_with_halves(phase.axes, found[0], outer, inner))
            nest = replace(nest, phases=(*nest.phases[:at], phase, *nest.phases[at + 1 :]))
            break
        else:
            return nest
    return nest


def _division(indices: Sequence[Int], axes: Sequence[Axis]) -> tuple[Symbol, int] | None:
    names = {axis.name for axis in axes}
    for index in indices:
        for axis, by in divisions(index):
            if axis.name in names:
                return axis, by
    return None


def _with_halves(axes: Axes, axis: Symbol, outer: Int, inner: Int) -> Axes:
    result: list[Axis] = []
    for each in axes:
        if each.name != axis.name:
            result.append(each)
            continue
        for part in (outer, inner):
            found = next(iter(symbols(part)))
            assert found.extent is not None
            result.append(Axis(found.name, found.extent))
    return tuple(result)


# ---------------------------------------------------------------------------------------- merging


def mergeable(indices: Sequence[Int], outer: Axis, inner: Axis) -> tuple[Axis, Change] | None:
    """One axis for two, if every index only depends on ``outer*extent + inner``."""
    joint = Axis(inner.name, outer.extent * inner.extent)
    back = outer.index * inner.extent + inner.index

    def change(index: Int) -> Int:
        if isinstance(index, int):
            return index
        names = {s.name for s in symbols(index)}
        if outer.name not in names and inner.name not in names:
            return index
        return rejoined(
            substitute(index, {outer.name: 0, inner.name: symbol(joint.name, joint.extent)})
        )

    for index in indices:
        changed = change(index)
        if rejoined(substitute(changed, {joint.name: back})) != index:
            return None
    return joint, change


def merge(
    axes: Axes,
    indices: Callable[[N], Sequence[Int]],
    apply: Callable[[N, Change], N],
    nest: N,
) -> tuple[N, Axes]:
    """Merges neighbours from the innermost outwards as long as any can be."""
    at = len(axes) - 2
    while at >= 0:
        found = mergeable(indices(nest), axes[at], axes[at + 1])
        if found is not None:
            joint, change = found
            nest = apply(nest, change)
            axes = (*axes[:at], joint, *axes[at + 2 :])
        at -= 1
    return nest, axes


def _merged_outer(nest: Nest) -> Nest:
    changed, axes = merge(nest.axes, _indices, in_nest, nest)
    return replace(changed, axes=axes)


def _merged_phase(phase: Phase) -> Phase:
    phase = replace(phase, axes=_real(phase.axes))
    changed, axes = merge(phase.axes, lambda p: list(phase_indices(p)), in_phase, phase)
    return replace(changed, axes=axes)


LETTERS = "ijklmnopqr"


def _relabelled(nest: Nest) -> Nest:
    """Names the axes i, j, k, ... again after splitting and merging have left gaps."""
    mentioned = {s.name for index in _indices(nest) for s in symbols(index)}
    phases = nest.phases
    fixed = mentioned - {a.name for axes in (nest.axes, *(p.axes for p in phases)) for a in axes}
    fixed |= names_in(nest)
    free = (letter * n for n in (1, 2, 3) for letter in LETTERS if letter * n not in fixed)
    names: dict[str, str] = {}
    for axis in (*nest.axes, *(a for p in phases for a in p.axes)):
        if axis.name not in names:
            names[axis.name] = next(free)

    def change(index: Int) -> Int:
        if isinstance(index, int):
            return index
        found = {s.name: s for s in symbols(index) if s.name in names}
        return substitute(index, {n: symbol(names[n], s.extent) for n, s in found.items()})

    def named(axes: Axes) -> Axes:
        return tuple(Axis(names[a.name], a.extent) for a in axes)

    nest = in_nest(nest, change)
    return replace(
        nest,
        axes=named(nest.axes),
        phases=tuple(replace(p, axes=named(p.axes)) for p in nest.phases),
    )


def tidy_contraction(nest: Contraction) -> Contraction:
    """Merges the axes of each role where both operands and the epilogue allow it."""
    nest, batch = _merged_role(nest, nest.batch)
    nest, rows = _merged_role(nest, nest.rows)
    nest, cols = _merged_role(nest, nest.cols)
    nest, depth = _merged_role(nest, nest.depth)
    return replace(nest, batch=batch, rows=rows, cols=cols, depth=depth)


def _merged_role(nest: Contraction, axes: Axes) -> tuple[Contraction, Axes]:
    return merge(_real(axes), lambda n: list(contraction_indices(n)), in_contraction, nest)
