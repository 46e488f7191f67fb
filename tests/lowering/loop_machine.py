"""Runs a program of the loop IR literally, a whole nest at a time, and watches every access.

Each axis is an array along a dimension of its own, so a nest is evaluated for all its points at
once, phase by phase. Reads outside a buffer and reads of memory that was never written fail, as do
two stores to one element (unless they add) and launches of one stage that touch each other's
results.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from graphc import dtypes
from graphc.kernel import (
    Axis,
    Combine,
    Condition,
    Const,
    Contraction,
    Divisible,
    Expr,
    Index,
    Launch,
    Load,
    Masked,
    Nest,
    Phase,
    Position,
    Program,
    Reduction,
    Ref,
    Role,
    Store,
)
from graphc.sizes import Atom, FloorDiv, Int, Mod, Product, Symbol, symbols
from tests.lowering.c_text import compute

Array = np.ndarray[Any, Any]
_HALVES = (dtypes.float16, dtypes.bfloat16)
JOINED = {
    Combine.SUM: np.add,
    Combine.PROD: np.multiply,
    Combine.MAX: np.maximum,
    Combine.MIN: np.minimum,
}


class OutOfRangeError(Exception):
    """A checked index was outside its range; ``site`` says where."""

    def __init__(self, site: int) -> None:
        super().__init__(site)
        self.site = site


def in_register(kind: Any) -> Any:
    return np.dtype(np.float32) if kind in _HALVES else kind.numpy


class Memory:
    """The buffers of a program; ``known`` says which elements were written."""

    def __init__(
        self,
        program: Program,
        inputs: Sequence[Array],
        constants: Sequence[Array],
        sizes: dict[str, int],
    ) -> None:
        self.arrays: dict[str, Array] = {}
        self.known: dict[str, Array] = {}
        self.sizes = sizes
        self.program = program
        arena = np.zeros(max(program.arena_bytes, 1), np.uint8)
        arena_known = np.zeros(max(program.arena_bytes, 1), bool)
        for buffer in program.buffers:
            count = prod(int(evaluate(s, sizes)) for s in buffer.shape)
            bytes_ = count * buffer.dtype.itemsize
            if buffer.role is Role.INTERMEDIATE:
                assert buffer.offset % 64 == 0
                end = buffer.offset + bytes_
                assert end <= arena.size or not bytes_
                raw = arena[buffer.offset : end]
                self.arrays[buffer.name] = raw.view(buffer.dtype.numpy)
                self.known[buffer.name] = arena_known[buffer.offset : end]
                continue
            if buffer.role is Role.OUTPUT:
                self.arrays[buffer.name] = np.zeros(count, buffer.dtype.numpy)
                self.known[buffer.name] = np.zeros(bytes_, bool)
                continue
            given = (inputs if buffer.role is Role.INPUT else constants)[buffer.position]
            copied = given.ravel().copy()
            if not buffer.updated:
                copied.flags.writeable = False
            self.arrays[buffer.name] = copied
            self.known[buffer.name] = np.ones(bytes_, bool)

    def is_known(self, name: str, at: Array) -> Array:
        width = self.arrays[name].dtype.itemsize
        return self.known[name][at * width]

    def mark(self, name: str, at: Array) -> None:
        width = self.arrays[name].dtype.itemsize
        for byte in range(width):
            self.known[name][at * width + byte] = True

    def forget(self, name: str) -> None:
        """What lies in an intermediate before its first store is somebody else's."""
        self.known[name][:] = False


def evaluate(value: Int, values: dict[str, Any]) -> Any:
    """An index expression for arrays as axes."""
    if isinstance(value, int):
        return value
    total: Any = value.const
    for atom, scale in value.terms:
        total = total + _atom(atom, values) * scale
    return total


def _atom(atom: Atom, values: dict[str, Any]) -> Any:
    if isinstance(atom, Symbol):
        return values[atom.name]
    if isinstance(atom, Product):
        return prod(_atom(f, values) for f in atom.factors)
    assert isinstance(atom, (FloorDiv, Mod))
    numerator, divisor = evaluate(atom.numerator, values), evaluate(atom.divisor, values)
    return numerator // divisor if isinstance(atom, FloorDiv) else numerator % divisor


