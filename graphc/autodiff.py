"""Reverse-mode differentiation: one driver for graphs, for the eager tape and while tracing.

The driver walks nodes from the outputs backwards and calls each row's ``vjp``. It never looks at
values: cotangents are whatever operands the caller works with (graph nodes, or tensors), so the
gradient of a gradient needs nothing new.
"""

import heapq
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

from graphc import dtypes
from graphc.errors import GraphError
from graphc.ir import INPUT, OPS, Attrs, Builder, Graph, Node, Op, TensorType, topological
from graphc.ops.evaluation import Program
from graphc.sizes import Int


def sum_to(g: Any, shape: tuple[Int, ...]) -> Any:
    """Undoes broadcasting: sums a cotangent down to ``shape``."""
    if g.shape == shape:
        return g
    lead = len(g.shape) - len(shape)
    dims = (
        *range(lead),
        *(lead + i for i, size in enumerate(shape) if size == 1 and g.shape[lead + i] != 1),
    )
    if dims:
        g = OPS["sum"](g, dims=dims, keepdim=False)
    return g if g.shape == shape else OPS["reshape"](g, shape=shape)


class Rule(Protocol):
    """Runs a node's gradient rule: cotangents of the wanted inputs, None for the others."""

    def __call__(self, node: Node, g: Any, wanted: Sequence[bool]) -> Sequence[Any]: ...


def backpropagate(
    seeds: Mapping[Node, Any],
    *,
    needed: Callable[[Node], bool],
    rule: Rule,
    arrived: Callable[[Node, Any], Any] | None = None,
    joined: Callable[[Any, Any], Any] = operator.add,
) -> dict[Node, Any]:
    """Cotangents of all needed leaves (nodes without inputs that need one).

    seeds     cotangent of each output
    needed    whether a cotangent has to reach this node
    rule      runs the gradient rule of one node
    arrived   sees each node's full cotangent and may replace it (hooks)
    joined    adds a cotangent that arrives to what a node has already
    """
    cotangents: dict[Node, Any] = {}
    leaves: dict[Node, Any] = {}
    heap: list[tuple[int, Node]] = []

    def deliver(node: Node, g: Any) -> None:
        if node in cotangents:
            cotangents[node] = joined(cotangents[node], g)
        else:
            cotangents[node] = g
            heapq.heappush(heap, (-node.serial, node))

    for node, g in seeds.items():
        if needed(node):
            deliver(node, g)
    while heap:
        _, node = heapq.heappop(heap)
        g = cotangents.pop(node)
        if arrived is not None:
            g = arrived(node, g)
        wanted = [needed(source) for source in node.inputs]
        if not any(wanted):
            leaves[node] = g
            continue
        for source, part in zip(node.inputs, rule(node, g, wanted), strict=True):
            if part is not None:
                deliver(source, part)
    return leaves


def apply_rule(
    op: Op, g: Any, y: Any, xs: Sequence[Any], attrs: Attrs, wanted: Sequence[bool]
) -> tuple[Any, ...]:
    """A row's cotangents on these operands, un-broadcast, and only where wanted.

    An entry of a row's result may be a function, called only when its cotangent is wanted.
    """
    if op.vjp is None:
        return (None,) * len(xs)
    if op.wide and any(x.dtype in _HALVES for x in xs):
        g, y, *operands = (_widened(x) for x in (g, y, *xs))
    else:
        operands = list(xs)
    parts = op.vjp(g, y, *operands, **attrs)
    if len(parts) != len(xs):
        raise GraphError(f"the gradient of {op.name} gives {len(parts)} parts for {len(xs)} inputs")
    out: list[Any] = []
    for part, x, want in zip(parts, xs, wanted, strict=True):
        if not want or part is None:
            out.append(None)
        else:
            down = sum_to(part() if callable(part) else part, x.shape)
            narrow = down.dtype is not x.dtype and x.dtype in _HALVES
            out.append(OPS["cast"](down, dtype=x.dtype) if narrow else down)
    return tuple(out)


_HALVES = (dtypes.float16, dtypes.bfloat16)


def _widened(x: Any) -> Any:
    return OPS["cast"](x, dtype=dtypes.float32) if x.dtype in _HALVES else x


