"""The memory of a program by name: what each stored value is written to, and read from."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from graphc.dtypes import dtype as DType
from graphc.errors import GraphError
from graphc.ir import CONSTANT, Node, node_names
from graphc.kernel import Buffer, Param, Role
from graphc.lowering.access import own_axes
from graphc.lowering.groups import Group
from graphc.lowering.plan import Plan
from graphc.lowering.roles import Role as Computed
from graphc.lowering.statements import identifier
from graphc.sizes import Int


@dataclass
class Buffers:
    """Buffers in the order made. ``read[node]`` is where a node is loaded from, ``written[group,
    node]`` where its group stores it.
    """

    plan: Plan
    taken: set[str] = field(default_factory=set)  # names of a whole program, loops included
    made: dict[str, Buffer] = field(default_factory=dict)
    read: dict[Node, str] = field(default_factory=dict)
    written: dict[tuple[Group, Node], list[str]] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)
    copied: dict[Group, str] = field(default_factory=dict)  # what a copy reads, if not the node

    def __post_init__(self) -> None:
        self.labels = node_names(self.plan.graph)
        self._inputs()
        self._outputs()
        self._updates()
        for node in self.plan.stored:
            if node not in self.read:
                self._intermediate(node)
        for group, nodes in self.plan.stores.items():
            for node in nodes:
                self.written.setdefault((group, node), [self.read[node]])

    # ---------------------------------------------------------------------------------- making

    def make(
        self, stem: str, dtype: DType, shape: tuple[Int, ...], role: Role, position: int = 0
    ) -> str:
        name, count = stem, 1
        while name in self.taken:
            count += 1
            name = f"{stem}_{count}"
        self.taken.add(name)
        self.made[name] = Buffer(name, dtype, shape, role, position)
        return name

    def _stem(self, node: Node) -> str:
        return identifier(self.labels[node])

    def _inputs(self) -> None:
        graph = self.plan.graph
        for position, node in enumerate(graph.inputs):
            name = self.make(self._stem(node), node.dtype, node.shape, Role.INPUT, position)
            self.read[node] = name
            self.users[name] = self.labels[node]
        constants = [n for n in graph.nodes if n.op is CONSTANT]
        for position, node in enumerate(constants):
            self.read[node] = self.make(
                self._stem(node), node.dtype, node.shape, Role.CONSTANT, position
            )

    def _outputs(self) -> None:
        """Every output has a buffer of its own, also where it repeats another or is an input."""
        for position, node in enumerate(self.plan.graph.outputs):
            stem = self._stem(node)
            stem = f"{stem}_out" if node in self.read else stem
            name = self.make(stem, node.dtype, node.shape, Role.OUTPUT, position)
            if node in self.plan.graph.names:
                self.users[name] = self.plan.graph.names[node]
            self._destination(node, name)
            self.read.setdefault(node, name)

    def _intermediate(self, node: Node) -> None:
        name = self.make(self._stem(node), node.dtype, node.shape, Role.INTERMEDIATE)
        self.read[node] = name
        if node in self.plan.graph.names:
            self.users[name] = self.plan.graph.names[node]

    def _destination(self, node: Node, name: str) -> None:
        group = self.plan.place.get(node)
        single = group is not None and group.role in (Computed.TEMPLATE, Computed.LOOP)
        if group is None or (single and (group, node) in self.written):
            group = self.plan.add_copy(node)  # templates and loops write one buffer
        self.written.setdefault((group, node), []).append(name)

    # --------------------------------------------------------------------------------- updates

    def _updates(self) -> None:
        """Values written back into inputs: in place where nobody needs the old value any more."""
        kept = self._snapshots()
        for target, value in self.plan.graph.writes:
            if target is value:
                continue
            name = self.read[target]
            self.made[name] = replace(self.made[name], updated=True)
            writer = self.plan.place.get(value)
            readers = self.plan.loaders(target)
            if writer is not None and self._in_place(target, value, writer, readers):
                self.plan.grouping.depend(writer, readers - {writer})
                self.written.setdefault((writer, value), []).append(name)
                self.read.setdefault(value, name)
                continue
            if writer is not None and value not in self.read:
                self._intermediate(value)
                self.written.setdefault((writer, value), []).append(self.read[value])
            copy = self.plan.add_copy(value)
            if value in kept:
                self.copied[copy], before = kept[value]
                self.plan.grouping.depend(copy, {before})
            self.plan.grouping.depend(copy, readers - {copy})
            self.written.setdefault((copy, value), []).append(name)

    def _snapshots(self) -> dict[Node, tuple[str, Group]]:
        """Inputs that are written to others and overwritten themselves, put aside first."""
        targets = {target for target, value in self.plan.graph.writes if target is not value}
        kept: dict[Node, tuple[str, Group]] = {}
        for target, value in self.plan.graph.writes:
            if target is not value and value in targets and value not in kept:
                stem = f"{self._stem(value)}_before"
                name = self.make(stem, value.dtype, value.shape, Role.INTERMEDIATE)
                group = self.plan.add_copy(value)
                self.written[group, value] = [name]
                kept[value] = (name, group)
        return kept

    def _in_place(self, target: Node, value: Node, writer: Group, readers: set[Group]) -> bool:
        if writer.role not in (Computed.INLINE, Computed.CONTRACT, Computed.REDUCE):
            return False
        if any(writer in reader.ancestors for reader in readers):
            return False
        if writer not in readers:
            return True
        if writer.role is not Computed.INLINE:
            return False
        axes = own_axes(value)
        return all(
            index == axes
            for member in self.plan.members[writer]
            for node, index in self.plan.reads(member, writer)
            if node is target
        )

    # ---------------------------------------------------------------------------------- params

    def params(self, used: Iterable[str], written: Iterable[str]) -> tuple[Param, ...]:
        """The parameters of a kernel: what it reads, then what it writes."""
        targets = set(written)
        names = dict.fromkeys(used)
        ordered = [n for n in names if n not in targets] + [n for n in names if n in targets]
        return tuple(
            Param(n, self.made[n].dtype, self.made[n].shape, n in targets) for n in ordered
        )

    def load_from(self, node: Node) -> str:
        name = self.read.get(node)
        if name is None:
            raise GraphError(f"{node!r} is read from memory but was never stored")
        return name