class Machine:
    """One nest being run: names and axes have arrays for all points."""

    def __init__(self, memory: Memory, names: dict[str, str], sizes: dict[str, int]) -> None:
        self.memory = memory
        self.buffer = names
        self.values: dict[str, Any] = dict(sizes)
        self.refs: dict[str, Any] = {}
        self.shape: tuple[int, ...] = ()
        self.any_point = True
        self.read: dict[str, set[int]] = {}
        self.written: dict[str, set[int]] = {}

    def bind(self, axes: Sequence[Axis], first: int, total: int) -> tuple[int, ...]:
        extents = []
        for place, axis in enumerate(axes, first):
            extent = int(evaluate(axis.extent, self.values))
            shape = [1] * total
            shape[place] = extent
            assert axis.name not in self.values or not np.ndim(self.values[axis.name])
            self.values[axis.name] = np.arange(extent).reshape(shape)
            extents.append(extent)
        return tuple(extents)

    def holds(self, conditions: Sequence[Condition]) -> Array:
        held: Any = np.ones((1,) * len(self.shape), bool)
        for c in conditions:
            index = evaluate(c.index, self.values)
            if isinstance(c, Divisible):
                held = held & (index % evaluate(c.by, self.values) == 0)
            else:
                held = held & (index >= 0) & (index < evaluate(c.limit, self.values))
        return np.asarray(held)

    def value(self, expr: Expr, active: Any = True) -> Any:
        with np.errstate(all="ignore"):
            return self._value(expr, active)

    def _value(self, expr: Expr, active: Any) -> Any:
        if isinstance(expr, Const):
            return np.asarray(expr.value).astype(in_register(expr.dtype))
        if isinstance(expr, Ref):
            return self.refs[expr.name]
        if isinstance(expr, Position):
            return np.asarray(evaluate(expr.index, self.values)).astype(in_register(expr.dtype))
        if isinstance(expr, Load):
            return self._load(expr, active)
        if isinstance(expr, Masked):
            test = self.holds(expr.conditions)
            a, b = self._value(expr.value, active & test), self._value(expr.other, active)
            return np.where(test, a, b)
        args = tuple(self._value(a, active) for a in expr.args)
        result = np.asarray(compute(expr.text, args))
        return result.astype(in_register(expr.dtype))

    def _load(self, load: Load, active: Any) -> Any:
        test = self.holds(load.mask) & active & self.any_point
        name = self.buffer[load.buffer]
        array = self.memory.arrays[name]
        at = np.asarray(evaluate(load.index, self.values))
        test, at = np.broadcast_arrays(test, at)
        inside = (at >= 0) & (at < array.size)
        assert np.all(inside | ~test), f"{load} reads outside {name}"
        wanted = at[test]
        if wanted.size:
            assert self.memory.is_known(name, wanted).all(), f"{load} reads {name} unwritten"
            self.read.setdefault(name, set()).update(wanted.tolist())
        safe = np.where(test, at, 0)
        found = array[safe] if array.size else np.zeros(at.shape, array.dtype)
        found = found.astype(in_register(load.dtype))
        return np.where(test, found, np.asarray(load.other).astype(found.dtype))

    def run(self, statements: Sequence[Any]) -> None:
        for s in statements:
            if isinstance(s, Index):
                at = np.asarray(self.value(s.expr)).astype(np.int64)
                limit = evaluate(s.limit, self.values)
                at = np.where(at < 0, at + limit, at) if s.wrap else at
                if np.any((at < 0) | (at >= limit)):
                    raise OutOfRangeError(s.site)
                self.values[s.name] = at
            else:
                assert s.name not in self.refs or s.name not in self.buffer
                self.refs[s.name] = self.value(s.expr)

    def store(self, stores: Sequence[Store], shape: tuple[int, ...]) -> None:
        for s in stores:
            name = self.buffer[s.buffer]
            array = self.memory.arrays[name]
            at = np.broadcast_to(evaluate(s.index, self.values), shape).ravel()
            value = np.broadcast_to(self.value(s.expr), shape).ravel()
            assert at.size == 0 or (at.min() >= 0 and at.max() < array.size), f"{s} outside"
            if s.combine is not None:
                with np.errstate(invalid="ignore"):
                    JOINED[s.combine].at(array, at, value.astype(array.dtype))
            else:
                assert np.unique(at).size == at.size, f"{s} stores twice"
                array[at] = value.astype(array.dtype)
            self.memory.mark(name, at)
            self.written.setdefault(name, set()).update(at.tolist())


