"""How each node is computed, read off its row, and the axes that its computation runs over."""

from dataclasses import dataclass
from enum import Enum
from math import prod

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
    Repeat,
    Result,
    Scalar,
    Scatter,
)
from graphc.kernel import Combine
from graphc.lowering.elements import contracted, wraps
from graphc.lowering.indexing import Index
from graphc.lowering.strides import SHORT_SUM
from graphc.sizes import FloorDiv, Int, IntExpr, coefficient, product, symbol

LONG_ROWS = 4  # results of one class side by side


class Role(Enum):
    LEAF = "leaf"  # memory that exists before the program runs
    INLINE = "inline"  # an expression of its inputs, computed wherever it is needed
    REDUCE = "reduction"  # joined over a sweep, in a nest
    PART = "part"  # a reduction of which only a view is used: computed at that view
    CONTRACT = "contraction"
    SCATTER = "scatter"
    TEMPLATE = "template"
    HOST = "host"
    LOOP = "loop"
    RESULT = "result"  # one of the values of a loop


# Their operands and results are whole tensors in memory.
WHOLE = frozenset({Role.TEMPLATE, Role.HOST, Role.LOOP})


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
    if isinstance(lower, Repeat):
        return Role.LOOP
    if isinstance(lower, Result):
        return Role.RESULT
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
    """Products without a sum are pointwise; a matrix with a single row or column is a reduction,
    unless it repeats its elements: the windows of a convolution of each channel by itself.
    """
    found = letters(node)
    if found.size(found.depth) == 1:
        return Role.INLINE
    if found.size(found.rows) == 1 or found.size(found.cols) == 1:
        operands = zip(node.inputs, node.attrs["spec"].split("->")[0].split(","), strict=True)
        slides = any(_slides(x, [letter in found.depth for letter in text]) for x, text in operands)
        return Role.CONTRACT if slides and node.dtype.is_floating_point else Role.REDUCE
    return Role.CONTRACT


def _slides(operand: Node, summed: list[bool]) -> bool:
    """Whether an operand shows overlapping windows that begin at neighbouring places in memory.

    Those of a sum over their places (``summed``) may begin anywhere.
    """
    shape = operand.shape
    if not all(isinstance(size, int) for size in shape):
        return False
    index = tuple(symbol(f"a{d}", size) for d, size in enumerate(shape))
    while isinstance(operand.op.lower, IndexMap) and len(operand.inputs) == 1:
        (x,) = operand.inputs
        index = operand.op.lower.rule(index, x.type, **operand.attrs)[0].index
        operand = x
    along = index[-1] if index else 0
    while isinstance(along, IntExpr) and isinstance(along.terms[0][0], FloorDiv):
        quotient = along.terms[0][0]  # only every few places hold an element
        by = quotient.divisor if isinstance(quotient.divisor, int) else 1
        dims = [(n, gone) for n, gone in zip(shape, summed, strict=True) if isinstance(n, int)]
        met = prod(-(-size // by) for size, gone in dims if gone)
        places = [size for size, gone in dims if not gone]
        if met <= SHORT_SUM and places and places[-1] >= LONG_ROWS * by:
            return False  # sums so short are written out, for neighbours side by side
        along = quotient.numerator
    if not isinstance(along, IntExpr) or len(along.terms) < 2:
        return False
    steps = ((coefficient(along, f"a{d}"), summed[d]) for d in range(len(shape)))
    step, free = next((pair for pair in steps if pair[0] != 0), (None, False))
    return step == 1 or free  # the first axis that moves is that of places, not of windows


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
    view: Node | None = None

    def operands(self, rows: Index, sweep: Index) -> tuple[tuple[Node, Index], ...]:
        """What is read at a point: one operand of a reduction, two factors of a contraction."""
        node = self.node
        if self.view is not None:
            rows = self._viewed(rows)
        if isinstance(node.op.lower, Reduce):
            outer, inner = iter(rows), iter(sweep)
            dims = node.attrs["dims"]
            x = node.inputs[0]
            return ((x, tuple(next(inner) if d in dims else next(outer) for d in range(x.ndim))),)
        at = dict(zip(letters(node).depth, sweep, strict=True))
        left, right = contracted(node, rows, at)
        return ((node.inputs[0], left), (node.inputs[1], right))

    def _viewed(self, rows: Index) -> Index:
        """The rows of the reduction itself, for those of its view."""
        view, node = self.view, self.node
        assert view is not None
        assert isinstance(view.op.lower, IndexMap)
        (source,) = view.op.lower.rule(rows, node.type, **view.attrs)
        index: Index = source.index
        if isinstance(node.op.lower, Reduce) and node.attrs["keepdim"]:
            return tuple(i for d, i in enumerate(index) if d not in node.attrs["dims"])
        return index


def only_view(node: Node, users: tuple[Node, ...]) -> Node | None:
    """The view of a part of a reduction, if that is all that anybody uses of it."""
    if len(users) != 1 or role(node) is not Role.REDUCE:
        return None
    (view,) = users
    if not isinstance(view.op.lower, IndexMap) or len(view.inputs) != 1:
        return None
    sizes = product(view.shape), product(node.shape)
    if not all(isinstance(size, int) and size for size in sizes) or sizes[0] >= sizes[1]:  # type: ignore[operator]
        return None
    index = tuple(symbol(f"a{d}", size) for d, size in enumerate(view.shape))
    sources = view.op.lower.rule(index, node.type, **view.attrs)
    return view if len(sources) == 1 and not sources[0].conditions else None


def sweep_of(node: Node) -> Sweep:
    """The loops of a reduction, or of a contraction with a single row or column."""
    lower = node.op.lower
    if isinstance(lower, Reduce):
        dims = node.attrs["dims"]
        shape = node.inputs[0].shape
        rows = tuple(size for d, size in enumerate(shape) if d not in dims)
        return Sweep(node, lower.combine, rows, tuple(shape[d] for d in dims))
    found = letters(node)
    return Sweep(node, Combine.SUM, node.shape, tuple(found.extents[x] for x in found.depth))
