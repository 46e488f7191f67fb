"""Cutting a joint forward-and-backward graph in two, and choosing what the forward part saves.

Every value the backward part needs is either computed again from what is saved anyway, when that
costs little (constants, views, a short pointwise step), or saved by the forward part.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from graphc.ir import CONSTANT, INPUT, Builder, Generate, Graph, IndexMap, Node, Scalar
from graphc.sizes import product

CHEAP = 4  # additions: a pointwise step up to this cost is repeated rather than stored


@dataclass(frozen=True)
class Partition:
    """``forward`` has the saved values as further outputs; they are the inputs ``backward`` lists.

    ``saved`` tells for each input of ``backward`` where it comes from: ``("input", i)`` of the
    joint graph, or ``("output", k)`` of ``forward``. ``originals`` names outputs of ``forward``
    that are copies of inputs which it overwrites, by the number of the input.
    """

    forward: Graph
    backward: Graph
    saved: tuple[tuple[str, int], ...]
    originals: dict[int, int]


def partition(joint: Graph, outputs: int, given: int, originals: Iterable[int] = ()) -> Partition:
    """Splits a graph whose first ``outputs`` outputs and first ``given`` inputs are the forward's.

    The remaining inputs are cotangents, the remaining outputs gradients. ``originals`` numbers
    inputs that the forward overwrites and whose values before that have to be kept.
    """
    forward_inputs = joint.inputs[:given]
    late: set[Node] = set(joint.inputs[given:])
    for node in joint.nodes:
        if any(n in late for n in node.inputs):
            late.add(node)
    gradients = joint.outputs[outputs:]
    boundary = {n for node in joint.nodes if node in late for n in node.inputs if n not in late}
    boundary |= {n for n in gradients if n not in late}
    saved = _choose(joint, boundary)
    kept = [n for n in joint.nodes if n in saved]
    results = list(joint.outputs[:outputs])
    overwritten = {target for target, _ in joint.writes}
    numbers = {*originals, *(forward_inputs.index(n) for n in kept if n in overwritten)}
    copies = {number: len(results) + i for i, number in enumerate(sorted(numbers))}
    results += [forward_inputs[number] for number in copies]
    places: list[tuple[str, int]] = []
    for node in kept:
        if node.op is INPUT:
            number = forward_inputs.index(node)
            place = copies.get(number)
            places.append(("input", number) if place is None else ("output", place))
            continue
        if node not in results:
            results.append(node)
        places.append(("output", results.index(node)))
    places += [("input", given + i) for i in range(len(joint.inputs) - given)]
    forward = extract(joint, joint.name, forward_inputs, results, joint.writes)
    backward = extract(
        joint, f"{joint.name}_backward", (*kept, *joint.inputs[given:]), gradients, ()
    )
    return Partition(forward, backward, tuple(places), copies)


def _bytes(node: Node) -> int:
    count = product(node.shape)
    return node.dtype.itemsize * count if isinstance(count, int) else 1 << 40


def _choose(joint: Graph, boundary: set[Node]) -> set[Node]:
    """Forward values to save so that the backward part can compute everything it needs."""
    saved = set(boundary)
    for node in reversed(joint.nodes):
        if node not in saved or node.op is INPUT:
            continue
        kind = node.op.lower
        needed: Iterable[Node] | None = None
        if isinstance(kind, Generate) or node.op is CONSTANT:
            needed = node.inputs
        elif isinstance(kind, IndexMap):
            new = [n for n in node.inputs if n not in saved and n.op is not INPUT]
            needed = node.inputs if sum(map(_bytes, new)) <= _bytes(node) else None
        elif isinstance(kind, Scalar):
            needed = _cheaply(node, saved)
        if needed is not None:
            saved.discard(node)
            saved.update(needed)
    return saved


def _cheaply(node: Node, saved: set[Node]) -> list[Node] | None:
    """What a few pointwise steps to the node read; None unless it is saved anyway, or an input."""
    cost = 0
    read: list[Node] = []
    pending, seen = [node], {node}
    while pending:
        at = pending.pop()
        kind = at.op.lower
        if at is not node and (at in saved or at.op is INPUT):
            read.append(at)
        elif not isinstance(kind, Generate) and at.op is not CONSTANT:
            cost += kind.cost if isinstance(kind, Scalar) else CHEAP + 1
            if cost > CHEAP:
                return None
        if at not in read:
            pending += [n for n in at.inputs if n not in seen]
            seen.update(at.inputs)
    return read


def extract(
    graph: Graph,
    name: str,
    inputs: Iterable[Node],
    outputs: Iterable[Node],
    writes: Iterable[tuple[Node, Node]],
) -> Graph:
    """The part of a graph from ``inputs`` (any of its nodes) to ``outputs``, as a graph."""
    builder = Builder()
    new: dict[Node, Node] = {}
    starts = list(inputs)
    for node in starts:
        stem = node.attrs["name"] if node.op is INPUT else graph.names.get(node, node.op.name)
        new[node] = builder.input(stem, node.type)
    results = list(outputs)
    written = list(writes)
    for node in between(starts, [*results, *(v for _, v in written)]):
        new[node] = builder.apply(
            node.op, [new[n] for n in node.inputs], node.attrs, graph.locations.get(node)
        )
        if node in graph.names:
            builder.names.setdefault(new[node], graph.names[node])
        if node in graph.origins:
            builder.origins.setdefault(new[node], graph.origins[node])
    return Graph(
        name,
        tuple(new[n] for n in starts),
        tuple(new[n] for n in results),
        tuple((new[i], new[v]) for i, v in written),
        builder.names,
        builder.locations,
        builder.origins,
    )


def between(starts: Iterable[Node], ends: Iterable[Node]) -> list[Node]:
    """What has to be computed from ``starts`` to get ``ends``, inputs before users."""
    order: list[Node] = []
    done = set(starts)
    stack = [(n, False) for n in reversed(list(ends))]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            order.append(node)
        elif node not in done:
            done.add(node)
            stack.append((node, True))
            stack.extend((n, False) for n in reversed(node.inputs) if n not in done)
    return order