def run_nest(nest: Nest, machine: Machine) -> None:
    total = len(nest.axes) + max((len(p.axes) for p in nest.phases), default=0)
    machine.shape = (1,) * total
    outer = machine.bind(nest.axes, 0, total)
    for phase in nest.phases:
        run_phase(phase, machine, outer, total)


def run_phase(phase: Phase, machine: Machine, outer: tuple[int, ...], total: int) -> None:
    kept = dict(machine.values)
    inner = machine.bind(phase.axes, len(outer), total)
    ones = (1,) * (total - len(outer) - len(inner))
    full = (*outer, *inner, *ones)
    machine.any_point = 0 not in full
    indices = {s.name for s in phase.body if isinstance(s, Index)}
    placed = any(x.name in indices for s in phase.stores for x in symbols(s.index))
    if phase.axes and placed:
        _in_order(phase, machine, outer, total)
    else:
        machine.run(phase.body)
        machine.store(phase.stores, full)
        results = {r.name: _reduced(r, machine, full, outer, total) for r in phase.reductions}
        machine.refs.update(results)
    machine.values = {**kept}
    machine.any_point = 0 not in outer
    machine.run(phase.finals)
    machine.store(phase.final_stores, (*outer, *(1,) * (total - len(outer))))


def _in_order(phase: Phase, machine: Machine, outer: tuple[int, ...], total: int) -> None:
    """A sweep whose stores meet: one step after the other."""
    extents = [int(evaluate(a.extent, machine.values)) for a in phase.axes]
    for at in np.ndindex(*extents):
        for axis, value in zip(phase.axes, at, strict=True):
            machine.values[axis.name] = value
        machine.run(phase.body)
        machine.store(phase.stores, (*outer, *(1,) * (total - len(outer))))


def _reduced(
    r: Reduction, machine: Machine, full: tuple[int, ...], outer: tuple[int, ...], total: int
) -> Any:
    value = np.broadcast_to(machine.value(r.expr), full)
    rows = value.reshape(*outer, prod(full[len(outer) :]))
    shape = (*outer, *(1,) * (total - len(outer)))
    kind = in_register(r.dtype)
    if r.combine in (Combine.ARGMAX, Combine.ARGMIN):
        assert r.position is not None
        place = np.broadcast_to(evaluate(r.position, machine.values), full).reshape(rows.shape)
        turn = np.negative if rows.dtype.kind == "f" else np.invert  # order reversed, no overflow
        key = rows if r.combine is Combine.ARGMAX else turn(rows)
        key = np.where(np.isnan(rows), np.inf, key) if rows.dtype.kind == "f" else key
        best = np.argmax(key, axis=-1)[..., None]
        return np.take_along_axis(place, best, -1).reshape(shape).astype(np.int64)
    if r.combine in (Combine.ANY, Combine.ALL):
        join = np.logical_or if r.combine is Combine.ANY else np.logical_and
        return join.reduce(rows != 0, axis=-1).reshape(shape)
    if r.combine is Combine.SUM:
        wide = np.float64 if kind.kind == "f" else kind
        return rows.astype(wide).sum(-1, dtype=wide).astype(kind).reshape(shape)
    if r.combine is Combine.PROD:
        return rows.prod(-1, dtype=kind).reshape(shape)
    if kind.kind == "b":
        rows, kind = rows.astype(np.uint8), np.dtype(np.uint8)
    low = -np.inf if kind.kind == "f" else np.iinfo(kind).min
    high = np.inf if kind.kind == "f" else np.iinfo(kind).max
    if r.combine is Combine.MAX:
        return rows.max(-1, initial=low).astype(kind).reshape(shape)
    return rows.min(-1, initial=high).astype(kind).reshape(shape)


