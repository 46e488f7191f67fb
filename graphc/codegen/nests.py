"""A nest of the loop IR as the view that its template reads."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from graphc.codegen.ahead import asked_ahead
from graphc.codegen.columns import Columns, wide
from graphc.codegen.loops import LoopMaker, Loops, Sharing, real, steps
from graphc.codegen.placement import Placement, repeats
from graphc.codegen.short import has_short_rows
from graphc.codegen.statements import POSITIONS, Statements, in_parts, with_shared_extremes
from graphc.codegen.sweeps import Array, with_found_positions, with_kept_values
from graphc.codegen.transposed import Across, across_memory, tile_loops
from graphc.codegen.views import Collected, NestView, PhaseView
from graphc.codegen.windows import Windows, filled, kept_windows, window_loops
from graphc.kernel import Index, Nest, Param, Phase, Skeleton, Statement

SHARED_WORK = 30_000  # scalar operations below which one thread is faster than two
UNROLLED = 32  # steps of short reductions that the compiler writes out
PARTS = 64  # parts of a total, whatever the number of threads: results do not depend on it
PART_BYTES = 8  # one partial result


@dataclass
class NestRenderer:
    """Builds the view of one nest; ``scratch_bytes`` grows by what it keeps in shared scratch."""

    statements: Statements
    maker: LoopMaker
    scratch_bytes: int = 0
    _outside: dict[str, Statement] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------- C

    def on_cpu(self, nest: Nest) -> tuple[str, NestView]:
        """The template and the view of a nest for threads that take contiguous parts."""
        nest = with_shared_extremes(up_to_empty_tables(nest))
        serial = nest.schedule.serial or nest.schedule.work < SHARED_WORK or not real(nest.axes)
        sweeps = [phase for phase in nest.phases if real(phase.axes)]
        skeleton = nest.schedule.skeleton
        divided = nest.schedule.work >= SHARED_WORK and not nest.schedule.serial
        if skeleton is Skeleton.TOTAL and divided and sweeps:
            return "total", self._total(with_found_positions(nest))
        known = [steps(phase.axes) for phase in sweeps]
        short = sum(UNROLLED + 1 if k is None else k for k in known) <= UNROLLED
        across = skeleton is Skeleton.COLUMNS and not nest.schedule.serial
        if across and sweeps and not short and wide(nest):
            columns = Columns(self.statements, self.maker, self.scratch_bytes)
            template, view = columns.view(nest, serial)
            self.scratch_bytes = columns.scratch_bytes
            return template, view
        if not sweeps and not nest.schedule.serial:
            tiled = across_memory(nest, self.maker.taken)
            if tiled is not None:
                return "nest", self._tiled(tiled, serial)
        if not nest.schedule.serial and has_short_rows(nest):
            columns = Columns(self.statements, self.maker, self.scratch_bytes)
            return "columns", columns.short_rows(nest, serial)
        if across and sweeps and short:
            windows = kept_windows(nest, self.maker.taken)
            if windows is not None:
                return "nest", self._windows(windows, serial)
        vector = not sweeps or (across and short)
        loops = self.maker.plain(nest.axes) if serial else self.maker.chunked(nest.axes, vector)
        if vector and not nest.schedule.serial:
            loops = self.maker.vectorised(loops)
        if vector or nest.schedule.serial:
            vectorise = not nest.schedule.serial
            return "nest", self._rows(nest, loops, unroll=vector, vectorise=vectorise)
        nest, arrays = with_kept_values(with_found_positions(nest), self.maker.taken)
        view = self._rows(nest, loops, unroll=False, vectorise=True)
        view = self._with_lines(view, asked_ahead(nest, self.statements.expressions))
        return "nest", self._with_arrays(view, arrays)

    def _with_lines(self, view: NestView, lines: tuple[str, ...]) -> NestView:
        """The view with lines that come before its second sweep."""
        number = [i for i, phase in enumerate(view.phases) if phase.levels][1] if lines else 0
        changed = replace(view.phases[number], before=(*lines, *view.phases[number].before))
        return replace(view, phases=(*view.phases[:number], changed, *view.phases[number + 1 :]))

    def _windows(self, windows: Windows, serial: bool) -> NestView:
        """Arrays are filled, then read by the windows."""
        loops, around = window_loops(windows, self.maker, serial)
        lines = tuple(filled(windows, self.statements))
        loops = self.maker.vectorised(loops)
        view = self._rows(windows.nest, loops, unroll=True, vectorise=True)
        if around == 0:
            return replace(view, before=(*lines, *view.before))
        level = view.levels[around - 1]
        level = replace(level, statements=(*level.statements, *lines))
        return replace(view, levels=(*view.levels[: around - 1], level, *view.levels[around:]))

    def _tiled(self, tiled: Across, serial: bool) -> NestView:
        """A tile is read along its lines, then written along its lanes."""
        maker = self.maker
        loops = maker.plain(tiled.axes) if serial else maker.chunked(tiled.axes, vector=False)
        placement = Placement(loops.axes)
        views = []
        for phase, axes in (
            (tiled.stage, (tiled.lane, tiled.line)),
            (tiled.phase, (tiled.line, tiled.lane)),
        ):
            sweep = maker.vectorised(tile_loops(self.statements.expressions, axes))
            view, _ = self._phase(
                phase,
                placement,
                len(loops.loops),
                sweep,
                widen=False,
                lanes=False,
                straight=False,
                vectorise=False,
            )
            views.append(view)
        levels = tuple(loop.level for loop in loops.loops)
        whole = NestView(levels, tuple(views), shared=loops.shared, grain=loops.grain)
        return self._with_arrays(whole, tiled.arrays)

    def _with_arrays(self, view: NestView, arrays: Sequence[Array]) -> NestView:
        """The view with memory for values that a sweep keeps for another one."""
        dialect = self.statements.expressions.dialect
        lines = [
            f"{dialect.storage(array.dtype)} "
            f"{self.statements.expressions.identifier(array.name)}[{array.size}];"
            for array in arrays
        ]
        if not lines:
            return view
        first = replace(view.phases[0], before=(*lines, *view.phases[0].before))
        return replace(view, phases=(first, *view.phases[1:]))

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
                lanes=unroll,
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
        lanes: bool,
        straight: bool,
        vectorise: bool,
    ) -> tuple[PhaseView, dict[int, list[str]]]:
        """One phase below ``depth`` loops, and lines that belong to the loops around it."""
        axes = [axis.name for axis in phase.axes]
        joined = vectorise and all(r.combine not in POSITIONS for r in phase.reductions)
        reductions = tuple(
            self.statements.collected(r, axes, widen, lanes, joined) for r in phase.reductions
        )
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
        fresh = [s for s in finals if not repeats(s, self._outside)]
        for statement in fresh:
            placement.define(statement.name, depth)
            self._outside[statement.name] = statement
        return self.statements.lines(fresh)

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
                phase,
                placement,
                depth,
                sweep,
                widen=True,
                lanes=False,
                straight=False,
                vectorise=True,
            )
            reductions = [
                in_parts(reduction, collected, "slot + part" if depth else "part", *place)
                for reduction, collected, place in zip(
                    phase.reductions,
                    view.reductions,
                    self._places(view.reductions, PARTS * slots * PART_BYTES),
                    strict=True,
                )
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

    def _places(self, reductions: Sequence[Collected], size: int) -> list[tuple[int, int]]:
        """Offset and bytes of each reduction's parts in the shared scratch."""
        places = []
        for reduction in reductions:
            places.append((self.scratch_bytes, size))
            self.scratch_bytes += size * (2 if reduction.best else 1)
        return places

    # ---------------------------------------------------------------------------------- CUDA

    def on_gpu(self, nest: Nest) -> tuple[str, NestView]:
        """The template and the view of a nest for a grid of blocks of threads."""
        nest = with_shared_extremes(up_to_empty_tables(nest))
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


def up_to_empty_tables(nest: Nest) -> Nest:
    """The nest cut off behind an index into nothing: it reports, and there is nothing to touch."""
    phases: list[Phase] = []
    for phase in nest.phases:
        body: list[Statement] = []
        never = any(axis.extent == 0 for axis in (*nest.axes, *phase.axes))
        for statement in phase.body:
            body.append(statement)
            if isinstance(statement, Index) and statement.limit == 0 and not never:
                phases.append(Phase(axes=phase.axes, body=tuple(body)))
                return replace(nest, phases=tuple(phases))
        phases.append(phase)
    return nest


def names_of(nest: Nest, params: Sequence[Param]) -> frozenset[str]:
    """Every name a nest uses, for loop variables to keep away from."""
    names = {param.name for param in params} | {axis.name for axis in nest.axes}
    for phase in nest.phases:
        names |= {axis.name for axis in phase.axes}
        names |= {s.name for s in (*phase.body, *phase.finals)}
        names |= {r.name for r in phase.reductions}
    return frozenset(names)
