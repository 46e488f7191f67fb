"""``backward`` and ``grad``: walking the tape that operations left behind."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc.autodiff import backpropagate, pullback
from graphc.ir import Node, topological
from graphc.modes import MODES
from graphc.tape import OUTER, TapeNode
from graphc.tensor import Tensor, apply
from graphc.tracing import backward_leaves

Tensors = Tensor | Sequence[Tensor]


def backward(
    tensors: Tensors,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensors | None = None,
) -> None:
    """Adds the gradient of ``tensors`` to the ``.grad`` of the leaves they were computed from.

    ``grad_tensors`` gives the cotangent of each tensor (only a one-element tensor may go without).
    ``inputs`` limits the accumulation to these leaves. The graph is freed unless ``retain_graph``
    (default: ``create_graph``). Raises RuntimeError when nothing requires gradients, when a
    non-scalar lacks its cotangent, and when a saved value was overwritten or freed.
    """
    seeds = _seeds(_tuple(tensors), _tuple_or_none(grad_tensors))
    keep = create_graph if retain_graph is None else retain_graph
    if inputs is None:
        found = run_backward(seeds, retain_graph=keep, create_graph=create_graph)
        own = _Owner(seeds.values(), create_graph)
        for node, g in found.items():
            if isinstance(node, TapeNode) and node.tensor is not None:
                node.tensor._accumulate(own(g, node), create_graph)
            elif node.op is OUTER:
                raise backward_leaves(node)
        return
    leaves = [_local(t) for t in _tuple(inputs)]
    if not leaves:
        raise RuntimeError("'inputs' argument to backward cannot be empty.")
    nodes = [t._tape_node() for t in leaves]
    found = run_backward(seeds, retain_graph=keep, create_graph=create_graph, wanted=nodes)
    own = _Owner(seeds.values(), create_graph)
    for target, node in zip(leaves, nodes, strict=True):
        if node in found:
            target._accumulate(own(found[node], node), create_graph)


def grad(
    outputs: Tensors,
    inputs: Tensors,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` with respect to ``inputs``; nothing is accumulated.

    An input that the outputs do not depend on raises RuntimeError unless ``allow_unused`` (then
    None) or ``materialize_grads`` (then zeros).
    """
    wanted = [_local(t) for t in _tuple(inputs)]
    for t in wanted:
        if not t.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    seeds = _seeds(_tuple(outputs), _tuple_or_none(grad_outputs))
    keep = create_graph if retain_graph is None else retain_graph
    nodes = [t._tape_node() for t in wanted]
    found = run_backward(seeds, retain_graph=keep, create_graph=create_graph, wanted=nodes)
    results: list[Tensor | None] = []
    for t, node in zip(wanted, nodes, strict=True):
        g = found.get(node)
        if g is None and materialize_grads:
            g = t._zeros()
        elif g is None and not allow_unused:
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. "
                "Set allow_unused=True if this is the desired behavior."
            )
        results.append(g)
    return tuple(results)


class _Owner:
    """Gives each leaf a gradient in memory of its own.

    A cotangent is handed over as it is when it is fresh; one that the caller gave, that a hook saw,
    that several leaves get or that is a view is copied.
    """

    def __init__(self, given: Iterable[Tensor], create_graph: bool) -> None:
        self._keep = create_graph
        self._taken = {id(g._value) for g in given}

    def __call__(self, g: Tensor, node: TapeNode) -> Tensor:
        if self._keep:
            return g
        array = g._current()
        if isinstance(array, np.ndarray):
            fresh = array.base is None and array.flags.c_contiguous and not node.hooks
            if not fresh or id(array) in self._taken:
                array = array.copy()
            self._taken.add(id(array))
        return Tensor._make(array, g._type)  # type: ignore[no-any-return]


def _tuple(tensors: Any) -> tuple[Any, ...]:
    return (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)


def _tuple_or_none(tensors: Any) -> tuple[Any, ...] | None:
    return None if tensors is None else _tuple(tensors)


def _local(t: Tensor) -> Tensor:
    """The tensor as this thread's trace knows it."""
    return t if MODES.trace is None else MODES.trace.twin(t)


