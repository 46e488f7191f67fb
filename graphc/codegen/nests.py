"""A nest of the loop IR as the view that its template reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from graphc.codegen.expressions import Expressions
from graphc.codegen.loops import LoopMaker, Loops, Sharing, real, steps
from graphc.codegen.placement import Placement, mentioned, read_by
from graphc.codegen.statements import Statements, in_parts
from graphc.codegen.views import Collected, Kept, Lanes, NestView, PhaseView
from graphc.kernel import Axis, Nest, Param, Phase, Reduction, Skeleton, Statement, Store
from graphc.sizes import symbols

SHARED_WORK = 30_000  # scalar operations below which one thread is faster than two
UNROLLED = 32  # steps of a short reduction that are written out by the compiler
TILE = 256  # columns accumulated together: their sums stay in the first-level cache
PARTS = 64  # parts of a total, whatever the number of threads: results do not depend on it
PART_BYTES = 8  # one partial result


@dataclass
class NestRenderer:
    """Builds the views of one kernel's nests, in order."""

    statements: Statements
    maker: LoopMaker
    scratch_bytes: int = 0
    _outside: dict[str, Statement] = field(default_factory=dict)
    _kinds: dict[str, str] = field(default_factory=dict)

    @property
    def expressions(self) -> Expressions:
        return self.statements.expressions

    # ------------------------------------------------------------------------------------- C

    def on_cpu(self, nest: Nest) -> tuple[str, NestView]:
        """The template and the view of a nest for threads that take contiguous parts."""
        self._outside = {}
        self._kinds = {}
        serial = nest.schedule.serial or nest.schedule.work < SHARED_WORK or not real(nest.axes)
        sweeps = [phase for phase in nest.phases if real(phase.axes)]
        skeleton = nest.schedule.skeleton
        divided = nest.schedule.work >= SHARED_WORK and not nest.schedule.serial
        if skeleton is Skeleton.TOTAL and divided and sweeps:
            return "total", self._total(nest)
        short = all((steps(phase.axes) or UNROLLED + 1) <= UNROLLED for phase in sweeps)
        across = skeleton is Skeleton.COLUMNS and not nest.schedule.serial
        if across and sweeps and not short and _wide(nest):
            return "columns", self._columns(nest, serial)
        vector = not sweeps or (across and short)
        loops = self.maker.plain(nest.axes) if serial else self.maker.chunked(nest.axes, vector)
        if vector and not nest.schedule.serial:
            loops = self.maker.vectorised(loops)
        return "nest", self._rows(nest, loops, unroll=vector, vectorise=not nest.schedule.serial)

    def _rows(
        self,
        nest: Nest,
        loops: Loops,
        unroll: bool,
        vectorise: bool,
        sharing: Sharing = Sharing.SERIAL,
    ) -> NestView:
        """Phases one after the other at each point of the parallel loops."""
        placement = Placement(loops.axes)
        depth = len(loops.loops)
        straight = all(not real(phase.axes) for phase in nest.phases)
        lines: dict[int, list[str]] = {}
        views = []
        for phase in nest.phases:
            if sharing is Sharing.SERIAL:
                sweep = self.maker.unrolled(phase.axes) if unroll else self.maker.plain(phase.axes)
            else:
                sweep = self.maker.strided(phase.axes, sharing)
            view, outer = self._phase(
                phase,
                placement,
                depth,
                sweep,
                widen=not unroll,
                straight=straight,
                vectorise=vectorise and not unroll,
            )
            for level, texts in outer.items():
                lines.setdefault(level, []).extend(texts)
            views.append(view)
        levels = tuple(
            replace(loop.level, statements=tuple(lines.get(at, ())))
            for at, loop in enumerate(loops.loops, 1)
        )
        return NestView(
            levels,
            tuple(views),
            before=tuple(lines.get(0, ())),
            shared=loops.shared,
            grain=loops.grain,
        )

    def _phase(
        self,
        phase: Phase,
        placement: Placement,
        depth: int,
        sweep: Loops,
        widen: bool,
        straight: bool,
        vectorise: bool,
    ) -> tuple[PhaseView, dict[int, list[str]]]:
        """One phase below ``depth`` loops, and lines that belong to the loops around it."""
        axes = [axis.name for axis in phase.axes]
        reductions = tuple(self.statements.collected(r, axes, widen) for r in phase.reductions)
        if vectorise and all(r.clause for r in reductions):
            sweep = self.maker.vectorised(sweep, [r.clause for r in reductions])
        inside = placement.inside(sweep.axes, depth)
        deepest = depth + len(sweep.loops)
        # Straight-line nests may compute outside inner parallel loops; phases with sweeps
        # start at the point, where all of their parallel axes are known.
        shallowest = 0 if straight and sweep.loops == () else depth
        placed = inside.place(phase.body, deepest, shallowest, self._outside)
        for at, group in placed.items():
            if at <= depth:
                self._outside.update({s.name: s for s in group})
        outer: dict[int, list[str]] = {}
        for at in sorted(at for at in placed if at < depth):
            outer[at] = list(self.statements.lines(placed[at]))
        before = self.statements.lines(placed.get(depth, ()))
        levels = tuple(
            replace(loop.level, statements=self.statements.lines(placed.get(at, ())))
            for at, loop in enumerate(sweep.loops, depth + 1)
        )
        for at, group in placed.items():
            for statement in group:
                placement.define(statement.name, min(at, depth))
        stores = self.statements.stores(phase.stores)
        if any(axis.extent == 0 for axis in phase.axes):
            levels, stores, reductions = (), (), tuple(replace(r, update=()) for r in reductions)
        stores, once = (stores, ()) if levels else ((), stores)
        for reduction in phase.reductions:
            placement.define(reduction.name, depth)
        finals = self._finals(phase.finals, placement, depth)
        view = PhaseView(
            levels=levels,
            before=before,
            stores=stores,
            reductions=reductions,
            finals=finals,
            final_stores=(*once, *self.statements.stores(phase.final_stores)),
        )
        return view, outer

    def _finals(
        self, finals: Sequence[Statement], placement: Placement, depth: int
    ) -> tuple[str, ...]:
        fresh = [s for s in finals if self._outside.get(s.name) != s]
        for statement in fresh:
            placement.define(statement.name, depth)
            self._outside[statement.name] = statement
        return self.statements.lines(fresh)

    # ----------------------------------------------------------------------------- C: columns

    def _columns(self, nest: Nest, serial: bool) -> NestView:
        """Tiles of the last parallel axis; each phase sweeps with the lanes innermost."""
        *others, last = real(nest.axes)
        render = self.expressions
        size = TILE if not isinstance(last.extent, int) else min(TILE, last.extent)
        extent = render.integer(last.extent)
        tile_axis = Axis(f"{last.name}_tile", (last.extent + (size - 1)) // size)
        tiled = (*others, tile_axis)
        loops = self.maker.plain(tiled) if serial else self.maker.chunked(tiled, vector=False)
        tile = render.identifier(tile_axis.name)
        single = isinstance(last.extent, int) and last.extent <= TILE
        lanes = Lanes(
            axis=render.identifier(last.name),
            start="" if single else f"{tile}*{size}",
            width=extent if single else f"gc_least({extent} - {tile}*{size}, {size})",
            extent=extent,
            size=size,
        )
        placement = Placement(loops.axes)
        depth = len(loops.loops)
        needed = _read_later(nest)
        views = []
        lines: list[str] = []
        for number, phase in enumerate(nest.phases):
            view, outer = self._lane_phase(phase, placement, depth, last.name, needed[number])
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

    def _lane_phase(
        self,
        phase: Phase,
        placement: Placement,
        depth: int,
        lane: str,
        needed: frozenset[str],
    ) -> tuple[PhaseView, list[str]]:
        axes = [axis.name for axis in phase.axes]
        sweep = self.maker.plain(phase.axes)
        innermost = depth + len(sweep.loops) + 1
        inside = placement.inside((*sweep.axes, (lane,)), depth)
        reductions = tuple(self.statements.collected(r, axes) for r in phase.reductions)
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
        reads = tuple(
            Kept(self.expressions.identifier(n), k) for n, k in self._kinds.items() if n in read
        )
        defined = [(r.name, c.kind) for r, c in zip(phase.reductions, reductions, strict=True)]
        # Without a sweep the body is straight-line code: later phases may read it as well.
        straight = () if sweep.loops else placed.get(innermost, ())
        defined += [(s.name, self.statements.kind(s)) for s in (*straight, *phase.finals)]
        keeps = []
        for name, kind in defined:
            placement.define(name, innermost)
            if name in needed:
                self._kinds[name] = kind
                keeps.append(Kept(self.expressions.identifier(name), kind))
        view = PhaseView(
            levels=levels,
            body=body,
            stores=stores,
            reductions=reductions,
            finals=self.statements.lines(phase.finals),
            final_stores=self.statements.stores(phase.final_stores),
            reads=reads,
            keeps=tuple(keeps),
            positions=any(r.best for r in reductions),
        )
        return view, outer

    # ------------------------------------------------------------------------------- C: total

    def _total(self, nest: Nest) -> NestView:
        """All threads at every point: each sweep divided, its parts joined in fixed order."""
        loops = self.maker.plain(nest.axes)
        placement = Placement(loops.axes)
        depth = len(loops.loops)
        slots = 2 if depth else 1  # a thread may be one point ahead of another
        views = []
        for phase in nest.phases:
            sweep = self.maker.chunked(phase.axes, vector=True)
            view, _ = self._phase(
                phase, placement, depth, sweep, widen=True, straight=False, vectorise=True
            )
            reductions = [
                self._in_parts(reduction, collected, "slot + part" if depth else "part", slots)
                for reduction, collected in zip(phase.reductions, view.reductions, strict=True)
            ]
            views.append(
                replace(
                    view,
                    reductions=tuple(reductions),
                    shared=sweep.shared,
                    grain=sweep.grain,
                )
            )
        levels = tuple(loop.level for loop in loops.loops)
        return NestView(levels, tuple(views), parts=PARTS)

    def _in_parts(
        self, reduction: Reduction, collected: Collected, at: str, slots: int
    ) -> Collected:
        size = PARTS * slots * PART_BYTES
        offset = self.scratch_bytes
        self.scratch_bytes += size * (2 if collected.best else 1)
        return in_parts(reduction, collected, at, offset, size)

    # ---------------------------------------------------------------------------------- CUDA

    def on_gpu(self, nest: Nest) -> tuple[str, NestView]:
        """The template and the view of a nest for a grid of blocks of threads."""
        self._outside = {}
        self._kinds = {}
        sweeps = [phase for phase in nest.phases if real(phase.axes)]
        if nest.schedule.serial:
            loops = self.maker.plain(nest.axes)
            return "nest", self._rows(nest, loops, unroll=False, vectorise=False)
        by_block = nest.schedule.skeleton in (Skeleton.ROWS, Skeleton.TOTAL) and sweeps
        if by_block:
            loops = self.maker.strided(nest.axes, Sharing.BLOCKS)
            return "rows", self._rows(
                nest, loops, unroll=False, vectorise=False, sharing=Sharing.WITHIN
            )
        loops = self.maker.strided(nest.axes, Sharing.GRID)
        return "nest", self._rows(nest, loops, unroll=False, vectorise=False)


def _wide(nest: Nest) -> bool:
    """Whether the last parallel axis is worth a tile."""
    axes = real(nest.axes)
    if not axes:
        return False
    extent = axes[-1].extent
    return not isinstance(extent, int) or extent >= 4


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


def names_of(nest: Nest, params: Sequence[Param]) -> frozenset[str]:
    """Every name a nest uses, for loop variables to keep away from."""
    names = {param.name for param in params} | {axis.name for axis in nest.axes}
    for phase in nest.phases:
        names |= {axis.name for axis in phase.axes}
        names |= {s.name for s in (*phase.body, *phase.finals)}
        names |= {r.name for r in phase.reductions}
    return frozenset(names)
