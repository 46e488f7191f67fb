"""A program as source text: its distinct kernels, and the driver that calls them in order.

The driver finds inputs, outputs and constants in the call's pointer table, in this order, each
role by position (:func:`pointer_slots`); intermediates lie in the arena at their offsets; behind
them comes scratch memory of the kernels (:attr:`ProgramSource.arena_bytes`).
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from graphc.codegen.canonical import canonical
from graphc.codegen.dialect import Dialect
from graphc.codegen.expressions import Expressions
from graphc.codegen.layout import indented
from graphc.codegen.nests import SHARED_WORK
from graphc.codegen.render import Rendered, render_kernel, template_text
from graphc.codegen.source import ProgramSource, Unit
from graphc.codegen.views import LoopView, ProgramView, SegmentView, StageView
from graphc.kernel import Buffer, Carry, HostStep, Launch, Loop, Nest, Program, Role
from graphc.sizes import count

# Nanoseconds of one thread's work: below, waking a second thread takes longer than it saves.
WORTH_WAKING = 25_000
OPERATIONS = 100  # in a nanosecond, by one thread
BYTES = 30  # to and from the cache
_LINE = 64
_MOST_THREADS = 256
_COMMENT = re.compile(r"[ ]*/\*.*?\*/", re.DOTALL)
_CHECK = re.compile(r"\bgc_(index(_wrapped)?|divisor)\(")
_TABLE = (Role.INPUT, Role.OUTPUT, Role.CONSTANT)
# A function of the C library by the name of a kernel would be replaced by it when linking.
_LIBRARY = frozenset(
    """abs acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh div erf erfc exp exp2
    expm1 fabs floor fmax fmin fmod frexp hypot index ldexp lgamma log log10 log1p log2 malloc
    memcpy memmove memset modf nearbyint pow remainder rint round select signal sin sinh sqrt tan
    tanh tgamma trunc y0 y1 yn j0 j1 jn gamma bcmp free calloc realloc main exit time clock rand
    random read write open close sum_""".split()
)


def pointer_slots(program: Program) -> dict[str, int]:
    """Buffer name -> slot in the pointer table: inputs, then outputs, then constants."""
    tabled = [buffer for buffer in program.buffers if buffer.role in _TABLE]
    tabled.sort(key=lambda buffer: (_TABLE.index(buffer.role), buffer.position))
    return {buffer.name: slot for slot, buffer in enumerate(tabled)}


def render_program(
    program: Program, dialect: Dialect, line_directives: bool = False, clocks: bool = False
) -> ProgramSource:
    """The kernels of a program, identical ones once, and (in C) its driver.

    With ``clocks`` the driver takes the time of every launch (gc_clock.h).

    A kernel's text depends on nothing but the kernel, so that objects can be cached by content.
    """
    rendered = _distinct(program, dialect, line_directives)
    distinct = {kernel.name: kernel for kernel in rendered.values()}
    units = [Unit(kernel.name + dialect.suffix, kernel.text) for kernel in distinct.values()]
    segments: tuple[SegmentView, ...] = ()
    shared = 0
    own = 0
    if dialect.chunks:
        writer = _Driver(program, dialect, rendered, clocks)
        segments = writer.segments()
        shared, own = writer.shared_bytes, writer.own_bytes
        view = ProgramView(
            includes=("gc_program.h", "gc_types.h", *(("gc_clock.h",) if clocks else ())),
            declarations=tuple(_declaration(kernel.text) for kernel in distinct.values()),
            segments=segments,
        )
        driver = template_text(f"{dialect.folder}/program.j2", program=view)
        units.append(Unit(f"program{dialect.suffix}", indented(driver)))
    return ProgramSource(
        units=tuple(units),
        entries=tuple(segment.entry for segment in segments),
        kernels={name: kernel.name for name, kernel in rendered.items()},
        threads=max((segment.threads for segment in segments), default=1),
        intermediate_bytes=_aligned(program.arena_bytes),
        shared_bytes=shared,
        own_bytes=own,
        clocks=tuple(x.kernel.name for x in program.launches()) if clocks else (),
    )


def may_divide(program: Program) -> bool:
    """Whether threads may divide some of the work, as far as can be told before rendering."""
    return sum(map(_work, program.launches())) >= SHARED_WORK


def _distinct(program: Program, dialect: Dialect, line_directives: bool) -> dict[str, Rendered]:
    """Kernel name -> its source; kernels that differ in names and comments only share one."""
    found: dict[str, Rendered] = {}
    # In the driver kernels, entries and buffers share one scope.
    buffers = {buffer.name for each in _programs(program) for buffer in each.buffers}
    buffers |= set(program.sizes)
    taken = {"program"} | {
        f"{entry}{tail}" for entry in _entries(program, dialect) for tail in ("", "_body")
    }
    result: dict[str, Rendered] = {}
    for kernel in program.kernels:
        key = canonical(kernel)
        if key not in found:
            name = _single(kernel.name)
            if name in _LIBRARY or name in dialect.reserved or name in buffers:
                name += "_kernel"
            if name in taken:
                name += f"_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
            taken.add(name)
            found[key] = render_kernel(kernel, dialect, name, line_directives)
        result[kernel.name] = found[key]
    return result


def _single(name: str) -> str:
    """The name without two underscores in a row, which functions inside a kernel's file have."""
    return re.sub("__+", "_", name)


