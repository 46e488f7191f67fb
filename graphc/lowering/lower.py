"""The whole lowering: a primitive graph becomes a program of kernels in stages."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from graphc.dtypes import uint8
from graphc.errors import GraphError, Location
from graphc.explanation import Explanation, Fused
from graphc.ir import INPUT, Graph, Node
from graphc.kernel import (
    AnyNest,
    Axis,
    Buffer,
    Carry,
    Contraction,
    HostStep,
    Kernel,
    Launch,
    Loop,
    Nest,
    Program,
    Site,
    Slice,
    Store,
    Template,
)
from graphc.kernel import Role as BufferRole
from graphc.lowering.access import operations
from graphc.lowering.buffers import Buffers
from graphc.lowering.contractions import contraction_nests
from graphc.lowering.explain import fused, inline_of, reaches_window
from graphc.lowering.groups import Group
from graphc.lowering.memory import Stage, aligned, lifetimes, planned
from graphc.lowering.nests import Context, ReductionNest, map_nest
from graphc.lowering.parts import part_of
from graphc.lowering.plan import Plan
from graphc.lowering.rewriting import (
    contraction_exprs,
    contraction_indices,
    expr_loads,
    phase_exprs,
    phase_indices,
)
from graphc.lowering.roles import Role
from graphc.lowering.scatters import scatter_nest
from graphc.lowering.statements import Names, SiteOf, identifier
from graphc.lowering.templates import template_nest, template_sizes
from graphc.sizes import Int, count, symbol, symbols

SMALL_BYTES = 1 << 16  # reductions of less data wait for others to share a kernel with
SMALL_WORK = 1 << 18  # nests of less work share a kernel with their neighbours
MOST_NESTS = 64

Computed = tuple[Group, tuple[AnyNest, ...]]  # a group, and the nests that compute it


@dataclass(frozen=True)
class Lowered:
    """A program, and what there is to say about it."""

    program: Program
    explanation: Explanation


def lower(graph: Graph, *, threads: int) -> Lowered:
    """Kernels, stages and memory for a graph of primitive rows.

    ``threads`` is what the program will mostly run with. Nothing depends on it today: sums are
    divided in the same way for any number, so that results do not change with it.

    Raises GraphError for rows that have to be decomposed first.
    """
    return _Lowering(graph, threads).run()


class _Lowering:
    """One graph's lowering; the bodies of loops share the names and sites of ``around``."""

    def __init__(self, graph: Graph, threads: int, around: "_Lowering | None" = None) -> None:
        self.graph = graph
        self.threads = threads
        self.plan = Plan(graph)
        taken: set[str] = set() if around is None else around.buffers.taken
        self.buffers: Buffers = Buffers(self.plan, taken)
        self.sites: SiteOf = SiteOf() if around is None else around.sites
        self.places: dict[Node, Location] = {} if around is None else around.places
        self.places.update(graph.locations)
        self.sizes = _named_sizes(graph)
        self.context = Context(
            self.plan,
            self.buffers,
            Names(graph.names, graph.locations),
            self.sites,
            self.sizes,
        )
        self.names: set[str] = set() if around is None else around.names
        # The last number given to a name.
        self.numbers: dict[str, int] = {} if around is None else around.numbers

    def run(self) -> Lowered:
        stages: list[Stage] = []
        kernels: dict[Group, str] = {}
        placed: list[tuple[list[Group], int]] = []
        inside: list[Fused] = []
        for groups in self._levels():
            launches: list[Launch | Loop] = []
            hosts: list[HostStep] = []
            for together in self._kernels(groups):
                first = together[0][0]
                if first.role is Role.HOST:
                    hosts.append(self._host(first))
                    continue
                if first.role is Role.LOOP:
                    loop, facts = self._loop(first)
                    launches.append(loop)
                    inside += (replace(f, stage=len(stages)) for f in facts)
                    kernels[first] = loop.name
                    continue
                launch = self._launch(together)
                launches.append(launch)
                placed.append(([g for g, _ in together], len(stages)))
                kernels.update(dict.fromkeys(placed[-1][0], launch.kernel.name))
            if launches:
                stages.append(tuple(launches))
            if hosts:
                stages.append(tuple(hosts))
        arena = planned(lifetimes(tuple(self.buffers.made.values()), stages))
        buffers = tuple(
            replace(b, offset=arena.offsets.get(b.name, 0))
            if b.role is BufferRole.INTERMEDIATE
            else b
            for b in self.buffers.made.values()
        )
        program = Program(
            name=identifier(self.graph.name),
            buffers=buffers,
            stages=tuple(stages),
            arena_bytes=arena.size,
            sizes=self.sizes,
            sites=tuple(self._site(node) for node in self.sites.nodes),
            names=tuple(self.buffers.users.items()),
        )
        labels = self.buffers.labels
        inside += (fused(self.plan, kernels, nests, stage, labels) for nests, stage in placed)
        inside.sort(key=lambda f: f.stage)
        return Lowered(program, Explanation(tuple(inside), arena.size, arena.live))

    # --------------------------------------------------------------------------------- stages

    def _levels(self) -> list[list[Group]]:
        """Groups by stage: after everything they wait for, updates of inputs all at the end."""
        level: dict[Group, int] = {}
        active = [g for g in self.plan.groups if self._stores_anything(g)]
        # A group has more ancestors than any of its ancestors, so these come first.
        for group in sorted(active, key=lambda g: len(g.ancestors)):
            level[group] = 1 + max((level.get(a, -1) for a in group.ancestors), default=-1)
        awaited = {a for g in active for a in g.ancestors}
        last = [g for g in active if g not in awaited and self._is_update(g)]
        if last:
            end = max(level[g] for g in last)
            level.update(dict.fromkeys(last, end))
        self._delay(active, level)
        result: list[list[Group]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
        for group in active:
            result[level[group]].append(group)
        return [groups for groups in result if groups]

    def _delay(self, groups: Sequence[Group], level: dict[Group, int]) -> None:
        """Moves small reductions back to a stage that has some already, to share its kernel."""
        small = [g for g in groups if g.role is Role.REDUCE and self._bytes(g) <= SMALL_BYTES]
        for group in sorted(small, key=lambda g: -level[g]):
            limit = min(
                (level[other] for other in groups if group in other.ancestors),
                default=max(level.values()) + 1,
            )
            later = [level[g] for g in small if level[group] < level[g] < limit]
            if later:
                level[group] = max(later)

    def _bytes(self, group: Group) -> int:
        """What a group reads and writes."""
        nodes = {at for n in group.cores for at, _ in self.plan.reads(n, group)}
        nodes.update(self.plan.stores[group])
        return sum(count(n.shape) * n.dtype.itemsize for n in nodes)

    def _stores_anything(self, group: Group) -> bool:
        return any(0 not in node.shape for node in self.plan.stores[group])

    def _is_update(self, group: Group) -> bool:
        if group.role is not Role.INLINE:
            return False
        return all(
            self.buffers.made[b].role is BufferRole.INPUT
            for n in self.plan.stores[group]
            for b in self.buffers.written[group, n]
        )

    # -------------------------------------------------------------------------------- kernels

    def _kernels(self, groups: Sequence[Group]) -> list[list[Computed]]:
        """The nests of one stage, small ones of a kind together."""
        kernels: list[list[Computed]] = []
        shared: dict[object, list[Computed]] = {}
        for group in groups:
            nests = self._nests(group)
            small = all(isinstance(n, Nest) and n.schedule.work <= SMALL_WORK for n in nests)
            if nests and (small or self._is_update(group)):
                kind = self._is_update(group)
                known = shared.get(kind)
                if known is not None and len(known) < MOST_NESTS:
                    known.append((group, nests))
                    continue
                shared[kind] = [(group, nests)]
                kernels.append(shared[kind])
            else:
                kernels.append([(group, nests)])
        return kernels

    def _nests(self, group: Group) -> tuple[AnyNest, ...]:
        if group.role is Role.INLINE:
            return (map_nest(group, self.context),)
        if group.role is Role.REDUCE:
            return (ReductionNest(group, self.context).build(),)
        if group.role is Role.CONTRACT:
            return contraction_nests(group, self.context)
        if group.role is Role.SCATTER:
            return (scatter_nest(group, self.context),)
        if group.role is Role.TEMPLATE:
            return (template_nest(group, self.context),)
        return ()

    def _host(self, group: Group) -> HostStep:
        node = group.cores[0]
        return HostStep(
            node.op.name,
            tuple(self.buffers.load_from(x) for x in node.inputs),
            tuple(self.buffers.written[group, node]),
            tuple(node.attrs.items()),
        )

    def _loop(self, group: Group) -> tuple[Loop, tuple[Fused, ...]]:
        """A scan: the program of its body, and where that finds its memory.

        Raises GraphError for a stack that nobody uses (:mod:`graphc.passes.loops` drops those).
        """
        node, *values = group.cores
        attrs = node.attrs
        graph = attrs["body"].graph
        first, last = attrs["carries"], attrs["carries"] + attrs["sequences"]
        divided = part_of(graph, first, attrs["sequences"])
        graph, parts = divided or (graph, 1)
        lowered = _Lowering(graph, self.threads, self).run()
        body = lowered.program
        reads = _by_position(body, BufferRole.INPUT)
        writes = _by_position(body, BufferRole.OUTPUT)
        outer = [self.buffers.load_from(x) for x in node.inputs]
        results = {v.attrs["index"]: self.buffers.written[group, v][0] for v in values}
        slices = []
        fixed = []
        for i in range(first, len(reads)):
            whole = count(node.inputs[i].shape[1:] if i < last else node.inputs[i].shape)
            each = count(reads[i].shape)
            if i < last or each != whole:
                apart = 0 if each == whole else each
                slices.append(Slice(reads[i].name, outer[i], whole if i < last else 0, apart))
            else:
                fixed.append((reads[i].name, outer[i]))
        for i in range(first, len(writes)):
            if i not in results:
                raise GraphError(f"{node!r}: nobody uses stack {i - first} of {graph.name}")
            each = count(writes[i].shape)
            slices.append(Slice(writes[i].name, results[i], each * parts, each if parts > 1 else 0))
        size = body.arena_bytes
        carries = []
        for i in range(first):
            each = count(reads[i].shape)
            place = aligned(each * reads[i].dtype.itemsize)
            carries.append(
                Carry(
                    read=reads[i].name,
                    written=writes[i].name,
                    initial=outer[i],
                    final=results.get(i),
                    offset=size,
                    size=place,
                    part=each if parts > 1 else 0,
                )
            )
            size += 2 * place
        workspace = None
        if size:
            workspace = self.buffers.make(
                f"{identifier(graph.name)}_workspace",
                uint8,
                (parts * size,),
                BufferRole.INTERMEDIATE,
            )
        loop = Loop(
            name=self._unique(f"scan_{identifier(graph.name)}"),
            body=body,
            steps=attrs["steps"],
            reverse=attrs["reverse"],
            fixed=tuple(fixed),
            slices=tuple(slices),
            carries=tuple(carries),
            workspace=workspace,
            parts=parts,
            part_bytes=size if parts > 1 else 0,
        )
        return loop, lowered.explanation.kernels

    def _launch(self, together: Sequence[Computed]) -> Launch:
        nests = tuple(nest for _, nests in together for nest in nests)
        used: dict[str, None] = {}
        written: dict[str, None] = {}
        indices: list[Int] = []
        for nest in nests:
            used.update(dict.fromkeys(_loaded(nest)))
            written.update(dict.fromkeys(_stored(nest)))
            indices += _extents(nest)
        sizes = tuple(
            name for name in self.sizes if any(s.name == name for i in indices for s in symbols(i))
        )
        params = self.buffers.params((*used, *written), written)
        comments = tuple(dict.fromkeys(self._comment(group) for group, _ in together))
        kernel = Kernel(
            self._kernel_name([group for group, _ in together]), params, nests, sizes, comments
        )
        return Launch(kernel, tuple(p.name for p in params), tuple(symbol(n) for n in sizes))

    # ---------------------------------------------------------------------------------- names

    def _comment(self, group: Group) -> str:
        """What a nest computes, in the words of the graph."""
        labels = self.buffers.labels
        nodes = self.plan.stores[group] or group.cores
        made = ", ".join(f"{labels[n]} {n.type}" for n in nodes)
        inside = inline_of(self.plan, group)
        steps = " ".join(dict.fromkeys(n.op.name for n in inside)) or "copy"
        lines = dict.fromkeys(
            str(self.graph.locations[n]) for n in inside if n in self.graph.locations
        )
        return f"{made}: {steps}" + (f" ({', '.join(lines)})" if lines else "")

    def _kernel_name(self, groups: Sequence[Group]) -> str:
        stems = list(dict.fromkeys(self._stem(group) for group in groups))
        stem = stems[0] if len(stems) == 1 else "_".join(dict.fromkeys("_".join(stems).split("_")))
        if len(stem) > 48:
            stem = f"{stems[0]}_and_{len(groups) - 1}_more"
        labels = [
            self.graph.names[n]
            for g in groups
            for n in self.plan.stores[g]
            if n in self.graph.names and n.op is not INPUT
        ]
        if len(labels) == 1 and len(groups) == 1 and identifier(labels[0]) not in stem:
            stem = f"{stem}_{identifier(labels[0])}"
        return self._unique(stem)

    def _unique(self, stem: str) -> str:
        name, number = stem, self.numbers.get(stem, 1)
        while name in self.names:
            number += 1
            name = f"{stem}_{number}"
        self.numbers[stem] = number
        self.names.add(name)
        return name

    def _stem(self, group: Group) -> str:
        if group in self.plan.copies:
            return "copy"
        if self._is_update(group):
            return "update"
        core = group.cores[0] if group.cores else None
        words: list[str] = []
        if group.role is Role.CONTRACT and core is not None:
            windows = any(reaches_window(x) for x in core.inputs)
            words.append(self.graph.origins.get(core, "convolution" if windows else "matmul"))
        else:
            words += [
                self._word(self.plan.accesses.sweep(c).node if group.role is Role.REDUCE else c)
                for c in group.cores
            ]
        inside = [n for n in inline_of(self.plan, group) if operations(n) > 0]
        after = [n for n in inside if core is None or n.serial > core.serial]
        words += [self._word(n) for n in after[-2:]]
        if not words:
            words = [self._word(n) for n in self.plan.stores[group]][:2]
        return identifier("_".join(dict.fromkeys(words)))

    def _word(self, node: Node) -> str:
        """The composite that a node is left of, or its own operation."""
        return self.graph.origins.get(node, node.op.name)

    def _site(self, node: Node) -> Site:
        where = self.places.get(node)
        return Site(node.op.name, "" if where is None else str(where))


def _by_position(program: Program, role: BufferRole) -> list[Buffer]:
    return sorted((b for b in program.buffers if b.role is role), key=lambda b: b.position)


def _named_sizes(graph: Graph) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for node in graph.inputs:
        for size in node.shape:
            names.update(dict.fromkeys(s.name for s in symbols(size)))
    return tuple(names)


def _loaded(nest: AnyNest) -> Iterator[str]:
    if isinstance(nest, Template):
        yield from dict(nest.fields)["inputs"]  # type: ignore[misc]
        return
    exprs = (
        contraction_exprs(nest)
        if isinstance(nest, Contraction)
        else (expr for phase in nest.phases for expr in phase_exprs(phase))
    )
    for expr in exprs:
        for load in expr_loads(expr):
            yield load.buffer


def _stored(nest: AnyNest) -> Iterator[str]:
    if isinstance(nest, Template):
        yield from dict(nest.fields)["outputs"]  # type: ignore[misc]
        return
    stores: list[Store] = []
    for phase in (nest.epilogue,) if isinstance(nest, Contraction) else nest.phases:
        stores += [*phase.stores, *phase.final_stores]
    for store in stores:
        yield store.buffer


def _extents(nest: AnyNest) -> list[Int]:
    """Every integer expression of a nest: they may mention named sizes."""
    if isinstance(nest, Template):
        return list(template_sizes(nest))
    axes: list[Axis] = []
    if isinstance(nest, Contraction):
        axes += [*nest.batch, *nest.rows, *nest.cols, *nest.depth]
        return [*(a.extent for a in axes), *contraction_indices(nest)]
    axes += nest.axes
    found: list[Int] = []
    for phase in nest.phases:
        axes += phase.axes
        found += list(phase_indices(phase))
    return [*(a.extent for a in axes), *found]