def run_contraction(nest: Contraction, machine: Machine) -> None:
    points = (*nest.batch, *nest.rows, *nest.cols)
    total = len(points) + len(nest.depth)
    machine.shape = (1,) * total
    outer = machine.bind(points, 0, total)
    kept = dict(machine.values)
    inner = machine.bind(nest.depth, len(outer), total)
    refs = dict(machine.refs)
    machine.run(nest.lhs_body)
    machine.run(nest.rhs_body)
    left, right = machine.value(nest.lhs), machine.value(nest.rhs)
    for side, foreign in ((left, nest.cols), (right, nest.rows)):
        for axis in foreign:
            place = [a.name for a in points].index(axis.name)
            assert np.ndim(side) == 0 or np.shape(side)[place] == 1
    kind = in_register(nest.dtype)
    wide = np.float64 if kind.kind == "f" else kind
    product = np.broadcast_to(left.astype(wide) * right.astype(wide), (*outer, *inner))
    acc = product.reshape(*outer, prod(inner)).sum(-1, dtype=wide).astype(kind)
    machine.values, machine.refs = kept, refs
    machine.refs[nest.accumulator] = acc.reshape((*outer, *(1,) * len(inner)))
    machine.run(nest.epilogue.body)
    machine.store(nest.epilogue.stores, (*outer, *(1,) * len(inner)))


def run_program(
    program: Program,
    inputs: Sequence[Array],
    constants: Sequence[Array] = (),
    sizes: dict[str, int] | None = None,
) -> tuple[list[Array], dict[str, Array]]:
    """The outputs, and the inputs that were updated, by name."""
    memory = Memory(program, inputs, constants, sizes or {})
    roles = {b.name: b for b in program.buffers}
    seen: set[str] = set()
    for stage in program.stages:
        touched: list[tuple[dict[str, set[int]], dict[str, set[int]]]] = []
        for step in stage:
            assert isinstance(step, Launch)
            assert tuple(p.name for p in step.kernel.params) is not None
            names = {p.name: b for p, b in zip(step.kernel.params, step.buffers, strict=True)}
            for p in step.kernel.params:
                buffer = roles[names[p.name]]
                assert buffer.dtype is p.dtype
                if p.written and buffer.role is Role.INTERMEDIATE and buffer.name not in seen:
                    memory.forget(buffer.name)
                    seen.add(buffer.name)
            for nest in step.kernel.nests:
                machine = Machine(memory, names, sizes or {})
                if isinstance(nest, Nest):
                    run_nest(nest, machine)
                else:
                    assert isinstance(nest, Contraction)
                    run_contraction(nest, machine)
                touched.append((machine.read, machine.written))
                for written in machine.written:
                    assert next(p for p in step.kernel.params if names[p.name] == written).written
        _independent(touched)
    outputs = sorted(
        (b for b in program.buffers if b.role is Role.OUTPUT), key=lambda b: b.position
    )
    shaped = [
        memory.arrays[b.name].reshape([int(evaluate(s, sizes or {})) for s in b.shape])
        for b in outputs
    ]
    for b, array in zip(outputs, shaped, strict=True):
        assert memory.known[b.name].all(), f"output {b.name} is not fully written"
        assert array.dtype == b.dtype.numpy
    updated = {b.name: memory.arrays[b.name] for b in program.buffers if b.updated}
    return shaped, updated


def _independent(touched: list[tuple[dict[str, set[int]], dict[str, set[int]]]]) -> None:
    """No nest of a stage reads or writes what another one writes."""
    for a, (_, written) in enumerate(touched):
        for b, (read, also) in enumerate(touched):
            if a == b:
                continue
            for name in written:
                assert not written[name] & read.get(name, set()), f"{name}: read and written"
                assert not written[name] & also.get(name, set()), f"{name}: written twice"


__all__ = ["Machine", "OutOfRangeError", "run_program"]
