"""How each node is computed, read off its row, and the axes that its computation runs over."""

from dataclasses import dataclass
from enum import Enum

from graphc.errors import GraphError
from graphc.ir import (
    Contract,
    Decompose,
    Gather,
    Generate,
    Host,
    IndexMap,
    Leaf,
    Named,
    Node,
    Reduce,
    Scalar,
    Scatter,
)
from graphc.kernel import Combine
from graphc.lowering.elements import contracted, wraps
from graphc.lowering.indexing import Index
from graphc.sizes import Int, product


class Role(Enum):
    LEAF = "leaf"  # memory that exists before the program runs
    INLINE = "inline"  # an expression of its inputs, computed wherever it is needed
    REDUCE = "reduction"  # joined over a sweep, in a nest
    CONTRACT = "contraction"
    SCATTER = "scatter"
    TEMPLATE = "template"
    HOST = "host"


def role(node: Node) -> Role:
    lower = node.op.lower
    if isinstance(lower, (Scalar, IndexMap, Generate, Gather)):
        return Role.INLINE
    if isinstance(lower, Reduce):
        return Role.REDUCE
    if isinstance(lower, Contract):
        return _contract_role(node)
    if isinstance(lower, Scatter):
        return Role.INLINE if _writes_one(node) else Role.SCATTER
    if isinstance(lower, Named):
        return Role.TEMPLATE
    if isinstance(lower, Host):
        return Role.HOST
    if isinstance(lower, Leaf):
        return Role.LEAF
    assert isinstance(lower, Decompose)
    raise GraphError(
        f"{node!r} reached the lowering; decompose it first (graphc.passes does, in its pipeline)"
    )


@dataclass(frozen=True)
class Letters:
    """The letters of a contraction by what they are for, with their extents."""

    batch: str
    rows: str
    cols: str
    depth: str
    extents: dict[str, Int]

    def size(self, letters: str) -> Int:
        return product(self.extents[letter] for letter in letters)


def letters(node: Node) -> Letters:
    operands, out = node.attrs["spec"].split("->")
    a, b = operands.split(",")
    extents: dict[str, Int] = {}
    for text, operand in zip((a, b), node.inputs, strict=True):
        extents.update(zip(text, operand.shape, strict=True))
    return Letters(
        batch="".join(x for x in out if x in a and x in b),
        rows="".join(x for x in out if x in a and x not in b),
        cols="".join(x for x in out if x in b and x not in a),
        depth="".join(x for x in dict.fromkeys(a + b) if x not in out),
        extents=extents,
    )


def _contract_role(node: Node) -> Role:
    """Products without a sum are pointwise; a matrix with a single row or column is a reduction."""
    found = letters(node)
    if found.size(found.depth) == 1:
        return Role.INLINE
    if found.size(found.rows) == 1 or found.size(found.cols) == 1:
        return Role.REDUCE
    return Role.CONTRACT


def _writes_one(node: Node) -> bool:
    """Whether a scatter writes one element along its dim, everywhere: a pointwise choice."""
    data, index, _ = node.inputs
    dim = node.attrs["dim"]
    if wraps(node) or index.shape[dim] != 1 or data.shape[dim] == 0:
        return False
    return all(
        a == b for d, (a, b) in enumerate(zip(data.shape, index.shape, strict=True)) if d != dim
    )


# ------------------------------------------------------------------------------------- reductions


@dataclass(frozen=True)
class Sweep:
    """A reduction as loops: result ``rows``, and what is swept for each of them."""

    node: Node
    combine: Combine
    rows: tuple[Int, ...]
    sweep: tuple[Int, ...]

    def result(self, rows: Index) -> Index:
        """The index of the result at a point of the row axes."""
        if isinstance(self.node.op.lower, Reduce) and self.node.attrs["keepdim"]:
            given = iter(rows)
            dims = self.node.attrs["dims"]
            return tuple(0 if d in dims else next(given) for d in range(self.node.ndim))
        return rows

    def operands(self, rows: Index, sweep: Index) -> tuple[tuple[Node, Index], ...]:
        """What is read at a point: one operand of a reduction, two factors of a contraction."""
        node = self.node
        if isinstance(node.op.lower, Reduce):
            outer, inner = iter(rows), iter(sweep)
            dims = node.attrs["dims"]
            x = node.inputs[0]
            return ((x, tuple(next(inner) if d in dims else next(outer) for d in range(x.ndim))),)
        at = dict(zip(letters(node).depth, sweep, strict=True))
        left, right = contracted(node, rows, at)
        return ((node.inputs[0], left), (node.inputs[1], right))


def sweep_of(node: Node) -> Sweep:
    lower = node.op.lower
    if isinstance(lower, Reduce):
        dims = node.attrs["dims"]
        shape = node.inputs[0].shape
        rows = tuple(size for d, size in enumerate(shape) if d not in dims)
        return Sweep(node, lower.combine, rows, tuple(shape[d] for d in dims))
    found = letters(node)
    return Sweep(node, Combine.SUM, node.shape, tuple(found.extents[x] for x in found.depth))