Stage = list[Launch | Loop]


def _split(program: Program) -> list[list[Stage]]:
    """The launches and loops of each stage, in runs between host steps."""
    segments: list[list[Stage]] = [[]]
    for stage in program.stages:
        launches = [step for step in stage if not isinstance(step, HostStep)]
        if launches:
            segments[-1].append(launches)
        if any(isinstance(step, HostStep) for step in stage):
            segments.append([])
    return segments


def _entries(program: Program, dialect: Dialect) -> tuple[str, ...]:
    """The exported functions: the program's name, numbered where there are several."""
    count = len(_split(program))
    name = _single(program.name)
    if name in _LIBRARY or name in dialect.reserved:  # functions may be called float, or exp
        name += "_program"
    return (name,) if count == 1 else tuple(f"{name}_{number}" for number in range(count))


def _declaration(text: str) -> str:
    """The prototype of the function that a unit defines."""
    start = text.rindex("\nvoid ") + 1
    signature = _COMMENT.sub("", text[start : text.index("\n{", start)])
    return " ".join(signature.split()).replace("( ", "(") + ";"


def _stages(loop: Loop) -> list[Stage]:
    (stages,) = _split(loop.body)
    return stages


def _launches(stage: Stage) -> Iterator[Launch]:
    """Every launch of a stage, those inside its loops too."""
    for step in stage:
        if isinstance(step, Launch):
            yield step
        else:
            yield from step.body.launches()


def _programs(program: Program) -> Iterator[Program]:
    """A program and the bodies of its loops."""
    yield program
    yield from (loop.body for loop in _loops(program))


def _loops(program: Program) -> Iterator[Loop]:
    """The loops of a program, and those inside of them."""
    for stage in program.stages:
        for step in stage:
            if isinstance(step, Loop):
                yield step
                yield from _loops(step.body)