@dataclass(frozen=True, eq=False)
class Pullback:
    """The gradient rule of one application as a small graph, pruned to what is wanted.

    ``steps`` run in order over the values ``(g, y, *xs)`` (numbers 0, 1, 2 ...), each appending
    one value; ``results`` number the cotangents; ``uses`` tells which of (y, *xs) are read.
    """

    given: tuple[Node, ...]
    parts: tuple[Node | None, ...]

    @cached_property
    def passes(self) -> bool:
        """Whether there is any cotangent."""
        return any(part is not None for part in self.parts)

    @cached_property
    def _order(self) -> list[Node]:
        return [n for n in topological(p for p in self.parts if p is not None) if n.op is not INPUT]

    @cached_property
    def _numbers(self) -> dict[Node, int]:
        return {n: i for i, n in enumerate([*self.given, *self._order])}

    @cached_property
    def steps(self) -> tuple[tuple[Op, tuple[int, ...], Attrs], ...]:
        numbers = self._numbers
        return tuple((n.op, tuple(numbers[i] for i in n.inputs), n.attrs) for n in self._order)

    @cached_property
    def results(self) -> tuple[int | None, ...]:
        return tuple(None if p is None else self._numbers[p] for p in self.parts)

    @cached_property
    def uses(self) -> tuple[bool, ...]:
        read = {source for n in self._order for source in n.inputs} | set(self.parts)
        return tuple(n in read for n in self.given[1:])

    @cached_property
    def program(self) -> Program:
        """The same on arrays, where nobody asks for the gradient of the gradient."""
        return Program(self.given, self.parts)


@lru_cache(maxsize=8192)
def _pullback(
    op: Op,
    y: TensorType,
    xs: tuple[TensorType, ...],
    attrs: tuple[tuple[str, Any], ...],
    wanted: tuple[bool, ...],
) -> Pullback:
    builder = Builder()
    given = [builder.input(name, type) for name, type in zip(("g", "y"), (y, y), strict=True)]
    given += [builder.input(f"x{i}", type) for i, type in enumerate(xs)]
    parts = apply_rule(op, given[0], given[1], given[2:], dict(attrs), wanted)
    return Pullback(tuple(given), parts)


def pullback(
    op: Op, y: TensorType, xs: Sequence[TensorType], attrs: Attrs, wanted: Sequence[bool]
) -> Pullback:
    """The pruned gradient rule for operands of these types; cached."""
    return _pullback(op, y, tuple(xs), tuple(sorted(attrs.items())), tuple(wanted))


def differentiable(node: Node) -> bool:
    """Whether gradients can pass through a value of this dtype."""
    return node.dtype.is_floating_point


def gradients(
    outputs: Iterable[Node], cotangents: Iterable[Node], wrt: Iterable[Node]
) -> list[Node | None]:
    """Nodes of the gradients of graph outputs with respect to nodes of the same builder."""
    wanted = list(wrt)
    reaching = _reaching(list(outputs), set(wanted))
    found: dict[Node, Node] = {}

    def arrived(node: Node, g: Node) -> Node:
        if node in wanted_set:
            found[node] = g
        return g

    wanted_set = set(wanted)
    seeds: dict[Node, Any] = {}
    for y, g in zip(outputs, cotangents, strict=True):
        seeds[y] = seeds[y] + g if y in seeds else g
    backpropagate(
        seeds,
        needed=lambda n: n in reaching,
        rule=lambda n, g, wants: apply_rule(n.op, g, n, n.inputs, n.attrs, wants),
        arrived=arrived,
    )
    return [found.get(n) for n in wanted]


def _reaching(outputs: list[Node], wrt: set[Node]) -> set[Node]:
    """The nodes on a differentiable path from ``wrt`` to the outputs."""
    reaching: set[Node] = set()
    for node in topological(outputs):
        passes = differentiable(node) and any(n in reaching for n in node.inputs)
        if node in wrt or passes:
            reaching.add(node)
    return reaching


def backward_graph(graph: Graph, wrt: Iterable[int] | None = None) -> Graph:
    """Forward and backward in one graph.

    Inputs: those of ``graph``, then one cotangent for each differentiable output. Outputs: those
    of ``graph``, then the gradient of each input numbered in ``wrt`` (default: every
    floating-point input); an input the outputs do not depend on gets zeros.
    """
    builder = Builder()
    new: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.op is INPUT:
            new[node] = builder.input(node.attrs["name"], node.type)
        else:
            new[node] = builder.apply(
                node.op, [new[n] for n in node.inputs], node.attrs, graph.locations.get(node)
            )
        if node in graph.names:
            builder.names.setdefault(new[node], graph.names[node])
    numbers = (
        list(wrt)
        if wrt is not None
        else [i for i, n in enumerate(graph.inputs) if differentiable(n)]
    )
    outputs = [new[n] for n in graph.outputs]
    followed = [n for n in outputs if differentiable(n)]
    seeds = [builder.input(f"grad_{i}", n.type) for i, n in enumerate(followed)]
    targets = [new[graph.inputs[i]] for i in numbers]
    grads = gradients(followed, seeds, targets)
    zeros = OPS["full"]
    filled = [
        g
        if g is not None
        else builder.apply(
            zeros, (), {"value": 0.0, "shape": t.shape, "dtype": t.dtype, "device": t.device}
        )
        for g, t in zip(grads, targets, strict=True)
    ]
    return Graph(
        f"{graph.name}_backward",
        (*(new[n] for n in graph.inputs), *seeds),
        (*outputs, *filled),
        tuple((new[i], new[v]) for i, v in graph.writes),
        builder.names,
        builder.locations,
    )
