"""Reductions across memory: lanes of a parallel axis are accumulated side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from graphc.codegen.expressions import Expressions
from graphc.codegen.loops import ENOUGH_CHUNKS, GRAIN, LoopMaker, Loops, real, steps
from graphc.codegen.placement import Placement, mentioned, read_by
from graphc.codegen.short import LANES, Copy, lane_of, turned
from graphc.codegen.statements import Statements, in_parts
from graphc.codegen.sweeps import with_kept_values
from graphc.codegen.views import Collected, Kept, Lanes, NestView, PhaseView
from graphc.kernel import Axis, Call, Expr, Load, Masked, Nest, Phase, Statement, Store
from graphc.sizes import Int, coefficient, symbols

TILE = 1024  # lanes accumulated together: their sums stay in the first-level cache
SMALL_TILE = 256  # where larger ones would leave threads without work
MOST_DIVIDED = 1 << 16  # columns whose partial sums are worth keeping
PARTS = 16  # parts of a divided sweep, whatever the number of threads
LONG_SWEEP = 16 * PARTS  # steps from which a sweep is worth dividing
PART_BYTES = 8


def wide(nest: Nest) -> bool:
    """Whether the last parallel axis is worth a tile: several neighbours in memory."""
    axes = real(nest.axes)
    if not axes or (isinstance(axes[-1].extent, int) and axes[-1].extent < 4):
        return False
    phases = [phase for phase in nest.phases if phase.axes]
    return any(coefficient(at, axes[-1].name) == 1 for phase in phases for at in _touched(phase))


def _touched(phase: Phase) -> Iterator[Int]:
    """The places in memory that a sweep reads and writes."""
    for statement in phase.body:
        yield from _loaded(statement.expr)
    for reduction in phase.reductions:
        yield from _loaded(reduction.expr)
    for store in phase.stores:
        yield store.index
        yield from _loaded(store.expr)


def _loaded(expr: Expr) -> Iterator[Int]:
    if isinstance(expr, Load):
        yield expr.index
    elif isinstance(expr, Call):
        for arg in expr.args:
            yield from _loaded(arg)
    elif isinstance(expr, Masked):
        yield from _loaded(expr.value)
        yield from _loaded(expr.other)


@dataclass
class Columns:
    """Builds the view of one nest; ``scratch_bytes`` grows by what it keeps in shared scratch."""

    statements: Statements
    maker: LoopMaker
    scratch_bytes: int = 0
    _outside: dict[str, Statement] = field(default_factory=dict)
    _kept: dict[str, str] = field(default_factory=dict)  # names in tiles, and their types

    @property
    def expressions(self) -> Expressions:
        return self.statements.expressions

    def view(self, nest: Nest, serial: bool) -> tuple[str, NestView]:
        """The template and the view of a nest; ``serial`` when one thread runs it."""
        *others, last = real(nest.axes)
        many = (steps(others) or ENOUGH_CHUNKS) >= ENOUGH_CHUNKS
        if not serial and not others and _divisible(nest):
            return "divided", self._divided(nest, last)
        size = TILE if serial or many else SMALL_TILE
        lanes, tiles = self._tiles(last, size)
        axes = (*others, *tiles)
        loops = self.maker.plain(axes) if serial else self.maker.chunked(axes, vector=False)
        return "columns", self._tiled(nest, last, loops, lanes)

    def short_rows(self, nest: Nest, serial: bool) -> NestView:
        """Rows side by side, in arrays that are filled before and emptied after."""
        *others, last = real(nest.axes)
        lanes, tiles = self._tiles(last, LANES)
        nest, kept = with_kept_values(nest, self.maker.taken, LANES, lane_of(last))
        names = self.maker.taken | {array.name for array in kept}
        rows = turned(nest, names)
        axes = (*others, *tiles)
        loops = self.maker.plain(axes) if serial else self.maker.chunked(axes, vector=False)
        view = self._tiled(rows.nest, last, loops, lanes)
        render = self.expressions
        before = [
            f"{render.dialect.storage(array.dtype)} {render.identifier(array.name)}[{array.size}];"
            for array in (*kept, *rows.arrays)
        ]
        before += [line for copy in rows.before for line in self._copy(copy, lanes)]
        after = [line for copy in rows.after for line in self._copy(copy, lanes)]
        first = replace(view.phases[0], before=(*before, *view.phases[0].before))
        return replace(view, phases=(first, *view.phases[1:]), after=tuple(after))

    def _copy(self, copy: Copy, lanes: Lanes) -> Iterator[str]:
        """The elements of the rows of a tile, one row after the other."""
        yield "for (int64_t lane = 0; lane < width; lane++) {"
        yield f"const int64_t {lanes.axis} = {f'{lanes.start} + ' if lanes.start else ''}lane;"
        for axis in real(copy.axes):
            name = self.expressions.identifier(axis.name)
            end = self.expressions.integer(axis.extent)
            yield self.expressions.dialect.unroll.format(axis.extent)
            yield f"for (int64_t {name} = 0; {name} < {end}; {name}++) {{"
        yield self.expressions.store(copy.store)
        yield from ["}"] * (1 + len(real(copy.axes)))

    def _tiles(self, last: Axis, size: int) -> tuple[Lanes, tuple[Axis, ...]]:
        """The lanes of a tile and the axis of the tiles, if there is more than one."""
        render = self.expressions
        extent = render.integer(last.extent)
        axis = render.identifier(last.name)
        if isinstance(last.extent, int) and last.extent <= size:
            return Lanes(axis, "", extent, extent, last.extent), ()
        tiles = Axis(f"{last.name}_tile", (last.extent + (size - 1)) // size)
        start = f"{render.identifier(tiles.name)}*{size}"
        width = f"gc_least({extent} - {start}, {size})"
        return Lanes(axis, start, width, extent, size), (tiles,)

    def _tiled(self, nest: Nest, last: Axis, loops: Loops, lanes: Lanes) -> NestView:
        """Each phase in turn for a tile; what a later phase reads is kept along the lanes."""
        placement = Placement(loops.axes)
        depth = len(loops.loops)
        views = []
        lines: list[str] = []
        for phase, needed in zip(nest.phases, _read_later(nest), strict=True):
            sweep = self.maker.plain(phase.axes)
            view, outer = self._phase(phase, placement, depth, sweep, last.name, needed)
            lines += outer
            views.append(view)
        levels = tuple(loop.level for loop in loops.loops)
        if levels:
            levels = (*levels[:-1], replace(levels[-1], statements=tuple(lines)))
        return NestView(
            levels,
            tuple(views),
            before=() if levels else tuple(lines),
            shared=loops.shared,
            grain=loops.grain,
            lanes=lanes,
        )

    def _divided(self, nest: Nest, last: Axis) -> NestView:
        """One sweep in parts: all threads work on all columns, then join their parts."""
        (phase,) = nest.phases
        lanes, tiles = self._tiles(last, TILE)
        tile_loops = self.maker.plain(tiles)
        sweep = self.maker.chunked(phase.axes, vector=False)
        placement = Placement(((), *tile_loops.axes))
        view, lines = self._phase(
            phase, placement, 1 + len(tile_loops.loops), sweep, last.name, frozenset()
        )
        assert isinstance(last.extent, int)
        size = PARTS * last.extent * PART_BYTES
        reductions = []
        for reduction, collected in zip(phase.reductions, view.reductions, strict=True):
            at = f"part*{last.extent} + {lanes.axis}"
            reductions.append(in_parts(reduction, collected, at, self.scratch_bytes, size, True))
            self.scratch_bytes += size * (2 if collected.best else 1)
        view = replace(
            view,
            before=tuple(lines),
            reductions=tuple(reductions),
            shared=sweep.shared,
            grain=sweep.grain,
        )
        lanes = replace(lanes, tiles=tuple(loop.level for loop in tile_loops.loops))
        return NestView((), (view,), grain=GRAIN, lanes=lanes, parts=PARTS)

    def _phase(
        self,
        phase: Phase,
        placement: Placement,
        depth: int,
        sweep: Loops,
        lane: str,
        needed: frozenset[str],
    ) -> tuple[PhaseView, list[str]]:
        """One phase below ``depth`` loops, and the lines that need neither sweep nor lane."""
        axes = [axis.name for axis in phase.axes]
        innermost = depth + len(sweep.loops) + 1
        inside = placement.inside((*sweep.axes, (lane,)), depth)
        reductions = tuple(self.statements.collected(r, axes, lanes=True) for r in phase.reductions)
        placed = inside.place(phase.body, innermost, depth, self._outside)
        group = placed.get(depth, [])
        self._outside.update({s.name: s for s in group})
        outer = list(self.statements.lines(group))
        levels = tuple(
            replace(loop.level, statements=self.statements.lines(placed.get(at, ())))
            for at, loop in enumerate(sweep.loops, depth + 1)
        )
        body = self.statements.lines(placed.get(innermost, ()))
        for statement in group:
            placement.define(statement.name, depth)
        stores = self.statements.stores(phase.stores)
        if any(axis.extent == 0 for axis in phase.axes):
            levels, stores, body = (), (), ()
            reductions = tuple(replace(r, update=()) for r in reductions)
        read = _read_in(phase)
        reads = [
            Kept(self.expressions.identifier(n), k) for n, k in self._kept.items() if n in read
        ]
        # Without a sweep the body is straight-line code: later phases may read it as well.
        straight = () if sweep.loops else placed.get(innermost, ())
        view = PhaseView(
            levels=levels,
            body=body,
            stores=stores,
            reductions=reductions,
            finals=self.statements.lines(phase.finals),
            final_stores=self.statements.stores(phase.final_stores),
            reads=tuple(reads),
            keeps=self._keeps(phase, reductions, straight, needed),
            positions=any(r.best for r in reductions),
        )
        for name in (*(r.name for r in phase.reductions), *(s.name for s in phase.finals)):
            placement.define(name, innermost)
        return view, outer

    def _keeps(
        self,
        phase: Phase,
        reductions: Sequence[Collected],
        straight: Sequence[Statement],
        needed: frozenset[str],
    ) -> tuple[Kept, ...]:
        """What the phase defines in every lane and a later phase reads."""
        defined = [(r.name, c.kind) for r, c in zip(phase.reductions, reductions, strict=True)]
        defined += [(s.name, self.statements.kind(s)) for s in (*straight, *phase.finals)]
        kept = {name: kind for name, kind in defined if name in needed}
        self._kept.update(kept)
        return tuple(Kept(self.expressions.identifier(n), kind) for n, kind in kept.items())


def _divisible(nest: Nest) -> bool:
    """Whether it is one long sweep over not too many columns."""
    extent = real(nest.axes)[-1].extent
    if len(nest.phases) != 1 or not isinstance(extent, int) or extent > MOST_DIVIDED:
        return False
    (phase,) = nest.phases
    return not phase.stores and (steps(phase.axes) or 0) >= LONG_SWEEP


def _read_in(phase: Phase) -> frozenset[str]:
    names: set[str] = set()
    for statement in (*phase.body, *phase.finals):
        names.update(read_by(statement))
    for reduction in phase.reductions:
        names.update(mentioned(reduction.expr))
        if reduction.position is not None:
            names.update(s.name for s in symbols(reduction.position))
    for store in (*phase.stores, *phase.final_stores):
        names.update(_read_by_store(store))
    return frozenset(names)


def _read_by_store(store: Store) -> frozenset[str]:
    return frozenset(mentioned(store.expr)) | {s.name for s in symbols(store.index)}


def _read_later(nest: Nest) -> tuple[frozenset[str], ...]:
    """For each phase the names that later phases read."""
    later: list[frozenset[str]] = []
    names: frozenset[str] = frozenset()
    for phase in reversed(nest.phases):
        later.append(names)
        names |= _read_in(phase)
    return tuple(reversed(later))