def _aligned(size: int) -> int:
    return -(-size // _LINE) * _LINE


@dataclass(frozen=True)
class _Crew:
    """The threads that run some stages: how many, the expression for one of them, and where the
    scratch memory that they share is free."""

    threads: int
    each: str = "t"
    scratch: str = "shared"
    offset: int = 0


class _Driver:
    """Writes the calls of a program and lays out the scratch memory of its stages."""

    def __init__(
        self,
        program: Program,
        dialect: Dialect,
        rendered: Mapping[str, Rendered],
        clocks: bool = False,
    ) -> None:
        self.program = program
        self.dialect = dialect
        self.rendered = rendered
        launches = program.launches() if clocks else ()
        self.clocks = {launch.kernel.name: i for i, launch in enumerate(launches)}
        self.expressions = Expressions(dialect)
        self.buffers = {b.name: b for each in _programs(program) for b in each.buffers}
        self.slots = pointer_slots(program)
        self.user_names = dict(name for each in _programs(program) for name in each.names)
        self.shared_bytes = max(
            (self._shared(stage) for segment in _split(program) for stage in segment), default=0
        )
        # A thread's own memory: for one kernel, then for what a part of a loop shares with nobody.
        self.kernel_bytes = max((_aligned(k.own_bytes) for k in rendered.values()), default=0)
        inside = [s for loop in _loops(program) if loop.parts > 1 for s in _stages(loop)]
        self.own_bytes = self.kernel_bytes + max(map(self._shared, inside), default=0)

    def _of(self, launch: Launch) -> Rendered:
        return self.rendered[launch.kernel.name]

    def _shared(self, stage: Stage) -> int:
        """The scratch memory of what runs at the same time; parts of loops have theirs apart."""
        return sum(
            _aligned(self._of(step).shared_bytes)
            if isinstance(step, Launch)
            else max(map(self._shared, _stages(step)), default=0)
            for step in stage
            if isinstance(step, Launch) or step.parts == 1
        )

    def segments(self) -> tuple[SegmentView, ...]:
        entries = _entries(self.program, self.dialect)
        runs = _split(self.program)
        return tuple(self._segment(e, stages) for e, stages in zip(entries, runs, strict=True))

    def _segment(self, entry: str, stages: list[Stage]) -> SegmentView:
        alone = self._nanoseconds(stages) < WORTH_WAKING
        threads = 1 if alone else max((self._threads(stage) for stage in stages), default=1)
        views = self._views(stages, _Crew(threads), stop=self._stop(stages))
        return SegmentView(entry, f"{entry}_body", self._setup(stages), views, threads)

    def _views(
        self, stages: list[Stage], crew: _Crew, stop: int | None = None
    ) -> tuple[StageView, ...]:
        views = []
        for number, stage in enumerate(stages):
            after = stages[number + 1] if number + 1 < len(stages) else None
            # Two stages that thread 0 runs alone keep their order by themselves.
            alone = after is None or (self._alone(stage) and self._alone(after))
            views.append(self._view(stage, crew, alone, number, stop))
        return tuple(views)

    def _view(
        self, stage: Stage, crew: _Crew, alone: bool, number: int, stop: int | None
    ) -> StageView:
        calls, loops = [], []
        for step in stage:
            if isinstance(step, Launch):
                calls.append(self._call(step, crew))
                taken = _aligned(self._of(step).shared_bytes)
            else:
                loops.append(self._loop(step, crew))
                taken = self._shared([step])
            crew = replace(crew, offset=crew.offset + taken)
        meet = not alone or number + 1 == stop  # all threads stop, or none does
        return StageView(
            tuple(calls), crew.threads > 1 and meet, stop=number == stop, loops=tuple(loops)
        )

    def _alone(self, stage: Stage) -> bool:
        """Whether thread 0 does everything."""
        return all(
            self._of(step).alone
            if isinstance(step, Launch)
            else step.parts == 1 and all(map(self._alone, _stages(step)))
            for step in stage
        )

    def _stop(self, stages: list[Stage]) -> int | None:
        """The first stage that writes inputs, where all indices were checked before it."""
        checks = [any(_CHECK.search(self._of(x).text) for x in _launches(s)) for s in stages]
        for number, stage in enumerate(stages):
            if any(self._updates(launch) for launch in _launches(stage)):
                return number if any(checks[:number]) and not any(checks[number:]) else None
        return None

    def _updates(self, launch: Launch) -> bool:
        """Whether a launch writes what the caller passed. Bodies of loops never do."""
        written = (p for p in launch.kernel.params if p.written)
        places = dict(zip((p.name for p in launch.kernel.params), launch.buffers, strict=True))
        return any(self.buffers[places[p.name]].role is Role.INPUT for p in written)

    def _threads(self, stage: Stage) -> int:
        """Work that runs at the same time decides."""
        found = [1, _pay(sum(self._work(x) for x in stage if isinstance(x, Launch)))]
        for step in stage:
            if isinstance(step, Loop) and step.parts > 1:
                work = sum(_work(launch) for launch in step.body.launches())
                found.append(min(step.parts, _pay(work * step.steps * step.parts)))
            elif isinstance(step, Loop):
                found += map(self._threads, _stages(step))
        return max(found)

    def _nanoseconds(self, stages: list[Stage]) -> float:
        """About how long one thread takes for what several may divide."""
        total = 0.0
        for step in (step for stage in stages for step in stage):
            if isinstance(step, Loop):
                total += step.steps * step.parts * self._nanoseconds(_stages(step))
            elif not self._of(step).alone:
                moved = (self.buffers[name] for name in step.buffers if name in self.buffers)
                size = sum(count(b.shape) * b.dtype.itemsize for b in moved)
                total += _work(step) / OPERATIONS + size / BYTES
        return total

    def _work(self, launch: Launch) -> int:
        """What several threads may divide."""
        return 0 if self._of(launch).alone else _work(launch)

    # ---------------------------------------------------------------------------------- loops

    def _loop(self, loop: Loop, crew: _Crew) -> LoopView:
        stages = _stages(loop)
        if loop.parts > 1:
            crew = _Crew(1, "&gc_alone", "own", self.kernel_bytes)
        views = self._views(stages, crew)
        if views and crew.threads > 1 and not (self._alone(stages[0]) and self._alone(stages[-1])):
            views = (*views[:-1], replace(views[-1], barrier=True))  # before the next step
        order = ", the last slice first" if loop.reverse else ""
        comment = f"{loop.name}: {loop.steps} steps of {loop.body.name}{order}"
        if loop.parts > 1:
            comment += f", for {loop.parts} parts of the batch"
        setup = self._step(loop, stages)
        return LoopView(comment, loop.steps, setup, views, loop.parts, loop.reverse)

    def _step(self, loop: Loop, stages: list[Stage]) -> tuple[str, ...]:
        """The memory of one step, for what its stages touch."""
        used = dict.fromkeys(name for stage in stages for x in stage for name in x.buffers)
        sources = {inner: self.expressions.identifier(outer) for inner, outer in loop.fixed}
        at = f"({loop.steps - 1} - gc_step)" if loop.reverse else "gc_step"
        for s in loop.slices:
            moved = f" + {at}*{s.elements}" if s.elements else ""
            sources[s.inner] = self._of_part(s.outer, s.part) + moved
        workspace = self._of_part(loop.workspace, loop.part_bytes) if loop.workspace else ""
        for carry in loop.carries:
            sources |= self._carried(carry, loop.steps, workspace)
        lines = []
        for name in used:
            buffer = self.buffers[name]
            source = sources.get(name, f"({workspace} + {buffer.offset})")
            lines.append(self._declared(buffer, source))
        return tuple(lines)

    def _of_part(self, buffer: str, size: int) -> str:
        """Where what belongs to a part of a loop begins in a buffer of all parts."""
        name = self.expressions.identifier(buffer)
        return f"{name} + gc_part*{size}" if size else name

    def _carried(self, carry: Carry, steps: int, workspace: str) -> dict[str, str]:
        """Where a step finds what the one before it left, and where it leaves its own."""
        kind = self.dialect.storage(self.buffers[carry.read].dtype)
        place = f"({kind} *)({workspace} + {carry.offset} + ({{}} & 1)*{carry.size})"
        initial = self._of_part(carry.initial, carry.part)
        read = (
            f"gc_step == 0 ? {initial} : {place.format('(gc_step + 1)')}" if steps > 1 else initial
        )
        written = place.format("gc_step")
        if carry.final is not None:
            final = self._of_part(carry.final, carry.part)
            written = f"gc_step == {steps - 1} ? {final} : {written}" if steps > 1 else final
        return {carry.read: read, carry.written: written}

    def _declared(self, buffer: Buffer, source: str) -> str:
        kind = self.dialect.storage(buffer.dtype)
        if buffer.role is Role.INTERMEDIATE:
            source = f"({kind} *){source}"
        shape = ", ".join(str(size) for size in buffer.shape)
        known = self.user_names.get(buffer.name, "")
        comment = f"{buffer.dtype.short}[{shape}] {known}".strip()
        name = self.expressions.identifier(buffer.name)
        return f"{kind} *const {name} = {source}; /* {comment} */"

    # ----------------------------------------------------------------------------------- lines

    def _setup(self, stages: list[Stage]) -> tuple[str, ...]:
        lines = []
        for number, size in enumerate(self.program.sizes):
            name = self.expressions.identifier(size)
            lines.append(f"const int64_t {name} = t->call->sizes[{number}];")
        used = dict.fromkeys(name for s in stages for step in s for name in step.buffers)
        lines += [self._pointer(self.buffers[name]) for name in used]
        launches = [self._of(launch) for stage in stages for launch in _launches(stage)]
        if any(map(self._shared, stages)):
            offset = _aligned(self.program.arena_bytes)
            lines.append(f"unsigned char *const shared = t->call->arena + {offset};")
        if any(k.own_bytes or (k.shared_bytes and self.own_bytes) for k in launches):
            offset = _aligned(self.program.arena_bytes) + self.shared_bytes
            lines.append(
                f"unsigned char *const own = t->call->arena + {offset} + t->tid*{self.own_bytes};"
            )
        return tuple(lines)

    def _pointer(self, buffer: Buffer) -> str:
        kind = self.dialect.storage(buffer.dtype)
        if buffer.role is Role.INTERMEDIATE:
            source = f"(t->call->arena + {buffer.offset})"
        else:
            source = f"t->call->buffers[{self.slots[buffer.name]}]"
        shape = ", ".join(str(size) for size in buffer.shape)
        known = self.user_names.get(buffer.name, "")
        comment = f"{buffer.role.value} {buffer.dtype.short}[{shape}] {known}".strip()
        name = self.expressions.identifier(buffer.name)
        return f"{kind} *const {name} = ({kind} *){source}; /* {comment} */"

    def _call(self, launch: Launch, crew: _Crew) -> str:
        kernel = self._of(launch)
        arguments = [crew.each, *(self.expressions.identifier(name) for name in launch.buffers)]
        arguments += [self.expressions.integer(size) for size in launch.sizes]
        if kernel.shared_bytes:
            arguments.append(f"{crew.scratch} + {crew.offset}" if crew.offset else crew.scratch)
        if kernel.own_bytes:
            arguments.append("own")
        call = f"{kernel.name}({', '.join(arguments)});"
        clock = self.clocks.get(launch.kernel.name)
        if clock is None:
            return call
        return f"gc_tick({crew.each}, {clock}); {call} gc_tock({crew.each}, {clock});"


def _work(launch: Launch) -> int:
    nests = launch.kernel.nests
    return sum(nest.schedule.work if isinstance(nest, Nest) else nest.work for nest in nests)


def _pay(work: int) -> int:
    """The threads that some work is worth."""
    return min(max(1, 2 * work // SHARED_WORK), _MOST_THREADS)
