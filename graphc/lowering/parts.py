"""Loops over a batch: rows that no step mixes are taken apart, and computed part by part.

Where the first dimension of all that a loop carries is a batch, and a step computes each row from
that row and from constants, the loop for some of the rows needs nothing of the others: a thread
takes a part through all the steps and waits for nobody. Otherwise threads meet after every stage
of every step, which costs more than a step of a small recurrent layer.
"""

from collections.abc import Mapping, Sequence

from graphc.ir import INPUT, PURE, Builder, Contract, Graph, IndexMap, Node, Scalar
from graphc.lowering.access import own_axes, work
from graphc.sizes import Int, count, symbols

MOST_BYTES = 1 << 19  # of factors: each thread reads them all, in every step, from its own cache
MOST_PARTS = 16
LEAST_WORK = 1 << 13  # operations of a step for one part, below which calls cost more than they do
ENOUGH_ROWS = (16, 8)  # of a part: those make full tiles of a product, these will do

_RESIZED = ("shape", "stops")  # attributes that name the size of the first dimension
_MAPS = frozenset("cat expand flip pad permute put_slice reshape slice".split())


def part_of(graph: Graph, carries: int, sequences: int) -> tuple[Graph, int] | None:
    """The body of a loop for one part of the batch, and the number of parts; None: it is whole.

    All parts have the same number of rows. An input of the body's is divided where its first
    dimension has become smaller.
    """
    if not carries or not graph.inputs[0].shape:
        return None
    batch = graph.inputs[0].shape[0]
    parts = _parts(batch, sum(map(work, graph.nodes))) if isinstance(batch, int) else 1
    constants = graph.inputs[carries + sequences :]
    size = sum(count(n.shape) * n.dtype.itemsize for n in constants if _is_factor(n, graph))
    if parts == 1 or size > MOST_BYTES:
        return None
    assert isinstance(batch, int)
    divided = {n: n.shape[:1] == (batch,) for n in graph.inputs[: carries + sequences]}
    divided.update({n: n.shape[:1] == (batch,) and not _is_factor(n, graph) for n in constants})
    for node in graph.nodes:
        if node.op is not INPUT:
            found = _is_divided(node, batch, divided)
            if found is None:
                return None
            divided[node] = found
    if graph.writes or not all(divided[n] for n in (*graph.inputs[:carries], *graph.outputs)):
        return None
    return _resized(graph, batch // parts, divided), parts


def _is_factor(node: Node, graph: Graph) -> bool:
    """Whether products read all of a constant for each row."""
    return any(
        isinstance(u.op.lower, Contract)
        or (isinstance(u.op.lower, IndexMap) and _is_factor(u, graph))
        for u in graph.users[node]
    )


def _parts(batch: int, work: int) -> int:
    """Parts of equal size: an even share for as many powers of two as there may be threads."""
    for rows in ENOUGH_ROWS:
        most = min(batch // rows, MOST_PARTS, work // LEAST_WORK)
        found = [n for n in range(2, most + 1) if batch % n == 0]
        if found:
            return max(found, key=lambda n: (n & -n, n))
    return 1


def _is_divided(node: Node, batch: int, divided: Mapping[Node, bool]) -> bool | None:
    """Whether row ``i`` of a node is made of the rows ``i`` of its inputs and of whole values.

    False: it is whole itself, the same for every part. None: its rows are made of several.
    """
    lower = node.op.lower
    if not isinstance(lower, PURE):
        return None
    rows = node.shape[:1] == (batch,)
    if not any(divided[x] for x in node.inputs):
        repeated = node.op.name == "full" or (
            node.op.name == "expand" and node.inputs[0].shape[0] == 1
        )
        return rows and repeated
    if not rows:
        return None
    if isinstance(lower, Scalar):
        fits = all(
            x.ndim == node.ndim if divided[x] else x.ndim < node.ndim or x.shape[0] == 1
            for x in node.inputs
        )
    elif isinstance(lower, IndexMap):
        fits = node.op.name in _MAPS and _keeps_rows(node, lower, divided)
    elif isinstance(lower, Contract):
        fits = _multiplies_rows(node, divided)
    else:
        fits = 0 not in node.attrs["dims"]
    return True if fits else None


def _keeps_rows(node: Node, lower: IndexMap, divided: Mapping[Node, bool]) -> bool:
    index = own_axes(node)
    for source in lower.rule(index, *(x.type for x in node.inputs), **node.attrs):
        place = source.index
        if divided[node.inputs[source.input]]:
            if place[:1] != index[:1]:
                return False
            place = place[1:]
        if _mentions((*place, *(c.index for c in source.conditions)), index[0]):
            return False
    return True


def _mentions(values: Sequence[Int], axis: Int) -> bool:
    (own,) = symbols(axis)
    return any(own == other for value in values for other in symbols(value))


def _multiplies_rows(node: Node, divided: Mapping[Node, bool]) -> bool:
    operands, out = node.attrs["spec"].split("->")
    return all(
        spec.find(out[0]) == (0 if divided[x] else -1) and spec.count(out[0]) <= 1
        for spec, x in zip(operands.split(","), node.inputs, strict=True)
    )


def _resized(graph: Graph, rows: int, divided: Mapping[Node, bool]) -> Graph:
    builder = Builder()
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        attrs = node.attrs
        if node.op is INPUT:
            shape = (rows, *node.shape[1:]) if divided[node] else node.shape
            new[node] = builder.input(attrs["name"], node.type.with_shape(shape))
        else:
            if divided[node]:
                attrs = {k: (rows, *v[1:]) if k in _RESIZED else v for k, v in attrs.items()}
            inputs = [new[x] for x in node.inputs]
            new[node] = builder.apply(node.op, inputs, attrs, graph.locations.get(node))
        for source, target in ((graph.names, builder.names), (graph.origins, builder.origins)):
            if node in source:
                target.setdefault(new[node], source[node])
    return Graph(
        graph.name,
        tuple(new[n] for n in graph.inputs),
        tuple(new[n] for n in graph.outputs),
        (),
        builder.names,
        builder.locations,
        builder.origins,
    )
