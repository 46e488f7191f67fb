"""Nests of one kernel that differ in their buffers: one function, called for each of them.

An optimizer updates every parameter in the same way, and compiling it once is enough. Nests over a
single axis may differ in its extent too, which the function is passed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from graphc.codegen.canonical import canonical, names_met
from graphc.codegen.nests import SHARED_WORK
from graphc.kernel import Axis, Kernel, Nest, Param, Skeleton
from graphc.sizes import Int, Symbol, product, symbol


@dataclass(frozen=True)
class Use:
    """A nest as the call of a function: a kernel of one nest, the buffers and sizes it is given."""

    function: Kernel
    buffers: tuple[str, ...]
    sizes: tuple[Int, ...]


def uses(kernel: Kernel, name: str) -> Mapping[int, Use]:
    """The nests that some other nest is like, by number, as uses of functions.

    Functions are named after ``name``, the kernel's, with two underscores, which no kernel's own
    name has.
    """
    alike: dict[str, list[tuple[int, Kernel, Use]]] = {}
    for number, nest in enumerate(kernel.nests):
        if isinstance(nest, Nest) and _may_be_used(nest) and not kernel.sizes:
            use = _use(nest, {param.name: param for param in kernel.params})
            same = replace(use.function, nests=(_without_work(use.function.nests[0]),))
            alike.setdefault(canonical(same), []).append((number, use.function, use))
    found: dict[int, Use] = {}
    several = [each for each in alike.values() if len(each) > 1]
    for place, each in enumerate(several, 1):
        tail = f"_{place}" if len(several) > 1 else ""
        function = replace(each[0][1], name=f"{name}__each{tail}")
        found |= {number: replace(use, function=function) for number, _, use in each}
    return found


def _is_plain(nest: Nest) -> bool:
    """Whether a nest computes each of its points by itself."""
    swept = any(phase.axes or phase.reductions for phase in nest.phases)
    return nest.schedule.skeleton is Skeleton.MAP and not swept


def _may_be_used(nest: Nest) -> bool:
    return not nest.schedule.serial and (
        nest.schedule.skeleton is Skeleton.COLUMNS or _is_plain(nest)
    )


def _use(nest: Nest, params: Mapping[str, Param]) -> Use:
    names = names_met(nest)
    buffers = tuple(name for name in names if name in params)
    own = tuple(params[name] for name in buffers)
    whole = Use(Kernel("", own, (nest,)), buffers, ())
    if len(nest.axes) != 1 or not _is_plain(nest):
        return whole
    (axis,) = nest.axes
    if not isinstance(axis.extent, int) or axis.extent == 1:
        return whole
    count = "count"
    while count in names:
        count += "_"
    extent = symbol(count)
    counted = _replaced(nest, {axis: Axis(axis.name, extent)})
    own = tuple(replace(p, shape=(extent,)) if product(p.shape) == axis.extent else p for p in own)
    return Use(Kernel("", own, (counted,), sizes=(count,)), buffers, (axis.extent,))


def _without_work(nest: Any) -> Any:
    """Only whether threads share the work shows in a nest's text."""
    schedule = nest.schedule
    return replace(nest, schedule=replace(schedule, work=int(schedule.work >= SHARED_WORK)))


def _replaced(value: Any, axes: Mapping[Axis, Axis]) -> Any:
    """The value with other axes, also where index expressions mention them."""
    if isinstance(value, Axis):
        return axes.get(value, value)
    if isinstance(value, Symbol):
        for axis, other in axes.items():
            if (value.name, value.extent) == (axis.name, axis.extent):
                return Symbol(other.name, other.extent)
        return value
    if isinstance(value, tuple):
        return tuple(_replaced(item, axes) for item in value)
    if is_dataclass(value) and not isinstance(value, type):
        made = {f.name: _replaced(getattr(value, f.name), axes) for f in fields(value) if f.init}
        same = all(made[name] is getattr(value, name) for name in made)
        return value if same else type(value)(**made)
    return value