def _seeds(
    tensors: tuple[Tensor, ...], cotangents: tuple[Tensor | None, ...] | None
) -> dict[Node, Any]:
    if cotangents is None:
        cotangents = (None,) * len(tensors)
    if len(cotangents) != len(tensors):
        raise RuntimeError(
            f"got {len(tensors)} tensors and {len(cotangents)} gradients; give one for each"
        )
    seeds: dict[Node, Any] = {}
    for y, g in zip(tensors, cotangents, strict=True):
        y = _local(y)
        if not y.requires_grad:
            raise RuntimeError(
                "element 0 of tensors does not require grad and does not have a grad_fn"
            )
        if g is None:
            if y.numel() != 1:
                raise RuntimeError("grad can be implicitly created only for scalar outputs")
            g = y._ones()
        elif tuple(g.shape) != tuple(y.shape):
            raise RuntimeError(
                f"Mismatch in shape: grad_output[0] has a shape of {g.shape} and output[0] has a "
                f"shape of {y.shape}."
            )
        node = y._tape_node()
        seeds[node] = seeds[node] + g if node in seeds else _local(g)
    return seeds


def _unpack(node: TapeNode) -> list[Tensor | None]:
    """(y, *xs) of a gradient rule: tensors where values were kept."""
    if node.freed:
        raise RuntimeError(
            "Trying to backward through the graph a second time (or directly access saved tensors "
            "after they have already been freed). Saved intermediate values of the graph are freed "
            "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need "
            "to backward through the graph a second time or if you need to access saved tensors "
            f"after calling backward. The operation is {node.op.name}."
        )
    out: list[Tensor | None] = []
    for i, kept in enumerate(node.saved):
        if kept is None:
            out.append(None)
            continue
        if kept.storage.version != kept.version:
            source = node if i == 0 else node.inputs[i - 1]
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an "
                f"inplace operation: [{source.type}], which is "
                f"{'the output' if i == 0 else f'input {i - 1}'} of {node.op.name}, "
                f"is at version {kept.storage.version}; expected version {kept.version} instead. "
                "Hint: write into a .clone() of it, or after backward."
            )
        owner = node if i == 0 else kept.node
        tracked = owner if owner is not None and owner.requires else None
        source_type = node.type if i == 0 else node.inputs[i - 1].type
        out.append(Tensor._restore(kept.value, kept.storage, tracked, source_type))
    return out


def _run_rule(node: TapeNode, g: Any, wanted: Sequence[bool]) -> Sequence[Any]:
    """Runs the kept rule on tensors, or a smaller one where fewer inputs are wanted."""
    if node.custom is not None and not node.freed:
        return node.custom(g, wanted)
    values: list[Any] = [g, *_unpack(node)]
    rule = node.rule
    assert rule is not None  # only a custom node has none
    if any(r is not None and not w for r, w in zip(rule.results, wanted, strict=True)):
        rule = pullback(node.op, node.type, [n.type for n in node.inputs], node.attrs, list(wanted))
    for op, numbers, attrs in rule.steps:
        values.append(apply(op, [values[i] for i in numbers], attrs))
    return [None if r is None else values[r] for r in rule.results]


def _free(node: TapeNode) -> None:
    if node.custom is not None or any(s is not None for s in node.saved):
        node.custom = None
        node.saved = ()
        node.freed = True


def run_backward(
    seeds: Mapping[Node, Any],
    *,
    retain_graph: bool,
    create_graph: bool,
    wanted: Iterable[Node] | None = None,
) -> dict[Node, Any]:
    """Walks the tape; gives the cotangents of ``wanted`` nodes (default: of all leaves)."""
    targets = None if wanted is None else set(wanted)
    reaching = None if targets is None else _reaching(seeds, targets)
    found: dict[Node, Any] = {}

    def needed(node: Node) -> bool:
        return (
            isinstance(node, TapeNode) and node.requires and (reaching is None or node in reaching)
        )

    def arrived(node: Node, g: Any) -> Any:
        if node.hooks:  # type: ignore[attr-defined]
            for hook in list(node.hooks.values()):  # type: ignore[attr-defined]
                changed = hook(g)
                if changed is not None:
                    g = changed
        if targets is not None and node in targets:
            found[node] = g
        return g

    trace = MODES.trace

    def rule(node: Node, g: Any, wanted: Sequence[bool]) -> Sequence[Any]:
        if trace is not None:  # gradients are attributed to the line that they belong to
            trace.location = node.location  # type: ignore[attr-defined]
        parts = _run_rule(node, g, wanted)  # type: ignore[arg-type]
        if not retain_graph:
            _free(node)  # type: ignore[arg-type]
        return parts

    before = MODES.grad
    MODES.grad = create_graph
    try:
        leaves = backpropagate(
            seeds,
            needed=needed,
            rule=rule,
            arrived=arrived,
        )
    finally:
        MODES.grad = before
        if trace is not None:
            trace.location = None
    return found if targets is not None else leaves


def _reaching(seeds: Mapping[Node, Any], targets: set[Node]) -> set[Node]:
    reaching: set[Node] = set()
    for node in topological(seeds):
        if node in targets or any(n in reaching for n in node.inputs):
            reaching.add(node)
    return reaching
