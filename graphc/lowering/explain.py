"""What was fused and why not more, gathered from a plan."""

from collections.abc import Mapping, Sequence

from graphc.explanation import Fused
from graphc.ir import IndexMap, Node
from graphc.lowering.access import work
from graphc.lowering.groups import Group
from graphc.lowering.plan import Plan
from graphc.lowering.roles import Role
from graphc.sizes import count


def inline_of(plan: Plan, group: Group) -> dict[Node, None]:
    """The nodes that a group computes, inputs first."""
    found: dict[Node, None] = {}
    pending = [*group.cores, *plan.stores[group]]
    if group in plan.copies:
        return found
    while pending:
        node = pending.pop()
        if node in found or plan.accesses.role(node) is Role.LEAF:
            continue
        found[node] = None
        pending += [x for x in node.inputs if not plan.loads(x, group)]
    return dict.fromkeys(sorted(found, key=lambda n: n.serial))


def fused(
    plan: Plan,
    kernels: Mapping[Group, str],
    groups: Sequence[Group],
    stage: int,
    labels: Mapping[Node, str],
) -> Fused:
    """The facts of the kernel of some groups; ``kernels`` names the kernel of every group."""
    kernel = kernels[groups[0]]
    readers: list[tuple[str, ...]] = []
    nodes: list[str] = []
    stored: list[tuple[str, str]] = []
    read: dict[Node, int] = {}
    written = flops = 0
    for group in groups:
        inside = inline_of(plan, group)
        nodes += [n.op.name for n in inside]
        if group in plan.copies:
            nodes.append(f"copy of {labels[plan.copies[group]]}")
        for node in plan.stores[group]:
            written += count(node.shape) * node.dtype.itemsize
            stored.append((labels[node], plan.stored.get(node, "result")))
            loading = [g for g in plan.loaders(node) if g in kernels]
            names = (kernels[g] for g in sorted(loading, key=lambda g: g.serial))
            readers.append(tuple(name for name in dict.fromkeys(names) if name != kernel))
        for node in (*group.cores, *plan.stores[group]):
            for at, _ in plan.reads(node, group):
                read[at] = count(at.shape) * at.dtype.itemsize
        for node in inside:
            flops += work(node)
    return Fused(
        kernel,
        stage,
        tuple(nodes),
        tuple(stored),
        tuple(readers),
        sum(read.values()),
        written,
        flops,
    )


def reaches_window(node: Node) -> bool:
    """Whether a value is a view of overlapping windows: a convolution's operand."""
    while isinstance(node.op.lower, IndexMap) and len(node.inputs) == 1:
        if count(node.shape) > count(node.inputs[0].shape) and node.ndim > node.inputs[0].ndim:
            return True
        node = node.inputs[0]
    return False
