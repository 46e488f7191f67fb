"""Loops: passes reach into their bodies, what is the same in every step is computed before them,
and what nobody uses of them falls away."""

from collections.abc import Callable

from graphc.ir import (
    CONSTANT,
    OPS,
    PURE,
    Body,
    Builder,
    Contract,
    Graph,
    IndexMap,
    Node,
    bodies_of,
)
from graphc.ops.loops import SCAN, SCAN_RESULT
from graphc.passes.partition import between, extract
from graphc.sizes import product

FULL_VECTOR = 16  # elements


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


def lighten(graph: Graph) -> Graph:
    """Leaves in loops what changes from step to step and is used."""
    return trim(hoist(graph))


def hoist(graph: Graph) -> Graph:
    """Moves what a loop computes of its constants alone in front of it.

    A constant factor of a product is laid out there too, once for all steps: with its free
    dimension last, a product reads it where it lies.
    """

    def replace(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        return _hoisted(builder, node, inputs) if node.op is SCAN else None

    return in_bodies(graph, hoist).rebuild(replace) if any(bodies_of(graph)) else graph


def _hoisted(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
    first = node.attrs["carries"] + node.attrs["sequences"]
    graph = _laid_out(node.attrs["body"].graph, first)
    constants = graph.inputs[first:]
    same = dict.fromkeys(constants, True)  # in every step; False: made of no constant at all
    for each in graph.nodes:
        if isinstance(each.op.lower, PURE) and all(n in same for n in each.inputs):
            same[each] = any(same[n] for n in each.inputs)
    made = between(constants, [n for n in graph.nodes if same.get(n)])
    worth = {n for n in made if same[n] and _is_worth_memory(n, graph)}
    used = {n for n in worth if any(u not in worth for u in graph.users[n]) or n in graph.outputs}
    moved = [n for n in made if n in used]
    if not moved:
        return None
    body = extract(graph, graph.name, [*graph.inputs, *moved], graph.outputs, ())
    values = dict(zip(constants, inputs[first:], strict=True))
    for each in between(constants, moved):
        values[each] = builder.apply(each.op, [values[n] for n in each.inputs], each.attrs)
    operands = [*inputs, *(values[n] for n in moved)]
    return builder.apply(SCAN, operands, {**node.attrs, "body": Body(body)})


def _is_worth_memory(node: Node, graph: Graph) -> bool:
    """Whether a value is better read than made: views are free, unless they order a factor."""
    if node.op.name == "permute":
        return all(isinstance(u.op.lower, Contract) for u in graph.users[node])
    return not isinstance(node.op.lower, IndexMap) and not _grows(node)


def _grows(node: Node) -> bool:
    """Whether a value has more elements than what it is made of."""
    size = product(node.shape)
    most = [product(n.shape) for n in node.inputs]
    return not isinstance(size, int) or all(isinstance(n, int) and n < size for n in most)


def _laid_out(graph: Graph, first: int) -> Graph:
    """Products of which a factor is a constant matrix, with the dimension they sum over first."""
    constants = set(graph.inputs[first:])

    def replace(builder: Builder, node: Node, inputs: tuple[Node, ...]) -> Node | None:
        if not isinstance(node.op.lower, Contract):
            return None
        operands, out = node.attrs["spec"].split("->")
        specs = operands.split(",")
        for i, (letters, factor) in enumerate(zip(specs, node.inputs, strict=True)):
            if factor not in constants or not _is_across(letters, out, specs[1 - i], factor):
                continue
            specs[i] = letters[::-1]
            both = list(inputs)
            both[i] = builder.apply(OPS["permute"], (inputs[i],), {"dims": (1, 0)})
            return builder.apply(node.op, both, {"spec": f"{','.join(specs)}->{out}"})
        return None

    return graph.rebuild(replace)


def _is_across(letters: str, out: str, other: str, factor: Node) -> bool:
    """Whether a matrix lies in memory along the dimension that is summed over, not the free one."""
    if len(letters) != 2 or letters[1] in out or letters[0] not in out or letters[0] in other:
        return False
    free = factor.shape[0]
    return isinstance(free, int) and free >= FULL_VECTOR


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
