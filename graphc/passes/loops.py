"""Loops: passes reach into their bodies, and what nobody uses of them falls away."""

from collections.abc import Callable

from graphc.ir import CONSTANT, Body, Builder, Graph, Node, bodies_of
from graphc.ops.loops import SCAN, SCAN_RESULT
from graphc.passes.partition import between, extract


def everywhere(run: Callable[[Graph], Graph]) -> Callable[[Graph], Graph]:
    """The pass for a graph and the bodies of its loops, the innermost first."""

    def both(graph: Graph) -> Graph:
        return run(in_bodies(graph, both))

    return both


def in_bodies(graph: Graph, run: Callable[[Graph], Graph]) -> Graph:
    """The graph with a pass applied to the bodies of its own loops."""
    after = {body: Body(run(body.graph)) for body in dict.fromkeys(bodies_of(graph))}
    if not after:
        return graph

    def replace(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        body = node.attrs.get("body")
        if body is None:
            return None
        return builder.apply(node.op, inputs, {**node.attrs, "body": after[body]})

    return graph.rebuild(replace)


def trim(graph: Graph) -> Graph:
    """Drops the results of loops that nobody uses, with all that only they need.

    Constants of a body become operands: they lie in memory before the program runs.
    """
    used: dict[Node, set[int]] = {}
    for node in graph.nodes:
        if node.op is SCAN_RESULT:
            used.setdefault(node.inputs[0], set()).add(node.attrs["index"])
    if not used:
        return graph
    numbers: dict[Node, dict[int, int]] = {}  # of a new scan: old number of a result -> new one

    def replace(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if node.op is SCAN:
            made, places = _trimmed(builder, node, inputs, used[node])
            numbers[made] = places
            return made
        if node.op is SCAN_RESULT:
            index = numbers[inputs[0]][node.attrs["index"]]
            return builder.apply(node.op, inputs, {**node.attrs, "index": index})
        return None

    return in_bodies(graph.rebuild(replace), trim)


def _trimmed(
    builder: Builder, node: Node, inputs: tuple[Node, ...], used: set[int]
) -> tuple[Node, dict[int, int]]:
    """A loop of what is used, and the new number of each result by its old one.

    Stacks of the same value are one.
    """
    attrs, graph = node.attrs, node.attrs["body"].graph
    carries, last = attrs["carries"], attrs["carries"] + attrs["sequences"]
    first: dict[Node, int] = {}
    for i in sorted(used):
        if i >= carries:
            first.setdefault(graph.outputs[i], i)
    kept = set(first.values())
    live = {i for i in used if i < carries}
    while True:  # a carry is needed by the values of a later step that are made of it
        reached = set(between((), [graph.outputs[i] for i in (*kept, *live)]))
        more = {i for i in range(carries) if graph.inputs[i] in reached}
        if more <= live:
            break
        live |= more
    results = sorted(live) + sorted(kept)
    numbers = sorted(live)
    numbers += [i for i in range(carries, len(graph.inputs)) if graph.inputs[i] in reached]
    literals = [n for n in graph.nodes if n.op is CONSTANT and n in reached]
    body = extract(
        graph,
        graph.name,
        [*(graph.inputs[i] for i in numbers), *literals],
        [graph.outputs[i] for i in results],
        (),
    )
    operands = [inputs[i] for i in numbers]
    operands += [builder.apply(n.op, (), n.attrs) for n in literals]
    made = builder.apply(
        SCAN,
        operands,
        {
            **attrs,
            "body": Body(body),
            "carries": len(live),
            "sequences": sum(carries <= i < last for i in numbers),
        },
    )
    places = {old: new for new, old in enumerate(results)}
    places |= {i: places[first[graph.outputs[i]]] for i in used if i >= carries}
    return made, places


def untrimmed(graph: Graph) -> list[Node]:
    """The loops that have a result, or a constant, more than they need."""
    used: dict[Node, set[int]] = {n: set() for n in graph.nodes if n.op is SCAN}
    for node in graph.nodes:
        if node.op is SCAN_RESULT:
            used[node.inputs[0]].add(node.attrs["index"])
    return [
        node
        for node, indices in used.items()
        if not set(range(node.attrs["carries"], len(node.attrs["body"].graph.outputs))) <= indices
        or any(n.op is CONSTANT for n in node.attrs["body"].graph.nodes)
    ]
